//! Tasks that wait at a worker for an ETA that is further away than their broker waits for an acknowledgement: each of them is
//! delivered again and again.

use std::collections::BTreeMap;

use taskplane_model::Timestamp;
use taskplane_model::fleet::Worker;
use taskplane_model::time::SECOND;
use taskplane_store::tasks::StoredTask;

use super::idle::Key;
use super::remedies::raise_visibility_timeout;
use super::workers::problem;
use crate::api::types::{FoundProblem, FoundProblemKind, FoundProblemSeverity};
use crate::wording::{agreeing, clock, number, plural, span};

/// Longest time that is believed, in seconds: a century.
const LONGEST: f64 = 3.2e9;

/// Such tasks of one worker.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FarEtas {
    /// How many of those that were looked at.
    pub(super) tasks: u64,
    /// There are more tasks that were not looked at.
    pub(super) more: bool,
    /// One of them: its id and ETA. The one furthest away.
    pub(super) example: (String, Timestamp),
}

/// After how many microseconds the broker of a worker delivers a message again that stays unacknowledged.
pub(crate) fn visibility_timeout(worker: &Worker) -> Option<i64> {
    let seconds = worker.facts.visibility_timeout_s.filter(|seconds| *seconds > 0.0 && *seconds < LONGEST)?;
    Some((seconds * SECOND as f64) as i64)
}

/// Finds them among tasks that workers hold. `timeouts` are those of the workers, in microseconds.
pub(super) fn find(
    tasks: &[StoredTask],
    more: bool,
    timeouts: &BTreeMap<Key, i64>,
    now: Timestamp,
) -> BTreeMap<Key, FarEtas> {
    let mut found: BTreeMap<Key, FarEtas> = BTreeMap::new();
    for stored in tasks {
        let Some((key, eta)) = far_eta(stored, timeouts, now) else { continue };
        let example = (stored.task_id.clone(), eta);
        let far = found.entry(key).or_insert_with(|| FarEtas { tasks: 0, more, example: example.clone() });
        far.tasks += 1;
        if eta > far.example.1 {
            far.example = example;
        }
    }
    found
}

/// The worker that holds a task, and its ETA, where that is too far away.
fn far_eta(stored: &StoredTask, timeouts: &BTreeMap<Key, i64>, now: Timestamp) -> Option<(Key, Timestamp)> {
    let task = stored.record.task();
    let current = task.current();
    let (received, worker) = (current.received_at?, current.worker?);
    let eta = task.eta().filter(|eta| *eta > now && current.started_at.is_none() && current.end.is_none())?;
    let key = (stored.engine.clone(), worker.to_owned());
    let timeout = *timeouts.get(&key)?;
    (eta.0.saturating_sub(received.0) > timeout).then_some((key, eta))
}

/// The problem of a worker that holds them.
pub(super) fn of_far_etas(worker: &Worker, far: &FarEtas, now: Timestamp) -> Option<FoundProblem> {
    let timeout = visibility_timeout(worker)?;
    let count = if far.more { format!("{}+ tasks", number(far.tasks)) } else { plural(far.tasks, "task") };
    let title = format!("Worker {} holds {count} with an ETA beyond the visibility timeout", worker.name);
    let (example, eta) = &far.example;
    let cause = format!(
        "Its broker delivers a message again that is not acknowledged within {}, and {} for longer: {example} until {}. {} may be \
         begun more than once.",
        span(timeout),
        agreeing(far.tasks, "one waits", "they wait"),
        clock(*eta, now),
        agreeing(far.tasks, "It", "Each"),
    );
    let found = problem(worker, FoundProblemKind::EtaBeyondVisibility, FoundProblemSeverity::Warning, title, cause);
    Some(FoundProblem { remedy: Some(raise_visibility_timeout(&worker.engine)), ..found })
}

#[cfg(test)]
mod tests {
    use taskplane_model::fleet::{WorkerFacts, WorkerSign};
    use taskplane_model::{TaskEvent, TaskEventKind, TaskRecord};

    use super::*;

    const HOUR: i64 = 3_600 * SECOND;
    const RECEIVED: Timestamp = Timestamp(1_000_000 * SECOND);
    const NOW: Timestamp = Timestamp(1_000_600 * SECOND);

    fn worker(visibility_timeout_s: Option<f64>) -> Worker {
        let facts = WorkerFacts { visibility_timeout_s, ..WorkerFacts::default() };
        let (name, engine) = ("w1".into(), "celery".into());
        Worker { name, engine, sign: WorkerSign::Heartbeat, last_seen_at: NOW, facts, agent: 1 }
    }

    fn held(task_id: &str, worker: &str, eta: Timestamp, more: &[TaskEventKind]) -> StoredTask {
        let mut record = TaskRecord::default();
        let received = TaskEvent {
            kind: TaskEventKind::Received,
            ts: RECEIVED,
            worker: Some(worker),
            eta: Some(eta),
            ..TaskEvent::default()
        };
        record.apply(task_id, &received);
        for kind in more {
            record.apply(task_id, &TaskEvent { kind: *kind, ts: NOW, ..received.clone() });
        }
        StoredTask {
            key: 1,
            first_seen: RECEIVED,
            engine: "celery".into(),
            task_id: task_id.into(),
            agent: None,
            record,
        }
    }

    fn timeouts() -> BTreeMap<Key, i64> {
        BTreeMap::from([(("celery".to_owned(), "w1".to_owned()), HOUR)])
    }

    #[test]
    fn etas_beyond_the_timeout_are_counted_by_worker() {
        let tasks = [
            held("near", "w1", RECEIVED.plus(HOUR), &[]),
            held("far", "w1", RECEIVED.plus(HOUR + 1), &[]),
            held("furthest", "w1", RECEIVED.plus(30 * HOUR), &[]),
            held("unknown", "w2", RECEIVED.plus(30 * HOUR), &[]),
            held("begun", "w1", RECEIVED.plus(30 * HOUR), &[TaskEventKind::Started]),
            held("over", "w1", RECEIVED.plus(30 * HOUR), &[TaskEventKind::Revoked]),
        ];
        let found = find(&tasks, false, &timeouts(), NOW);
        let far = FarEtas { tasks: 2, more: false, example: ("furthest".into(), RECEIVED.plus(30 * HOUR)) };
        assert_eq!(found, BTreeMap::from([(("celery".to_owned(), "w1".to_owned()), far.clone())]));
        let problem = of_far_etas(&worker(Some(3_600.0)), &far, NOW).expect("a problem");
        assert_eq!(problem.title, "Worker w1 holds 2 tasks with an ETA beyond the visibility timeout");
        assert!(problem.cause.contains("within 1 h") && problem.cause.contains("furthest"), "{}", problem.cause);
        assert!(problem.remedy.is_some_and(|remedy| remedy.contains("visibility_timeout in broker_transport_options")));
    }

    #[test]
    fn an_eta_that_is_past_is_none() {
        let tasks = [held("far", "w1", RECEIVED.plus(HOUR + 1), &[])];
        assert!(find(&tasks, false, &timeouts(), RECEIVED.plus(2 * HOUR)).is_empty());
    }

    #[test]
    fn where_not_all_were_looked_at_it_is_said() {
        let far = FarEtas { tasks: 2_000, more: true, example: ("t".into(), NOW) };
        let problem = of_far_etas(&worker(Some(3_600.0)), &far, NOW).expect("a problem");
        assert!(problem.title.contains("2,000+ tasks"), "{}", problem.title);
        assert_eq!(of_far_etas(&worker(None), &far, NOW), None);
    }

    #[test]
    fn nonsense_is_no_timeout() {
        for nonsense in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(visibility_timeout(&worker(Some(nonsense))), None, "{nonsense}");
        }
        assert_eq!(visibility_timeout(&worker(Some(0.5))), Some(SECOND / 2));
    }
}
