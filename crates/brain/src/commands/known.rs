//! What the brain knows of the tasks that a command is to run again. An agent that was killed has forgotten what it had in memory
//! alone, and knows nothing of what another one has retried.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Map, Value, json};
use taskplane_model::TaskState;
use taskplane_protocol::frame::commands;
use taskplane_protocol::limits::MAX_BULK_TASKS;
use taskplane_store::Store;
use taskplane_store::tasks::StoredTask;

use super::router::CommandRequest;

/// It only helps: a command does not wait longer for it.
const WITHIN: Duration = Duration::from_secs(2);
/// Tasks read at once.
const AT_ONCE: usize = 20;
/// Tasks of one command whose workflows are looked at, and the tasks of one workflow.
const MAX_WORKFLOWS: usize = 20;
const MAX_OF_WORKFLOW: usize = 500;

/// The arguments of the command with what is known of its tasks, by their ids.
pub(super) async fn with_known(store: &dyn Store, request: &CommandRequest) -> Value {
    let mut args = request.args.clone();
    if ![commands::RETRY_TASK, commands::BULK_RETRY, commands::PREVIEW_RETRY].contains(&request.cmd.as_str()) {
        return args;
    }
    let known = tokio::time::timeout(WITHIN, known(store, request)).await.unwrap_or_default();
    if !known.is_empty()
        && let Some(args) = args.as_object_mut()
    {
        args.insert("known".to_owned(), Value::Object(known));
    }
    args
}

async fn known(store: &dyn Store, request: &CommandRequest) -> Map<String, Value> {
    let Some(engine) = request.args.get("engine").and_then(Value::as_str) else { return Map::new() };
    let many = request.args.get("task_ids").and_then(Value::as_array).into_iter().flatten();
    let ids: Vec<&str> =
        request.args.get("task_id").into_iter().chain(many).filter_map(Value::as_str).take(MAX_BULK_TASKS).collect();
    let (mut known, mut workflows) = (Map::new(), 0);
    for ids in ids.chunks(AT_ONCE) {
        let tasks = join_all(ids.iter().map(|id| store.task(request.project, engine, id))).await;
        for task in tasks.into_iter().filter_map(|task| task.ok().flatten()) {
            let mut told = named(&task);
            if workflows < MAX_WORKFLOWS && was_never_sent(&task) {
                workflows += 1;
                let copies = copies(store, request.project, &task).await;
                told.extend((!copies.is_empty()).then(|| ("retried".to_owned(), Value::Object(copies))));
            }
            if !told.is_empty() {
                known.insert(task.task_id, Value::Object(told));
            }
        }
    }
    known
}

fn named(task: &StoredTask) -> Map<String, Value> {
    let view = task.record.task();
    let text = |key: &str, text: Option<&str>| Some((key.to_owned(), json!(text?)));
    [text("name", task.record.name.as_deref()), text("queue", view.queue())].into_iter().flatten().collect()
}

/// True for a task of which nothing but its failure was seen. It may be the body of a chord that failed before it was sent: then its
/// retry needs to know what became of the chord's other tasks.
fn was_never_sent(task: &StoredTask) -> bool {
    let view = task.record.task();
    let current = view.current();
    view.state == TaskState::Failed && [current.sent_at, current.received_at, current.started_at] == [None; 3]
}

/// As what the tasks of a workflow were published again.
async fn copies(store: &dyn Store, project: u64, task: &StoredTask) -> Map<String, Value> {
    let tree = store.task_tree(project, &task.engine, &task.task_id, MAX_OF_WORKFLOW).await.ok().flatten();
    let tasks = tree.map(|tree| tree.tasks).unwrap_or_default();
    tasks.into_iter().filter_map(|task| Some((task.task_id, json!(task.record.retried_as?.value)))).collect()
}
