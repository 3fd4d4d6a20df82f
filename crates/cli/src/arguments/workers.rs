//! `taskplane workers`.

use clap::{Args, Subcommand};

use super::ApiOptions;

#[derive(Args, Debug)]
pub(crate) struct WorkersCommand {
    #[command(flatten)]
    pub(crate) api: ApiOptions,
    #[command(subcommand)]
    pub(crate) verb: WorkersVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkersVerb {
    /// List workers.
    #[command(after_help = "Example:\n  taskplane workers list")]
    List,
}
