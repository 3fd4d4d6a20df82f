//! `GET schedules`.

use axum::Json;
use axum::extract::State;

use crate::api::Problem;
use crate::api::types::{Schedule, SchedulePage};
use crate::auth::RequireViewer;
use crate::brain::Brain;

/// Schedules
///
/// All entries of all schedulers, as their agents last told them.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/schedules",
    operation_id = "list_schedules",
    tag = "fleet",
    params(("project" = String, Path)),
    responses((status = 200, description = "All schedules", body = SchedulePage))
)]
pub(in crate::api) async fn schedules(
    access: RequireViewer,
    State(brain): State<Brain>,
) -> Result<Json<SchedulePage>, Problem> {
    let schedules = brain.store.schedules(access.project.id).await?;
    Ok(Json(SchedulePage { items: schedules.into_iter().map(Schedule::from).collect(), next_cursor: None }))
}
