//! Sessions and tokens.

use serde::{Deserialize, Serialize};
use taskplane_model::{self as model, Timestamp};
use taskplane_store::access;
use utoipa::ToSchema;

use super::page;

/// What somebody may do. Each role includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees everything, changes nothing.
    Viewer,
    /// Also gives commands to agents.
    Operator,
    /// Also issues and revokes tokens and keys.
    Admin,
}

impl From<model::access::Role> for Role {
    fn from(role: model::access::Role) -> Self {
        match role {
            model::access::Role::Viewer => Self::Viewer,
            model::access::Role::Operator => Self::Operator,
            model::access::Role::Admin => Self::Admin,
        }
    }
}

/// Who asks, and what they may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Session {
    /// Who.
    pub principal: String,
    /// What they may do.
    pub role: Role,
    /// The project to show first.
    pub project: String,
    /// All projects they may see.
    pub projects: Vec<String>,
    /// Version of the brain.
    pub version: String,
    /// When the session ends by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

/// An agent token as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AgentToken {
    /// Public id.
    pub id: String,
    /// The only agent that may use it, if it is bound to one.
    pub agent: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl From<access::AgentToken> for AgentToken {
    fn from(token: access::AgentToken) -> Self {
        let access::AgentToken { id, agent, created_at } = token;
        Self { id, agent, created_at }
    }
}

page!(AgentTokenPage, AgentToken, "All agent tokens that are not revoked, newest first.");

/// An agent token to make.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct NewAgentToken {
    /// The only agent that may use it; without, any may.
    pub agent: Option<String>,
}

/// A new agent token. It is shown this once.
#[derive(Clone, Serialize, ToSchema)]
pub struct CreatedAgentToken {
    /// Public id.
    pub id: String,
    /// The token itself.
    pub token: String,
    /// The only agent that may use it, if it is bound to one.
    pub agent: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}
