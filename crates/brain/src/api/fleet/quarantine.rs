//! `GET quarantine`.

use axum::Json;
use axum::extract::State;

use crate::api::Problem;
use crate::api::cursor::{CursorKind, PageParams};
use crate::api::extract::Params;
use crate::api::types::{QuarantinedEvent, QuarantinedEventPage};
use crate::auth::RequireViewer;
use crate::brain::Brain;

/// Quarantine
///
/// Events that were not understood, newest first, with the reason. The newest 10,000 of a project are kept.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/quarantine",
    operation_id = "list_quarantine",
    tag = "fleet",
    params(("project" = String, Path), PageParams),
    responses((status = 200, description = "One page of events", body = QuarantinedEventPage))
)]
pub(in crate::api) async fn quarantine(
    access: RequireViewer,
    State(brain): State<Brain>,
    Params(page): Params<PageParams>,
) -> Result<Json<QuarantinedEventPage>, Problem> {
    let (events, next) = brain.store.quarantine(access.project.id, page.store_page()?).await?;
    Ok(Json(QuarantinedEventPage {
        items: events.into_iter().map(QuarantinedEvent::from).collect(),
        next_cursor: next.map(|cursor| CursorKind::Store.seal(cursor)),
    }))
}
