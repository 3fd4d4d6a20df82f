//! `taskplane agents`.

use clap::{Args, Subcommand};

use super::ApiOptions;

#[derive(Args, Debug)]
pub(crate) struct AgentsCommand {
    #[command(flatten)]
    pub(crate) api: ApiOptions,
    #[command(subcommand)]
    pub(crate) verb: AgentsVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentsVerb {
    /// List agents.
    #[command(after_help = "Example:\n  taskplane agents list")]
    List,
}
