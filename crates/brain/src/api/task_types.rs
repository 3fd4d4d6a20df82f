//! `GET task-types`.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Problem;
use super::extract::Params;
use super::types::{TaskType, TaskTypePage};
use super::window::Window;
use crate::auth::RequireViewer;
use crate::brain::Brain;
use crate::clock;

/// Which window.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TaskTypeParams {
    /// From: RFC 3339, or an age such as `90s`, `15m`, `1h`, `7d`. Normally an hour before `until`.
    #[param(example = "24h")]
    since: Option<String>,
    /// To: as `since`. Normally now.
    until: Option<String>,
}

/// Statistics by task type
///
/// Busiest first, at most 1,000.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/task-types",
    operation_id = "list_task_types",
    tag = "statistics",
    params(("project" = String, Path), TaskTypeParams),
    responses((status = 200, description = "One item per task type", body = TaskTypePage))
)]
pub(super) async fn task_types(
    access: RequireViewer,
    State(brain): State<Brain>,
    Params(params): Params<TaskTypeParams>,
) -> Result<Json<TaskTypePage>, Problem> {
    let window = Window::parse(params.since.as_deref(), params.until.as_deref(), clock::now())?;
    let types = brain.store.task_types(access.project.id, window.since, window.until).await?;
    Ok(Json(TaskTypePage { items: types.into_iter().map(TaskType::from).collect(), next_cursor: None }))
}
