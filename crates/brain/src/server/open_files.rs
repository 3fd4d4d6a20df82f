//! How many connections the system lets this process have.

/// Raises the limit of open files as far as is allowed: many systems start processes with 1,024, which is for programs that
/// cannot take more. Says so if `connections` would not fit all the same.
pub(super) fn raise_for(connections: usize) {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current.is_none_or(|current| current > connections as u64) {
            return;
        }
        if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
            tracing::debug!(%error, "could not raise the limit of open files");
        }
        if let Some(limit) = getrlimit(Resource::Nofile).current.filter(|limit| *limit <= connections as u64) {
            tracing::info!(
                limit,
                "the system's limit of open files is less than the {connections} connections that this brain would take; \
                 raise the hard limit (LimitNOFILE, ulimit -Hn) for a large fleet"
            );
        }
    }
}
