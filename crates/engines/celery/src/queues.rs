//! Samples the queues: how deep, how old, who consumes them, and which tasks wait there.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

use taskplane_agent::engine::{Observation, QueueObservation, Subject};
use taskplane_model::Timestamp;

use crate::{
    ENGINE,
    bindings::{KnownQueues, MAX_QUEUES, carries_tasks, keys},
    clock,
    intake::task,
    link::LinkError,
    message::TaskMessage,
    shared::{Shared, lock},
    waiting::{Budget, Waiting},
};

/// Routing tables are read again after so many samples.
const REFRESH_EVERY: u32 = 5;

/// Takes samples, and remembers what was told.
pub(crate) struct Sampler {
    shared: Arc<Shared>,
    known: KnownQueues,
    waiting: Waiting,
    told: HashMap<String, (QueueObservation, Instant)>,
    round: u32,
}

impl Sampler {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, known: KnownQueues::default(), waiting: Waiting::new(), told: HashMap::new(), round: 0 }
    }

    /// One sample of everything: what changed, and what is due to be told again.
    pub(crate) async fn sample(&mut self) -> Result<Vec<Observation>, LinkError> {
        let names = self.names().await?;
        let (now, mut budget) = (clock::now(), Budget::new());
        let link = Arc::clone(&self.shared.broker);
        let unacked = self.waiting.unacked(&link, now, &mut budget).await?;
        let mut out = self.sent(unacked.new, now);
        let depths = self.depths(&names).await?;
        for (queue, lists) in names.iter().zip(depths) {
            let (new, oldest) = self.look_into(queue, lists, now, &mut budget).await?;
            out.extend(self.sent(new, now));
            let sample = QueueObservation {
                queue: queue.clone(),
                depth: Some(lists.iter().sum()),
                unacked: unacked.per_queue.as_ref().map(|per| per.get(queue).copied().unwrap_or(0)),
                consumers: lock(&self.shared.workers).consumers(queue),
                oldest_age_ms: oldest.map(|since| now.ms_since(since)),
            };
            out.extend(self.told(sample, now));
        }
        Ok(out)
    }

    /// The queues to sample: from routing tables, and those that workers consume.
    async fn names(&mut self) -> Result<BTreeSet<String>, LinkError> {
        if self.round.is_multiple_of(REFRESH_EVERY) || !self.known.complete() {
            self.known.refresh(&self.shared.broker).await?;
        }
        self.round = self.round.wrapping_add(1);
        let consumed = lock(&self.shared.workers).queues();
        let room = MAX_QUEUES.saturating_sub(self.known.names.len());
        self.known.names.extend(consumed.into_iter().filter(|queue| carries_tasks(queue)).take(room));
        lock(&self.shared.queues).clone_from(&self.known);
        Ok(self.known.names.clone())
    }

    async fn depths(&self, names: &BTreeSet<String>) -> Result<Vec<[u64; 4]>, LinkError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let lengths: Vec<u64> = self
            .shared
            .broker
            .run(async |c| {
                let mut pipe = redis::pipe();
                for key in names.iter().flat_map(|queue| keys(queue)) {
                    pipe.llen(key);
                }
                pipe.query_async(c).await
            })
            .await?;
        Ok(lengths.chunks_exact(4).map(|four| [four[0], four[1], four[2], four[3]]).collect())
    }

    /// The messages of a queue that were not seen before, and when its oldest one was first seen.
    async fn look_into(
        &mut self,
        queue: &str,
        lists: [u64; 4],
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<(Vec<(String, TaskMessage)>, Option<Timestamp>), LinkError> {
        let (mut new, mut oldest) = (Vec::new(), None);
        for (key, depth) in keys(queue).iter().zip(lists) {
            if depth == 0 {
                continue;
            }
            let (found, since) = self.waiting.peek(&self.shared.broker, key, now, budget).await?;
            new.extend(found.into_iter().map(|message| (queue.to_owned(), message)));
            oldest = [oldest, since].into_iter().flatten().min();
        }
        Ok((new, oldest))
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
