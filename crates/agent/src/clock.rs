//! The time of day.

use std::time::SystemTime;

use taskplane_model::Timestamp;

/// Now, by this host's clock.
pub(crate) fn now() -> Timestamp {
    // A clock before 1970 or after the year 290,000 is not worth an error.
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
