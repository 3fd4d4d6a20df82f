//! `taskplane api-key`.

use anyhow::Result;
use taskplane_brain::{auth, clock};
use taskplane_model::access::Role;

use crate::arguments::{ApiKeyCommand, RoleName};
use crate::output::say;
use crate::store::Place;

pub(crate) async fn run(command: ApiKeyCommand) -> Result<()> {
    let ApiKeyCommand::Create(options) = command;
    let store = Place::of(options.store)?.open_for_a_brain().await?;
    let role = match options.role {
        RoleName::Viewer => Role::Viewer,
        RoleName::Operator => Role::Operator,
        RoleName::Admin => Role::Admin,
    };
    let key = auth::issue_api_key(&*store, &options.project, role, super::ACTOR, clock::now()).await?;
    say(&key);
    Ok(())
}
