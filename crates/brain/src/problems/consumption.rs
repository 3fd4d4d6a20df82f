//! Whether anything consumes a queue, and how that is known.

use taskplane_model::Timestamp;
use taskplane_model::fleet::Worker;
use taskplane_model::time::MINUTE;

use crate::api::types::WorkerState;

/// A worker that was silent for longer is taken for gone.
const LATELY: i64 = 60 * MINUTE;

/// Whether anything consumes a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consumption {
    /// Something does.
    Somebody,
    /// Nothing does.
    Nobody(HowKnown),
    /// Neither is known.
    Unknown,
}

/// How it is known that nothing consumes a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HowKnown {
    /// The sample of the queue counts no consumer.
    BySample,
    /// So many workers are online, all of them tell their queues, and this is none of them.
    ByWorkers(usize),
}

/// Whether anything consumes a queue of which a sample counts so many `consumers`, if it counts them.
pub(crate) fn consumption(
    engine: &str,
    queue: &str,
    consumers: Option<u64>,
    workers: &[Worker],
    now: Timestamp,
) -> Consumption {
    match consumers {
        Some(0) => return Consumption::Nobody(HowKnown::BySample),
        Some(_) => return Consumption::Somebody,
        None => {}
    }
    let of_engine = || workers.iter().filter(|worker| worker.engine == engine);
    let online: Vec<&Worker> = of_engine().filter(|worker| is_online(worker, now)).collect();
    let lists_it = |worker: &&Worker| worker.facts.queues.iter().flatten().any(|name| name == queue);
    let is_lately_silent = |worker: &&Worker| {
        let silence = now.0.saturating_sub(worker.last_seen_at.0);
        WorkerState::of(worker.sign, worker.last_seen_at, now) == WorkerState::Unknown && silence < LATELY
    };
    let says_nothing = |worker: &&Worker| worker.facts.queues.is_none();
    if online.iter().any(lists_it) {
        Consumption::Somebody
    } else if of_engine().next().is_none() || online.iter().any(says_nothing) {
        // Nobody tells of workers, or one of them has not told its queues.
        Consumption::Unknown
    } else if of_engine().filter(is_lately_silent).any(|worker| lists_it(&worker) || says_nothing(&worker)) {
        // It may live: perhaps nobody is there to hear it.
        Consumption::Unknown
    } else {
        Consumption::Nobody(HowKnown::ByWorkers(online.len()))
    }
}

/// True when a worker was heard lately.
pub(crate) fn is_online(worker: &Worker, now: Timestamp) -> bool {
    WorkerState::of(worker.sign, worker.last_seen_at, now) == WorkerState::Online
}

#[cfg(test)]
mod tests {
    use taskplane_model::fleet::{WorkerFacts, WorkerSign};

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn worker(name: &str, sign: WorkerSign, queues: Option<&[&str]>) -> Worker {
        let queues = queues.map(|queues| queues.iter().map(|&queue| queue.to_owned()).collect());
        let facts = WorkerFacts { queues, ..WorkerFacts::default() };
        Worker { name: name.into(), engine: "celery".into(), sign, last_seen_at: NOW, facts, agent: 1 }
    }

    fn of(consumers: Option<u64>, workers: &[Worker]) -> Consumption {
        consumption("celery", "emails", consumers, workers, NOW)
    }

    #[test]
    fn a_sample_that_counts_consumers_decides() {
        let workers = [worker("w1", WorkerSign::Online, Some(&["emails"]))];
        assert_eq!(of(Some(0), &workers), Consumption::Nobody(HowKnown::BySample));
        assert_eq!(of(Some(2), &[]), Consumption::Somebody);
    }

    #[test]
    fn without_it_workers_that_all_tell_their_queues_decide() {
        let other = worker("w1", WorkerSign::Heartbeat, Some(&["other"]));
        let gone = worker("w2", WorkerSign::Offline, Some(&["emails"]));
        assert_eq!(of(None, &[other.clone(), gone.clone()]), Consumption::Nobody(HowKnown::ByWorkers(1)));
        assert_eq!(of(None, &[gone]), Consumption::Nobody(HowKnown::ByWorkers(0)));
        let unknown = worker("w3", WorkerSign::Heartbeat, None);
        assert_eq!(of(None, &[other.clone(), unknown.clone()]), Consumption::Unknown);
        assert_eq!(
            of(None, &[other, unknown, worker("w4", WorkerSign::Online, Some(&["emails"]))]),
            Consumption::Somebody
        );
        assert_eq!(of(None, &[]), Consumption::Unknown, "nobody tells of workers");
    }

    #[test]
    fn a_worker_that_fell_silent_may_still_consume_it() {
        let silent = |minutes: i64| {
            let worker = worker("w1", WorkerSign::Heartbeat, Some(&["emails"]));
            Worker { last_seen_at: NOW.plus(-minutes * MINUTE), ..worker }
        };
        assert_eq!(of(None, &[silent(5)]), Consumption::Unknown);
        assert_eq!(of(None, &[silent(60)]), Consumption::Nobody(HowKnown::ByWorkers(0)));
    }
}
