//! Looks tasks up, many at once: their results, their messages, and the workers that hold them.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use crate::{
    broker::{BrokerError, FoundMessage, Search},
    control::Call,
    results::Meta,
    shared::{Shared, lock},
};

/// The stored results of tasks.
pub(crate) async fn results(shared: &Shared, ids: &[&str]) -> Result<HashMap<String, Vec<u8>>, BrokerError> {
    match &shared.results {
        Some(results) => results.read(ids).await,
        None => Ok(HashMap::new()),
    }
}

/// Reads the stored result of a task; `None` when it is that of another, or tells no state.
pub(crate) fn meta(task_id: &str, raw: &[u8]) -> Option<Meta> {
    Meta::parse(raw).filter(|meta| meta.task_id == task_id)
}

/// True for the result of a task that was with a worker: of a chain that broke off, Celery writes a failure for each link
/// that never ran.
pub(crate) fn has_run(task_id: &str, raw: &[u8]) -> bool {
    meta(task_id, raw).is_some_and(|meta| !meta.is_of_unstarted_link())
}

/// The messages of tasks.
#[derive(Default)]
pub(crate) struct Messages {
    pub(crate) by_task: HashMap<String, FoundMessage>,
    /// Not all that wait were looked at.
    pub(crate) waiting_left: bool,
    /// Not all that are delivered and not acknowledged were looked at.
    pub(crate) delivered_left: bool,
}

/// Looks for the messages of tasks.
pub(crate) async fn messages(shared: &Shared, ids: &[&str]) -> Result<Messages, BrokerError> {
    if ids.is_empty() {
        return Ok(Messages::default());
    }
    let search = {
        let tracker = lock(&shared.tracker);
        Search {
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            queues: ids.iter().filter_map(|id| tracker.get(id)?.queue.clone()).collect(),
            heard_of: ids.iter().all(|id| tracker.contains(id)),
        }
    };
    let found = shared.broker.find_messages(&search).await?;
    let by_task = found.messages.into_iter().map(|found| (found.message.id.clone(), found)).collect();
    Ok(Messages { by_task, waiting_left: found.waiting_left, delivered_left: found.delivered_left })
}

/// A worker that holds a task.
pub(crate) struct Holding {
    pub(crate) worker: String,
    pub(crate) is_active: bool,
    /// The task as the worker tells it.
    pub(crate) request: Value,
}

/// What the workers said that were asked for tasks.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) by_task: HashMap<String, Holding>,
    pub(crate) answered: BTreeSet<String>,
    /// How many were asked, where the broker says so.
    pub(crate) asked: Option<usize>,
}

/// Asks all workers, once, which of the tasks they hold.
pub(crate) async fn held(shared: &Shared, ids: &[&str]) -> Result<Held, BrokerError> {
    if ids.is_empty() {
        return Ok(Held::default());
    }
    let call =
        Call { method: "query_task", arguments: json!({"ids": ids}), to: None, wait: shared.timings.control_wait };
    let replies = shared.call(&call).await?;
    let mut held = Held { asked: replies.listening, ..Held::default() };
    for (worker, reply) in replies.by_worker {
        let Value::Object(tasks) = reply else { continue };
        // A worker that refuses to look has not said that it holds nothing.
        if tasks.contains_key("error") {
            continue;
        }
        for (id, told) in tasks {
            held.take(&worker, id, told);
        }
        held.answered.insert(worker);
    }
    Ok(held)
}

impl Held {
    /// `told` is `[state, request]`.
    fn take(&mut self, worker: &str, id: String, mut told: Value) {
        let is_active = told.get(0).and_then(Value::as_str) == Some("active");
        let request = told.get_mut(1).map(Value::take).filter(Value::is_object);
        let Some(request) = request else { return };
        // Of several, the one that runs it.
        if is_active || !self.by_task.contains_key(&id) {
            self.by_task.insert(id, Holding { worker: worker.to_owned(), is_active, request });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_workers_the_one_that_runs_the_task_counts() {
        let mut held = Held::default();
        held.take("a@h", "t".into(), json!(["reserved", {"id": "t"}]));
        held.take("b@h", "t".into(), json!(["active", {"id": "t"}]));
        held.take("c@h", "t".into(), json!(["reserved", {"id": "t"}]));
        held.take("d@h", "u".into(), json!("nonsense"));
        let holding = held.by_task.get("t").expect("held");
        assert_eq!((holding.worker.as_str(), holding.is_active, held.by_task.len()), ("b@h", true, 1));
    }
}
