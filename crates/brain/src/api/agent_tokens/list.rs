//! `GET agent-tokens`.

use axum::Json;
use axum::extract::State;

use crate::api::Problem;
use crate::api::types::{AgentToken, AgentTokenPage};
use crate::auth::RequireAdmin;
use crate::brain::Brain;

/// Agent tokens
///
/// Those that are not revoked, newest first. The tokens themselves are not kept.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/agent-tokens",
    operation_id = "list_agent_tokens",
    tag = "access",
    params(("project" = String, Path)),
    responses((status = 200, description = "All agent tokens", body = AgentTokenPage))
)]
pub(in crate::api) async fn list(
    access: RequireAdmin,
    State(brain): State<Brain>,
) -> Result<Json<AgentTokenPage>, Problem> {
    let tokens = brain.store.agent_tokens(access.project.id).await?;
    Ok(Json(AgentTokenPage { items: tokens.into_iter().map(AgentToken::from).collect(), next_cursor: None }))
}
