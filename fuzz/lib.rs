//! What several fuzz targets hold of an event.

use std::sync::LazyLock;

use taskplane_agent::engine::{Observation, Subject, TaskObservation};
use taskplane_agent::redact::{MAX_EVENT_BYTES, RedactionConfig, Redactor, Strings};
use taskplane_model::Timestamp;
use taskplane_protocol::frame::{AgentFrame, Event};

/// A redactor of each mode.
pub static REDACTORS: LazyLock<[Redactor; 3]> = LazyLock::new(|| {
    [Strings::Default, Strings::PatternsOnly, Strings::MaskAll].map(|strings| {
        Redactor::new(&RedactionConfig { strings, ..RedactionConfig::default() }).expect("the built-in rules compile")
    })
});

/// What was seen of a task, as an observation.
pub fn observation(seen: TaskObservation) -> Observation {
    Observation { engine: "celery", ts: Timestamp(1_795_000_000_123_456), subject: Subject::Task(Box::new(seen)) }
}

/// The wire event is not too long, and the brain can read it.
pub fn encodes_within_bounds(seen: TaskObservation) {
    let text = REDACTORS[0].encode(&observation(seen));
    assert!(text.len() <= MAX_EVENT_BYTES);
    let event: Event<'_> = serde_json::from_str(&text).expect("a wire event is JSON");
    assert!(event.event_type.is_some() && event.task_id.is_some());
    let frame = format!(r#"{{"type":"event_batch","seq":1,"events":[{text}]}}"#);
    assert!(matches!(AgentFrame::parse(&frame), Ok(AgentFrame::EventBatch(batch)) if batch.events[0].is_ok()));
}
