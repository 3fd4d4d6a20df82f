//! `GET agents`.

use axum::Json;
use axum::extract::State;

use crate::api::Problem;
use crate::api::types::{Agent, AgentPage};
use crate::auth::RequireViewer;
use crate::brain::Brain;

/// Agents
///
/// All of them, by name, with what they said of themselves and whether they are connected.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/agents",
    operation_id = "list_agents",
    tag = "fleet",
    params(("project" = String, Path)),
    responses((status = 200, description = "All agents", body = AgentPage))
)]
pub(in crate::api) async fn agents(
    access: RequireViewer,
    State(brain): State<Brain>,
) -> Result<Json<AgentPage>, Problem> {
    let agents = brain.store.agents(access.project.id).await?;
    let with_presence = |agent: taskplane_model::agent::Agent| {
        let presence = brain.replicas.presence(&brain.connections, agent.id);
        Agent::new(agent, presence)
    };
    Ok(Json(AgentPage { items: agents.into_iter().map(with_presence).collect(), next_cursor: None }))
}
