//! The events that agents see: the lives of a few tasks, told by whoever was there.

use taskplane_model::{TaskEventKind, Timestamp};

use crate::chance::Chance;

/// What precedes the number of an event in its text.
const NUMBER: &str = r#"{"event":"#;

/// The text of event number `number`, as an agent's redaction would have written it.
pub(crate) fn event(number: usize, tasks: u64, ts: Timestamp, chance: &mut Chance) -> String {
    if chance.happens(0.02) {
        // What cannot be understood must not stop the rest.
        return format!(r#"{NUMBER}{number},"event_type":"task_started","engine":"celery","ts":"{ts}"}}"#);
    }
    let task = chance.number(1, tasks);
    let attempt = if chance.happens(0.2) { 1 } else { 0 };
    let kinds = [
        TaskEventKind::Sent,
        TaskEventKind::Received,
        TaskEventKind::Started,
        TaskEventKind::Retry,
        TaskEventKind::Failed,
        TaskEventKind::Succeeded,
    ];
    let kind = chance.pick(&kinds).unwrap_or_default();
    let mut text = format!(
        r#"{NUMBER}{number},"event_type":"{}","engine":"celery","task_id":"task-{task}","ts":"{ts}","retries":{attempt}"#,
        kind.wire_name()
    );
    // Each observer knows some of it.
    if chance.happens(0.7) {
        text.push_str(&format!(r#","name":"shop.job_{}""#, task % 3));
    }
    if chance.happens(0.4) {
        text.push_str(&format!(r#","queue":"queue-{}""#, (task + attempt) % 2));
    }
    if chance.happens(0.3) {
        text.push_str(&format!(r#","worker":"worker-{}@host""#, chance.number(1, 3)));
    }
    if kind == TaskEventKind::Succeeded {
        text.push_str(&format!(r#","runtime_ms":{}"#, chance.number(1, 9_000)));
    }
    if chance.happens(0.05) {
        text.push_str(&format!(r#","traceback":"{}""#, "x".repeat(chance.index(3_000))));
    }
    text.push('}');
    text
}

/// The number of an event, from its text.
pub(crate) fn number_of(text: &str) -> Option<usize> {
    let rest = text.strip_prefix(NUMBER)?;
    rest[..rest.find(',')?].parse().ok()
}
