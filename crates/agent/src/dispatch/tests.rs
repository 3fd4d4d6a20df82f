use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::engine::{
    ArgumentSource, CancelRequest, CancelledTask, FoundIn, FoundState, FoundTask, FoundTasks, Observer, RetriedTask,
    RetryPreview, RetryRequest, WorkerControlRequest, WorkerReplies,
};

/// Does what the ids of tasks say.
#[derive(Default)]
struct ObedientEngine {
    calls: AtomicUsize,
    go_on: Notify,
}

#[async_trait]
impl Engine for ObedientEngine {
    fn name(&self) -> &'static str {
        "celery"
    }

    fn capabilities(&self) -> Value {
        json!({})
    }

    async fn observe(&self, _: Observer, stop: CancellationToken) {
        stop.cancelled().await;
    }

    async fn retry_task(&self, request: &RetryRequest) -> Result<RetriedTask, CommandError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match request.task_id.as_str() {
            "wait" => self.go_on.notified().await,
            "hang" => std::future::pending().await,
            "panic" => panic!("on purpose"),
            "gone" => return Err(CommandError::NoOriginalPayload("nowhere, said redis://:pw@host".into())),
            _ => {}
        }
        Ok(RetriedTask {
            new_task_id: format!("new-{}", request.task_id),
            message: Some("from the result backend".into()),
        })
    }

    async fn cancel_task(&self, request: &CancelRequest) -> Result<CancelledTask, CommandError> {
        let state = if request.terminate { "terminated" } else { "revoked" };
        Ok(CancelledTask { state: state.into(), message: None })
    }

    async fn purge_queue(&self, _: &str) -> Result<u64, CommandError> {
        Ok(7)
    }

    async fn preview_retry(
        &self,
        requests: &[RetryRequest],
    ) -> Result<Vec<Result<RetryPreview, CommandError>>, CommandError> {
        if requests.iter().any(|request| request.task_id == "hang") {
            std::future::pending::<()>().await;
        }
        let preview = |request: &RetryRequest| match request.task_id.as_str() {
            "gone" => Err(CommandError::NoOriginalPayload("nowhere, said redis://:pw@host".into())),
            _ => Ok(RetryPreview {
                source: ArgumentSource::Message,
                lossless: request.args.is_none(),
                name: "mail".into(),
                queue: "q".into(),
                eta: None,
                notes: vec!["the rest of its chain runs after it".into()],
                arguments: Some((
                    request.args.clone().unwrap_or_else(|| vec![json!("bob@example.com")]),
                    serde_json::Map::new(),
                )),
            }),
        };
        Ok(requests.iter().map(preview).collect())
    }

    async fn query_state(&self, task_ids: &[String]) -> Result<FoundTasks, CommandError> {
        let task = FoundTask {
            state: FoundState::Failed,
            found_in: Some(FoundIn::ResultBackend),
            exception: Some("ValueError".into()),
            result: Some(json!({"password": "hunter2"})),
            evidence: vec!["its result is stored".into()],
            ..FoundTask::default()
        };
        let tasks = task_ids.iter().map(|id| (id.clone(), task.clone())).collect();
        Ok(FoundTasks { tasks, workers_answered: 2, workers_silent: vec!["w3@h".into()] })
    }

    async fn worker_control(&self, request: &WorkerControlRequest) -> Result<WorkerReplies, CommandError> {
        let reply = |name: &String| match name.as_str() {
            "silent@h" => None,
            "bad@h" => Some((name.clone(), Err("no: redis://:pw@host".to_owned()))),
            _ => Some((name.clone(), Ok(format!("{:?}", request.action)))),
        };
        let silent = request.workers.iter().filter(|name| *name == "silent@h").cloned().collect();
        Ok(WorkerReplies { replies: request.workers.iter().filter_map(reply).collect(), silent })
    }
}

struct Bench {
    engine: Arc<ObedientEngine>,
    dispatcher: Dispatcher,
    answers: mpsc::Receiver<Answer>,
}

fn bench() -> Bench {
    let engine = Arc::new(ObedientEngine::default());
    static REDACTOR: LazyLock<Arc<Redactor>> =
        LazyLock::new(|| Arc::new(Redactor::new(&Default::default()).expect("built-in rules")));
    let engines: Arc<[Arc<dyn Engine>]> = Arc::from([engine.clone() as Arc<dyn Engine>]);
    let (dispatcher, answers) = Dispatcher::new(engines, Arc::clone(&REDACTOR));
    Bench { engine, dispatcher, answers }
}

impl Bench {
    fn command(&self, cmd_id: &str, cmd: &str, args: Value) {
        self.dispatcher.accept(Command { cmd_id: cmd_id.into(), cmd: cmd.into(), args });
    }

    async fn answer(&mut self) -> CommandResult {
        self.answers.recv().await.expect("an answer").result
    }

    async fn ask(&mut self, cmd: &str, args: Value) -> Value {
        self.command("c", cmd, args);
        serde_json::to_value(self.answer().await).expect("JSON")
    }
}

#[tokio::test]
async fn each_command_has_its_answer() {
    for (cmd, args, answer) in [
        (
            "retry_task",
            json!({"task_id": "t", "engine": "celery"}),
            json!({"cmd_id": "c", "ok": true, "result": {"new_task_id": "new-t"}, "message": "from the result backend"}),
        ),
        (
            "cancel_task",
            json!({"task_id": "t", "terminate": true, "signal": "SIGKILL"}),
            json!({"cmd_id": "c", "ok": true, "result": {"state": "terminated"}}),
        ),
        ("purge_queue", json!({"queue": "q"}), json!({"cmd_id": "c", "ok": true, "result": {"purged": 7}})),
        (
            "bulk_retry",
            json!({"engine": "celery", "task_ids": ["a", "gone", "panic", "a", "b"]}),
            json!({"cmd_id": "c", "ok": true, "result": {
                "retried": {"a": "new-a", "b": "new-b"},
                "failed": {
                    "gone": "nowhere, said redis://<url-credentials>@host",
                    "panic": "the agent's adapter failed unexpectedly; the agent's log has more",
                },
                "codes": {"gone": "no_original_payload", "panic": "engine_error"},
            }}),
        ),
        ("restart_agent", json!({}), json!({"cmd_id": "c", "ok": true, "result": {}})),
    ] {
        assert_eq!(bench().ask(cmd, args).await, answer, "{cmd}");
    }
}

#[tokio::test]
async fn each_refusal_has_its_code() {
    for (cmd, args, code) in [
        ("dance", json!({}), "unsupported_command"),
        ("schedule_create", json!({"engine": "x"}), "unsupported_command"),
        ("retry_task", json!({"engine": "celery"}), "invalid_args"),
        ("retry_task", json!({"task_id": "t", "engine": "rq"}), "invalid_args"),
        ("retry_task", json!({"task_id": "gone"}), "no_original_payload"),
        ("retry_task", json!({"task_id": "panic"}), "engine_error"),
    ] {
        let answer = bench().ask(cmd, args).await;
        assert_eq!((&answer["ok"], &answer["error"]), (&json!(false), &json!(code)), "{answer}");
        assert!(!answer["message"].as_str().unwrap_or_default().contains(":pw@"), "{answer}");
    }
}

#[tokio::test]
async fn a_command_that_comes_again_is_answered_again_and_not_done_again() {
    let mut bench = bench();
    bench.command("c", "retry_task", json!({"task_id": "wait"}));
    bench.command("c", "retry_task", json!({"task_id": "wait"}));
    bench.engine.go_on.notify_one();
    let first = bench.answer().await;
    bench.command("c", "retry_task", json!({"task_id": "wait"}));
    assert_eq!(bench.answer().await, first);
    assert_eq!(bench.engine.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn siblings_share_what_they_have_seen_and_each_answers_what_it_was_asked() {
    let mut bench = bench();
    let (sibling, mut answers) = bench.dispatcher.sibling();
    sibling.accept(Command { cmd_id: "c".into(), cmd: "retry_task".into(), args: json!({"task_id": "wait"}) });
    bench.command("c", "retry_task", json!({"task_id": "wait"}));
    assert_eq!((sibling.is_busy(), bench.dispatcher.is_busy()), (true, false));
    bench.engine.go_on.notify_one();
    let answer = answers.recv().await.expect("an answer").result;
    bench.command("c", "retry_task", json!({"task_id": "wait"}));
    assert_eq!(bench.answer().await, answer);
    assert_eq!(bench.engine.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn only_the_first_restart_restarts() {
    let mut bench = bench();
    bench.command("c", "restart_agent", json!({}));
    bench.command("c", "restart_agent", json!({}));
    let restarts =
        [bench.answers.recv().await, bench.answers.recv().await].map(|answer| answer.expect("an answer").restart);
    assert_eq!(restarts, [true, false]);
}

#[tokio::test]
async fn too_many_commands_at_once_are_refused_and_the_rest_are_done() {
    let mut bench = bench();
    for n in 0..=MAX_IN_PROGRESS {
        bench.command(&n.to_string(), "retry_task", json!({"task_id": "wait"}));
    }
    let refused = bench.answer().await;
    assert_eq!((refused.cmd_id, refused.error.as_deref()), (MAX_IN_PROGRESS.to_string(), Some("busy")));
    for _ in 0..MAX_IN_PROGRESS {
        bench.engine.go_on.notify_one();
        assert!(bench.answer().await.ok);
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_hangs_is_given_up() {
    let answer = bench().ask("retry_task", json!({"task_id": "hang"})).await;
    assert_eq!(answer["error"], "engine_error");
}

#[tokio::test]
async fn a_preview_shows_the_values_of_one_task_redacted_and_those_of_many_not_at_all() {
    let one = bench().ask("preview_retry", json!({"engine": "celery", "task_ids": ["t", "t"]})).await;
    let preview = &one["result"]["previews"]["t"];
    assert_eq!((&preview["args_redacted"], &preview["source"]), (&json!(["<email>"]), &json!("message")));
    assert_eq!(one["result"]["failed"], json!({}));
    let many = json!({"task_ids": ["a", "gone"], "override": {"args": [1]}});
    let many = bench().ask("preview_retry", many).await;
    let preview = &many["result"]["previews"]["a"];
    assert_eq!((preview.get("args_redacted"), &preview["lossless"]), (None, &json!(false)));
    let why = json!({"error": "no_original_payload", "message": "nowhere, said redis://<url-credentials>@host"});
    assert_eq!(many["result"]["failed"], json!({ "gone": why }));
}

#[tokio::test(start_paused = true)]
async fn what_a_preview_does_not_reach_in_time_is_said() {
    let mut ids: Vec<String> = (0..150).map(|n| n.to_string()).collect();
    ids.push("hang".into());
    ids.extend((200..300).map(|n| n.to_string()));
    let answer = bench().ask("preview_retry", json!({"task_ids": ids})).await;
    let (previews, failed) = (&answer["result"]["previews"], &answer["result"]["failed"]);
    assert_eq!((previews.as_object().map(|p| p.len()), failed.as_object().map(|f| f.len())), (Some(151), Some(100)));
    assert_eq!((&failed["hang"]["error"], &failed["149"]["error"]), (&json!("busy"), &json!("busy")));
}

#[tokio::test]
async fn states_and_replies_are_told_without_secrets() {
    let told = bench().ask("query_state", json!({"task_ids": ["t"]})).await;
    let task = &told["result"]["t"];
    assert_eq!((&task["state"], &task["known_by"]), (&json!("failed"), &json!("result_backend")));
    assert_eq!(task["result_redacted"], json!({"password": "<redacted>"}));
    assert_eq!((&task["workers_answered"], &task["workers_silent"]), (&json!(2), &json!(["w3@h"])));
    let order = json!({"action": "pool_grow", "workers": ["w@h", "bad@h", "silent@h"], "n": 2});
    let told = bench().ask("worker_control", order).await;
    assert_eq!(
        told["result"],
        json!({
            "replies": {
                "bad@h": {"ok": false, "error": "no: redis://<url-credentials>@host"},
                "w@h": {"ok": true, "reply": "PoolGrow(2)"},
            },
            "silent": ["silent@h"],
        })
    );
}
