//! `GET task-counts`.

use axum::Json;
use axum::extract::State;
use taskplane_store::tasks::TaskQuery;

use super::filter::FilterParams;
use crate::api::Problem;
use crate::api::extract::Params;
use crate::api::types::TaskCounts;
use crate::auth::RequireViewer;
use crate::brain::Brain;
use crate::clock;

/// Tasks by state
///
/// Exact up to 10,000 per state; beyond, `more` is true. So it is for states, task types, queues, workers, times, and all of them
/// together. Words and arguments are looked for in the tasks themselves: where that takes more than a few hundredths of a second,
/// counting stops, `more` is true, and the number is the least that it can be.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/task-counts",
    operation_id = "count_tasks",
    tag = "tasks",
    params(("project" = String, Path), FilterParams),
    responses((status = 200, description = "How many tasks there are in each state", body = TaskCounts))
)]
pub(in crate::api) async fn count(
    access: RequireViewer,
    State(brain): State<Brain>,
    Params(filter): Params<FilterParams>,
) -> Result<Json<TaskCounts>, Problem> {
    let filter = filter.filter(clock::now())?;
    let query = TaskQuery { project: access.project.id, filter, ..TaskQuery::default() };
    Ok(Json(brain.store.count_tasks(query).await?.into()))
}
