//! Group commit: what arrived in the last milliseconds from all agents, in one transaction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use taskplane_store::ingest::{BatchToStore, Recorded, Verdict};
use taskplane_store::tasks::StoredTask;
use taskplane_store::{Store, StoreError};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::again::Refoldable;
use super::lanes::Lanes;
use super::memory::{Gauges, Grant, Memory};
use super::store_trouble::StoreTrouble;
use super::{FoldedBatch, Inlet};
use crate::api::types::Task;
use crate::live::{self, LiveHub, Topic};
use crate::metrics::{BatchLabels, BatchVerdict, Metrics};

/// How long the first batch of a group waits for others.
const GATHER: Duration = Duration::from_millis(2);
/// Most bytes of events in one transaction.
const MAX_BYTES: usize = 10 << 20;
/// Most batches in one transaction, however small they are: about a tenth of a second's.
const MAX_BATCHES: usize = 1_024;
/// How long the store is left alone after a failure, at first …
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// … and at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Takes batches and answers when they are on disk. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    lanes: Arc<Entrance>,
    memory: Memory,
    trouble: StoreTrouble,
}

/// A batch was not stored; the agent still has it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the batch was not stored")]
pub struct IngestError;

/// Where the answer goes: the last persisted seq of the batch's stream.
pub type Answer = oneshot::Receiver<Result<u64, IngestError>>;

struct Job {
    inlet: Inlet,
    batch: Refoldable,
    told: Told,
    bytes: usize,
    answer: oneshot::Sender<Result<u64, IngestError>>,
    _memory: Grant,
}

/// How much a batch tells.
#[derive(Clone, Copy)]
struct Told {
    project: u64,
    events: u32,
    quarantined: usize,
    workers: usize,
    queues: usize,
}

impl Told {
    fn by(batch: &BatchToStore) -> Self {
        Self {
            project: batch.project,
            events: batch.events,
            quarantined: batch.quarantined.len(),
            workers: batch.workers.len(),
            queues: batch.queues.len(),
        }
    }
}

/// Where jobs go in. When it is gone, none come any more.
struct Entrance(Arc<Lanes<Job>>);

impl Drop for Entrance {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What the loop that stores is told at its start.
pub(crate) struct IngestOptions {
    /// Most bytes of batches in memory; three quarters of them for one token.
    pub(crate) memory: usize,
    /// How long batches are held while the store cannot be written.
    pub(crate) patience: Duration,
    /// When to stop holding them.
    pub(crate) stop: CancellationToken,
}

impl Ingest {
    /// Starts the loop that stores. It ends when the last clone of the result is gone.
    pub(crate) fn start(
        store: Arc<dyn Store>,
        live: LiveHub,
        metrics: Arc<Metrics>,
        tasks: &TaskTracker,
        options: IngestOptions,
    ) -> Self {
        let lanes = Arc::new(Lanes::new());
        let gauges = Gauges { held: metrics.memory_bytes.clone(), throttled: metrics.throttled_tokens.clone() };
        let memory = Memory::new(options.memory, options.memory / 4 * 3, gauges);
        let trouble = StoreTrouble::none(metrics.store_trouble.clone());
        let committer = Committer { store, live, metrics, trouble: trouble.clone(), options };
        tasks.spawn(committer.run(Arc::clone(&lanes)));
        Self { lanes: Arc::new(Entrance(lanes)), memory, trouble }
    }

    /// Hands over a batch that came through `inlet`. Waits while too much is in memory, above all while too much of its token
    /// is; that is what slows agents down when the disk is slow.
    pub async fn submit(&self, inlet: &Inlet, folded: FoldedBatch) -> Answer {
        let memory = self.memory.take(inlet.token(), folded.memory).await;
        let (answer, receiver) = oneshot::channel();
        let told = Told::by(&folded.batch);
        let batch = Refoldable::new(folded.batch, folded.origin);
        let job = Job { inlet: inlet.clone(), batch, told, bytes: folded.bytes, answer, _memory: memory };
        self.lanes.0.push(inlet.token(), job);
        receiver
    }

    /// Takes note that the store could not be written elsewhere, for a reason that may pass.
    pub(crate) fn note_trouble(&self, error: &StoreError) {
        self.trouble.failed(error.to_string());
    }

    /// Takes note that the store was written elsewhere.
    pub(crate) fn note_written(&self) {
        self.trouble.is_over();
    }

    /// Why the store cannot be written, if it cannot.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.current()
    }
}

struct Committer {
    store: Arc<dyn Store>,
    live: LiveHub,
    metrics: Arc<Metrics>,
    trouble: StoreTrouble,
    options: IngestOptions,
}

impl Committer {
    async fn run(self, lanes: Arc<Lanes<Job>>) {
        while let Some(first) = lanes.next().await {
            let mut group = gather(first, &lanes).await;
            // A stream that moved from one token to another has batches in two lanes.
            group.sort_by_key(|job| job.batch.place());
            self.commit(group).await;
        }
    }

    /// Stores a group. While the store cannot be written it is held and tried again.
    async fn commit(&self, group: Vec<Job>) {
        let (late, mut group): (Vec<Job>, Vec<Job>) = group.into_iter().partition(|job| job.inlet.is_shut());
        refuse(late);
        if group.is_empty() {
            return;
        }
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.store(&mut group).await {
                Ok(recorded) => return self.stored(group, recorded),
                Err(error) => error,
            };
            self.metrics.commit_failures.inc();
            if !error.is_retryable() {
                return self.commit_one_by_one(group, &error).await;
            }
            let failing = self.trouble.failed(error.to_string());
            if failing >= self.options.patience {
                return refuse(group);
            }
            tokio::select! {
                () = self.options.stop.cancelled() => return refuse(group),
                () = tokio::time::sleep(pause) => {}
            }
            pause = LONGEST_PAUSE.min(2 * pause);
        }
    }

    /// One batch that makes the store fail must not take those of others with it.
    async fn commit_one_by_one(&self, group: Vec<Job>, error: &StoreError) {
        tracing::error!(%error, batches = group.len(), "a group of batches was not stored");
        let alone = group.len() == 1;
        for job in group {
            if alone {
                refuse(vec![job]);
            } else {
                Box::pin(self.commit(vec![job])).await;
            }
        }
    }

    async fn store(&self, group: &mut [Job]) -> Result<Recorded, StoreError> {
        let began = Instant::now();
        let batches = group.iter_mut().map(|job| job.batch.hand_out()).collect::<Option<Vec<_>>>();
        let lost = || StoreError::Internal("a batch cannot be read again after the store has failed".into());
        let batches = batches.ok_or_else(lost)?;
        self.metrics.commit_batches.observe(batches.len() as f64);
        let recorded = self.store.record_batches(batches, self.live.has_readers()).await?;
        self.metrics.commit_seconds.observe(began.elapsed().as_secs_f64());
        self.trouble.is_over();
        Ok(recorded)
    }

    fn stored(&self, group: Vec<Job>, recorded: Recorded) {
        let fleet = fleet_changes(&group);
        for (job, (verdict, last_seq)) in group.into_iter().zip(&recorded.batches) {
            self.count(*verdict, job.told);
            let _ = job.answer.send(Ok(*last_seq));
        }
        self.tell(recorded, fleet);
    }

    fn count(&self, verdict: Verdict, told: Told) {
        self.metrics.quarantined.inc_by(told.quarantined as u64);
        let verdict = match verdict {
            Verdict::Stored { .. } => {
                self.metrics.events.inc_by(u64::from(told.events));
                BatchVerdict::Stored
            }
            Verdict::Replay => BatchVerdict::Replay,
            Verdict::Conflict => BatchVerdict::Conflict,
        };
        self.metrics.batches.get_or_create(&BatchLabels { verdict }).inc();
    }

    /// Tells the live stream what changed.
    fn tell(&self, recorded: Recorded, fleet: BTreeMap<(u64, Topic), u64>) {
        if !self.live.has_readers() {
            return self.live.note_untold();
        }
        let mut told: BTreeMap<u64, Vec<StoredTask>> = BTreeMap::new();
        for (project, task) in recorded.tasks {
            told.entry(project).or_default().push(task);
        }
        for (project, mut tasks) in told {
            let rest = tasks.len().saturating_sub(live::MAX_ITEMS);
            if rest > 0 {
                // The newest are the ones on screens.
                tasks.sort_unstable_by_key(|task| task.key);
                tasks.drain(..rest);
                self.live.note_uncounted(project, Topic::Tasks, rest as u64);
            }
            for task in tasks {
                let key = format!("{}/{}", task.engine, task.task_id);
                let item = serde_json::to_value(Task::from(&task)).unwrap_or_default();
                self.live.note(project, Topic::Tasks, key, item);
            }
        }
        for ((project, topic), changed) in fleet {
            self.live.note_uncounted(project, topic, changed);
        }
    }
}

/// Nothing of the group is stored and nothing is acked: the agents keep what they sent and send it again. What the same
/// connections brought after it is refused as well.
fn refuse(group: Vec<Job>) {
    if group.is_empty() {
        return;
    }
    tracing::error!(batches = group.len(), "batches were not stored; agents keep them");
    for job in group {
        job.inlet.shut();
        let _ = job.answer.send(Err(IngestError));
    }
}

/// Adds to `first` what comes within [`GATHER`], up to the bounds.
async fn gather(first: Job, lanes: &Lanes<Job>) -> Vec<Job> {
    let mut bytes = first.bytes;
    let mut group = vec![first];
    let until = tokio::time::Instant::now() + GATHER;
    while group.len() < MAX_BATCHES && bytes < MAX_BYTES {
        match tokio::time::timeout_at(until, lanes.next()).await {
            Ok(Some(job)) => {
                bytes += job.bytes;
                group.push(job);
            }
            Ok(None) | Err(_) => break,
        }
    }
    group
}

fn fleet_changes(group: &[Job]) -> BTreeMap<(u64, Topic), u64> {
    let mut changes = BTreeMap::new();
    for job in group {
        for (topic, count) in [(Topic::Workers, job.told.workers), (Topic::Queues, job.told.queues)] {
            if count > 0 {
                *changes.entry((job.told.project, topic)).or_default() += count as u64;
            }
        }
    }
    changes
}
