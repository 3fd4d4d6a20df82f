//! `taskplane token`.

use anyhow::Result;
use taskplane_brain::{auth, clock};

use crate::arguments::TokenCommand;
use crate::output::say;
use crate::store::Place;

pub(crate) async fn run(command: TokenCommand) -> Result<()> {
    let TokenCommand::Create(options) = command;
    let store = Place::of(options.store)?.open_for_a_brain().await?;
    let agent = options.agent.as_deref();
    let token = auth::issue_agent_token(&*store, &options.project, agent, super::ACTOR, clock::now()).await?;
    say(&token);
    Ok(())
}
