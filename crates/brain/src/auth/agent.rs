//! Agents: a token opens the stream of one project.

use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use taskplane_store::access::{SecretHash, TokenGrant};
use taskplane_store::{AccessStore, StoreError};
use thiserror::Error;

use super::secret::{Secret, SecretKind};
use crate::api::Problem;

/// Why an agent was not let in.
#[derive(Debug, Error)]
pub enum Unauthorized {
    /// No `Authorization` header.
    #[error("no agent token was given; send the header Authorization: Bearer <agent token>")]
    Missing,
    /// Not a bearer token, or not of an agent token's form.
    #[error("this is not an agent token; make one with: taskplane token create")]
    Malformed,
    /// Never issued, or revoked.
    #[error("this agent token is unknown or revoked; make a new one with: taskplane token create")]
    Unknown,
    /// The store could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl IntoResponse for Unauthorized {
    fn into_response(self) -> Response {
        match self {
            Self::Store(error) => Problem::from(error).into_response(),
            refusal => Problem::unauthorized(refusal.to_string()).into_response(),
        }
    }
}

/// The hash of the agent token in an `Authorization` header.
///
/// # Errors
/// When there is none.
pub fn agent_token(header: Option<&HeaderValue>) -> Result<SecretHash, Unauthorized> {
    let header = header.ok_or(Unauthorized::Missing)?;
    let token =
        bearer(header).and_then(|text| Secret::parse(SecretKind::AgentToken, text)).ok_or(Unauthorized::Malformed)?;
    Ok(token.hash())
}

/// What an agent token opens.
///
/// # Errors
/// When it opens nothing, or the store cannot say.
pub async fn agent_grant(store: &dyn AccessStore, token: SecretHash) -> Result<TokenGrant, Unauthorized> {
    store.agent_token(token).await?.ok_or(Unauthorized::Unknown)
}

/// The token of an `Authorization` header; the scheme's case does not matter (RFC 9110, 11.1).
pub(super) fn bearer(header: &HeaderValue) -> Option<&str> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
