//! `GET bulk/{id}/items`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use taskplane_model::bulk::BulkItemState;
use utoipa::IntoParams;

use super::{JobPath, not_found};
use crate::api::Problem;
use crate::api::cursor::{CursorKind, PageParams};
use crate::api::extract::{Named, Params};
use crate::api::types::{BulkItem, BulkItemPage};
use crate::auth::RequireViewer;
use crate::brain::Brain;

/// Which tasks of a job.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct ItemParams {
    /// Only those that stand so: `waiting`, `claimed`, `accepted`, `refused` or `unknown`.
    state: Option<String>,
}

/// What became of each task of a bulk job
///
/// Oldest first.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/bulk/{id}/items",
    operation_id = "list_bulk_items",
    tag = "commands",
    params(("project" = String, Path), ("id" = String, Path), ItemParams, PageParams),
    responses((status = 200, description = "One page of the job's tasks", body = BulkItemPage))
)]
pub(in crate::api) async fn items(
    access: RequireViewer,
    State(brain): State<Brain>,
    Named(JobPath { id }): Named<JobPath>,
    Params(ItemParams { state }): Params<ItemParams>,
    Params(page): Params<PageParams>,
) -> Result<Json<BulkItemPage>, Problem> {
    let state = state.filter(|state| !state.is_empty());
    let known = |name: String| {
        let states = BulkItemState::ALL.map(BulkItemState::name).join(", ");
        let detail = format!("state is \"{name}\"; it must be one of {states}.");
        BulkItemState::from_name(&name).ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "bad_state", detail))
    };
    let state = state.map(known).transpose()?;
    if brain.store.bulk_job(access.project.id, &id).await?.is_none() {
        return Err(not_found(&id));
    }
    let (items, next) = brain.store.bulk_items(access.project.id, &id, state, page.store_page()?).await?;
    Ok(Json(BulkItemPage {
        items: items.into_iter().map(BulkItem::from).collect(),
        next_cursor: next.map(|cursor| CursorKind::Store.seal(cursor)),
    }))
}
