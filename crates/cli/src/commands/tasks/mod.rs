//! `taskplane tasks`.

mod cancel;
mod list;
mod retry;
mod retry_matching;
mod show;
mod why;

use anyhow::Result;

use crate::api::Api;
use crate::arguments::{TasksCommand, TasksVerb};

pub(crate) async fn run(command: TasksCommand) -> Result<()> {
    let (api, json) = (Api::new(&command.api)?, command.api.json);
    match command.verb {
        TasksVerb::List(options) => list::run(&api, &options, json).await,
        TasksVerb::Show(options) => show::run(&api, &options, json).await,
        TasksVerb::Why(options) => why::run(&api, &options, json).await,
        TasksVerb::Retry(options) => match options.matching.filter.clone() {
            Some(filter) => retry_matching::run(&api, &filter, &options.matching, json).await,
            None => retry::run(&api, options, json).await,
        },
        TasksVerb::Cancel(options) => cancel::run(&api, &options, json).await,
    }
}
