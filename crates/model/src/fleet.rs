//! Workers and queues: the latest word on each.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::time::SECOND;

/// For so long a count of consumers is believed, in microseconds. Agents tell each queue more often than that.
const COUNTED_FOR: i64 = 30 * SECOND;

/// What a worker event says about its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerSign {
    /// It came up.
    Online,
    /// It is alive.
    Heartbeat,
    /// It went away.
    Offline,
}

/// What a worker event says. Facts that are absent are not known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerFacts {
    /// Pool implementation, such as `prefork`.
    pub pool: Option<String>,
    /// Tasks it can run at once.
    pub concurrency: Option<u64>,
    /// Tasks it runs now.
    pub active: Option<u64>,
    /// Tasks it has run since it came up.
    pub processed: Option<u64>,
    /// Load of its host: 1, 5 and 15 minutes.
    pub loadavg: Vec<f64>,
    /// Queues it consumes.
    pub queues: Option<Vec<String>>,
    /// Name and version of its software.
    pub software: Option<String>,
    /// Host it runs on.
    pub hostname: Option<String>,
    /// Process id.
    pub pid: Option<u64>,
    /// It sends task events.
    pub task_events: Option<bool>,
    /// Its broker delivers messages again that stay unacknowledged for so long, in seconds. Only some brokers do.
    pub visibility_timeout_s: Option<f64>,
}

/// The latest word on one worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// Name, such as `celery@host`.
    pub name: String,
    /// Engine.
    pub engine: String,
    /// Latest sign.
    pub sign: WorkerSign,
    /// When that sign was given.
    pub last_seen_at: Timestamp,
    /// What is known.
    pub facts: WorkerFacts,
    /// The store's number of the agent that told.
    pub agent: u64,
}

impl Worker {
    /// Takes in another word on the same worker. The later sign wins; facts are replaced only by known ones of a later
    /// or equal sign, or filled in where nothing was known.
    pub fn merge(&mut self, other: Self) {
        let newer = (other.last_seen_at, other.sign) >= (self.last_seen_at, self.sign);
        let (winner, loser) = if newer {
            (other.facts, std::mem::take(&mut self.facts))
        } else {
            (std::mem::take(&mut self.facts), other.facts)
        };
        self.facts = WorkerFacts {
            pool: winner.pool.or(loser.pool),
            concurrency: winner.concurrency.or(loser.concurrency),
            active: winner.active.or(loser.active),
            processed: winner.processed.or(loser.processed),
            loadavg: if winner.loadavg.is_empty() { loser.loadavg } else { winner.loadavg },
            queues: winner.queues.or(loser.queues),
            software: winner.software.or(loser.software),
            hostname: winner.hostname.or(loser.hostname),
            pid: winner.pid.or(loser.pid),
            task_events: winner.task_events.or(loser.task_events),
            visibility_timeout_s: winner.visibility_timeout_s.or(loser.visibility_timeout_s),
        };
        if newer {
            self.sign = other.sign;
            self.last_seen_at = other.last_seen_at;
            self.agent = other.agent;
        }
    }
}

/// The latest sample of one queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Queue {
    /// Name.
    pub name: String,
    /// Engine.
    pub engine: String,
    /// Messages ready.
    pub depth: Option<u64>,
    /// Messages delivered and not acknowledged.
    pub unacked: Option<u64>,
    /// Workers that consume it.
    pub consumers: Option<u64>,
    /// Age of the oldest message, in milliseconds.
    pub oldest_age_ms: Option<f64>,
    /// When the sample was taken.
    pub sampled_at: Timestamp,
    /// When the consumers were counted, if not by this sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted_at: Option<Timestamp>,
    /// The store's number of the agent that told.
    pub agent: u64,
}

impl Queue {
    /// Takes in another sample of the same queue: the later one counts. Not everyone who samples can count the consumers: another's
    /// count is believed for a while.
    pub fn merge(&mut self, other: Self) {
        if other.sampled_at < self.sampled_at {
            return;
        }
        let before = std::mem::replace(self, other);
        let counted_at = before.counted_at.unwrap_or(before.sampled_at);
        let is_fresh = self.sampled_at.0.saturating_sub(counted_at.0) <= COUNTED_FOR;
        if self.consumers.is_none() && before.consumers.is_some() && is_fresh {
            (self.consumers, self.counted_at) = (before.consumers, Some(counted_at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(sign: WorkerSign, ts: i64, facts: WorkerFacts) -> Worker {
        Worker { name: "w1".into(), engine: "celery".into(), sign, last_seen_at: Timestamp(ts), facts, agent: 1 }
    }

    #[test]
    fn a_late_heartbeat_does_not_bring_a_worker_back() {
        let mut w = worker(WorkerSign::Offline, 20, WorkerFacts::default());
        w.merge(worker(
            WorkerSign::Heartbeat,
            10,
            WorkerFacts { pool: Some("prefork".into()), ..WorkerFacts::default() },
        ));
        assert_eq!(w.sign, WorkerSign::Offline);
        assert_eq!(w.facts.pool.as_deref(), Some("prefork"));
    }

    #[test]
    fn who_cannot_count_consumers_does_not_hide_them_nor_keep_them_for_ever() {
        let sample =
            |seconds, consumers| Queue { consumers, sampled_at: Timestamp(seconds * SECOND), ..Queue::default() };
        let mut queue = sample(0, Some(3));
        let mut told = |seconds, consumers| {
            queue.merge(sample(seconds, consumers));
            queue.consumers
        };
        assert_eq!([told(10, None), told(20, None), told(30, None)], [Some(3); 3]);
        assert_eq!(
            [told(31, None), told(32, Some(2)), told(5, Some(9)), told(62, None)],
            [None, Some(2), Some(2), Some(2)]
        );
        assert_eq!(told(63, None), None);
    }

    #[test]
    fn a_heartbeat_keeps_what_only_the_start_told() {
        let started = WorkerFacts { queues: Some(vec!["emails".into()]), active: Some(0), ..WorkerFacts::default() };
        let mut w = worker(WorkerSign::Online, 10, started);
        w.merge(worker(WorkerSign::Heartbeat, 20, WorkerFacts { active: Some(3), ..WorkerFacts::default() }));
        assert_eq!((w.facts.queues, w.facts.active), (Some(vec!["emails".to_owned()]), Some(3)));
    }
}
