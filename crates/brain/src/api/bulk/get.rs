//! `GET bulk/{id}`.

use axum::Json;
use axum::extract::State;

use super::{JobPath, not_found};
use crate::api::Problem;
use crate::api::extract::Named;
use crate::api::types::BulkJob;
use crate::auth::RequireViewer;
use crate::brain::Brain;

/// One bulk job
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/bulk/{id}",
    operation_id = "get_bulk_job",
    tag = "commands",
    params(("project" = String, Path), ("id" = String, Path)),
    responses((status = 200, description = "The job as it now stands", body = BulkJob))
)]
pub(in crate::api) async fn get(
    access: RequireViewer,
    State(brain): State<Brain>,
    Named(JobPath { id }): Named<JobPath>,
) -> Result<Json<BulkJob>, Problem> {
    let job = brain.store.bulk_job(access.project.id, &id).await?;
    job.map(|job| Json(job.into())).ok_or_else(|| not_found(&id))
}
