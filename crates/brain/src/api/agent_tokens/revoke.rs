//! `DELETE agent-tokens/{id}`.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use taskplane_store::access::NewAudit;

use crate::api::Problem;
use crate::api::extract::Named;
use crate::auth::RequireAdmin;
use crate::brain::Brain;
use crate::clock;
use crate::replicas::Message;

#[derive(Deserialize)]
pub(in crate::api) struct TokenPath {
    id: String,
}

/// Revoke an agent token
///
/// Connections that came with it are closed at once.
#[utoipa::path(
    delete,
    path = "/api/v1/projects/{project}/agent-tokens/{id}",
    operation_id = "delete_agent_token",
    tag = "access",
    params(("project" = String, Path), ("id" = String, Path)),
    responses((status = 204, description = "Revoked"))
)]
pub(in crate::api) async fn revoke(
    access: RequireAdmin,
    State(brain): State<Brain>,
    Named(TokenPath { id }): Named<TokenPath>,
) -> Result<StatusCode, Problem> {
    let audit = NewAudit {
        actor: access.actor(),
        action: "revoke_agent_token".to_owned(),
        target: Some(id.clone()),
        detail: None,
    };
    if !brain.store.revoke_agent_token(access.project.id, &id, audit, clock::now()).await? {
        return Err(Problem::not_found("agent token", format!("There is no agent token with the id {id}.")));
    }
    // First in the store, so that whoever is thrown out cannot come back.
    brain.connections.revoke_token(&id);
    brain.replicas.tell(None, Message::TokenRevoked { id });
    Ok(StatusCode::NO_CONTENT)
}
