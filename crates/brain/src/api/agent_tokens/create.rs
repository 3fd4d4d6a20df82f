//! `POST agent-tokens`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::api::Problem;
use crate::api::extract::OptionalBody;
use crate::api::types::{CreatedAgentToken, NewAgentToken};
use crate::auth::{self, RequireAdmin};
use crate::brain::Brain;
use crate::clock;

/// Make an agent token
///
/// The token is shown this once.
#[utoipa::path(
    post,
    path = "/api/v1/projects/{project}/agent-tokens",
    operation_id = "create_agent_token",
    tag = "access",
    params(("project" = String, Path)),
    request_body = NewAgentToken,
    responses((status = 201, description = "The new token", body = CreatedAgentToken))
)]
pub(in crate::api) async fn create(
    access: RequireAdmin,
    State(brain): State<Brain>,
    OptionalBody(NewAgentToken { agent }): OptionalBody<NewAgentToken>,
) -> Result<(StatusCode, Json<CreatedAgentToken>), Problem> {
    let (project, actor) = (access.project.id, access.actor());
    let (row, token) = auth::new_agent_token(&*brain.store, project, agent.as_deref(), &actor, clock::now()).await?;
    let created =
        CreatedAgentToken { id: row.id, token: token.into_exposed(), agent: row.agent, created_at: row.created_at };
    Ok((StatusCode::CREATED, Json(created)))
}
