//! The state of a scheduler. By hand: a schedule's type belongs to the model, which knows no schemas.

use serde_json::{Value, json};

use super::{FrameSchema, frame};
use crate::limits::MAX_NAME_BYTES;

pub(super) fn sync() -> FrameSchema {
    let schema = json!({
        "properties": {
            "scheduler": {
                "type": "string", "minLength": 1, "maxLength": MAX_NAME_BYTES,
                "description": "The scheduler, such as `celery-beat`; one of those in `hello`.",
            },
            "full": {
                "type": "boolean", "default": false,
                "description": "True when `schedules` are all there are: others of this scheduler are gone. False for changes only.",
            },
            "schedules": {"type": "array", "items": {"$ref": "#/$defs/Schedule"}, "description": "All, or new and changed ones."},
            "removed": {"type": "array", "items": {"type": "string"}, "description": "Ids of schedules that are gone; with `full: false`."},
        },
        "required": ["scheduler", "full", "schedules"],
        "$defs": {"Schedule": schedule()},
    });
    frame(
        "schedule_sync",
        "Agent to brain: the state of a scheduler. In full after `hello`, every 5 minutes and after a reload; changes in between. \
         Idempotent, and not acked.",
        schema,
        &[
            include_str!("../../fixtures/agent/schedule_sync.minimal.json"),
            include_str!("../../fixtures/agent/schedule_sync.full.json"),
        ],
    )
}

fn schedule() -> Value {
    let text = |description: &str| json!({"type": ["string", "null"], "description": description});
    let time =
        |description: &str| json!({"type": ["string", "null"], "format": "date-time", "description": description});
    let flag = |description: &str| json!({"type": ["boolean", "null"], "description": description});
    let mut kind = text("How `expression` is read.");
    kind["examples"] = json!(["crontab", "interval", "clocked", "solar"]);
    let mut expression = text(
        "Five crontab fields, a duration (`30s`, `5m`, `2h`, `1d`), an RFC 3339 instant (clocked), or a solar event with latitude \
         and longitude.",
    );
    expression["examples"] = json!(["0 3 * * mon-fri", "30s", "2026-12-24T18:00:00Z", "sunset 52.52 13.40"]);
    json!({
        "title": "Schedule",
        "description": "One entry of a scheduler. Absent fields are not known.",
        "type": "object",
        "properties": {
            "id": {"type": "string", "minLength": 1, "maxLength": MAX_NAME_BYTES, "description": "Stable within its scheduler."},
            "name": text("For people."),
            "task": text("Task type that it enqueues."),
            "engine": text("Engine that the task goes to."),
            "kind": kind,
            "expression": expression,
            "timezone": text("IANA name of the zone that `expression` is read in."),
            "args_redacted": {"description": "Positional arguments, redacted."},
            "kwargs_redacted": {"description": "Keyword arguments, redacted."},
            "queue": text("Queue that the task goes to."),
            "enabled": flag("False while it is paused."),
            "one_off": flag("It runs once, and is then disabled."),
            "starts_at": time("It does not run before."),
            "expires_at": time("It does not run after."),
            "expire_seconds": {"type": ["integer", "null"], "minimum": 0, "description": "Its tasks expire so many seconds after they were enqueued."},
            "priority": {"type": ["integer", "null"], "minimum": 0, "maximum": 255, "description": "Priority of its tasks, in the engine's own sense."},
            "last_run_at": time("When it last enqueued its task."),
            "next_run_at": time("When it will next."),
            "total_run_count": {"type": ["integer", "null"], "minimum": 0, "description": "How often it did, ever."},
            "read_only": flag("It is defined in code and cannot be changed by commands."),
            "description": text("For people."),
        },
        "required": ["id"],
        "additionalProperties": true,
    })
}
