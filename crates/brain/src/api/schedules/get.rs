//! `GET schedules/{scheduler}/{id}`.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use taskplane_model::schedule_run::ScheduleKey;

use super::shown::Schedules;
use crate::api::Problem;
use crate::api::extract::Named;
use crate::api::types::Schedule;
use crate::auth::RequireViewer;
use crate::brain::Brain;
use crate::clock;

/// Runs that are shown.
const RUNS: usize = 100;

#[derive(Deserialize)]
pub(in crate::api) struct SchedulePath {
    scheduler: String,
    id: String,
}

/// One schedule
///
/// With up to 100 of its latest runs. Write a `/` in its id as `%2F`.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/schedules/{scheduler}/{id}",
    operation_id = "get_schedule",
    tag = "schedules",
    params(("project" = String, Path), ("scheduler" = String, Path), ("id" = String, Path)),
    responses((status = 200, description = "The schedule", body = Schedule))
)]
pub(in crate::api) async fn get(
    access: RequireViewer,
    State(brain): State<Brain>,
    Named(SchedulePath { scheduler, id }): Named<SchedulePath>,
) -> Result<Json<Schedule>, Problem> {
    let project = access.project.id;
    let mut schedules = Schedules::read(&brain, project).await?;
    let key = ScheduleKey { scheduler, id };
    let told = schedules.told.remove(&key).ok_or_else(|| {
        let ScheduleKey { scheduler, id } = &key;
        Problem::not_found("schedule", format!("The scheduler {scheduler} has no schedule with the id {id}."))
    })?;
    let runs = brain.store.schedule_runs(project, vec![key.clone()], RUNS).await?;
    let runs = runs.into_iter().next().unwrap_or_default();
    Ok(Json(schedules.show(key, told, runs, clock::now())))
}
