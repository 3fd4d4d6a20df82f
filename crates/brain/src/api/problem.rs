//! Errors as problem documents (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use taskplane_model::access::Role;
use taskplane_model::filter::FilterError;
use taskplane_store::StoreError;
use utoipa::ToSchema;

use crate::auth::IssueError;
use crate::commands::SubmitError;

/// Content type of a problem document.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";
/// Seconds after which a call that failed for a passing reason may succeed.
const RETRY_AFTER: u32 = 5;

/// Why something was not done.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDocument {
    /// Always `about:blank`: `code` tells problems apart.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The status in words.
    #[schema(example = "Bad Request")]
    title: &'static str,
    /// The status.
    #[schema(example = 400, value_type = i64)]
    status: u16,
    /// What is wrong and what to do, in sentences for people.
    detail: Option<String>,
    /// What is wrong, for programs; never changes.
    #[schema(example = "bad_filter")]
    code: Option<&'static str>,
}

/// A response that says why something was not done.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    header: Option<(header::HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem with a stable code and a sentence.
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), header: None }
    }

    /// The request makes no sense.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", detail)
    }

    /// What the path names does not exist; `what` is a noun.
    pub(crate) fn not_found(what: &'static str, detail: impl Into<String>) -> Self {
        let code = match what {
            "project" => "project_not_found",
            "task" => "task_not_found",
            "command" => "command_not_found",
            "schedule" => "schedule_not_found",
            "agent token" => "agent_token_not_found",
            "bulk job" => "bulk_job_not_found",
            _ => "not_found",
        };
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// No such task.
    pub(crate) fn no_such_task(engine: &str, task_id: &str) -> Self {
        Self::not_found(
            "task",
            format!("No {engine} task with the id {task_id} is known; it may be past its retention."),
        )
    }

    /// Whoever asks is not known.
    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail);
        Self { header: Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))), ..problem }
    }

    /// Neither a session nor an API key that works.
    pub(crate) fn signed_out() -> Self {
        Self::unauthorized(
            "Sign in with a link from `taskplane signin-link`, or send an API key from `taskplane api-key create` as \
             Authorization: Bearer <key>.",
        )
    }

    /// Too many wrong credentials from one address.
    pub(crate) fn too_many_attempts() -> Self {
        let detail = "Too many wrong credentials came from your address. Wait a minute, then try with the right ones.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", detail).retry_after(60)
    }

    /// Known, but not allowed.
    pub(crate) fn forbidden(needed: Role, has: Role) -> Self {
        let detail = format!("This needs the role {needed}; you have the role {has}.");
        Self::new(StatusCode::FORBIDDEN, "role_required", detail)
    }

    /// Too much is going on.
    pub(crate) fn overloaded(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(RETRY_AFTER)
    }

    /// A fault of ours. The cause goes to the log under an id, and only the id goes to the caller.
    pub(crate) fn internal(cause: &dyn std::fmt::Display) -> Self {
        let request_id = uuid::Uuid::new_v4().simple().to_string();
        tracing::error!(%request_id, %cause, "a request failed by a fault of the brain");
        let detail = format!("Something went wrong inside the brain. Its log says more; look for {request_id}.");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// What can be said of a bare status.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let (code, detail) = match status {
            StatusCode::NOT_FOUND => ("not_found", "There is nothing at this path. See /api/docs for what there is."),
            StatusCode::METHOD_NOT_ALLOWED => {
                ("method_not_allowed", "This path does not take this method; see /api/docs.")
            }
            StatusCode::PAYLOAD_TOO_LARGE => ("too_large", "The request's body is too large; the limit is 1 MiB."),
            StatusCode::REQUEST_TIMEOUT => ("timeout", "The request took too long to arrive."),
            _ if status.is_server_error() => ("internal", "Something went wrong inside the brain; see its log."),
            _ => ("bad_request", "The request was not understood."),
        };
        Self::new(status, code, detail)
    }

    /// The same, with the time in seconds after which to try again.
    pub(crate) fn retry_after(self, seconds: u32) -> Self {
        Self { header: Some((header::RETRY_AFTER, HeaderValue::from(seconds))), ..self }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_retryable() {
            tracing::warn!(%error, "a request failed because the store is not available");
            Self::overloaded(
                "store_unavailable",
                "The brain's database cannot be used at the moment. Try again shortly.",
            )
        } else {
            Self::internal(&error)
        }
    }
}

impl From<FilterError> for Problem {
    fn from(error: FilterError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_filter", format!("The filter is not understood: {error}."))
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::KeyInUse => Self::new(StatusCode::CONFLICT, "idempotency_key_in_use", error.to_string()),
            SubmitError::WhichAgent { .. } => {
                let mut detail = error.to_string();
                detail.push('.');
                Self::new(StatusCode::CONFLICT, "which_agent", detail)
            }
            SubmitError::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", error.to_string()),
            SubmitError::Store(error) => error.into(),
        }
    }
}

impl From<IssueError> for Problem {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Store(error) => error.into(),
            IssueError::NoRandomness(error) => Self::internal(&error),
            error @ IssueError::NoProject(_) => Self::not_found("project", error.to_string()),
            error @ IssueError::BadAgentName => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_agent_name", error.to_string())
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = ProblemDocument {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: Some(self.detail),
            code: Some(self.code),
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON))];
        let mut response = (self.status, content_type, body).into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_away_is_worth_another_try() {
        let response = Problem::from(StoreError::Unavailable("disk full at /secret/path".into())).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn faults_of_ours_do_not_tell_what_is_inside() {
        for error in [StoreError::Unavailable("/secret/path".into()), StoreError::Corrupt("/secret/path".into())] {
            let problem = Problem::from(error);
            assert!(!problem.detail.contains("secret"), "{}", problem.detail);
        }
    }
}
