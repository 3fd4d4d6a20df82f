//! `GET tasks/{engine}/{task_id}`.

use axum::Json;
use axum::extract::State;

use super::TaskPath;
use crate::api::Problem;
use crate::api::extract::Named;
use crate::api::types::TaskDetail;
use crate::auth::RequireViewer;
use crate::brain::Brain;

/// One task
///
/// With its attempts and what happened to it.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/tasks/{engine}/{task_id}",
    operation_id = "get_task",
    tag = "tasks",
    params(("project" = String, Path), ("engine" = String, Path), ("task_id" = String, Path)),
    responses((status = 200, description = "The task", body = TaskDetail))
)]
pub(in crate::api) async fn get(
    access: RequireViewer,
    State(brain): State<Brain>,
    Named(TaskPath { engine, task_id }): Named<TaskPath>,
) -> Result<Json<TaskDetail>, Problem> {
    let task = brain.store.task(access.project.id, &engine, &task_id).await?;
    task.map(|task| Json(TaskDetail::from(&task))).ok_or_else(|| Problem::no_such_task(&engine, &task_id))
}
