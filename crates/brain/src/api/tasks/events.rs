//! `GET tasks/{engine}/{task_id}/events`.

use axum::Json;
use axum::extract::State;

use super::TaskPath;
use super::raw_events::events_of;
use crate::api::Problem;
use crate::api::cursor::{CursorKind, PageParams};
use crate::api::extract::{Named, Params};
use crate::api::types::TaskEventPage;
use crate::auth::RequireViewer;
use crate::brain::Brain;

/// Events of a task
///
/// As the agents sent them, oldest first. Once they are past their retention, what is still known of them.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/tasks/{engine}/{task_id}/events",
    operation_id = "list_task_events",
    tag = "tasks",
    params(("project" = String, Path), ("engine" = String, Path), ("task_id" = String, Path), PageParams),
    responses((status = 200, description = "One page of the task's events", body = TaskEventPage))
)]
pub(in crate::api) async fn events(
    access: RequireViewer,
    State(brain): State<Brain>,
    Named(TaskPath { engine, task_id }): Named<TaskPath>,
    Params(page): Params<PageParams>,
) -> Result<Json<TaskEventPage>, Problem> {
    let (limit, seen) = (page.limit()?, page.position(CursorKind::Events)?.unwrap_or(0usize));
    let task = brain.store.task(access.project.id, &engine, &task_id).await?;
    let task = task.ok_or_else(|| Problem::no_such_task(&engine, &task_id))?;
    let batches = brain.store.task_batches(access.project.id, &engine, &task_id).await?;
    // Megabytes to inflate and parse, at worst: not on the threads that serve everybody.
    let events = tokio::task::spawn_blocking(move || events_of(&task, &batches));
    let mut events = events.await.map_err(|error| Problem::internal(&error))?.into_iter().skip(seen);
    let items: Vec<_> = events.by_ref().take(limit).collect();
    let next_cursor = events.next().map(|_| CursorKind::Events.seal(seen + items.len()));
    Ok(Json(TaskEventPage { items, next_cursor }))
}
