//! What the type of an event cannot say: which fields an `event_type` needs, and the forms of text.

use serde_json::{Value, json};

use super::{properties, refine, remove_default, require};
use crate::frame::event_types::{QUEUE_STATS, SCHEDULE_FIRED, WORKER_HEARTBEAT, WORKER_OFFLINE, WORKER_ONLINE};
use crate::limits::{MAX_NAME_BYTES, MAX_TASK_ID_BYTES};

const TASK_EVENTS: &[&str] = &[
    "task_sent",
    "task_received",
    "task_started",
    "task_progress",
    "task_succeeded",
    "task_failed",
    "task_retry",
    "task_revoked",
    "task_rejected",
    // Aliases.
    "task_success",
    "task_failure",
    "task_retried",
];
const WORKER_EVENTS: &[&str] = &[WORKER_ONLINE, WORKER_HEARTBEAT, WORKER_OFFLINE];

const NAMES: &[&str] =
    &["engine", "name", "queue", "routing_key", "exchange", "worker", "root_id", "parent_id", "group_id", "chord_id"];

pub(super) fn refine_event(schema: &mut Value) {
    let fields = properties(schema);
    remove_default(fields);
    let known: Vec<&str> = [TASK_EVENTS, WORKER_EVENTS, &[QUEUE_STATS, SCHEDULE_FIRED]].concat();
    refine(fields, "event_type", json!({"type": "string", "minLength": 1, "examples": known}));
    for name in NAMES {
        refine(fields, name, json!({"maxLength": MAX_NAME_BYTES}));
    }
    refine(fields, "task_id", json!({"maxLength": MAX_TASK_ID_BYTES}));
    refine(fields, "engine", json!({"type": "string"}));
    refine(fields, "ts", json!({"type": "string", "format": "date-time", "examples": ["2026-11-22T18:20:00.123456Z"]}));
    for time in ["eta", "expires"] {
        refine(fields, time, json!({"format": "date-time"}));
    }
    // Kept with the raw event; no field of its own.
    refine(fields, "tags", json!({"description": "Labels of your own; kept with the event."}));
    refine(fields, "schedule_id", text("Id of the schedule, on `schedule_fired`."));
    refine(fields, "scheduler", text("The scheduler, such as `celery-beat`, on `schedule_fired`."));
    for field in ["engine", "ts", "event_type"] {
        require(schema, field);
    }
    schema["additionalProperties"] = true.into();
    schema["allOf"] = json!([
        needs(TASK_EVENTS, json!({"task_id": {"type": "string", "minLength": 1}})),
        needs(WORKER_EVENTS, json!({"worker": {"type": "string"}})),
        needs(&[QUEUE_STATS], json!({"queue": {"type": "string"}})),
        needs(&[SCHEDULE_FIRED], json!({"schedule_id": {"type": "string"}, "scheduler": {"type": "string"}})),
    ]);
}

fn text(description: &str) -> Value {
    json!({"type": ["string", "null"], "description": description})
}

fn needs(event_types: &[&str], fields: Value) -> Value {
    let names: Vec<&String> = fields.as_object().into_iter().flatten().map(|(name, _)| name).collect();
    json!({
        "if": {"properties": {"event_type": {"enum": event_types}}, "required": ["event_type"]},
        "then": {"required": names, "properties": fields},
    })
}
