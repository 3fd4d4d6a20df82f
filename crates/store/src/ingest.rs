//! What the gateway hands to the store.

use std::sync::Arc;

use taskplane_model::agent::AgentProfile;
use taskplane_model::fleet::{Queue, Worker};
use taskplane_model::{TaskRecord, Timestamp};

use crate::tasks::StoredTask;

/// Who opens which stream.
#[derive(Clone, Debug)]
pub struct StreamToOpen {
    /// Project of the token.
    pub project: u64,
    /// Agent's name.
    pub agent_name: String,
    /// The stream; empty for an agent that has only one.
    pub instance_id: String,
    /// What the agent said of itself.
    pub profile: AgentProfile,
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenedStream {
    /// Number of the agent.
    pub agent: u64,
    /// Number of the stream.
    pub stream: u64,
    /// Last persisted batch, 0 if none.
    pub last_seq: u64,
    /// Number of this opening: of two openings of one stream, whichever brain did them, the one with the greater number came
    /// later. 0 where one brain has the database alone.
    pub opening: u64,
}

/// A batch, parsed and folded, ready to be stored.
#[derive(Clone, Debug)]
pub struct BatchToStore {
    /// Project.
    pub project: u64,
    /// Number of the agent.
    pub agent: u64,
    /// Number of the stream.
    pub stream: u64,
    /// Position in the stream.
    pub seq: u64,
    /// Digest of the events as they came; tells a replay from a restarted sequence.
    pub digest: u64,
    /// When it came.
    pub received_at: Timestamp,
    /// How many events it has.
    pub events: u32,
    /// The events array as it came, zlib-compressed.
    pub compressed: Vec<u8>,
    /// What it tells of tasks, one entry per task.
    pub tasks: Vec<TaskDelta>,
    /// What it tells of workers.
    pub workers: Vec<Worker>,
    /// What it tells of queues.
    pub queues: Vec<Queue>,
    /// Events that were not understood.
    pub quarantined: Vec<Quarantined>,
}

/// What one batch tells of one task.
#[derive(Clone, Debug)]
pub struct TaskDelta {
    /// Engine; shared, because a batch names few.
    pub engine: Arc<str>,
    /// The engine's id.
    pub task_id: String,
    /// What is told.
    pub record: TaskRecord,
}

/// An event that was not understood.
#[derive(Clone, Debug)]
pub struct Quarantined {
    /// Its text, possibly cut.
    pub raw: String,
    /// Why.
    pub reason: String,
}

/// What became of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Stored; this many batches before it never came.
    Stored {
        /// Batches lost.
        lost: u64,
    },
    /// Stored before; nothing was done.
    Replay,
    /// Another batch was stored under this number: the agent restarted its sequence without a new stream. Counted as lost.
    Conflict,
}

/// What came of [`crate::IngestStore::record_batches`].
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// One per batch, in order: the verdict and the stream's last persisted number.
    pub batches: Vec<(Verdict, u64)>,
    /// Tasks that changed, with their project, if they were asked for.
    pub tasks: Vec<(u64, StoredTask)>,
}
