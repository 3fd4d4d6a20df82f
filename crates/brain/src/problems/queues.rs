//! Queues in which something waits and that nothing consumes.

use taskplane_model::Timestamp;
use taskplane_model::fleet::{Queue, Worker};
use taskplane_model::time::MINUTE;

use super::consumption::{Consumption, HowKnown, consumption};
use super::subject;
use crate::api::types::{FoundProblem, FoundProblemKind, FoundProblemSeverity, FoundProblemSubjectType};
use crate::wording::{agreeing, coarse, plural};

/// A sample that is older is said to be: a queue is sampled every 10 s at least.
const OLD_SAMPLE: i64 = MINUTE;

/// The problem of a queue.
pub(super) fn of_queue(queue: &Queue, workers: &[Worker], now: Timestamp) -> Option<FoundProblem> {
    let depth = queue.depth.filter(|depth| *depth > 0)?;
    let Consumption::Nobody(how_known) = consumption(&queue.engine, &queue.name, queue.consumers, workers, now) else {
        return None;
    };
    // An agent counts from when it saw a message first.
    let oldest = queue.oldest_age_ms.filter(|age| age.is_finite());
    let oldest =
        oldest.map(|age| format!(", the oldest for at least {}", coarse((age * 1_000.0) as i64))).unwrap_or_default();
    let known = match how_known {
        HowKnown::BySample => String::new(),
        HowKnown::ByWorkers(0) => " No worker is online.".to_owned(),
        HowKnown::ByWorkers(1) => " The only worker that is online does not list it among its queues.".to_owned(),
        HowKnown::ByWorkers(online) => {
            format!(" None of the {online} workers that are online lists it among its queues.")
        }
    };
    let age = now.0.saturating_sub(queue.sampled_at.0);
    let as_of = if age > OLD_SAMPLE {
        format!(" That was {} ago: nobody has looked since.", coarse(age))
    } else {
        String::new()
    };
    Some(FoundProblem {
        kind: FoundProblemKind::QueueUnconsumed,
        severity: FoundProblemSeverity::Error,
        subject: subject(FoundProblemSubjectType::Queue, &queue.name, Some(&queue.engine)),
        title: format!("No worker consumes {}", queue.name),
        cause: format!("{} {}{oldest}.{known}{as_of}", plural(depth, "task"), agreeing(depth, "waits", "wait")),
        remedy: Some("Start a worker for this queue, or look at why its workers stopped.".to_owned()),
        since: None,
    })
}

#[cfg(test)]
mod tests {
    use taskplane_model::fleet::{WorkerFacts, WorkerSign};

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn queue(depth: Option<u64>, consumers: Option<u64>) -> Queue {
        let (name, engine) = ("emails".into(), "celery".into());
        Queue { name, engine, depth, consumers, sampled_at: NOW, ..Queue::default() }
    }

    fn worker(queues: &[&str]) -> Worker {
        let queues = Some(queues.iter().map(|&queue| queue.to_owned()).collect());
        let facts = WorkerFacts { queues, ..WorkerFacts::default() };
        let (name, engine) = ("w1".into(), "celery".into());
        Worker { name, engine, sign: WorkerSign::Heartbeat, last_seen_at: NOW, facts, agent: 1 }
    }

    #[test]
    fn what_waits_where_nobody_consumes_is_told() {
        let sampled = Queue { oldest_age_ms: Some(720_000.0), ..queue(Some(34), Some(0)) };
        let problem = of_queue(&sampled, &[], NOW).expect("a problem");
        assert_eq!(problem.title, "No worker consumes emails");
        assert_eq!(problem.cause, "34 tasks wait, the oldest for at least 12 min.");
        assert_eq!(problem.subject.engine.as_deref(), Some("celery"));
        assert_eq!(of_queue(&queue(Some(1), Some(0)), &[], NOW).expect("one").cause, "1 task waits.");
        let later = of_queue(&queue(Some(1), Some(0)), &[], NOW.plus(5 * MINUTE)).expect("one");
        assert_eq!(later.cause, "1 task waits. That was 5 min ago: nobody has looked since.");
    }

    #[test]
    fn unknown_figures_are_no_problem() {
        for (depth, consumers) in [(Some(5), None), (None, Some(0)), (Some(0), Some(0)), (Some(5), Some(1))] {
            assert_eq!(of_queue(&queue(depth, consumers), &[], NOW), None, "{depth:?} {consumers:?}");
        }
    }

    #[test]
    fn where_consumers_are_not_counted_workers_are_asked_and_it_is_said() {
        let unlisted = of_queue(&queue(Some(5), None), &[worker(&["other"])], NOW).expect("a problem");
        assert_eq!(unlisted.cause, "5 tasks wait. The only worker that is online does not list it among its queues.");
        let gone = Worker { sign: WorkerSign::Offline, ..worker(&["emails"]) };
        let nobody = of_queue(&queue(Some(5), None), &[gone], NOW).expect("a problem");
        assert_eq!(nobody.cause, "5 tasks wait. No worker is online.");
        assert_eq!(of_queue(&queue(Some(5), None), &[worker(&["emails"])], NOW), None);
    }
}
