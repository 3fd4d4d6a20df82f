use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use taskplane_model::schedule::Schedule;

use crate::limits::MAX_NAME_BYTES;

/// The state of a scheduler, or what changed of it. Idempotent, and not acked.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ScheduleSync {
    /// The scheduler, such as `celery-beat`.
    #[serde(deserialize_with = "name")]
    pub scheduler: String,
    /// True when `schedules` are all there are: others of this scheduler are gone.
    #[serde(default)]
    pub full: bool,
    /// New and changed schedules. Those that cannot be read, or have no usable `id`, are left out.
    #[serde(default, deserialize_with = "readable")]
    pub schedules: Vec<Schedule>,
    /// Ids of schedules that are gone.
    #[serde(default)]
    pub removed: Vec<String>,
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(serde::de::Error::custom(format_args!("a scheduler's name must have 1 to {MAX_NAME_BYTES} bytes")));
    }
    Ok(name)
}

/// One schedule that makes no sense must not hide the others.
fn readable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Schedule>, D::Error> {
    let raws = Vec::<&RawValue>::deserialize(deserializer)?;
    let read = |raw: &RawValue| {
        // An array of a struct's fields would be read too, and is not a schedule.
        let is_object = raw.get().starts_with('{');
        serde_json::from_str::<Schedule>(raw.get()).ok().filter(|schedule| is_object && has_usable_id(schedule))
    };
    Ok(raws.into_iter().filter_map(read).collect())
}

fn has_usable_id(schedule: &Schedule) -> bool {
    (1..=MAX_NAME_BYTES).contains(&schedule.id.len())
}
