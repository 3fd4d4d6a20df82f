//! How much of the brain agents may take up.

use std::num::{NonZeroU32, NonZeroUsize};

use clap::Args;

#[derive(Args, Clone, Debug)]
pub(crate) struct LimitOptions {
    /// New agents' connections a second from one address in the long run; 60 times as many at once.
    #[arg(long, env = "TASKPLANE_HANDSHAKES_PER_SECOND", value_name = "NUMBER", default_value = "200")]
    pub(crate) handshakes_per_second: NonZeroU32,
    /// Connections of agents with one token.
    #[arg(long, env = "TASKPLANE_CONNECTIONS_PER_TOKEN", value_name = "NUMBER", default_value = "12000")]
    pub(crate) connections_per_token: NonZeroUsize,
}
