//! What the gateway writes: streams, batches, heartbeats.

use async_trait::async_trait;
use taskplane_model::Timestamp;
use taskplane_store::backend::agent_notes::AgentNotes;
use taskplane_store::backend::changes::Changes;
use taskplane_store::backend::signs::Signs;
use taskplane_store::fleet::{Heard, SchedulesTold};
use taskplane_store::ingest::{BatchToStore, OpenedStream, Recorded, StreamToOpen, Verdict};
use taskplane_store::{IngestStore, Result};

use crate::SqliteStore;
use crate::errors::Done;
use crate::writer::Tx;

mod heard;
mod quarantine;
pub(crate) mod rollups;
mod schedules;
mod signs;
pub(crate) mod streams;
pub(crate) mod upsert;

#[async_trait]
impl IngestStore for SqliteStore {
    async fn open_stream(&self, stream: StreamToOpen, now: Timestamp) -> Result<OpenedStream> {
        self.write(move |tx| streams::open(tx, &stream, now)).await
    }

    async fn record_batches(&self, batches: Vec<BatchToStore>, want_tasks: bool) -> Result<Recorded> {
        self.write(move |tx| record(tx, batches, want_tasks)).await
    }

    async fn note_heard(&self, heard: Vec<Heard>) -> Result<()> {
        self.write(move |tx| heard::note(tx, &heard)).await
    }

    async fn keep_schedules(&self, told: SchedulesTold, now: Timestamp) -> Result<()> {
        self.write(move |tx| schedules::keep(tx, &told, now)).await
    }
}

fn record(tx: &mut Tx<'_>, batches: Vec<BatchToStore>, want_tasks: bool) -> Done<Recorded> {
    let mut recorded = Recorded::default();
    let mut agents = AgentNotes::default();
    let mut signs = Signs::default();
    let mut changes = Changes::new(tx.seed()?);
    for mut batch in batches {
        let (verdict, last) = streams::judge(tx, &batch)?;
        recorded.batches.push((verdict, last));
        agents.note(&batch, verdict);
        if !matches!(verdict, Verdict::Stored { .. }) {
            continue;
        }
        let number = streams::keep_raw(tx, &batch)?;
        quarantine::keep(tx, &batch)?;
        signs.take(batch.project, std::mem::take(&mut batch.workers), std::mem::take(&mut batch.queues));
        changes.take(batch, number);
    }
    let changed = upsert::apply(tx, changes.into_vec(), want_tasks)?;
    recorded.tasks = changed;
    rollups::flush(tx)?;
    signs::store(tx, signs)?;
    streams::advance(tx)?;
    heard::store(tx, agents)?;
    Ok(recorded)
}
