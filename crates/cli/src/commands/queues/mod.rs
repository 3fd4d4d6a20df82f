//! `taskplane queues`.

mod list;
mod purge;

use anyhow::Result;

use crate::api::Api;
use crate::arguments::{QueuesCommand, QueuesVerb};

pub(crate) async fn run(command: QueuesCommand) -> Result<()> {
    let (api, json) = (Api::new(&command.api)?, command.api.json);
    match command.verb {
        QueuesVerb::List => list::run(&api, json).await,
        QueuesVerb::Purge(options) => purge::run(&api, &options, json).await,
    }
}
