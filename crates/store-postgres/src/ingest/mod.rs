//! What the gateway writes: streams, batches, heartbeats, schedules.

use async_trait::async_trait;
use taskplane_model::Timestamp;
use taskplane_store::fleet::{Heard, SchedulesTold};
use taskplane_store::ingest::{BatchToStore, OpenedStream, Recorded, StreamToOpen};
use taskplane_store::{IngestStore, Result};

use crate::PostgresStore;

mod heard;
mod quarantine;
pub(crate) mod record;
pub(crate) mod rollups;
mod schedules;
mod signs;
mod streams;
pub(crate) mod upsert;

#[async_trait]
impl IngestStore for PostgresStore {
    async fn open_stream(&self, stream: StreamToOpen, now: Timestamp) -> Result<OpenedStream> {
        self.to_the_end(async move |store| {
            let tx = store.begin_in(stream.project).await?;
            let opened = streams::open(&tx, &stream, now).await?;
            tx.commit().await?;
            Ok(opened)
        })
        .await
    }

    async fn record_batches(&self, batches: Vec<BatchToStore>, want_tasks: bool) -> Result<Recorded> {
        self.to_the_end(async move |store| record::record(&store, batches, want_tasks).await).await
    }

    async fn note_heard(&self, heard: Vec<Heard>) -> Result<()> {
        self.to_the_end(async move |store| {
            let tx = store.begin().await?;
            heard::note(&tx, &heard).await?;
            tx.commit().await
        })
        .await
    }

    async fn keep_schedules(&self, told: SchedulesTold, now: Timestamp) -> Result<()> {
        self.to_the_end(async move |store| {
            let tx = store.begin_in(told.project).await?;
            schedules::keep(&tx, &told, now).await?;
            tx.commit().await
        })
        .await
    }
}
