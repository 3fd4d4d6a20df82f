//! Agents' own certificates.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::brain::Brain;

/// Whether a connection came with a certificate that an agent needs. Browsers need none, so it is asked for and checked when
/// TLS is agreed on, but required only where agents come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AgentCertificate {
    /// Agents need none.
    NotAsked,
    /// It is signed by a CA that agents' certificates may come from.
    Given,
    /// There was none.
    Missing,
}

/// Lets nobody through who needs a certificate and has none. Of what another brain passes on, that one has looked at it.
pub(super) async fn required(State(brain): State<Brain>, request: Request, next: Next) -> Response {
    let is_missing = request.extensions().get() == Some(&AgentCertificate::Missing);
    if is_missing && !brain.peers.has_sent(request.headers()) {
        let why = "this brain wants a client certificate: give the agent one with --client-cert and --client-key\n";
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    next.run(request).await
}
