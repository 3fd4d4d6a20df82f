//! Issuing: used by the API and, directly on the store, by the command line.

use taskplane_model::Timestamp;
use taskplane_model::access::Role;
use taskplane_model::time::MINUTE;
use taskplane_store::access::{AgentToken, NewAudit, Project};
use taskplane_store::{AccessStore, StoreError};
use thiserror::Error;

use super::secret::{NoRandomness, Secret, SecretKind};

/// How long a sign-in link can be used.
const LINK_LIFE: i64 = 15 * MINUTE;
/// Longest name of an agent, as in the protocol.
const MAX_NAME_BYTES: usize = taskplane_protocol::limits::MAX_NAME_BYTES;

/// Why nothing was issued.
#[derive(Debug, Error)]
pub enum IssueError {
    /// No project of this name.
    #[error("there is no project called \"{0}\"")]
    NoProject(String),
    /// Not a name for an agent.
    #[error("an agent's name has 1 to {MAX_NAME_BYTES} bytes and no control characters")]
    BadAgentName,
    /// No randomness.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Issues an agent token for a project, bound to one agent's name if there is one. Returns the token.
///
/// # Errors
/// When nothing was issued.
pub async fn issue_agent_token(
    store: &dyn AccessStore,
    project: &str,
    agent: Option<&str>,
    actor: &str,
    now: Timestamp,
) -> Result<String, IssueError> {
    let project = find_project(store, project).await?;
    let (_, token) = new_agent_token(store, project.id, agent, actor, now).await?;
    Ok(token.into_exposed())
}

/// Issues an agent token; returns what may be shown later, and the token itself.
pub(crate) async fn new_agent_token(
    store: &dyn AccessStore,
    project: u64,
    agent: Option<&str>,
    actor: &str,
    now: Timestamp,
) -> Result<(AgentToken, Secret), IssueError> {
    let is_name = |name: &str| !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.contains(char::is_control);
    if agent.is_some_and(|name| !is_name(name)) {
        return Err(IssueError::BadAgentName);
    }
    let token = Secret::generate(SecretKind::AgentToken)?;
    let audit = NewAudit {
        actor: actor.to_owned(),
        action: "create_agent_token".to_owned(),
        target: agent.map(str::to_owned),
        detail: None,
    };
    let row = store.create_agent_token(project, agent, token.hash(), audit, now).await?;
    Ok((row, token))
}

/// Issues an API key with a role in a project. Returns the key.
///
/// # Errors
/// When nothing was issued.
pub async fn issue_api_key(
    store: &dyn AccessStore,
    project: &str,
    role: Role,
    actor: &str,
    now: Timestamp,
) -> Result<String, IssueError> {
    let project = find_project(store, project).await?;
    let key = Secret::generate(SecretKind::ApiKey)?;
    let audit = NewAudit {
        actor: actor.to_owned(),
        action: "create_api_key".to_owned(),
        target: None,
        detail: Some(format!("role {role}")),
    };
    store.create_api_key(project.id, role, key.hash(), audit, now).await?;
    Ok(key.into_exposed())
}

/// Issues a link that signs one browser in as admin, once, within 15 minutes. Returns the URL.
///
/// # Errors
/// When nothing was issued.
pub async fn issue_signin_link(store: &dyn AccessStore, base_url: &str, now: Timestamp) -> Result<String, IssueError> {
    let link = Secret::generate(SecretKind::SigninLink)?;
    store.create_signin_link(link.hash(), Role::Admin, now.plus(LINK_LIFE), now).await?;
    Ok(format!("{}/signin?token={}", base_url.trim_end_matches('/'), link.expose()))
}

/// True when nobody could ever sign in: the brain should print a sign-in link.
///
/// # Errors
/// When the store cannot say.
pub async fn is_first_start(store: &dyn AccessStore) -> Result<bool, StoreError> {
    store.is_unclaimed().await
}

async fn find_project(store: &dyn AccessStore, name: &str) -> Result<Project, IssueError> {
    store.project(name).await?.ok_or_else(|| IssueError::NoProject(name.to_owned()))
}
