//! What the type of a command cannot say: the form of `args`, command by command.

use serde_json::{Value, json};

use super::{FrameSchema, derived, properties, refine, remove_default};
use crate::frame::{Command, CommandResult, commands};
use crate::limits::MAX_BULK_TASKS;

/// Codes of a command that was not done.
const ERRORS: &[&str] =
    &["unsupported_command", "not_found", "no_original_payload", "engine_error", "invalid_args", "read_only", "busy"];

/// What workers can be told to do.
const WORKER_ACTIONS: [&str; 7] =
    ["ping", "shutdown", "pool_grow", "pool_shrink", "rate_limit", "add_consumer", "cancel_consumer"];

pub(super) fn command() -> FrameSchema {
    let mut frame = derived::<Command>(
        "command",
        "Brain to agent: something to do, at most once. It is never sent again.",
        &[
            include_str!("../../fixtures/brain/command.retry_task.minimal.json"),
            include_str!("../../fixtures/brain/command.bulk_retry.full.json"),
        ],
    );
    let all = arguments();
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    let fields = properties(&mut frame.schema);
    remove_default(fields);
    refine(fields, "cmd", json!({"examples": names}));
    refine(fields, "args", json!({"type": ["object", "null"]}));
    let progress =
        json!({"type": "boolean", "default": false, "description": "The brain wants `command_progress` frames."});
    refine(fields, "progress", progress);
    let form = |(name, args): (&str, Value)| {
        json!({
            "if": {"properties": {"cmd": {"const": name}}, "required": ["cmd"]},
            "then": {"properties": {"args": args}, "required": ["args"]},
        })
    };
    frame.schema["allOf"] = all.into_iter().map(form).collect();
    frame
}

pub(super) fn result() -> FrameSchema {
    let mut frame = derived::<CommandResult>(
        "command_result",
        "Agent to brain: the answer to a command, one for each `cmd_id`.",
        &[
            include_str!("../../fixtures/agent/command_result.full.json"),
            include_str!("../../fixtures/agent/command_result.refused.json"),
        ],
    );
    let fields = properties(&mut frame.schema);
    remove_default(fields);
    refine(fields, "error", json!({"examples": ERRORS}));
    frame.schema["allOf"] = json!([{
        "if": {"properties": {"ok": {"const": false}}, "required": ["ok"]},
        "then": {"properties": {"error": {"type": "string", "minLength": 1}}, "required": ["error"]},
    }]);
    frame
}

/// The form of every command's `args`.
fn arguments() -> Vec<(&'static str, Value)> {
    let engine = || ("engine", text("The engine that the task or queue belongs to."));
    let task = || ("task_id", text("The engine's own id of the task."));
    let scheduler = || ("scheduler", text("The scheduler."));
    let id = || ("id", text("Id of the schedule within its scheduler."));
    let tasks = || {
        let description = "The engine's own ids of the tasks.";
        let items = json!({"type": "string"});
        ("task_ids", json!({"type": "array", "maxItems": MAX_BULK_TASKS, "items": items, "description": description}))
    };
    let schedule =
        |what: &str| ("schedule", json!({"type": "object", "description": what, "additionalProperties": true}));
    let args = || ("args", json!({"type": ["array", "null"], "description": "Positional arguments, in plain."}));
    let kwargs = || ("kwargs", json!({"type": ["object", "null"], "description": "Keyword arguments, in plain."}));
    let queue = || ("queue", json!({"type": ["string", "null"], "description": "Queue to publish to."}));
    let eta =
        || ("eta", json!({"type": ["string", "null"], "format": "date-time", "description": "Earliest time to run."}));
    let mut overriding = form([], [args(), kwargs(), queue(), eta()]);
    overriding["type"] = json!(["object", "null"]);
    overriding["description"] = "What to publish instead of what the original task had.".into();
    let terminate = json!({"type": ["boolean", "null"], "description": "Also kill it if it runs."});
    let signal = json!({"type": ["string", "null"], "description": "Signal to kill it with.", "examples": ["SIGTERM"]});
    let paused = json!({"type": "boolean", "default": true, "description": "False resumes it."});
    vec![
        (commands::RETRY_TASK, form([task(), engine()], [("override", overriding.clone()), known()])),
        (commands::CANCEL_TASK, form([task(), engine()], [("terminate", terminate), ("signal", signal)])),
        (commands::BULK_RETRY, form([engine(), tasks()], [known()])),
        (commands::PREVIEW_RETRY, form([engine(), tasks()], [("override", overriding), known()])),
        (commands::PURGE_QUEUE, form([engine(), ("queue", text("The queue."))], [])),
        (commands::RESTART_AGENT, form([], [])),
        ("schedule_create", form([scheduler(), schedule("The new schedule; `args` and `kwargs` in plain.")], [])),
        ("schedule_update", form([scheduler(), id(), schedule("The fields to change.")], [])),
        ("schedule_delete", form([scheduler(), id()], [])),
        ("schedule_pause", form([scheduler(), id()], [("paused", paused)])),
        ("schedule_run_now", form([scheduler(), id()], [])),
        ("enqueue_task", form([engine(), ("name", text("Task type."))], [args(), kwargs(), queue(), eta()])),
        (commands::QUERY_STATE, form([engine(), tasks()], [])),
        (commands::WORKER_CONTROL, worker_control()),
    ]
}

/// What the brain adds by itself to commands that run tasks again.
fn known() -> (&'static str, Value) {
    let described = |kind: &str, what: &str| json!({"type": [kind, "null"], "description": what});
    let mut retried = described("object", "As what tasks of its workflow were published again: new ids by old ones.");
    retried["additionalProperties"] = json!({"type": "string"});
    let task = form(
        [],
        [
            ("name", described("string", "Task type.")),
            ("queue", described("string", "Queue it went to.")),
            ("retried", retried),
        ],
    );
    let mut known =
        described("object", "What the brain knows of the tasks, by id, for where the agent has forgotten them.");
    known["additionalProperties"] = task;
    ("known", known)
}

fn worker_control() -> Value {
    let engine = ("engine", text("The engine of the workers."));
    let mut action = text("What they are to do.");
    action["enum"] = json!(WORKER_ACTIONS);
    let described =
        |name: &'static str, kind: Value, description: &str| (name, json!({"type": kind, "description": description}));
    let nullable = |kind: &str| json!([kind, "null"]);
    let mut workers =
        described("workers", nullable("array"), "These workers; without any, all, where that is harmless.");
    workers.1["items"] = json!({"type": "string"});
    form(
        [engine, ("action", action)],
        [
            described("worker", nullable("string"), "One worker."),
            workers,
            described("n", nullable("integer"), "`pool_grow`, `pool_shrink`: by how many; 1 when it is missing."),
            described("task_name", nullable("string"), "`rate_limit`: the task type."),
            described("rate", nullable("string"), "`rate_limit`: such as `10/m`, with s, m or h; `0` for no limit."),
            described("queue", nullable("string"), "`add_consumer`, `cancel_consumer`: the queue."),
        ],
    )
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn form<const R: usize, const O: usize>(required: [(&str, Value); R], optional: [(&str, Value); O]) -> Value {
    let names = required.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let mut form = json!({"type": "object", "required": names, "properties": {}, "additionalProperties": true});
    for (name, schema) in required.into_iter().chain(optional) {
        form["properties"][name] = schema;
    }
    form
}
