//! Who comes in, and what they may do.
//!
//! Four kinds of secrets, told apart by their prefix: agent tokens, API keys, sessions and sign-in links. Each is 32 random
//! bytes; the store only ever sees its SHA-256, and every lookup goes to the store, so that revoking works at once.
//! Handlers are authorised by type: one that takes `RequireOperator` cannot be reached by a viewer.

mod agent;
mod attempts;
mod issue;
mod principal;
mod secret;
mod signin;

pub use agent::{Unauthorized, agent_grant, agent_token};
pub(crate) use attempts::{FailedAttempts, PeerLimit};
pub(crate) use issue::new_agent_token;
pub use issue::{IssueError, is_first_start, issue_agent_token, issue_api_key, issue_signin_link};
pub(crate) use principal::{Principal, RequireAdmin, RequireOperator, RequireViewer};
pub use secret::{NoRandomness, Secret, SecretKind};
pub(crate) use signin::{end_session_cookie, router as signin_router};
