//! Queues that have one name on several brokers of an engine. They are told as one queue: what it holds on all of them.
//!
//! A queue has no other key than its name, and tasks name their queue alone: samples told apart would overwrite each other by
//! turns, and a made-up name would fit no task. Orders to such a queue are refused (see [`crate::deployments`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use taskplane_agent::engine::QueueObservation;

use crate::shared::lock;

/// What a broker told last counts for so long; one that cannot be reached is left out then.
const COUNTS_FOR: Duration = Duration::from_secs(60);

/// The latest samples of all brokers of an engine.
#[derive(Default)]
struct Board {
    samples: BTreeMap<usize, (Instant, BTreeMap<String, QueueObservation>)>,
    /// Names that were said to be on several.
    said: BTreeSet<String>,
}

/// Where one broker puts its samples, among the others.
#[derive(Clone, Default)]
pub(crate) struct Place {
    broker: usize,
    board: Arc<Mutex<Board>>,
}

impl Place {
    /// The place of another broker of the same engine.
    pub(crate) fn beside(&self, broker: usize) -> Self {
        Self { broker, board: Arc::clone(&self.board) }
    }

    /// Takes a broker's whole sample, and gives what is to be told of the queues in it.
    pub(crate) fn put(&self, sample: Vec<QueueObservation>, now: Instant) -> Vec<QueueObservation> {
        let mut board = lock(&self.board);
        let own = sample.iter().map(|queue| (queue.queue.clone(), queue.clone())).collect();
        board.samples.insert(self.broker, (now, own));
        board.samples.retain(|_, (at, _)| now.duration_since(*at) < COUNTS_FOR);
        if board.samples.len() < 2 {
            return sample;
        }
        sample.into_iter().map(|queue| board.total(self.broker, queue)).collect()
    }
}

impl Board {
    fn total(&mut self, broker: usize, own: QueueObservation) -> QueueObservation {
        let others = self.samples.iter().filter(|(number, _)| **number != broker);
        let others: Vec<QueueObservation> =
            others.filter_map(|(_, (_, sample))| sample.get(&own.queue).cloned()).collect();
        if !others.is_empty() && self.said.insert(own.queue.clone()) {
            tracing::warn!(
                queue = own.queue,
                "several brokers of this agent have a queue of this name: it is told as one, with what it holds on all of them; \
                 to see them apart, observe each broker for a project of its own"
            );
        }
        others.into_iter().fold(own, both)
    }
}

/// Two queues as one. What is not known of one is not known of both.
fn both(a: QueueObservation, b: QueueObservation) -> QueueObservation {
    let sum = |a: Option<u64>, b: Option<u64>| Some(a?.saturating_add(b?));
    QueueObservation {
        depth: sum(a.depth, b.depth),
        unacked: sum(a.unacked, b.unacked),
        consumers: sum(a.consumers, b.consumers),
        oldest_age_ms: [a.oldest_age_ms, b.oldest_age_ms].into_iter().flatten().reduce(f64::max),
        queue: a.queue,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(name: &str, depth: u64, unacked: Option<u64>) -> QueueObservation {
        QueueObservation {
            queue: name.to_owned(),
            depth: Some(depth),
            unacked,
            consumers: Some(1),
            oldest_age_ms: Some(depth as f64),
        }
    }

    #[test]
    fn a_queue_on_two_brokers_is_told_as_what_it_holds_on_both() {
        let (first, now) = (Place::default(), Instant::now());
        let second = first.beside(1);
        assert_eq!(first.put(vec![queue("celery", 3, Some(1))], now), [queue("celery", 3, Some(1))]);
        let told = second.put(vec![queue("celery", 4, None), queue("mail", 1, None)], now);
        let both = QueueObservation { consumers: Some(2), oldest_age_ms: Some(4.0), ..queue("celery", 7, None) };
        assert_eq!(told, [both.clone(), queue("mail", 1, None)]);
        assert_eq!(first.put(vec![queue("celery", 3, Some(1))], now), [both]);
        // A broker that has not been heard of for long is no part of it.
        let later = now + COUNTS_FOR;
        assert_eq!(first.put(vec![queue("celery", 3, Some(1))], later), [queue("celery", 3, Some(1))]);
    }
}
