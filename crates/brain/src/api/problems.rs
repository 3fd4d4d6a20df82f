//! `GET problems`.

use axum::Json;
use axum::extract::State;

use super::Problem;
use super::types::FoundProblemPage;
use crate::auth::RequireViewer;
use crate::brain::Brain;
use crate::{clock, problems};

/// Problems
///
/// What needs someone now, the worst first: agents that do not see, queues that nothing consumes, workers that are gone or take no
/// tasks, schedules that did not run. Each with its cause, what to do, and since when. The live topics `agents`, `workers` and `queues`
/// tell when it may have changed.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/problems",
    operation_id = "list_problems",
    tag = "fleet",
    params(("project" = String, Path)),
    responses((status = 200, description = "All problems", body = FoundProblemPage))
)]
pub(super) async fn problems(
    access: RequireViewer,
    State(brain): State<Brain>,
) -> Result<Json<FoundProblemPage>, Problem> {
    let items = problems::look(&brain, access.project.id, clock::now()).await?;
    Ok(Json(FoundProblemPage { items, next_cursor: None }))
}
