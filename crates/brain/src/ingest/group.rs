//! Group commit: what arrived in the last milliseconds from all agents, in one transaction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use taskplane_store::Store;
use taskplane_store::ingest::{BatchToStore, Recorded, Verdict};
use taskplane_store::tasks::StoredTask;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::FoldedBatch;
use crate::api::types::Task;
use crate::live::{LiveHub, Topic};
use crate::metrics::{BatchLabels, BatchVerdict, Metrics};

/// How long the first batch of a group waits for others.
const GATHER: Duration = Duration::from_millis(2);
/// Most batches in one transaction.
const MAX_BATCHES: usize = 64;
/// Most bytes of events in one transaction.
const MAX_BYTES: usize = 16 << 20;
/// Most bytes of events in memory, in KiB: beyond it connections wait, and do not read their sockets.
const MEMORY_KIB: usize = 48 << 10;
/// Tasks of one commit that are told in detail to the live stream.
const LIVE_TASKS: usize = 50;

/// Takes batches and answers when they are on disk. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    jobs: mpsc::Sender<Job>,
    memory: Arc<Semaphore>,
}

/// A batch was not stored; the agent still has it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the batch was not stored")]
pub struct IngestError;

/// Where the answer goes: the last persisted seq of the batch's stream.
pub type Answer = oneshot::Receiver<Result<u64, IngestError>>;

struct Job {
    batch: BatchToStore,
    bytes: usize,
    answer: oneshot::Sender<Result<u64, IngestError>>,
    _memory: OwnedSemaphorePermit,
}

impl Ingest {
    /// Starts the loop that stores. It ends when the last clone of the result is gone.
    pub(crate) fn start(store: Arc<dyn Store>, live: LiveHub, metrics: Arc<Metrics>, tasks: &TaskTracker) -> Self {
        let (jobs, receiver) = mpsc::channel(4 * MAX_BATCHES);
        tasks.spawn(Committer { store, live, metrics }.run(receiver));
        Self { jobs, memory: Arc::new(Semaphore::new(MEMORY_KIB)) }
    }

    /// Hands over a batch. Waits while too much is in memory; that is what slows agents down when the disk is slow.
    ///
    /// # Errors
    /// When the brain is stopping.
    pub async fn submit(&self, folded: FoldedBatch) -> Result<Answer, IngestError> {
        let weight = u32::try_from((folded.bytes >> 10).clamp(1, MEMORY_KIB)).unwrap_or(1);
        let memory = Arc::clone(&self.memory).acquire_many_owned(weight).await.map_err(|_| IngestError)?;
        let (answer, receiver) = oneshot::channel();
        let job = Job { batch: folded.batch, bytes: folded.bytes, answer, _memory: memory };
        self.jobs.send(job).await.map_err(|_| IngestError)?;
        Ok(receiver)
    }
}

struct Committer {
    store: Arc<dyn Store>,
    live: LiveHub,
    metrics: Arc<Metrics>,
}

impl Committer {
    async fn run(self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.recv().await {
            let group = gather(first, &mut jobs).await;
            self.commit(group).await;
        }
    }

    async fn commit(&self, group: Vec<Job>) {
        let began = Instant::now();
        let events: Vec<u32> = group.iter().map(|job| job.batch.events).collect();
        let quarantined: usize = group.iter().map(|job| job.batch.quarantined.len()).sum();
        let fleet = fleet_changes(&group);
        let (batches, answers): (Vec<_>, Vec<_>) =
            group.into_iter().map(|job| (job.batch, (job.answer, job._memory))).unzip();
        self.metrics.commit_batches.observe(batches.len() as f64);
        let recorded = match self.store.record_batches(batches, self.live.has_readers()).await {
            Ok(recorded) => recorded,
            Err(error) => {
                // Nothing was stored and nothing is acked: the agents keep what they sent and send it again.
                self.metrics.commit_failures.inc();
                tracing::error!(%error, batches = answers.len(), "batches were not stored; agents keep them");
                for (answer, _memory) in answers {
                    let _ = answer.send(Err(IngestError));
                }
                return;
            }
        };
        self.metrics.commit_seconds.observe(began.elapsed().as_secs_f64());
        self.metrics.quarantined.inc_by(quarantined as u64);
        for (((answer, _memory), (verdict, last_seq)), events) in answers.into_iter().zip(&recorded.batches).zip(events)
        {
            self.count(*verdict, events);
            let _ = answer.send(Ok(*last_seq));
        }
        self.tell(recorded, fleet);
    }

    fn count(&self, verdict: Verdict, events: u32) {
        let verdict = match verdict {
            Verdict::Stored { .. } => {
                self.metrics.events.inc_by(u64::from(events));
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
            let rest = tasks.len().saturating_sub(LIVE_TASKS);
            if rest > 0 {
                // The newest are the ones on screens.
                tasks.sort_unstable_by_key(|task| std::cmp::Reverse(task.key));
                tasks.truncate(LIVE_TASKS);
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

/// Adds to `first` what comes within [`GATHER`], up to the bounds.
async fn gather(first: Job, jobs: &mut mpsc::Receiver<Job>) -> Vec<Job> {
    let mut bytes = first.bytes;
    let mut group = vec![first];
    let until = tokio::time::Instant::now() + GATHER;
    while group.len() < MAX_BATCHES && bytes < MAX_BYTES {
        match tokio::time::timeout_at(until, jobs.recv()).await {
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
        for (topic, count) in [(Topic::Workers, job.batch.workers.len()), (Topic::Queues, job.batch.queues.len())] {
            if count > 0 {
                *changes.entry((job.batch.project, topic)).or_default() += count as u64;
            }
        }
    }
    changes
}
