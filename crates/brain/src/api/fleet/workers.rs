//! `GET workers`.

use axum::Json;
use axum::extract::State;

use crate::api::Problem;
use crate::api::types::{Worker, WorkerPage};
use crate::auth::RequireViewer;
use crate::brain::Brain;
use crate::clock;

/// Workers
///
/// All of them, by name. One that was not heard for a minute and did not say goodbye is `unknown`.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/workers",
    operation_id = "list_workers",
    tag = "fleet",
    params(("project" = String, Path)),
    responses((status = 200, description = "All workers", body = WorkerPage))
)]
pub(in crate::api) async fn workers(
    access: RequireViewer,
    State(brain): State<Brain>,
) -> Result<Json<WorkerPage>, Problem> {
    let now = clock::now();
    let workers = brain.store.workers(access.project.id).await?;
    let items = workers.into_iter().map(|(worker, agent)| Worker::new(worker, Some(agent), now)).collect();
    Ok(Json(WorkerPage { items, next_cursor: None }))
}
