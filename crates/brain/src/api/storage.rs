//! `GET storage`.

use axum::Json;
use axum::extract::State;

use super::Problem;
use super::types::Storage;
use crate::auth::RequireViewer;
use crate::brain::Brain;
use crate::clock;

/// Storage
///
/// How much room the database takes, all projects together, how long things are kept, and how far back they really reach.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/storage",
    operation_id = "get_storage",
    tag = "fleet",
    params(("project" = String, Path)),
    responses((status = 200, description = "Sizes and horizons", body = Storage))
)]
pub(super) async fn storage(_: RequireViewer, State(brain): State<Brain>) -> Result<Json<Storage>, Problem> {
    let report = brain.store.storage().await?;
    Ok(Json(Storage::new(&report, &brain.retention, clock::now())))
}
