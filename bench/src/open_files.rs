//! How many connections this process may have open.

use anyhow::{Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For everything that is not one of the connections asked for.
const OTHERS: u64 = 200;

/// Raises the limit of open files as far as is allowed. A brain that is started afterwards inherits it.
pub(crate) fn raise_for(connections: usize) -> Result<()> {
    let needed = connections as u64 + OTHERS;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    ensure!(
        maximum.is_none_or(|maximum| maximum >= needed),
        "{connections} connections need {needed} open files, and {} are allowed: raise the hard limit (`ulimit -Hn`) or ask for less",
        maximum.unwrap_or(0),
    );
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(())
}
