//! Samples the queues of a Redis database: how deep, how old, and which tasks wait there.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use taskplane_model::Timestamp;

use super::{
    Redis,
    bindings::{MAX_QUEUES, keys},
    layout::glob,
    waiting::{Budget, Waiting},
};
use crate::{
    broker::{BrokerError, QueueSample, Sample},
    config::Watch,
    message::TaskMessage,
    queues::carries_tasks,
    shared::lock,
};

/// How often routing tables are read again.
const REFRESH_EVERY: Duration = Duration::from_secs(10);

/// Takes samples, and remembers what it has looked at.
pub(crate) struct Sampler {
    waiting: Waiting,
    refreshed_at: Option<Instant>,
}

impl Sampler {
    pub(crate) fn new(watch: Watch) -> Self {
        Self { waiting: Waiting::new(watch), refreshed_at: None }
    }

    /// One sample of everything. `consumed` are the queues that workers are known to consume.
    pub(crate) async fn sample(
        &mut self,
        redis: &Redis,
        consumed: &BTreeSet<String>,
        now: Timestamp,
    ) -> Result<Sample, BrokerError> {
        let names = self.names(redis, consumed).await?;
        let mut budget = Budget::new();
        let unacked = self.waiting.unacked(&redis.link, now, &mut budget).await?;
        let mut sample =
            Sample { queues: Vec::with_capacity(names.len()), waiting: unacked.new, mismatch: redis.mismatch() };
        for (queue, lists) in names.iter().zip(depths(redis, &names).await?) {
            let (new, oldest) = self.look_into(redis, queue, lists, now, &mut budget).await?;
            sample.waiting.extend(new);
            sample.queues.push(QueueSample {
                queue: queue.clone(),
                depth: lists.iter().sum(),
                unacked: unacked.per_queue.as_ref().map(|per| per.get(queue).copied().unwrap_or(0)),
                consumers: None,
                oldest,
            });
        }
        Ok(sample)
    }

    /// The queues to sample: from routing tables, and those that workers consume.
    async fn names(&mut self, redis: &Redis, consumed: &BTreeSet<String>) -> Result<BTreeSet<String>, BrokerError> {
        let mut known = lock(&redis.known).clone();
        if self.refreshed_at.is_none_or(|at| at.elapsed() >= REFRESH_EVERY) || !known.complete() {
            known.refresh(&redis.link).await?;
            self.refreshed_at = Some(Instant::now());
        }
        let room = MAX_QUEUES.saturating_sub(known.names.len());
        known.names.extend(consumed.iter().filter(|queue| carries_tasks(queue)).take(room).cloned());
        lock(&redis.known).clone_from(&known);
        Ok(known.names)
    }

    /// The messages of a queue that were not seen before, and when its oldest one was first seen.
    async fn look_into(
        &mut self,
        redis: &Redis,
        queue: &str,
        lists: [u64; 4],
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<(Vec<(String, TaskMessage)>, Option<Timestamp>), BrokerError> {
        let (mut new, mut oldest) = (Vec::new(), None);
        for (key, depth) in keys(queue).iter().zip(lists) {
            if depth == 0 {
                continue;
            }
            let key = redis.link.layout.key(key);
            let (found, since) = self.waiting.peek(&redis.link, &key, now, budget).await?;
            new.extend(found.into_iter().map(|message| (queue.to_owned(), message)));
            oldest = [oldest, since].into_iter().flatten().min();
        }
        Ok((new, oldest))
    }
}

async fn depths(redis: &Redis, names: &BTreeSet<String>) -> Result<Vec<[u64; 4]>, BrokerError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let right = queues_right(redis, names);
    let lengths: Vec<u64> = redis
        .link
        .run(&right, async |c| {
            let mut pipe = redis::pipe();
            for key in names.iter().flat_map(|queue| keys(queue)) {
                pipe.llen(redis.link.layout.key(&key));
            }
            pipe.query_async(c).await
        })
        .await?;
    Ok(lengths.chunks_exact(4).map(|four| [four[0], four[1], four[2], four[3]]).collect())
}

/// The right to read the queues.
fn queues_right(redis: &Redis, names: &BTreeSet<String>) -> String {
    let rights = names.iter().take(20).map(|queue| format!("%R~{}*", glob(&redis.link.layout.key(queue))));
    rights.collect::<Vec<_>>().join(" ")
}
