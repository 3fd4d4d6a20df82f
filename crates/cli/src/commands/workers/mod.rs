//! `taskplane workers`.

mod list;
mod order;

use anyhow::Result;

use crate::api::Api;
use crate::arguments::{WorkersCommand, WorkersVerb};

pub(crate) async fn run(command: WorkersCommand) -> Result<()> {
    let (api, json) = (Api::new(&command.api)?, command.api.json);
    match &command.verb {
        WorkersVerb::List => list::run(&api, json).await,
        WorkersVerb::Order(order) => order::run(&api, order, json).await,
    }
}
