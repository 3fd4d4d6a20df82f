//! The agent's clock.

use std::time::{SystemTime, UNIX_EPOCH};

use taskplane_model::Timestamp;

/// The instant that this host's clock shows.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
