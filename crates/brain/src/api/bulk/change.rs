//! `POST bulk/{id}/pause`, `resume` and `cancel`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use taskplane_model::bulk::{self, BulkChange};
use taskplane_store::access::NewAudit;

use super::{JobPath, not_found};
use crate::api::Problem;
use crate::api::extract::Named;
use crate::api::types::BulkJob;
use crate::auth::RequireOperator;
use crate::brain::Brain;
use crate::bulk::tell;
use crate::clock;

/// Pause a bulk job
///
/// Nothing more is sent until it is resumed; what was sent is answered.
#[utoipa::path(
    post,
    path = "/api/v1/projects/{project}/bulk/{id}/pause",
    operation_id = "pause_bulk_job",
    tag = "commands",
    params(("project" = String, Path), ("id" = String, Path)),
    responses((status = 200, description = "The job as it now stands", body = BulkJob))
)]
pub(in crate::api) async fn pause(
    access: RequireOperator,
    State(brain): State<Brain>,
    Named(JobPath { id }): Named<JobPath>,
) -> Result<Json<BulkJob>, Problem> {
    change(&access, &brain, &id, BulkChange::Pause(None), "pause_bulk_job").await
}

/// Resume a bulk job
#[utoipa::path(
    post,
    path = "/api/v1/projects/{project}/bulk/{id}/resume",
    operation_id = "resume_bulk_job",
    tag = "commands",
    params(("project" = String, Path), ("id" = String, Path)),
    responses((status = 200, description = "The job as it now stands", body = BulkJob))
)]
pub(in crate::api) async fn resume(
    access: RequireOperator,
    State(brain): State<Brain>,
    Named(JobPath { id }): Named<JobPath>,
) -> Result<Json<BulkJob>, Problem> {
    change(&access, &brain, &id, BulkChange::Resume, "resume_bulk_job").await
}

/// Cancel a bulk job
///
/// Nothing more is sent, for good. What was retried stays retried.
#[utoipa::path(
    post,
    path = "/api/v1/projects/{project}/bulk/{id}/cancel",
    operation_id = "cancel_bulk_job",
    tag = "commands",
    params(("project" = String, Path), ("id" = String, Path)),
    responses((status = 200, description = "The job as it now stands", body = BulkJob))
)]
pub(in crate::api) async fn cancel(
    access: RequireOperator,
    State(brain): State<Brain>,
    Named(JobPath { id }): Named<JobPath>,
) -> Result<Json<BulkJob>, Problem> {
    change(&access, &brain, &id, BulkChange::Cancel, "cancel_bulk_job").await
}

async fn change(
    access: &RequireOperator,
    brain: &Brain,
    id: &str,
    change: BulkChange,
    action: &str,
) -> Result<Json<BulkJob>, Problem> {
    let audit =
        NewAudit { actor: access.actor(), action: action.to_owned(), target: Some(id.to_owned()), detail: None };
    let changed = brain.store.change_bulk_job(access.project.id, id, change.clone(), Some(audit), clock::now()).await?;
    let (job, _) = changed.ok_or_else(|| not_found(id))?;
    tell(brain, &job);
    if is_done(&job, &change) {
        return Ok(Json(job.into()));
    }
    let detail = format!("The job is {}: that cannot be done with it now.", job.state.name());
    Err(Problem::new(StatusCode::CONFLICT, "wrong_state", detail))
}

/// True when the job stands as was asked, by this request or already.
fn is_done(job: &bulk::BulkJob, change: &BulkChange) -> bool {
    use bulk::BulkState::{Cancelled, Paused, Preparing, Running, Stopping};
    match change {
        BulkChange::Pause(_) => job.state == Paused,
        BulkChange::Resume => matches!(job.state, Running | Preparing),
        BulkChange::Cancel => matches!(job.state, Cancelled | Stopping),
        _ => true,
    }
}
