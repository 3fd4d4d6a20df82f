//! Bulk jobs: a row of what is known of each, and a row for each of its tasks.

use async_trait::async_trait;
use taskplane_model::Timestamp;
use taskplane_model::bulk::{BulkChange, BulkEnd, BulkItem, BulkItemState, BulkJob, BulkOutcome};
use taskplane_store::access::NewAudit;
use taskplane_store::bulk::{AwaitedItem, BulkClaimRequest, NewBulkItem};
use taskplane_store::tasks::Page;
use taskplane_store::{BulkStore, Result};

use crate::SqliteStore;

mod claim;
mod items;
mod jobs;

#[async_trait]
impl BulkStore for SqliteStore {
    async fn create_bulk_job(
        &self,
        job: BulkJob,
        idempotency_key: Option<String>,
        audit: NewAudit,
    ) -> Result<(BulkJob, bool)> {
        self.write(move |tx| jobs::create(tx, job, idempotency_key.as_deref(), &audit)).await
    }

    async fn add_bulk_items(&self, project: u64, id: &str, items: Vec<NewBulkItem>) -> Result<bool> {
        let id = id.to_owned();
        self.write(move |tx| items::add(tx, project, &id, &items)).await
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
        self.write(move |tx| jobs::change(tx, project, &id, change, audit.as_ref(), now)).await
    }

    async fn bulk_job(&self, project: u64, id: &str) -> Result<Option<BulkJob>> {
        let id = id.to_owned();
        self.read(move |view| Ok(jobs::find(view.db, project, &id)?.map(|(_, job)| job))).await
    }

    async fn bulk_job_with_key(&self, project: u64, key: &str) -> Result<Option<BulkJob>> {
        let key = key.to_owned();
        self.read(move |view| jobs::with_key(view.db, project, &key)).await
    }

    async fn bulk_jobs(&self, project: u64, page: Page) -> Result<(Vec<BulkJob>, Option<String>)> {
        self.read(move |view| jobs::list(view.db, project, &page)).await
    }

    async fn open_bulk_jobs(&self) -> Result<Vec<BulkJob>> {
        self.read(|view| jobs::open(view.db)).await
    }

    async fn claim_bulk_items(
        &self,
        project: u64,
        id: &str,
        request: BulkClaimRequest,
        now: Timestamp,
    ) -> Result<Option<(BulkJob, Vec<BulkItem>)>> {
        let id = id.to_owned();
        self.write(move |tx| claim::claim(tx, project, &id, &request, now)).await
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
        self.write(move |tx| claim::settle(tx, project, &id, &command, ends, now)).await
    }

    async fn awaited_bulk_items(&self, project: u64, id: &str, after: i64, limit: usize) -> Result<Vec<AwaitedItem>> {
        let id = id.to_owned();
        self.read(move |view| items::awaited(view, project, &id, after, limit)).await
    }

    async fn note_bulk_outcomes(
        &self,
        project: u64,
        id: &str,
        outcomes: Vec<(i64, BulkOutcome)>,
        now: Timestamp,
    ) -> Result<Option<BulkJob>> {
        let id = id.to_owned();
        self.write(move |tx| items::note_outcomes(tx, project, &id, &outcomes, now)).await
    }

    async fn bulk_items(
        &self,
        project: u64,
        id: &str,
        state: Option<BulkItemState>,
        page: Page,
    ) -> Result<(Vec<BulkItem>, Option<String>)> {
        let id = id.to_owned();
        self.read(move |view| items::list(view.db, project, &id, state, &page)).await
    }

    async fn in_bulk_jobs(&self, project: u64, keys: Vec<i64>) -> Result<Vec<i64>> {
        self.read(move |view| items::in_jobs(view.db, project, &keys)).await
    }
}
