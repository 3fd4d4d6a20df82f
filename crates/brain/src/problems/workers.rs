//! Workers that are gone, or do not say what they do.

use taskplane_model::Timestamp;
use taskplane_model::fleet::Worker;
use taskplane_model::time::MINUTE;

use super::remedies::turn_events_on;
use super::subject;
use crate::api::types::{
    FoundProblem, FoundProblemKind as Kind, FoundProblemSeverity as Severity, FoundProblemSubjectType, WorkerState,
};
use crate::wording::plural;

/// A worker that went away longer ago is history, not a problem of now.
const RECENTLY: i64 = 60 * MINUTE;

/// The problem of a worker that is not online.
pub(super) fn of_absence(worker: &Worker, now: Timestamp) -> Option<FoundProblem> {
    let state = WorkerState::of(worker.sign, worker.last_seen_at, now);
    if state == WorkerState::Online || now.0.saturating_sub(worker.last_seen_at.0) > RECENTLY {
        return None;
    }
    let (kind, severity, title) = match state {
        WorkerState::Offline => (Kind::WorkerOffline, Severity::Error, format!("Worker {} is offline", worker.name)),
        _ => (Kind::WorkerSilent, Severity::Warning, format!("Nothing is heard from worker {}", worker.name)),
    };
    let cause = match worker.facts.active {
        Some(active) if active > 0 => format!("{} ran on it when it was last heard.", plural(active, "task")),
        _ => "It was idle when it was last heard.".to_owned(),
    };
    Some(FoundProblem { since: Some(worker.last_seen_at), ..problem(worker, kind, severity, title, cause) })
}

/// The problem of a worker that says that it sends no task events. `agent_leaves_them` when its agent was told to leave that so.
pub(super) fn of_events(worker: &Worker, agent_leaves_them: bool, now: Timestamp) -> Option<FoundProblem> {
    let is_online = WorkerState::of(worker.sign, worker.last_seen_at, now) == WorkerState::Online;
    if !is_online || worker.facts.task_events != Some(false) {
        return None;
    }
    let title = format!("Worker {} sends no task events", worker.name);
    let mut cause = "What it does is known from results, from the broker and from asking it: when its tasks were received and begun \
                     is mostly not known."
        .to_owned();
    if agent_leaves_them {
        cause.push_str(" Its agent was told not to turn them on.");
    }
    let remedy = Some(turn_events_on(&worker.engine));
    Some(FoundProblem { remedy, ..problem(worker, Kind::EventsOff, Severity::Warning, title, cause) })
}

/// A problem of a worker, with neither remedy nor time.
pub(super) fn problem(worker: &Worker, kind: Kind, severity: Severity, title: String, cause: String) -> FoundProblem {
    let subject = subject(FoundProblemSubjectType::Worker, &worker.name, Some(&worker.engine));
    FoundProblem { kind, severity, subject, title, cause, remedy: None, since: None }
}

#[cfg(test)]
mod tests {
    use taskplane_model::fleet::{WorkerFacts, WorkerSign};
    use taskplane_model::time::SECOND;

    use super::*;

    const NOW: Timestamp = Timestamp(100_000 * SECOND);

    fn worker(sign: WorkerSign, ago: i64, facts: WorkerFacts) -> Worker {
        let (name, engine) = ("w1".into(), "celery".into());
        Worker { name, engine, sign, last_seen_at: NOW.plus(-ago * SECOND), facts, agent: 1 }
    }

    #[test]
    fn a_worker_that_went_away_lately_is_told_and_one_of_yesterday_is_not() {
        let busy = || WorkerFacts { active: Some(2), ..WorkerFacts::default() };
        let offline = of_absence(&worker(WorkerSign::Offline, 10, busy()), NOW).expect("a problem");
        assert_eq!((offline.kind, offline.severity), (Kind::WorkerOffline, Severity::Error));
        assert_eq!((offline.title.as_str(), offline.since), ("Worker w1 is offline", Some(NOW.plus(-10 * SECOND))));
        assert_eq!(offline.cause, "2 tasks ran on it when it was last heard.");
        let silent = of_absence(&worker(WorkerSign::Heartbeat, 90, WorkerFacts::default()), NOW).expect("a problem");
        assert_eq!((silent.kind, silent.severity), (Kind::WorkerSilent, Severity::Warning));
        assert_eq!(silent.title, "Nothing is heard from worker w1");
        assert_eq!(silent.cause, "It was idle when it was last heard.");
        assert_eq!(of_absence(&worker(WorkerSign::Offline, 3_601, busy()), NOW), None);
        assert_eq!(of_absence(&worker(WorkerSign::Heartbeat, 10, busy()), NOW), None);
    }

    #[test]
    fn a_worker_without_events_is_told_with_the_setting_and_what_is_not_known_is_not() {
        let told = |task_events, ago| {
            let facts = WorkerFacts { task_events, ..WorkerFacts::default() };
            of_events(&worker(WorkerSign::Heartbeat, ago, facts), false, NOW)
        };
        let off = told(Some(false), 1).expect("a problem");
        assert_eq!((off.kind, off.title.as_str()), (Kind::EventsOff, "Worker w1 sends no task events"));
        let remedy = off.remedy.unwrap_or_default();
        for setting in ["-E", "worker_send_task_events = True", "--events off"] {
            assert!(remedy.contains(setting), "{remedy}");
        }
        assert_eq!((told(None, 1), told(Some(true), 1), told(Some(false), 90)), (None, None, None));
        let off = WorkerFacts { task_events: Some(false), ..WorkerFacts::default() };
        let wanted = of_events(&worker(WorkerSign::Heartbeat, 1, off), true, NOW).expect("a problem");
        assert!(wanted.cause.ends_with("Its agent was told not to turn them on."), "{}", wanted.cause);
    }
}
