//! `GET schedules`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use taskplane_model::schedule_run::ScheduleKey;
use utoipa::IntoParams;

use super::shown::Schedules;
use crate::api::Problem;
use crate::api::cursor::CursorKind;
use crate::api::extract::Params;
use crate::api::types::SchedulePage;
use crate::auth::RequireViewer;
use crate::brain::Brain;
use crate::clock;

/// Most schedules of a page.
const MAX_LIMIT: usize = 500;
/// Runs of each that are shown.
const RUNS: usize = 20;

/// Which schedules.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct ScheduleParams {
    /// Items per page: 1 to 500, normally 500.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Schedules
///
/// The entries of all schedulers, by scheduler and id, as agents last told them, with their next and their latest runs. Agents
/// beside one scheduler tell of the same schedules: each is listed once.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/schedules",
    operation_id = "list_schedules",
    tag = "schedules",
    params(("project" = String, Path), ScheduleParams),
    responses((status = 200, description = "A page of schedules", body = SchedulePage))
)]
pub(in crate::api) async fn list(
    access: RequireViewer,
    State(brain): State<Brain>,
    Params(params): Params<ScheduleParams>,
) -> Result<Json<SchedulePage>, Problem> {
    let limit = params.limit.unwrap_or(MAX_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        let detail = format!("limit is {limit}; it must be from 1 to {MAX_LIMIT}.");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "bad_limit", detail));
    }
    let after = params.cursor.as_deref().filter(|cursor| !cursor.is_empty()).map(position).transpose()?;
    let project = access.project.id;
    let mut schedules = Schedules::read(&brain, project).await?;
    let told = std::mem::take(&mut schedules.told);
    let mut rest = told.into_iter().filter(|(key, _)| after.as_ref().is_none_or(|after| key > after));
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let last = page.last().map(|(key, _)| key.clone()).filter(|_| rest.next().is_some());
    let keys = page.iter().map(|(key, _)| key.clone()).collect();
    let runs = brain.store.schedule_runs(project, keys, RUNS).await?;
    let now = clock::now();
    let items = page.into_iter().zip(runs).map(|((key, told), runs)| schedules.show(key, told, runs, now)).collect();
    Ok(Json(SchedulePage { items, next_cursor: last.map(cursor) }))
}

fn cursor(key: ScheduleKey) -> String {
    let position = serde_json::json!([key.scheduler, key.id]);
    CursorKind::Schedules.seal(position)
}

fn position(cursor: &str) -> Result<ScheduleKey, Problem> {
    let position: serde_json::Value = CursorKind::Schedules.open(cursor)?;
    let part = |at: usize| position.get(at).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    Ok(ScheduleKey { scheduler: part(0), id: part(1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let key = ScheduleKey { scheduler: "celery-beat".into(), id: "a:b/\"c\"".into() };
        assert_eq!(position(&cursor(key.clone())).ok(), Some(key));
        assert!(position("nonsense").is_err());
    }
}
