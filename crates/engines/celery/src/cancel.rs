//! Cancelling a task: by remote control, since nothing on the broker could do it.

use serde_json::{Value, json};
use taskplane_agent::engine::{CancelRequest, CancelledTask, CommandError};

use crate::{
    control::{Call, Replies},
    origin,
    shared::{Shared, lock},
    signals::ending_signal,
};

/// Revokes the task on all workers, and kills it where it runs if that was asked for.
pub(crate) async fn cancel(shared: &Shared, request: &CancelRequest) -> Result<CancelledTask, CommandError> {
    if request.task_id.is_empty() {
        return Err(CommandError::InvalidArgs("the task id is empty".to_owned()));
    }
    // An unknown signal makes workers fail only after they flagged the task: check it first.
    let signal = ending_signal(request.signal.as_deref().unwrap_or("SIGTERM")).map_err(CommandError::InvalidArgs)?;
    // Workers flag any id, and Celery then writes a result for it: a slip of the pen would become a cancelled task.
    let known = lock(&shared.tracker).contains(&request.task_id);
    if !known && origin::find(shared, &request.task_id).await?.is_none() {
        return Err(CommandError::NotFound(format!("the task {} was never seen on this broker", request.task_id)));
    }
    let call = Call {
        method: "revoke",
        arguments: json!({"task_id": [request.task_id], "terminate": request.terminate, "signal": signal}),
        to: None,
        wait: shared.timings.control_wait,
    };
    let replies = shared.call(&call).await.map_err(|error| CommandError::Engine(error.to_string()))?;
    interpret(request, signal, &replies)
}

/// What the replies of the workers mean.
fn interpret(request: &CancelRequest, signal: &str, replies: &Replies) -> Result<CancelledTask, CommandError> {
    if replies.by_worker.is_empty() {
        let why = if replies.nobody_listens {
            "no worker is running, and a task can only be cancelled through a worker"
        } else {
            "no worker replied; the task may or may not be cancelled"
        };
        return Err(CommandError::Engine(format!("{why}. Start a worker (with remote control enabled) and try again")));
    }
    let answers = || replies.by_worker.iter().map(|(worker, reply)| (worker, answer(reply)));
    if let Some((worker, _)) = answers().find(|(_, (ok, text))| *ok && is_terminated(text, &request.task_id)) {
        return Ok(revoked(format!("terminated on {worker} with {signal}")));
    }
    let errors: Vec<_> = answers().filter(|(_, (ok, _))| !ok).collect();
    if let Some((worker, _)) = errors.iter().find(|(_, (_, text))| text.contains("NotImplementedError")) {
        return Err(CommandError::Engine(format!(
            "{worker} runs tasks in threads or in its own process, which cannot be killed: the task runs on. \
             It is flagged as revoked and is dropped if it is delivered again"
        )));
    }
    if errors.len() == replies.by_worker.len() {
        let (worker, (_, text)) = &errors[0];
        let text: String = text.chars().take(200).collect();
        return Err(CommandError::Engine(format!("the workers refused; {worker} says: {text}")));
    }
    Ok(revoked(match request.terminate {
        true => "no worker runs it now; flagged, and dropped when a worker receives it".to_owned(),
        false => "flagged; dropped when a worker receives it. If it already runs, it runs on".to_owned(),
    }))
}

fn revoked(message: String) -> CancelledTask {
    CancelledTask { state: "revoked".to_owned(), message: Some(message) }
}

/// `terminate: <id>` names what was killed; `terminate: tasks unknown` means that nothing was.
fn is_terminated(text: &str, task_id: &str) -> bool {
    text.strip_prefix("terminate: ").is_some_and(|ids| ids.split(", ").any(|id| id == task_id))
}

fn answer(reply: &Value) -> (bool, String) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match (reply.get("ok"), reply.get("error")) {
        (_, Some(error)) => (false, text(error)),
        (Some(ok), None) => (true, text(ok)),
        (None, None) => (true, text(reply)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn request(terminate: bool) -> CancelRequest {
        CancelRequest { task_id: "9dc69a9e-0e1b-4dc2-9ced-2a1afaaad3ba".into(), terminate, signal: None }
    }

    fn told(terminate: bool, replies: Value) -> Result<String, CommandError> {
        let by_worker =
            replies.as_object().expect("a map").clone().into_iter().collect::<std::collections::BTreeMap<_, _>>();
        let replies = Replies { nobody_listens: by_worker.is_empty(), by_worker, ..Replies::default() };
        interpret(&request(terminate), "SIGTERM", &replies).map(|c| c.message.expect("a message"))
    }

    #[test]
    fn a_flagged_task_is_said_to_be_flagged() {
        let reply = samples::control_replies()["revoke"]["reply"].clone();
        assert!(told(false, reply).expect("revoked").starts_with("flagged; dropped when a worker receives it"));
        let unknown = json!({"w@h": {"ok": "terminate: tasks unknown"}});
        assert!(told(true, unknown).expect("revoked").starts_with("no worker runs it now"));
    }

    #[test]
    fn the_worker_that_killed_it_is_named_whatever_the_others_say() {
        let replies = json!({"a@h": {"ok": "terminate: tasks unknown"}, "b@h": {"error": "x"},
            "c@h": {"ok": "terminate: 9dc69a9e-0e1b-4dc2-9ced-2a1afaaad3ba"}});
        assert_eq!(told(true, replies).expect("revoked"), "terminated on c@h with SIGTERM");
    }

    #[test]
    fn a_task_in_a_thread_runs_on_and_that_is_an_error() {
        let replies =
            json!({"a@h": {"error": "NotImplementedError(\"<class 'TaskPool'> does not implement kill_job\")"}});
        let error = told(true, replies).expect_err("an error");
        assert!(matches!(&error, CommandError::Engine(text) if text.contains("runs on")), "{error}");
    }

    #[test]
    fn without_workers_nothing_is_cancelled() {
        let error = interpret(&request(false), "SIGTERM", &Replies { nobody_listens: true, ..Replies::default() })
            .expect_err("an error");
        assert!(error.to_string().contains("no worker is running"), "{error}");
    }
}
