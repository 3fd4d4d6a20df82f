//! How long, and how much, the brain keeps.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

#[derive(Args, Clone, Debug)]
pub(crate) struct KeepOptions {
    /// Keep raw events for so long, such as 12h, 7d, 4w or 1y.
    #[arg(
        long,
        env = "TASKPLANE_KEEP_EVENTS",
        value_name = "TIME",
        help_heading = "What is kept",
        default_value = "7d"
    )]
    pub(crate) keep_events: Age,
    /// Keep tasks that succeeded or were revoked for so long.
    #[arg(
        long,
        env = "TASKPLANE_KEEP_TASKS",
        value_name = "TIME",
        help_heading = "What is kept",
        default_value = "30d"
    )]
    pub(crate) keep_tasks: Age,
    /// Keep tasks that failed, were lost or rejected, or have not ended for so long; at least as long as other tasks.
    #[arg(
        long,
        env = "TASKPLANE_KEEP_FAILURES",
        value_name = "TIME",
        help_heading = "What is kept",
        default_value = "90d"
    )]
    pub(crate) keep_failures: Age,
    /// Keep statistics by the minute for so long.
    #[arg(
        long,
        env = "TASKPLANE_KEEP_MINUTES",
        value_name = "TIME",
        help_heading = "What is kept",
        default_value = "14d"
    )]
    pub(crate) keep_minutes: Age,
    /// Keep statistics by the hour for so long.
    #[arg(
        long,
        env = "TASKPLANE_KEEP_HOURS",
        value_name = "TIME",
        help_heading = "What is kept",
        default_value = "400d"
    )]
    pub(crate) keep_hours: Age,
    /// Keep statistics by the day for so long.
    #[arg(long, env = "TASKPLANE_KEEP_DAYS", value_name = "TIME", help_heading = "What is kept", default_value = "5y")]
    pub(crate) keep_days: Age,
    /// Keep the audit log, ended commands and events that were not understood for so long.
    #[arg(
        long,
        env = "TASKPLANE_KEEP_RECORDS",
        value_name = "TIME",
        help_heading = "What is kept",
        default_value = "1y"
    )]
    pub(crate) keep_records: Age,
    /// Keep so much in all, such as 20GB: beyond it the oldest raw events go first, then tasks, failures last.
    #[arg(long, env = "TASKPLANE_KEEP_SIZE", value_name = "SIZE", help_heading = "What is kept")]
    pub(crate) keep_size: Option<Size>,
}

/// How long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Age(pub(crate) Duration);

/// How many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = scaled(text, &[("h", HOUR), ("d", DAY), ("w", 7 * DAY), ("y", 365 * DAY)]);
        let refused = || "write a whole number of hours, days, weeks or years, such as 12h, 7d, 4w or 1y".to_owned();
        seconds.map(|seconds| Self(Duration::from_secs(seconds))).ok_or_else(refused)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [
            ("TiB", 1 << 40),
            ("GiB", 1 << 30),
            ("MiB", 1 << 20),
            ("TB", 1_000_000_000_000),
            ("GB", 1_000_000_000),
            ("MB", 1_000_000),
        ];
        scaled(text, &units)
            .map(Self)
            .ok_or_else(|| "write a whole number and a unit, such as 500MB or 20GB".to_owned())
    }
}

/// A whole number in front of one of `units`, times what the unit means.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    let number = number.trim_end();
    number.bytes().all(|digit| digit.is_ascii_digit()).then_some(())?;
    number.parse::<u64>().ok()?.checked_mul(*unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_written_with_a_unit() {
        let age = |text: &str| text.parse::<Age>().ok().map(|age| age.0.as_secs());
        assert_eq!(
            ["12h", "7d", "4w", "5y"].map(age),
            [Some(12 * HOUR), Some(7 * DAY), Some(28 * DAY), Some(1825 * DAY)]
        );
        assert_eq!(["7", "d", "-7d", "1.5d", "+7d", "7 days", "99999999999999999y"].map(age), [None; 7]);
        let size = |text: &str| text.parse::<Size>().ok().map(|size| size.0);
        assert_eq!(
            ["20GB", "20 GB", "512MiB", "1TB"].map(size),
            [Some(20_000_000_000), Some(20_000_000_000), Some(512 << 20), Some(1_000_000_000_000)]
        );
        assert_eq!(["20", "GB", "20gb!", "0.5GB", "-1GB"].map(size), [None; 5]);
    }
}
