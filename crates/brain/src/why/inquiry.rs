//! Asking the agent how a task stands: it looks at the broker, the results, and asks the workers.
//!
//! It changes nothing, so that everybody who may see the task may ask; but it costs the workers something. For one task one inquiry is
//! under way at a time, whoever else asks meanwhile gets its answer, and each project has only so many a second.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use serde_json::{Value, json};
use taskplane_model::command::{Command, CommandStatus};
use taskplane_protocol::frame::commands;
use taskplane_store::StoreError;
use taskplane_store::tasks::StoredTask;
use thiserror::Error;
use tokio::sync::OnceCell;

use crate::api::types::Inquiry;
use crate::brain::Brain;
use crate::clock;
use crate::commands::{CommandRequest, SubmitError};

/// How long an answer is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Inquiries of a project in a second …
const PER_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(2);
/// … and in a row.
const BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
/// Most clauses and names of an answer that are kept.
const MOST: usize = 20;

/// Why nobody was asked.
#[derive(Debug, Error)]
pub(crate) enum AskError {
    /// The project has asked too often; again after so long.
    #[error("too many tasks of this project are asked about; try again shortly")]
    TooOften(Duration),
    /// The command was not taken.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// As it is told.
    pub(super) inquiry: Inquiry,
    /// The agent answered.
    pub(super) is_answered: bool,
    /// How many workers answered.
    pub(super) workers_answered: u64,
    /// The worker that has it.
    pub(super) worker: Option<String>,
    /// The queue that its message is in.
    pub(super) queue: Option<String>,
}

type Key = (u64, String, String);

/// Inquiries under way.
pub(crate) struct Inquiries {
    open: Mutex<HashMap<Key, Arc<OnceCell<Asked>>>>,
    limiter: RateLimiter<u64, HashMapStateStore<u64>, DefaultClock>,
}

impl Default for Inquiries {
    fn default() -> Self {
        let limiter = RateLimiter::hashmap(Quota::per_second(PER_SECOND).allow_burst(BURST));
        Self { open: Mutex::default(), limiter }
    }
}

impl Inquiries {
    fn join(&self, key: &Key) -> Joined<'_> {
        let cell = Arc::clone(self.lock().entry(key.clone()).or_default());
        Joined { inquiries: self, key: key.clone(), cell }
    }

    fn allow(&self, project: u64) -> Result<(), AskError> {
        let now = || DefaultClock::default().now();
        self.limiter.check_key(&project).map_err(|not_until| AskError::TooOften(not_until.wait_time_from(now())))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<OnceCell<Asked>>>> {
        // Single map operations only.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits for an inquiry; the last one takes it away.
struct Joined<'i> {
    inquiries: &'i Inquiries,
    key: Key,
    cell: Arc<OnceCell<Asked>>,
}

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        let mut open = self.inquiries.lock();
        // The map has one, and this is the other: nobody joins while the map is locked.
        let is_last = Arc::strong_count(&self.cell) <= 2;
        // Who comes after the answer asks anew.
        let is_mine = open.get(&self.key).is_some_and(|cell| Arc::ptr_eq(cell, &self.cell));
        if is_mine && (is_last || self.cell.initialized()) {
            open.remove(&self.key);
        }
    }
}

/// Asks the agent of a task, or joins who asks it already.
pub(super) async fn ask(brain: &Brain, project: u64, stored: &StoredTask, asker: String) -> Result<Asked, AskError> {
    let key = (project, stored.engine.clone(), stored.task_id.clone());
    let joined = brain.inquiries.join(&key);
    // Who waits takes over when the one who asks goes away.
    let asked = joined.cell.get_or_try_init(async || {
        brain.inquiries.allow(project)?;
        ask_once(brain, &key, asker.clone()).await
    });
    Ok(asked.await?.clone())
}

async fn ask_once(brain: &Brain, (project, engine, task_id): &Key, asker: String) -> Result<Asked, AskError> {
    let request = CommandRequest {
        project: *project,
        cmd: commands::QUERY_STATE.to_owned(),
        args: json!({ "engine": engine, "task_ids": [task_id] }),
        agent: None,
        idempotency_key: None,
        created_by: asker,
    };
    let asked_at = clock::now();
    let given = brain.commands.submit(request).await?;
    let ended = tokio::select! {
        ended = brain.commands.wait(*project, &given.id, ANSWER_WITHIN) => ended?,
        // Nobody waits for a brain that stops.
        () = brain.stop.cancelled() => None,
    };
    Ok(understood(&ended.unwrap_or(given), task_id, asked_at))
}

/// What an agent's answer says of the task.
fn understood(command: &Command, task_id: &str, asked_at: taskplane_model::Timestamp) -> Asked {
    let found = command.result.as_ref().and_then(|result| result.get(task_id)).filter(|found| found.is_object());
    let Some(found) = found.filter(|_| command.status == CommandStatus::Succeeded) else {
        let inquiry = Inquiry {
            asked_at,
            state: "unknown".to_owned(),
            found_in: None,
            evidence: vec![no_answer(command)],
            workers_silent: Vec::new(),
        };
        return Asked { inquiry, is_answered: false, workers_answered: 0, worker: None, queue: None };
    };
    let text = |key: &str| found.get(key).and_then(Value::as_str).map(str::to_owned);
    let texts = |key: &str| {
        let items = found.get(key).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(|item| item.as_str().map(str::to_owned)).take(MOST).collect()
    };
    let inquiry = Inquiry {
        asked_at,
        state: text("state").unwrap_or_else(|| "unknown".to_owned()),
        found_in: text("known_by"),
        evidence: texts("evidence"),
        workers_silent: texts("workers_silent"),
    };
    let workers_answered = found.get("workers_answered").and_then(Value::as_u64).unwrap_or(0);
    Asked { inquiry, is_answered: true, workers_answered, worker: text("worker"), queue: text("queue") }
}

/// Why there is no answer, as a clause.
fn no_answer(command: &Command) -> String {
    let agent = command.agent.as_deref().map(|agent| format!("the agent {agent}"));
    let agent = agent.unwrap_or_else(|| "the agent".to_owned());
    match (command.status, &command.message) {
        (CommandStatus::Pending | CommandStatus::Sent, _) => {
            format!("{agent} did not answer within {} s", ANSWER_WITHIN.as_secs())
        }
        (CommandStatus::Succeeded, _) => format!("{agent} answered without a word on this task"),
        (_, Some(message)) => format!("{agent} was not asked or could not say: {message}"),
        (_, None) => format!("{agent} could not say"),
    }
}

#[cfg(test)]
mod tests {
    use taskplane_model::Timestamp;

    use super::*;

    fn command(status: CommandStatus, result: Value, message: Option<&str>) -> Command {
        Command {
            id: "c".into(),
            cmd: commands::QUERY_STATE.into(),
            args: Value::Null,
            agent: Some("sidecar".into()),
            status,
            result: Some(result),
            error: None,
            message: message.map(str::to_owned),
            created_at: Timestamp(1),
            finished_at: None,
            created_by: "test".into(),
            task_id: None,
        }
    }

    #[test]
    fn an_answer_is_read() {
        let found = json!({"t": {
            "state": "pending", "known_by": "queue", "queue": "emails", "workers_answered": 2, "workers_silent": ["w3"],
            "evidence": ["no result is stored", "its message waits in the queue emails"],
        }});
        let asked = understood(&command(CommandStatus::Succeeded, found, None), "t", Timestamp(7));
        assert_eq!((asked.inquiry.state.as_str(), asked.inquiry.found_in.as_deref()), ("pending", Some("queue")));
        assert_eq!((asked.inquiry.asked_at, asked.inquiry.evidence.len()), (Timestamp(7), 2));
        assert_eq!((asked.queue.as_deref(), asked.workers_answered, asked.is_answered), (Some("emails"), 2, true));
        assert_eq!(asked.inquiry.workers_silent, ["w3"]);
    }

    #[test]
    fn without_an_answer_it_is_said_why() {
        let why = |status, message| {
            let asked = understood(&command(status, Value::Null, message), "t", Timestamp(7));
            assert!(!asked.is_answered && asked.inquiry.state == "unknown");
            asked.inquiry.evidence.concat()
        };
        assert_eq!(why(CommandStatus::Sent, None), "the agent sidecar did not answer within 10 s");
        assert!(why(CommandStatus::Failed, Some("not connected")).ends_with("not connected"));
        assert!(why(CommandStatus::Succeeded, None).contains("without a word"));
    }

    #[tokio::test]
    async fn who_asks_meanwhile_gets_the_same_answer_and_who_comes_later_asks_anew() {
        let inquiries = Inquiries::default();
        let key = (1, "celery".to_owned(), "t".to_owned());
        let asked = || understood(&command(CommandStatus::Succeeded, json!({"t": {}}), None), "t", Timestamp(7));
        let (first, second) = (inquiries.join(&key), inquiries.join(&key));
        first.cell.set(asked()).expect("nobody before");
        assert!(second.cell.initialized());
        drop(first);
        assert!(!inquiries.join(&key).cell.initialized(), "a new one");
        drop(second);
        assert!(inquiries.lock().is_empty());
    }

    #[test]
    fn a_project_asks_only_so_often() {
        let inquiries = Inquiries::default();
        let allowed = (0..100).filter(|_| inquiries.allow(1).is_ok()).count();
        assert!((10..20).contains(&allowed), "{allowed}");
        assert!(inquiries.allow(2).is_ok());
    }
}
