//! `POST schedules/preview`.

use axum::Json;
use axum::http::StatusCode;
use taskplane_model::schedule::{Timing, TimingError};

use crate::api::Problem;
use crate::api::extract::Body;
use crate::api::types::{NewSchedulePreview, SchedulePreview};
use crate::auth::RequireViewer;
use crate::clock;
use crate::schedules::words;

const NEXT_RUNS: usize = 5;

/// Look at a timing
///
/// What it means in plain English, its next runs, and what may surprise. Nothing is kept.
#[utoipa::path(
    post,
    path = "/api/v1/projects/{project}/schedules/preview",
    operation_id = "preview_schedule",
    tag = "schedules",
    params(("project" = String, Path)),
    request_body = NewSchedulePreview,
    responses((status = 200, description = "What the timing means", body = SchedulePreview))
)]
pub(in crate::api) async fn preview(
    _access: RequireViewer,
    Body(NewSchedulePreview { kind, expression, timezone }): Body<NewSchedulePreview>,
) -> Result<Json<SchedulePreview>, Problem> {
    let (now, zone) = (clock::now(), timezone.as_deref().filter(|zone| !zone.is_empty()));
    let shown = || -> Result<SchedulePreview, TimingError> {
        Ok(SchedulePreview {
            words: words::plain(&kind, &expression, zone)?,
            next_runs: Timing::parse(&kind, &expression, zone)?.runs_after(now, NEXT_RUNS),
            warnings: words::warnings(&kind, &expression, zone, now)?,
        })
    };
    let refused = |error: TimingError| {
        let mut detail = error.to_string();
        detail.push('.');
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_schedule", detail)
    };
    shown().map(Json).map_err(refused)
}
