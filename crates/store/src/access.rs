//! Tokens, keys, sessions, audit.

use taskplane_model::Timestamp;
use taskplane_model::access::Role;

/// SHA-256 of a secret. Secrets have 256 bits of entropy, so a fast hash is enough; the secret itself is never stored.
pub type SecretHash = [u8; 32];

/// A project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Number.
    pub id: u64,
    /// Name.
    pub name: String,
}

/// An agent token as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentToken {
    /// Public id.
    pub id: String,
    /// The only agent that may use it, if it is bound to one.
    pub agent: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What an agent token opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenGrant {
    /// Public id of the token.
    pub token_id: String,
    /// Project.
    pub project: u64,
    /// The only agent that may use it, if it is bound to one.
    pub agent: Option<String>,
}

/// What an API key opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Public id.
    pub id: String,
    /// Project.
    pub project: u64,
    /// Role in it.
    pub role: Role,
}

/// What a session opens: every project, with one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionGrant {
    /// Public id.
    pub id: String,
    /// Role.
    pub role: Role,
    /// When it ends.
    pub expires: Timestamp,
}

/// Something that somebody did, to be recorded with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAudit {
    /// Who.
    pub actor: String,
    /// What, such as `retry_task`.
    pub action: String,
    /// To what.
    pub target: Option<String>,
    /// More, for people; never a secret.
    pub detail: Option<String>,
}

/// Something that somebody did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Number.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: NewAudit,
    /// The command that did it, if a command did.
    pub command_id: Option<String>,
}
