//! Who waits for whom.
//!
//! Several brains write to one database, and no two transactions may ever wait for each other. That is so by construction:
//! every transaction that touches more than one row that others may touch takes advisory locks first, in this order:
//!
//! 1. the locks of its projects, ascending ([`PROJECTS`]): tasks, links, statistics, streams, agents, workers, queues,
//!    schedules, quarantine;
//! 2. the lock of the terms ([`TERMS`]), when it has to enter new ones;
//! 3. or instead of both, the lock of a sweep ([`SWEEP`]), whose rows nobody else holds while waiting.
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

/// Guards what a starting brain tidies up.
pub(crate) const SWEEP: &str = "SELECT pg_advisory_xact_lock(1414548556, 1)";

/// Guards the tables themselves, until the connection ends.
pub(crate) const MIGRATE: &str = "SELECT pg_advisory_lock(1414548556, 2)";

/// Held by a brain as long as it runs, or tries to; the second half is the number of its run.
pub(crate) const PRESENT: &str = "SELECT pg_advisory_lock(1414548557, $1::int4)";

/// The runs that hold [`PRESENT`].
pub(crate) const RUNS_PRESENT: &str = "SELECT objid::int8::int4 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2
    AND classid::int8 = 1414548557 AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// The number of a project as its column has it; one that does not fit does not exist.
pub(crate) fn project_number(project: u64) -> i32 {
    i32::try_from(project).unwrap_or(-1)
}
