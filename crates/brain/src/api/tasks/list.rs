//! `GET tasks`.

use axum::Json;
use axum::extract::State;
use taskplane_store::tasks::TaskQuery;

use super::filter::FilterParams;
use crate::api::Problem;
use crate::api::cursor::{CursorKind, PageParams};
use crate::api::extract::Params;
use crate::api::types::{Task, TaskPage};
use crate::auth::RequireViewer;
use crate::brain::Brain;
use crate::clock;

/// Tasks
///
/// Newest first, by when the brain first heard of them. A page may be short and still have a `next_cursor`: a search that has
/// to read a lot stops at its bound and goes on from there.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/tasks",
    operation_id = "list_tasks",
    tag = "tasks",
    params(("project" = String, Path), FilterParams, PageParams),
    responses((status = 200, description = "One page of tasks", body = TaskPage))
)]
pub(in crate::api) async fn list(
    access: RequireViewer,
    State(brain): State<Brain>,
    Params(filter): Params<FilterParams>,
    Params(page): Params<PageParams>,
) -> Result<Json<TaskPage>, Problem> {
    let query = TaskQuery {
        project: access.project.id,
        filter: filter.filter(clock::now())?,
        limit: page.limit()?,
        cursor: page.position(CursorKind::Tasks)?,
    };
    let page = brain.store.list_tasks(query).await?;
    Ok(Json(TaskPage {
        items: page.items.iter().map(Task::from).collect(),
        next_cursor: page.next.map(|key| CursorKind::Tasks.seal(key)),
    }))
}
