//! `GET stats`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use taskplane_model::time::{MINUTE, SECOND, parse_age};
use taskplane_store::stats::{MAX_POINTS, StatsQuery};
use utoipa::IntoParams;

use super::Problem;
use super::extract::Params;
use super::types::{StatsPoint, StatsPointPage};
use super::window::Window;
use crate::auth::RequireViewer;
use crate::brain::Brain;
use crate::clock;

/// Items that a call without a step gets, about.
const USUAL_POINTS: i64 = 60;
/// Minutes of the longest window that has steps of any length. Tens of minutes are read at once, others minute by minute.
const FINE_WINDOW: i64 = 2 * 24 * 60;
/// Minutes of the longest window that has steps of tens of minutes: longer ones are read by the hour.
const HOURLESS_WINDOW: i64 = 7 * 24 * 60;

/// Which statistics.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StatsParams {
    /// From: RFC 3339, or an age such as `90s`, `15m`, `1h`, `7d`. Normally an hour before `until`.
    #[param(example = "6h")]
    since: Option<String>,
    /// To: as `since`. Normally now.
    until: Option<String>,
    /// Time per item: `60s`, `5m`, `1h`, or seconds; rounded up to whole minutes, to tens of minutes where
    /// the window is longer than two days, and to whole hours where it is longer than a week. Normally about a sixtieth of the window.
    #[param(example = "5m")]
    step: Option<String>,
    /// Only this task type.
    name: Option<String>,
    /// Only this queue.
    queue: Option<String>,
}

/// Statistics over time
///
/// One item per step, ascending; steps in which nothing happened are there. At most 1,500 items. Steps of whole days, hours or
/// tens of minutes begin with one (UTC), so the first may begin before `since`. Where the window begins before the statistics
/// of minutes that are still kept, steps are whole hours or, before those of hours, whole days.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/stats",
    operation_id = "get_stats",
    tag = "statistics",
    params(("project" = String, Path), StatsParams),
    responses((status = 200, description = "One item per step", body = StatsPointPage))
)]
pub(super) async fn stats(
    access: RequireViewer,
    State(brain): State<Brain>,
    Params(params): Params<StatsParams>,
) -> Result<Json<StatsPointPage>, Problem> {
    let window = Window::parse(params.since.as_deref(), params.until.as_deref(), clock::now())?;
    let step_minutes = step_minutes(params.step.as_deref(), window)?;
    let query = StatsQuery {
        project: access.project.id,
        since: window.since,
        until: window.until,
        step_minutes,
        name: params.name.filter(|name| !name.is_empty()),
        queue: params.queue.filter(|queue| !queue.is_empty()),
    };
    let items = brain.store.stats(query).await?.into_iter().map(StatsPoint::from).collect();
    Ok(Json(StatsPointPage { items, next_cursor: None }))
}

fn step_minutes(step: Option<&str>, window: Window) -> Result<i64, Problem> {
    let refused = |detail| Problem::new(StatusCode::BAD_REQUEST, "bad_step", detail);
    let Some(text) = step.filter(|step| !step.is_empty()) else {
        let rounded = (window.minutes() + USUAL_POINTS / 2) / USUAL_POINTS;
        // Whole hours, and tens of minutes, are read at once.
        let unit = [60, 10].into_iter().find(|unit| rounded > *unit).unwrap_or(1);
        return Ok((rounded.max(1) + unit - 1) / unit * unit);
    };
    let seconds = || text.parse::<i64>().ok().filter(|seconds| *seconds > 0).and_then(|s| s.checked_mul(SECOND));
    let Some(micros) = parse_age(text).or_else(seconds) else {
        return Err(refused(format!("step is \"{text}\"; write 60s, 5m, 1h, or a number of seconds.")));
    };
    let step = micros.div_euclid(MINUTE) + i64::from(micros.rem_euclid(MINUTE) > 0);
    // A step of tens of minutes begins with one: there may be one more.
    let points = window.minutes().div_euclid(step) + 1 + i64::from(step % 10 == 0);
    if points > i64::try_from(MAX_POINTS).unwrap_or(i64::MAX) {
        return Err(refused(format!("This would be {points} items, more than {MAX_POINTS}. Ask for a longer step.")));
    }
    let minutes = window.minutes();
    let unit = if minutes <= FINE_WINDOW {
        1
    } else if minutes <= HOURLESS_WINDOW {
        10
    } else {
        60
    };
    Ok((step + unit - 1) / unit * unit)
}

#[cfg(test)]
mod tests {
    use taskplane_model::Timestamp;

    use super::*;

    fn step(text: &str, hours: i64) -> Option<i64> {
        let window = Window { since: Timestamp(0), until: Timestamp(hours * 60 * MINUTE) };
        step_minutes(Some(text), window).ok()
    }

    #[test]
    fn steps_are_whole_minutes() {
        assert_eq!(
            [step("60s", 1), step("60", 1), step("5m", 1), step("90s", 1)],
            [Some(1), Some(1), Some(5), Some(2)]
        );
        assert_eq!([step("", 1), step("", 6), step("", 24), step("", 168)], [Some(1), Some(6), Some(30), Some(180)]);
        assert_eq!([step("45m", 48), step("45m", 49), step("1h", 168)], [Some(45), Some(50), Some(60)]);
        assert_eq!([step("40m", 168), step("45m", 168)], [Some(40), Some(50)]);
        assert_eq!([step("40m", 169), step("61m", 720), step("3h", 720)], [Some(60), Some(120), Some(180)]);
        assert_eq!([step("x", 1), step("0", 1), step("-5", 1), step("60s", 48)], [None; 4]);
    }
}
