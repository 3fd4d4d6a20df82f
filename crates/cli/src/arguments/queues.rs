//! `taskplane queues`.

use clap::{Args, Subcommand};

use super::ApiOptions;

#[derive(Args, Debug)]
pub(crate) struct QueuesCommand {
    #[command(flatten)]
    pub(crate) api: ApiOptions,
    #[command(subcommand)]
    pub(crate) verb: QueuesVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueuesVerb {
    /// List queues, as they were last sampled.
    #[command(after_help = "Example:\n  taskplane queues list")]
    List,
    /// Delete all messages that wait in a queue, for good.
    #[command(after_help = "Example:\n  taskplane queues purge emails --yes")]
    Purge(PurgeOptions),
}

#[derive(Args, Debug)]
pub(crate) struct PurgeOptions {
    /// The queue's name.
    pub(crate) name: String,
    /// The queue's engine.
    #[arg(long, default_value = "celery")]
    pub(crate) engine: String,
    /// Do it. Without this, the command only says how many messages would be deleted.
    #[arg(long)]
    pub(crate) yes: bool,
}
