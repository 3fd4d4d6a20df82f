//! What each command's arguments must look like.
//!
//! A command runs at most once and may destroy, so anything that is not understood is refused before it is recorded: a
//! misspelt argument must not silently do something else.

use axum::http::StatusCode;
use serde_json::{Map, Value};
use taskplane_model::Timestamp;
use taskplane_protocol::frame::commands;
use taskplane_protocol::limits::{MAX_BULK_TASKS, MAX_NAME_BYTES, MAX_TASK_ID_BYTES};

use crate::api::Problem;
use crate::api::types::NewCommand;

mod schedules;
mod workers;

type Check = fn(&Value) -> Result<(), String>;

/// An argument: its name, whether it must be there, and what it must be.
struct Argument(&'static str, bool, Check);

const ENGINE: Argument = Argument("engine", true, name);
const SCHEDULER: Argument = Argument("scheduler", true, name);
const SCHEDULE_ID: Argument = Argument("id", true, name);
const TASK_ID: Argument = Argument("task_id", true, task_id);

/// Checks that a command exists and that its arguments are as it needs them.
pub(super) fn check(new: &NewCommand) -> Result<(), Problem> {
    let arguments: &[Argument] = match new.cmd.as_str() {
        commands::RETRY_TASK => &[ENGINE, TASK_ID, Argument("override", false, overrides)],
        commands::CANCEL_TASK => {
            &[ENGINE, TASK_ID, Argument("terminate", false, boolean), Argument("signal", false, signal)]
        }
        commands::BULK_RETRY => &[ENGINE, Argument("task_ids", true, task_ids)],
        commands::PREVIEW_RETRY => {
            &[ENGINE, Argument("task_ids", true, task_ids), Argument("override", false, overrides)]
        }
        commands::QUERY_STATE => &[ENGINE, Argument("task_ids", true, task_ids)],
        commands::WORKER_CONTROL => &[
            ENGINE,
            Argument("action", true, workers::action),
            Argument("worker", false, name),
            Argument("workers", false, workers::names),
            Argument("n", false, workers::step),
            Argument("task_name", false, name),
            Argument("rate", false, name),
            Argument("queue", false, name),
        ],
        commands::PURGE_QUEUE => &[ENGINE, Argument("queue", true, name)],
        commands::SCHEDULE_CREATE => &[SCHEDULER, Argument("schedule", true, schedules::whole)],
        commands::SCHEDULE_UPDATE => &[SCHEDULER, SCHEDULE_ID, Argument("schedule", true, schedules::part)],
        commands::SCHEDULE_PAUSE => &[SCHEDULER, SCHEDULE_ID, Argument("paused", false, boolean)],
        commands::SCHEDULE_DELETE | commands::SCHEDULE_RUN_NOW => &[SCHEDULER, SCHEDULE_ID],
        commands::RESTART_AGENT => &[],
        other => {
            let detail = format!(
                "There is no command \"{other}\"; the commands are retry_task, cancel_task, bulk_retry, preview_retry, query_state, \
                 worker_control, purge_queue, schedule_create, schedule_update, schedule_delete, schedule_pause, schedule_run_now and restart_agent."
            );
            return Err(Problem::new(StatusCode::BAD_REQUEST, "unknown_command", detail));
        }
    };
    let agent_is_named = match &new.agent {
        Some(agent) => text_within(agent, MAX_NAME_BYTES).map(|()| true).map_err(|why| format!("agent {why}.")),
        None => Ok(false),
    };
    let checked = agent_is_named.and_then(|named| match new.cmd.as_str() {
        commands::RESTART_AGENT if !named => Err("restart_agent needs \"agent\": the name of the agent.".to_owned()),
        _ => fits(&new.args, arguments).map_err(|misfit| misfit.of_command(&new.cmd)),
    });
    checked.map_err(|detail| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_arguments", detail))
}

/// What is wrong with arguments, or with the fields of one of them.
#[derive(Debug, thiserror::Error)]
enum Misfit {
    #[error("\"{0}\" is not known")]
    Unknown(String),
    #[error("\"{0}\" is missing")]
    Missing(&'static str),
    #[error("\"{0}\" {1}")]
    Wrong(&'static str, String),
}

impl Misfit {
    /// As a sentence about the arguments of a command.
    fn of_command(&self, cmd: &str) -> String {
        match self {
            Self::Unknown(key) => format!("\"{key}\" is not an argument of {cmd}."),
            Self::Missing(_) => format!("{self} from the arguments of {cmd}."),
            Self::Wrong(..) => format!("{self}, in the arguments of {cmd}."),
        }
    }
}

fn fits(args: &Map<String, Value>, arguments: &[Argument]) -> Result<(), Misfit> {
    if let Some(unknown) = args.keys().find(|key| !arguments.iter().any(|argument| argument.0 == *key)) {
        return Err(Misfit::Unknown(unknown.clone()));
    }
    for Argument(key, needed, check) in arguments {
        match args.get(*key) {
            None | Some(Value::Null) if *needed => return Err(Misfit::Missing(key)),
            None | Some(Value::Null) => {}
            Some(value) => check(value).map_err(|why| Misfit::Wrong(key, why))?,
        }
    }
    Ok(())
}

fn text_within(text: &str, limit: usize) -> Result<(), String> {
    if text.is_empty() || text.len() > limit { Err(format!("must have 1 to {limit} bytes")) } else { Ok(()) }
}

fn name(value: &Value) -> Result<(), String> {
    text_within(value.as_str().ok_or("must be a string")?, MAX_NAME_BYTES)
}

fn task_id(value: &Value) -> Result<(), String> {
    text_within(value.as_str().ok_or("must be a string")?, MAX_TASK_ID_BYTES)
}

fn task_ids(value: &Value) -> Result<(), String> {
    let ids = value.as_array().ok_or("must be a list of ids")?;
    if ids.is_empty() || ids.len() > MAX_BULK_TASKS {
        return Err(format!("has {} ids; it must have 1 to {MAX_BULK_TASKS}", ids.len()));
    }
    ids.iter().try_for_each(|id| task_id(id).map_err(|why| format!("holds an id that {why}")))
}

fn boolean(value: &Value) -> Result<(), String> {
    if value.is_boolean() { Ok(()) } else { Err("must be true or false".into()) }
}

fn signal(value: &Value) -> Result<(), String> {
    let is_signal = |text: &str| {
        text.strip_prefix("SIG").is_some_and(|rest| {
            (2..=10).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        })
    };
    if value.as_str().is_some_and(is_signal) {
        Ok(())
    } else {
        Err("must be the name of a signal such as SIGTERM".into())
    }
}

fn overrides(value: &Value) -> Result<(), String> {
    let fields = value.as_object().ok_or("must be an object")?;
    let known = [
        Argument("args", false, |v| if v.is_array() { Ok(()) } else { Err("must be a list".into()) }),
        Argument("kwargs", false, |v| if v.is_object() { Ok(()) } else { Err("must be an object".into()) }),
        Argument("queue", false, name),
        Argument("eta", false, |v| match v.as_str().and_then(Timestamp::parse_rfc3339) {
            Some(_) => Ok(()),
            None => Err("must be a time such as 2026-11-22T18:00:00Z".into()),
        }),
    ];
    fits(fields, &known).map_err(|why| format!("is not understood: {why}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(cmd: &str, args: Value, agent: Option<&str>) -> bool {
        let Value::Object(args) = args else { panic!("not an object") };
        check(&NewCommand { cmd: cmd.into(), args, agent: agent.map(str::to_owned), idempotency_key: None }).is_ok()
    }

    #[test]
    fn commands_of_the_right_form_pass() {
        let task = json!({"engine": "celery", "task_id": "t"});
        assert!(checked("retry_task", task.clone(), None));
        assert!(checked("cancel_task", task, Some("web")));
        let edited = json!({"args": [1], "kwargs": {}, "queue": "q", "eta": "2026-11-22T18:00:00Z"});
        assert!(checked("retry_task", json!({"engine": "celery", "task_id": "t", "override": edited}), None));
        let kill = json!({"engine": "celery", "task_id": "t", "terminate": true, "signal": "SIGKILL"});
        assert!(checked("cancel_task", kill, None));
        assert!(checked("bulk_retry", json!({"engine": "celery", "task_ids": vec!["t"; 1_000]}), None));
        assert!(checked("query_state", json!({"engine": "celery", "task_ids": ["t"]}), None));
        assert!(checked("worker_control", json!({"engine": "celery", "action": "ping"}), None));
        let grow = json!({"engine": "celery", "action": "pool_grow", "workers": ["w1@h"], "n": 2});
        assert!(checked("worker_control", grow, None));
        assert!(checked("purge_queue", json!({"engine": "celery", "queue": "emails"}), None));
        assert!(checked("schedule_pause", json!({"scheduler": "celery-beat", "id": "1", "paused": false}), None));
        assert!(checked("schedule_run_now", json!({"scheduler": "celery-beat", "id": "1"}), None));
        assert!(checked("restart_agent", json!({}), Some("web")));
    }

    #[test]
    fn a_refusal_says_once_where_the_mistake_is() {
        let arguments = [ENGINE, Argument("override", false, overrides), Argument("schedule", false, schedules::whole)];
        let said = |args: Value| {
            let Value::Object(args) = args else { panic!("not an object") };
            fits(&args, &arguments).expect_err("refused").of_command("x")
        };
        let of = |overrides: Value| json!({"engine": "celery", "override": overrides});
        let cases = [
            (json!({}), r#""engine" is missing from the arguments of x."#),
            (json!({"task": "t"}), r#""task" is not an argument of x."#),
            (of(json!(7)), r#""override" must be an object, in the arguments of x."#),
            (of(json!({"args": {}})), r#""override" is not understood: "args" must be a list, in the arguments of x."#),
            (of(json!({"arg": []})), r#""override" is not understood: "arg" is not known, in the arguments of x."#),
            (
                json!({"engine": "celery", "schedule": {}}),
                r#""schedule" is not understood: "name" is missing, in the arguments of x."#,
            ),
        ];
        for (args, sentence) in cases {
            assert_eq!(said(args), sentence);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let task = |key: &str, value: Value| {
            let mut args = json!({"engine": "celery", "task_id": "t"});
            args[key] = value;
            args
        };
        let refused = [
            ("retry_task", json!({"engine": "celery"})),
            ("retry_task", task("task_id", json!(7))),
            ("retry_task", task("task_id", json!(""))),
            ("retry_task", task("engine", json!(null))),
            ("retry_task", task("overide", json!({}))),
            ("retry_task", task("override", json!({"args": {}}))),
            ("retry_task", task("override", json!({"eta": "soon"}))),
            ("cancel_task", task("terminate", json!("yes"))),
            ("cancel_task", task("signal", json!("kill -9"))),
            ("bulk_retry", json!({"engine": "celery", "task_ids": vec!["t"; 1_001]})),
            ("bulk_retry", json!({"engine": "celery", "task_ids": []})),
            ("bulk_retry", json!({"engine": "celery", "task_ids": [1]})),
            ("worker_control", json!({"engine": "celery", "action": "dance"})),
            ("worker_control", json!({"engine": "celery", "action": "shutdown", "workers": []})),
            ("worker_control", json!({"engine": "celery", "action": "shutdown", "wokers": ["w1@h"]})),
            ("worker_control", json!({"engine": "celery", "action": "pool_grow", "worker": "w1@h", "n": 0})),
            ("purge_queue", json!({"engine": "celery"})),
            ("schedule_pause", json!({"scheduler": "celery-beat"})),
            ("schedule_pause", json!({"scheduler": "celery-beat", "id": "1", "paused": "yes"})),
            ("schedule_run_now", json!({"scheduler": "", "id": "1"})),
            ("schedule_delete", json!({"scheduler": "celery-beat", "id": 1})),
            ("restart_agent", json!({})),
            ("drop_database", json!({})),
        ];
        for (cmd, args) in refused {
            assert!(!checked(cmd, args.clone(), None), "{cmd} {args}");
        }
    }
}
