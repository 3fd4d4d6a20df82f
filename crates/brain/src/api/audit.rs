//! `GET audit`.

use axum::Json;
use axum::extract::State;

use super::Problem;
use super::cursor::{CursorKind, PageParams};
use super::extract::Params;
use super::types::{AuditEntry, AuditEntryPage};
use crate::auth::RequireViewer;
use crate::brain::Brain;

/// The audit log
///
/// Who did what, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/audit",
    operation_id = "list_audit",
    tag = "access",
    params(("project" = String, Path), PageParams),
    responses((status = 200, description = "One page of the audit log", body = AuditEntryPage))
)]
pub(super) async fn audit(
    access: RequireViewer,
    State(brain): State<Brain>,
    Params(page): Params<PageParams>,
) -> Result<Json<AuditEntryPage>, Problem> {
    let (entries, next) = brain.store.audit(access.project.id, page.store_page()?).await?;
    Ok(Json(AuditEntryPage {
        items: entries.into_iter().map(AuditEntry::from).collect(),
        next_cursor: next.map(|cursor| CursorKind::Store.seal(cursor)),
    }))
}
