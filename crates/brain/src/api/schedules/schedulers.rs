//! `GET schedulers`.

use axum::Json;
use axum::extract::State;

use super::shown::Schedules;
use crate::api::Problem;
use crate::api::types::{Scheduler, SchedulerPage};
use crate::auth::RequireViewer;
use crate::brain::Brain;

/// Schedulers
///
/// All of them, with how many of their schedules are overdue or have missed a run, and whether they seem to be dead.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/schedulers",
    operation_id = "list_schedulers",
    tag = "schedules",
    params(("project" = String, Path)),
    responses((status = 200, description = "All schedulers", body = SchedulerPage))
)]
pub(in crate::api) async fn schedulers(
    access: RequireViewer,
    State(brain): State<Brain>,
) -> Result<Json<SchedulerPage>, Problem> {
    let schedules = Schedules::read(&brain, access.project.id).await?;
    let items = schedules.health.into_iter().map(|(name, health)| Scheduler::new(name, health)).collect();
    Ok(Json(SchedulerPage { items, next_cursor: None }))
}
