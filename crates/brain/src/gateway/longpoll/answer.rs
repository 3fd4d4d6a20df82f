//! What a long-poll is answered.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use serde_json::json;
use taskplane_protocol::close::CloseCode;

use super::body::MAX_BODY_BYTES;
use super::session::{Answer, Session};

/// Names the session, in answers and in the requests after the first.
pub(super) const SESSION: HeaderName = HeaderName::from_static("taskplane-session");
const NDJSON: &str = "application/x-ndjson";

/// The answer to a request of `session`.
pub(super) fn answer(session: &Arc<Session>, answer: Answer) -> Response {
    match answer {
        Answer::Frames(frames) => frames_of(session, Body::new(Parcel { session: Arc::clone(session), frames })),
        Answer::Nothing => frames_of(session, Body::empty()),
        Answer::Closed(code, reason) => closed(code, &reason),
        Answer::Gone => gone(),
    }
}

fn frames_of(session: &Session, body: Body) -> Response {
    let headers = [(header::CONTENT_TYPE, NDJSON), (header::CACHE_CONTROL, "no-store"), (SESSION, &session.id)];
    (headers, body).into_response()
}

/// The session ended with a code.
pub(super) fn closed(code: CloseCode, reason: &str) -> Response {
    let number = code.number();
    match code {
        CloseCode::VersionMismatch => {
            refused(StatusCode::UPGRADE_REQUIRED, json!({ "error": "protocol_mismatch", "close_code": number }))
        }
        _ => refused(StatusCode::CONFLICT, json!({ "error": "closed", "close_code": number, "reason": reason })),
    }
}

/// There is no such session, or not any more, or it is another token's.
pub(super) fn gone() -> Response {
    refused(StatusCode::GONE, json!({ "error": "session_gone" }))
}

/// The body came too slowly. The session goes on; what came of it counts.
pub(super) fn too_slow() -> Response {
    refused(StatusCode::REQUEST_TIMEOUT, json!({ "error": "body_too_slow" }))
}

/// The body is too long. The session goes on; what came of it counts.
pub(super) fn too_much() -> Response {
    refused(StatusCode::PAYLOAD_TOO_LARGE, json!({ "error": "body_too_large", "max_bytes": MAX_BODY_BYTES }))
}

fn refused(status: StatusCode, body: serde_json::Value) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// Frames as a body, one a line. Dropped before anybody asked for its bytes, it gives them back.
struct Parcel {
    session: Arc<Session>,
    frames: Vec<String>,
}

impl hyper::body::Body for Parcel {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.frames.is_empty() {
            return Poll::Ready(None);
        }
        let mut text = std::mem::take(&mut self.frames).join("\n");
        text.push('\n');
        Poll::Ready(Some(Ok(Frame::data(text.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.frames.iter().map(|frame| frame.len() as u64 + 1).sum())
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        if !self.frames.is_empty() {
            self.session.put_back(std::mem::take(&mut self.frames));
        }
    }
}
