//! What the brain counts about itself, for `/metrics`.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use taskplane_model::stuck::Verdict;
use taskplane_store::retention::{Kept, StorageReport};

/// All counters, and the registry that writes them out.
pub struct Metrics {
    registry: Registry,
    /// Agent connections now.
    pub connections: Gauge,
    /// Those of them that are long-poll sessions.
    pub longpoll_sessions: Gauge,
    /// Long-polls that wait for something to answer.
    pub longpoll_waiting: Gauge,
    /// Long-polls of sessions of other brains, by what became of passing them on.
    pub longpolls_forwarded: Family<ForwardLabels, Counter>,
    /// Handshakes refused, by reason.
    pub handshakes_refused: Family<RefusalLabels, Counter>,
    /// Batches by what became of them.
    pub batches: Family<BatchLabels, Counter>,
    /// Events acked.
    pub events: Counter,
    /// Events that were not understood.
    pub quarantined: Counter,
    /// Frames of types that are not known.
    pub unknown_frames: Counter,
    /// Seconds from taking a group of batches to its being on disk.
    pub commit_seconds: Histogram,
    /// Batches in one commit.
    pub commit_batches: Histogram,
    /// Commits that failed.
    pub commit_failures: Counter,
    /// Bytes of batches in memory.
    pub memory_bytes: Gauge,
    /// Tokens whose batches wait for memory.
    pub throttled_tokens: Gauge,
    /// 1 while the store cannot be written and batches are held.
    pub store_trouble: Gauge,
    /// Bytes of the database, by what they are.
    pub storage_bytes: Family<StorageLabels, Gauge>,
    /// Rows dropped because they were older, or more, than is to be kept.
    pub dropped: Family<DroppedLabels, Counter>,
    /// 1 while a round of dropping is at work.
    pub retention_at_work: Gauge,
    /// Tasks that agents were asked about because they were under way for long, by what that came to.
    pub task_inquiries: Family<InquiryLabels, Counter>,
    /// Tasks that were called lost.
    pub lost_tasks: Counter,
}

/// Label of [`Metrics::task_inquiries`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct InquiryLabels {
    /// What it came to.
    pub outcome: InquiryOutcome,
}

/// What a question about a task came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum InquiryOutcome {
    /// It has ended.
    Completed,
    /// It lives.
    Alive,
    /// Nobody could say.
    Unclear,
    /// Nothing was found of it, for the first time.
    Missing,
    /// Nothing was found of it again.
    Lost,
    /// The agent did not answer.
    Failed,
}

impl From<&Verdict> for InquiryOutcome {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Completed => Self::Completed,
            Verdict::Alive => Self::Alive,
            Verdict::Unclear => Self::Unclear,
            Verdict::Missing => Self::Missing,
            Verdict::Lost(_) => Self::Lost,
        }
    }
}

/// Label of [`Metrics::storage_bytes`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StorageLabels {
    /// What they are.
    pub kind: StorageKind,
}

/// What bytes of the database are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum StorageKind {
    /// Taken up by data.
    Used,
    /// Free inside the database.
    Free,
    /// The database on disk.
    File,
    /// The write-ahead log.
    Log,
}

/// Label of [`Metrics::dropped`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DroppedLabels {
    /// What was dropped.
    pub what: DroppedKind,
}

/// What was dropped.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum DroppedKind {
    /// Raw batches.
    Batches,
    /// Tasks that succeeded or were revoked.
    Tasks,
    /// All other tasks.
    Failures,
    /// Statistics of any step.
    Statistics,
    /// Audit entries, commands, events that were not understood.
    Records,
    /// Expired sessions and sign-in links.
    SignIns,
}

impl From<Kept> for DroppedKind {
    fn from(what: Kept) -> Self {
        match what {
            Kept::Events => Self::Batches,
            Kept::Tasks => Self::Tasks,
            Kept::Failures => Self::Failures,
            Kept::Minutes | Kept::Hours | Kept::Days => Self::Statistics,
            Kept::Records => Self::Records,
            Kept::SignIns => Self::SignIns,
        }
    }
}

/// Label of [`Metrics::batches`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BatchLabels {
    /// What became of the batch.
    pub verdict: BatchVerdict,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum BatchVerdict {
    /// Stored.
    Stored,
    /// Stored before.
    Replay,
    /// Another batch has that number.
    Conflict,
}

/// Label of [`Metrics::longpolls_forwarded`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ForwardLabels {
    /// What became of it.
    pub outcome: Forwarded,
}

/// What became of a long-poll that was to be passed on to the brain that has its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Forwarded {
    /// That brain answered.
    Answered,
    /// That brain could not be reached, or did not answer.
    Unreachable,
    /// The agent broke off, or sent too much.
    Broken,
    /// Too many were being passed on at once.
    NoRoom,
}

/// Label of [`Metrics::handshakes_refused`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusalLabels {
    /// Why.
    pub reason: Refusal,
}

/// Why an agent was not let in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Refusal {
    /// Its token opens nothing.
    Token,
    /// Too many wrong tokens came from its address.
    Attempts,
    /// Too many handshakes came from its address.
    Rate,
    /// Its token has as many connections as it may.
    TokenFull,
    /// The store could not be asked.
    Store,
}

impl Metrics {
    /// All counters at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("taskplane");
        let metrics = Self {
            connections: Gauge::default(),
            longpoll_sessions: Gauge::default(),
            longpoll_waiting: Gauge::default(),
            longpolls_forwarded: Family::default(),
            handshakes_refused: Family::default(),
            batches: Family::default(),
            events: Counter::default(),
            quarantined: Counter::default(),
            unknown_frames: Counter::default(),
            commit_seconds: Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0]),
            commit_batches: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]),
            commit_failures: Counter::default(),
            memory_bytes: Gauge::default(),
            throttled_tokens: Gauge::default(),
            store_trouble: Gauge::default(),
            storage_bytes: Family::default(),
            dropped: Family::default(),
            retention_at_work: Gauge::default(),
            task_inquiries: Family::default(),
            lost_tasks: Counter::default(),
            registry: Registry::default(),
        };
        registry.register("agent_connections", "Agent connections now", metrics.connections.clone());
        registry.register("agent_longpoll_sessions", "Long-poll sessions now", metrics.longpoll_sessions.clone());
        registry.register("agent_longpolls_waiting", "Long-polls that wait now", metrics.longpoll_waiting.clone());
        let forwarded = metrics.longpolls_forwarded.clone();
        registry.register("agent_longpolls_forwarded", "Long-polls passed on to another brain", forwarded);
        registry.register("agent_handshakes_refused", "Handshakes refused", metrics.handshakes_refused.clone());
        registry.register("ingest_batches", "Batches by what became of them", metrics.batches.clone());
        registry.register("ingest_events", "Events acked", metrics.events.clone());
        registry.register("ingest_quarantined_events", "Events not understood", metrics.quarantined.clone());
        registry.register("unknown_frames", "Frames of unknown types", metrics.unknown_frames.clone());
        registry.register_with_unit(
            "ingest_commit",
            "Time from taking a group of batches to its being on disk",
            Unit::Seconds,
            metrics.commit_seconds.clone(),
        );
        registry.register("ingest_commit_batches", "Batches in one commit", metrics.commit_batches.clone());
        registry.register("ingest_commit_failures", "Commits that failed", metrics.commit_failures.clone());
        registry.register("ingest_memory_bytes", "Bytes of batches in memory", metrics.memory_bytes.clone());
        registry.register("ingest_throttled_tokens", "Tokens that wait for memory", metrics.throttled_tokens.clone());
        registry.register("store_trouble", "1 while the store cannot be written", metrics.store_trouble.clone());
        registry.register("storage_bytes", "Bytes of the database", metrics.storage_bytes.clone());
        registry.register("retention_dropped", "Rows dropped, as too old or too many", metrics.dropped.clone());
        let at_work = metrics.retention_at_work.clone();
        registry.register("retention_at_work", "1 while what is too old or too much is dropped", at_work);
        let inquiries = metrics.task_inquiries.clone();
        registry.register("task_inquiries", "Questions about tasks that were under way for long", inquiries);
        registry.register("tasks_lost", "Tasks of which nothing was found any more", metrics.lost_tasks.clone());
        Self { registry, ..metrics }
    }

    /// Takes note of how much room the database takes.
    pub(crate) fn note_storage(&self, report: &StorageReport) {
        let set = |kind, bytes: u64| {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            self.storage_bytes.get_or_create(&StorageLabels { kind }).set(bytes);
        };
        set(StorageKind::Used, report.used_bytes);
        set(StorageKind::Free, report.free_bytes);
        set(StorageKind::File, report.file_bytes);
        if let Some(bytes) = report.log_bytes {
            set(StorageKind::Log, bytes);
        }
    }

    /// Everything in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail; an empty page would be noticed.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_written_under_our_prefix() {
        let metrics = Metrics::new();
        metrics.events.inc_by(3);
        metrics.batches.get_or_create(&BatchLabels { verdict: BatchVerdict::Stored }).inc();
        let text = metrics.render();
        assert!(text.contains("taskplane_ingest_events_total 3"), "{text}");
        assert!(text.contains(r#"taskplane_ingest_batches_total{verdict="Stored"} 1"#), "{text}");
    }
}
