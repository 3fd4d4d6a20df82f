//! Tells of the queues: how deep, how old, who consumes them, and which tasks wait there.

use std::{collections::HashMap, sync::Arc, time::Instant};

use taskplane_agent::engine::{Observation, QueueObservation, Subject};
use taskplane_model::Timestamp;

use crate::{
    ENGINE,
    broker::{self, BrokerError, KnownQueues},
    clock,
    config::Watch,
    intake::task,
    message::TaskMessage,
    shared::{Shared, lock},
};

/// True for queues that carry tasks, not Celery's own control and events.
pub(crate) fn carries_tasks(queue: &str) -> bool {
    !(queue.is_empty()
        || queue.starts_with("unacked")
        || queue.ends_with(".pidbox")
        || queue.starts_with("celeryev.")
        || queue.starts_with("amq.")
        || queue.contains('\x06'))
}

/// Takes samples, and remembers what was told.
pub(crate) struct Sampler {
    shared: Arc<Shared>,
    broker: broker::Sampler,
    told: HashMap<String, (QueueObservation, Instant)>,
    mismatch: Option<BrokerError>,
}

impl Sampler {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let broker = shared.broker.sampler(shared.watch);
        Self { shared, broker, told: HashMap::new(), mismatch: None }
    }

    /// How the broker is laid out otherwise than the agent was told, by the last sample.
    pub(crate) fn mismatch(&self) -> Option<&BrokerError> {
        self.mismatch.as_ref()
    }

    /// One sample of everything: what changed, and what is due to be told again.
    pub(crate) async fn sample(&mut self) -> Result<Vec<Observation>, BrokerError> {
        let now = clock::now();
        let known = {
            let mut mentioned = lock(&self.shared.tracker).queues();
            let workers = lock(&self.shared.workers);
            mentioned.extend(workers.declared().iter().cloned());
            KnownQueues { consumed: workers.queues(), mentioned }
        };
        let sample = self.shared.broker.sample(&mut self.broker, &known, now).await?;
        // Within an application their publishers tell of them; there, every host has an agent that sees the same queues.
        let mut out = match self.shared.watch {
            Watch::Everything => self.sent(sample.waiting, now),
            Watch::Queues => Vec::new(),
        };
        self.mismatch = sample.mismatch;
        let own = sample.queues.into_iter().map(|queue| QueueObservation {
            depth: Some(queue.depth),
            unacked: queue.unacked,
            consumers: queue.consumers.or_else(|| self.consumers(&queue.queue)),
            oldest_age_ms: queue.oldest.map(|since| now.ms_since(since)),
            queue: queue.queue,
        });
        for queue in self.shared.samples.put(own.collect(), Instant::now()) {
            out.extend(self.told(queue, now));
        }
        Ok(out)
    }

    /// Where the broker does not count them. Within an application only its own workers are known: they may be none of them.
    fn consumers(&self, queue: &str) -> Option<u64> {
        match self.shared.watch {
            Watch::Everything => lock(&self.shared.workers).consumers(queue),
            Watch::Queues => None,
        }
    }

    /// Tells of waiting tasks that nothing else told of before. A message has no time: it is the time it was seen.
    fn sent(&self, messages: Vec<(String, TaskMessage)>, now: Timestamp) -> Vec<Observation> {
        let mut tracker = lock(&self.shared.tracker);
        let new = messages.into_iter().filter(|(queue, message)| tracker.waiting(message, queue));
        new.map(|(queue, message)| task(now, message.sent(&queue))).collect()
    }

    fn told(&mut self, sample: QueueObservation, now: Timestamp) -> Option<Observation> {
        let at = Instant::now();
        let due = match self.told.get(&sample.queue) {
            // The age grows all by itself: that alone is no news.
            Some((last, told_at)) => {
                let age = sample.oldest_age_ms;
                let same = QueueObservation { oldest_age_ms: age, ..last.clone() } == sample;
                !same || at.duration_since(*told_at) >= self.shared.timings.sample_repeat
            }
            None => true,
        };
        due.then(|| {
            self.told.insert(sample.queue.clone(), (sample.clone(), at));
            Observation { engine: ENGINE, ts: now, subject: Subject::Queue(sample) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn celerys_own_queues_are_left_out() {
        assert!(carries_tasks("celery") && carries_tasks("emails"));
        for queue in ["w1@host.celery.pidbox", "celeryev.8f1c", "x.reply.celery.pidbox", "", "q\x06\x163"] {
            assert!(!carries_tasks(queue), "{queue:?}");
        }
    }
}
