//! `taskplane backup`, `restore` and `doctor`.

use std::path::PathBuf;

use clap::Args;

use super::StoreOptions;

#[derive(Args, Debug)]
#[command(after_help = "\
The brain may run, and goes on acknowledging. SQLite is copied to a database of the same form; PostgreSQL by pg_dump, which must
be installed, in its custom format.

Examples:
  taskplane backup --data-dir ./taskplane-data --to /backups/taskplane.db
  taskplane backup --data-dir ./taskplane-data --to /backups/taskplane.db --force
  TASKPLANE_DATABASE_URL=postgres://… taskplane backup --to /backups/taskplane.dump")]
pub(crate) struct BackupOptions {
    /// File to write.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
    /// Replace the file if it is there.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) store: StoreOptions,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Stop the brain first. What agents have sent since the backup was made is gone, as far as they do not have it any more.

Examples:
  taskplane restore --data-dir ./taskplane-data --from /backups/taskplane.db
  taskplane restore --data-dir ./taskplane-data --from /backups/taskplane.db --force
  TASKPLANE_DATABASE_URL=postgres://… taskplane restore --from /backups/taskplane.dump")]
pub(crate) struct RestoreOptions {
    /// File that `taskplane backup` has written.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: PathBuf,
    /// Restore into a data folder that has data already; its database is kept under another name. Not for PostgreSQL.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) store: StoreOptions,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Looks at the database directly, whether a brain runs or not, and changes nothing.

Exit codes: 0 no problem, 1 there is one, 2 wrong usage.

Examples:
  taskplane doctor --data-dir ./taskplane-data
  taskplane doctor --data-dir ./taskplane-data --deep --json
  TASKPLANE_DATABASE_URL=postgres://… taskplane doctor")]
pub(crate) struct DoctorOptions {
    /// Read everything instead of samples; takes minutes on a large database.
    #[arg(long)]
    pub(crate) deep: bool,
    /// Print the findings as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) store: StoreOptions,
}
