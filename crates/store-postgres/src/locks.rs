//! Who waits for whom.
//!
//! Several brains write to one database, and no two transactions may ever wait for each other. That is so by construction:
//! every transaction that touches more than one row that others may touch takes advisory locks first, in this order:
//!
//! 1. the locks of its projects, ascending ([`PROJECTS`]): tasks, links, statistics, streams, agents, workers, queues,
//!    schedules, quarantine;
//! 2. the lock of the search index, shared ([`SEARCH_SHARED`]), by whoever writes tasks; the indexer takes it for itself
//!    ([`SEARCH`]) while it holds nothing else;
//! 3. the lock of the terms ([`TERMS`]), when it has to enter new ones;
//! 4. or instead of all, the lock of a sweep ([`SWEEP`]), whose rows nobody else holds while waiting; then the row of a
//!    replica before its connections.
//!
//! Rows of a project are read, merged and written under its lock, so they need no locks of their own, and sequence numbers
//! that were read stay true until the commit. Whatever runs without these locks (a command's beginning, tokens, keys,
//! sessions, audit) changes one row that others may change, and waits for nothing after that.
//!
//! Keys and unique columns of a project's tables begin with the project or with something of it, so that no insert ever waits
//! for a transaction of another project.

/// First half of a lock's name; the second is the project's number. 1414548555 is `TPLK`, which no other program uses.
pub(crate) const PROJECTS: &str =
    "SELECT pg_advisory_xact_lock(1414548555, project) FROM unnest($1::int4[]) AS project";

/// Guards new terms.
pub(crate) const TERMS: &str = "SELECT pg_advisory_xact_lock(1414548556, 0)";

/// Guards what is tidied up after brains that are gone.
pub(crate) const SWEEP: &str = "SELECT pg_advisory_xact_lock(1414548556, 1)";

/// Held by whoever writes tasks, behind the locks of its projects: the search index does not get ahead of it.
pub(crate) const SEARCH_SHARED: &str = "SELECT pg_advisory_xact_lock_shared(1414548556, 3)";

/// Waits for all of them; whoever holds it waits for nothing else that they hold.
pub(crate) const SEARCH: &str = "SELECT pg_advisory_xact_lock(1414548556, 3)";

/// Guards the tables themselves, until the connection ends.
pub(crate) const MIGRATE: &str = "SELECT pg_advisory_lock(1414548556, 2)";

/// The number of a project as its column has it; one that does not fit does not exist.
pub(crate) fn project_number(project: u64) -> i32 {
    i32::try_from(project).unwrap_or(-1)
}
