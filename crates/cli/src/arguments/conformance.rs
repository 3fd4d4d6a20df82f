//! `taskplane conformance`.

use clap::{Args, ValueEnum};

use super::ClientTlsOptions;

#[derive(Args, Debug)]
#[command(after_help = "\
Plays an agent: every rule has connections, streams and an agent name of its own. The brain keeps what it is sent, so use a
project made for this.

Exit codes: 0 every rule that was tried is kept, 1 some are broken or nothing could be tried, 2 wrong usage.

Example:
  taskplane conformance --brain ws://127.0.0.1:7440 --token T --api-key K")]
pub(crate) struct ConformanceOptions {
    /// Address of the brain: ws, wss, http or https.
    #[arg(long, env = "TASKPLANE_BRAIN", value_name = "URL", required_unless_present = "list")]
    pub(crate) brain: Option<String>,
    /// A valid agent token.
    #[arg(
        long,
        env = "TASKPLANE_TOKEN",
        hide_env_values = true,
        hide_default_value = true,
        required_unless_present = "list"
    )]
    pub(crate) token: Option<String>,
    /// The agent name that the token is bound to; some rules need names of their own, and are then not tried.
    #[arg(long, env = "TASKPLANE_NAME")]
    pub(crate) name: Option<String>,
    /// Key for a Taskplane brain's API: a viewer sees what was stored, an operator also gives commands, an administrator also
    /// revokes tokens that it made; without it, acks must do.
    #[arg(long, env = "TASKPLANE_API_KEY", hide_env_values = true, hide_default_value = true, value_name = "KEY")]
    pub(crate) api_key: Option<String>,
    /// Project of the token and the key.
    #[arg(long, env = "TASKPLANE_PROJECT", default_value = "default")]
    pub(crate) project: String,
    /// Also try what takes minutes, such as the heartbeat timeout.
    #[arg(long)]
    pub(crate) slow: bool,
    /// Only rules whose name begins so, such as `ack` or `longpoll.wait`; several times for several.
    #[arg(long, value_name = "RULE")]
    pub(crate) only: Vec<String>,
    /// How to print the report.
    #[arg(long, default_value = "text")]
    pub(crate) format: ReportFormat,
    /// Print the rules and try none.
    #[arg(long)]
    pub(crate) list: bool,
    #[command(flatten)]
    pub(crate) tls: ClientTlsOptions,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ReportFormat {
    /// Lines for people.
    Text,
    /// One JSON object.
    Json,
}
