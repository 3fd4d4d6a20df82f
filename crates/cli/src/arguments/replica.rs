//! How a brain is known among several on one database.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ReplicaOptions {
    /// With --database-url: this brain's name among others on the database; its host and process unless it is said.
    #[arg(long, env = "TASKPLANE_REPLICA_NAME", value_name = "NAME")]
    pub(crate) replica_name: Option<String>,
    /// With --database-url: where other brains on the database reach this one; --listen unless that is a wildcard.
    #[arg(long, env = "TASKPLANE_PEER_URL", value_name = "URL")]
    pub(crate) peer_url: Option<String>,
    /// With --database-url: trust only brains whose certificates one of these CAs (PEM) signed, where their --peer-url is
    /// https://; those that the system trusts unless it is said.
    #[arg(long, env = "TASKPLANE_PEER_CA", value_name = "FILE")]
    pub(crate) peer_ca: Option<PathBuf>,
}
