//! `GET bulk`.

use axum::Json;
use axum::extract::State;

use crate::api::Problem;
use crate::api::cursor::{CursorKind, PageParams};
use crate::api::extract::Params;
use crate::api::types::{BulkJob, BulkJobPage};
use crate::auth::RequireViewer;
use crate::brain::Brain;

/// Bulk jobs
///
/// Newest first.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/bulk",
    operation_id = "list_bulk_jobs",
    tag = "commands",
    params(("project" = String, Path), PageParams),
    responses((status = 200, description = "One page of bulk jobs", body = BulkJobPage))
)]
pub(in crate::api) async fn list(
    access: RequireViewer,
    State(brain): State<Brain>,
    Params(page): Params<PageParams>,
) -> Result<Json<BulkJobPage>, Problem> {
    let (jobs, next) = brain.store.bulk_jobs(access.project.id, page.store_page()?).await?;
    Ok(Json(BulkJobPage {
        items: jobs.into_iter().map(BulkJob::from).collect(),
        next_cursor: next.map(|cursor| CursorKind::Store.seal(cursor)),
    }))
}
