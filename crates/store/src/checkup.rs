//! What an examination of a database finds. An examination changes nothing.

use crate::StoreError;

/// What was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The database is there, can be read, and is ours.
    Database,
    /// Who may read and write it.
    Permissions,
    /// Which version of the tables it has.
    Schema,
    /// The version of the database's program or library.
    Version,
    /// Whether its pages make sense to the database itself.
    Pages,
    /// Tasks are found by their ids, and ids lead to tasks.
    TaskIds,
    /// Task records can be read.
    Records,
    /// Statistics can be read, and sums are what they are sums of.
    Statistics,
    /// The search index is whole.
    Search,
    /// Where dropping stands makes sense.
    Retention,
    /// Streams stand where their batches say.
    Streams,
    /// Rows lead to the rows that they name.
    References,
    /// What is acknowledged stays, as the settings have it.
    Durability,
    /// The write-ahead log is no longer than it should be.
    WriteAheadLog,
    /// There is room on the disk.
    FreeSpace,
    /// How fast the disk syncs.
    DiskSync,
    /// There are connections left.
    Connections,
    /// What was deleted or changed is cleared away.
    Vacuum,
    /// The clock has not run backwards.
    Clock,
    /// A brain runs on it, and can be reached.
    Brain,
}

/// How it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// As it should be.
    Ok,
    /// It works, and may not for long, or not as well as it could.
    Warning,
    /// Something is wrong.
    Problem,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub check: Check,
    /// How it looks.
    pub health: Health,
    /// What was found, a sentence without its full stop.
    pub found: String,
    /// What to do next; empty when nothing need be done.
    pub advice: String,
}

/// All that was found, in the order in which it was looked at.
#[derive(Clone, Debug, Default)]
pub struct Checkup {
    findings: Vec<Finding>,
}

impl Check {
    /// Its name, for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Permissions => "permissions",
            Self::Schema => "schema",
            Self::Version => "version",
            Self::Pages => "pages",
            Self::TaskIds => "task-ids",
            Self::Records => "records",
            Self::Statistics => "statistics",
            Self::Search => "search",
            Self::Retention => "retention",
            Self::Streams => "streams",
            Self::References => "references",
            Self::Durability => "durability",
            Self::WriteAheadLog => "write-ahead-log",
            Self::FreeSpace => "free-space",
            Self::DiskSync => "disk-sync",
            Self::Connections => "connections",
            Self::Vacuum => "vacuum",
            Self::Clock => "clock",
            Self::Brain => "brain",
        }
    }
}

impl Health {
    /// Its name, for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

impl Checkup {
    /// Notes that something is as it should be.
    pub fn ok(&mut self, check: Check, found: impl Into<String>) {
        self.note(check, Health::Ok, found, "");
    }

    /// Notes what may become a problem.
    pub fn warning(&mut self, check: Check, found: impl Into<String>, advice: impl Into<String>) {
        self.note(check, Health::Warning, found, advice);
    }

    /// Notes a problem.
    pub fn problem(&mut self, check: Check, found: impl Into<String>, advice: impl Into<String>) {
        self.note(check, Health::Problem, found, advice);
    }

    /// Notes that a check could not be made.
    pub fn unchecked(&mut self, check: Check, error: &StoreError) {
        // The text says what to do, too.
        self.note(check, Health::Problem, error.to_string(), "");
    }

    fn note(&mut self, check: Check, health: Health, found: impl Into<String>, advice: impl Into<String>) {
        self.findings.push(Finding { check, health, found: found.into(), advice: advice.into() });
    }

    /// What was found.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many findings look so.
    pub fn count(&self, health: Health) -> usize {
        self.findings.iter().filter(|finding| finding.health == health).count()
    }
}

/// How many times a table's rows are looked at when not all of them are.
pub const SAMPLE: usize = 1_000;

/// Bytes, as people read them.
pub fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let Some(unit) = (1..=UNITS.len() as u32).rev().find(|unit| bytes >> (10 * unit) > 0) else {
        return format!("{bytes} bytes");
    };
    let tenths = (u128::from(bytes) * 10) >> (10 * unit);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit as usize - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_readable() {
        let texts = [0, 1_023, 1_536, 5 << 20, (1 << 30) + (1 << 29), u64::MAX].map(bytes_text);
        assert_eq!(texts, ["0 bytes", "1023 bytes", "1.5 KiB", "5.0 MiB", "1.5 GiB", "16777215.9 TiB"]);
    }
}
