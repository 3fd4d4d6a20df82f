//! Bulk jobs: a row of what is known of each, and a row for each of its tasks. Everything that changes them holds the lock of
//! their project, so that of several brains each sees what the others did.

use async_trait::async_trait;
use taskplane_model::Timestamp;
use taskplane_model::bulk::{BulkChange, BulkEnd, BulkItem, BulkItemState, BulkJob, BulkOutcome};
use taskplane_store::access::NewAudit;
use taskplane_store::bulk::{AwaitedItem, BulkClaimRequest, NewBulkItem};
use taskplane_store::tasks::Page;
use taskplane_store::{BulkStore, Result};

use crate::PostgresStore;

mod claim;
mod items;
mod jobs;

#[async_trait]
impl BulkStore for PostgresStore {
    async fn create_bulk_job(
        &self,
        job: BulkJob,
        idempotency_key: Option<String>,
        audit: NewAudit,
    ) -> Result<(BulkJob, bool)> {
        self.to_the_end(async move |store| jobs::create(&store, job, idempotency_key, &audit).await).await
    }

    async fn add_bulk_items(&self, project: u64, id: &str, items: Vec<NewBulkItem>) -> Result<bool> {
        let id = id.to_owned();
        self.to_the_end(async move |store| items::add(&store, project, &id, &items).await).await
    }

    async fn change_bulk_job(
        &self,
        project: u64,
        id: &str,
        change: BulkChange,
        audit: Option<NewAudit>,
        now: Timestamp,
    ) -> Result<Option<(BulkJob, bool)>> {
        let id = id.to_owned();
        self.to_the_end(async move |store| jobs::change(&store, project, &id, change, audit.as_ref(), now).await).await
    }

    async fn bulk_job(&self, project: u64, id: &str) -> Result<Option<BulkJob>> {
        Ok(jobs::find(&self.reading().await?, project, id).await?.map(|(_, job)| job))
    }

    async fn bulk_job_with_key(&self, project: u64, key: &str) -> Result<Option<BulkJob>> {
        jobs::with_key(&self.reading().await?, project, key).await
    }

    async fn bulk_jobs(&self, project: u64, page: Page) -> Result<(Vec<BulkJob>, Option<String>)> {
        jobs::list(&self.reading().await?, project, &page).await
    }

    async fn open_bulk_jobs(&self) -> Result<Vec<BulkJob>> {
        jobs::open(&self.reading().await?).await
    }

    async fn claim_bulk_items(
        &self,
        project: u64,
        id: &str,
        request: BulkClaimRequest,
        now: Timestamp,
    ) -> Result<Option<(BulkJob, Vec<BulkItem>)>> {
        let id = id.to_owned();
        self.to_the_end(async move |store| claim::claim(&store, project, &id, &request, now).await).await
    }

    async fn settle_bulk_claim(
        &self,
        project: u64,
        id: &str,
        command: &str,
        ends: Vec<(String, BulkEnd)>,
        now: Timestamp,
    ) -> Result<Option<BulkJob>> {
        let (id, command) = (id.to_owned(), command.to_owned());
        self.to_the_end(async move |store| claim::settle(&store, project, &id, &command, ends, now).await).await
    }

    async fn awaited_bulk_items(&self, project: u64, id: &str, after: i64, limit: usize) -> Result<Vec<AwaitedItem>> {
        items::awaited(self, project, id, after, limit).await
    }

    async fn note_bulk_outcomes(
        &self,
        project: u64,
        id: &str,
        outcomes: Vec<(i64, BulkOutcome)>,
        now: Timestamp,
    ) -> Result<Option<BulkJob>> {
        let id = id.to_owned();
        self.to_the_end(async move |store| items::note_outcomes(&store, project, &id, &outcomes, now).await).await
    }

    async fn bulk_items(
        &self,
        project: u64,
        id: &str,
        state: Option<BulkItemState>,
        page: Page,
    ) -> Result<(Vec<BulkItem>, Option<String>)> {
        items::list(&self.reading().await?, project, id, state, &page).await
    }

    async fn in_bulk_jobs(&self, project: u64, keys: Vec<i64>) -> Result<Vec<i64>> {
        items::in_jobs(&self.reading().await?, project, &keys).await
    }
}
