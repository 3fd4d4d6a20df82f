//! `GET tasks/{engine}/{task_id}/why`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::TaskPath;
use crate::api::Problem;
use crate::api::extract::{Named, Params};
use crate::api::types::Why;
use crate::auth::RequireViewer;
use crate::brain::Brain;
use crate::why::{self, AskError};

/// How thoroughly to answer.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct WhyParams {
    /// Also have the task's agent look at the broker and ask the workers, which takes up to 10 s.
    #[serde(default)]
    ask: bool,
}

/// Why a task is not running
///
/// What keeps it, what blocks first, each with how and when it was known; for a task that runs, since when and how long others of
/// its type take. With `ask`, its agent is asked, which every role may: it changes nothing. Of one task one inquiry is under way at a
/// time, and a project may make a few a second.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/tasks/{engine}/{task_id}/why",
    operation_id = "get_task_why",
    tag = "tasks",
    params(("project" = String, Path), ("engine" = String, Path), ("task_id" = String, Path), WhyParams),
    responses((status = 200, description = "The answer", body = Why))
)]
pub(in crate::api) async fn why(
    access: RequireViewer,
    State(brain): State<Brain>,
    Named(TaskPath { engine, task_id }): Named<TaskPath>,
    Params(WhyParams { ask }): Params<WhyParams>,
) -> Result<Json<Why>, Problem> {
    let project = access.project.id;
    let task = brain.store.task(project, &engine, &task_id).await?;
    let task = task.ok_or_else(|| Problem::no_such_task(&engine, &task_id))?;
    let asker = ask.then(|| access.actor());
    Ok(Json(why::answer(&brain, project, task, asker).await?))
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        match error {
            AskError::TooOften(wait) => {
                let detail = "Too many tasks of this project are asked about. Try again shortly, or without ask.";
                let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_inquiries", detail).retry_after(seconds)
            }
            AskError::Submit(error) => error.into(),
            AskError::Store(error) => error.into(),
        }
    }
}
