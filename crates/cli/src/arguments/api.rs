//! What all commands that talk to a running brain share.

use clap::Args;

/// The brain to talk to.
#[derive(Args, Debug)]
pub(crate) struct ApiOptions {
    /// Address of the brain: https://host[:port][/path], or http:// without TLS.
    #[arg(
        long,
        global = true,
        env = "TASKPLANE_URL",
        default_value = "http://127.0.0.1:7440",
        help_heading = "The brain"
    )]
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) tls: super::ClientTlsOptions,
    /// Key from `taskplane api-key create`; in the environment, other users of this machine cannot see it.
    #[arg(
        long,
        global = true,
        env = "TASKPLANE_API_KEY",
        hide_env_values = true,
        // From the configuration file.
        hide_default_value = true,
        value_name = "KEY",
        help_heading = "The brain"
    )]
    pub(crate) api_key: Option<String>,
    /// Project that the key opens.
    #[arg(long, global = true, env = "TASKPLANE_PROJECT", default_value = "default", help_heading = "The brain")]
    pub(crate) project: String,
    /// Print the API's own JSON: an object, or for a list an array.
    #[arg(long, global = true, display_order = super::LAST - 1)]
    pub(crate) json: bool,
}
