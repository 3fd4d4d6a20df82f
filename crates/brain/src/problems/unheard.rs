//! Workers that run tasks of which no event was heard.

use taskplane_model::Timestamp;
use taskplane_model::fleet::Worker;
use taskplane_model::time::{MINUTE, SECOND};
use taskplane_store::tasks::StoredTask;

use super::idle::Counted;
use super::remedies::turn_events_on;
use super::workers::problem;
use crate::api::types::{FoundProblem, FoundProblemKind, FoundProblemSeverity};
use crate::wording::{clock, plural};

/// Events of fewer tasks may still be on their way …
const LEAST_TASKS: u64 = 5;
/// … and so long.
const LEAST_TIME: i64 = 30 * SECOND;
/// How far clocks may differ.
const SLACK: i64 = MINUTE;

/// True when it is time to look whether anything was heard of the tasks of a worker.
pub(super) fn is_worth_a_look(worker: &Worker, counted: &Counted, now: Timestamp) -> bool {
    // One that says that it sends none is told of by itself.
    worker.facts.task_events != Some(false)
        && counted.tasks >= LEAST_TASKS
        && now.0.saturating_sub(counted.since.0) >= LEAST_TIME
}

/// True when one of these tasks was heard to be with the worker since then.
pub(super) fn was_heard(tasks: &[StoredTask], worker: &str, since: Timestamp) -> bool {
    let from = since.plus(-SLACK);
    let marks = tasks.iter().flat_map(|task| &task.record.marks);
    marks.into_iter().any(|mark| mark.worker.as_deref() == Some(worker) && mark.ts >= from)
}

/// The problem of a worker of whose tasks nothing was heard.
pub(super) fn of_unheard(worker: &Worker, counted: &Counted, now: Timestamp) -> FoundProblem {
    let title = format!("No task events are heard from worker {}", worker.name);
    let cause = format!(
        "It says that it has begun {} since {}, and no event of any of them was heard. It may send none, or they do not reach the agent.",
        plural(counted.tasks, "task"),
        clock(counted.since, now)
    );
    let found = problem(worker, FoundProblemKind::EventsOff, FoundProblemSeverity::Warning, title, cause);
    FoundProblem { remedy: Some(turn_events_on(&worker.engine)), since: Some(counted.since), ..found }
}

#[cfg(test)]
mod tests {
    use taskplane_model::fleet::{WorkerFacts, WorkerSign};
    use taskplane_model::{TaskEvent, TaskEventKind, TaskRecord};

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000 * SECOND);

    fn worker(task_events: Option<bool>) -> Worker {
        let facts = WorkerFacts { task_events, ..WorkerFacts::default() };
        let (name, engine) = ("w1".into(), "celery".into());
        Worker { name, engine, sign: WorkerSign::Heartbeat, last_seen_at: NOW, facts, agent: 1 }
    }

    fn counted(tasks: u64, ago: i64) -> Counted {
        Counted { since: NOW.plus(-ago * SECOND), tasks }
    }

    #[test]
    fn a_few_tasks_of_the_last_seconds_are_not_looked_for() {
        assert!(is_worth_a_look(&worker(None), &counted(5, 30), NOW));
        assert!(is_worth_a_look(&worker(Some(true)), &counted(5, 30), NOW));
        assert!(!is_worth_a_look(&worker(None), &counted(4, 30), NOW));
        assert!(!is_worth_a_look(&worker(None), &counted(5, 29), NOW));
        assert!(!is_worth_a_look(&worker(Some(false)), &counted(5, 30), NOW));
    }

    #[test]
    fn a_sign_of_the_worker_since_then_is_enough() {
        let mut record = TaskRecord::default();
        let started = TaskEvent { kind: TaskEventKind::Started, ts: NOW, worker: Some("w1"), ..TaskEvent::default() };
        record.apply("t", &started);
        let (engine, task_id) = ("celery".into(), "t".into());
        let tasks = [StoredTask { key: 1, first_seen: NOW, engine, task_id, agent: None, record }];
        assert!(was_heard(&tasks, "w1", NOW.plus(SLACK)));
        assert!(!was_heard(&tasks, "w1", NOW.plus(SLACK + 1)), "from before");
        assert!(!was_heard(&tasks, "w2", NOW));
    }

    #[test]
    fn it_is_said_with_care() {
        let problem = of_unheard(&worker(None), &counted(1_200, 3_600), NOW);
        assert_eq!(problem.title, "No task events are heard from worker w1");
        assert!(problem.cause.contains("1,200 tasks") && problem.cause.contains("may"), "{}", problem.cause);
        assert_eq!((problem.kind, problem.severity), (FoundProblemKind::EventsOff, FoundProblemSeverity::Warning));
    }
}
