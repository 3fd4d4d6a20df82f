//! Events.

use serde_json::{Value, json};
use taskplane_brain::clock;

/// An event of a celery task that happens now.
pub(crate) fn event(event_type: &str, task_id: &str) -> Value {
    json!({ "event_type": event_type, "task_id": task_id, "engine": "celery", "ts": clock::now().to_string() })
}

/// An event with more fields, or with other values for those it has.
pub(crate) fn event_with(event_type: &str, task_id: &str, more: Value) -> Value {
    let mut event = event(event_type, task_id);
    event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    event
}

/// A whole life, from sent to succeeded.
pub(crate) fn life(task_id: &str) -> Value {
    ["task_sent", "task_received", "task_started", "task_succeeded"].map(|kind| event(kind, task_id)).to_vec().into()
}
