//! One request and its answer.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming as ResponseBody};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use taskplane_protocol::close::CloseCode;
use taskplane_protocol::limits::MAX_FRAME_BYTES;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::super::dial::Dialer;
use super::super::token::Token;
use super::super::transport::{ConnectError, Incoming, Refusal};

/// Names the session.
const SESSION: &str = "taskplane-session";
/// How much longer than agreed an answer may take, and the body on the way.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most bytes of an answer.
const MAX_ANSWER_BYTES: usize = 2 * MAX_FRAME_BYTES;

/// What to ask.
pub(super) struct Request {
    pub(super) session: Option<String>,
    /// Frames, one a line.
    pub(super) body: String,
    /// How long the brain may hold it.
    pub(super) wait: Duration,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Frames, maybe none.
    Frames {
        /// The session, where the brain names it.
        session: Option<String>,
        frames: Vec<String>,
    },
    /// The session is over.
    End(Incoming),
}

/// A connection that carries one request at a time. Opened when it is needed.
pub(super) struct Lane {
    dialer: Arc<Dialer>,
    authorization: String,
    open: Option<Open>,
}

struct Open {
    sender: SendRequest<Full<Bytes>>,
    _driver: AbortOnDropHandle<()>,
}

impl Lane {
    pub(super) fn new(dialer: Arc<Dialer>, token: &Token) -> Self {
        Self { dialer, authorization: token.authorization(), open: None }
    }

    /// Connects, unless it is connected.
    pub(super) async fn open(&mut self) -> Result<(), ConnectError> {
        if self.open.as_ref().is_some_and(|open| !open.sender.is_closed()) {
            return Ok(());
        }
        let stream = self.dialer.dial().await.map_err(|error| ConnectError::Unreachable(error.to_string()))?;
        let failed = |error: hyper::Error| ConnectError::Failed(error.to_string());
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(failed)?;
        let driver = AbortOnDropHandle::new(tokio::spawn(async move {
            // What goes wrong is told by the request as well.
            let _ = connection.await;
        }));
        self.open = Some(Open { sender, _driver: driver });
        Ok(())
    }

    /// Asks, and waits for the answer.
    pub(super) async fn exchange(mut self, request: Request) -> (Self, Answer) {
        let patience = request.wait + PATIENCE;
        let answer = match timeout(patience, self.ask(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(reason)) => Answer::End(Incoming::Broken(reason)),
            Err(_) => Answer::End(Incoming::Broken("the brain did not answer a long-poll in time".into())),
        };
        (self, answer)
    }

    async fn ask(&mut self, request: Request) -> Result<Answer, String> {
        let endpoint = self.dialer.endpoint();
        let uri = format!("{}?wait={}", endpoint.longpoll_path(), request.wait.as_secs());
        let mut builder = hyper::Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(header::HOST, endpoint.authority())
            .header(header::AUTHORIZATION, &self.authorization)
            .header(header::CONTENT_TYPE, "application/x-ndjson");
        if let Some(session) = request.session {
            builder = builder.header(SESSION, session);
        }
        // An empty body without a length is refused by strict proxies.
        builder = builder.header(header::CONTENT_LENGTH, request.body.len());
        let message = builder.body(Full::new(Bytes::from(request.body))).map_err(|error| error.to_string())?;
        self.open().await.map_err(|error| error.to_string())?;
        let Some(open) = &mut self.open else { return Err("there is no connection".into()) };
        open.sender.ready().await.map_err(|error| error.to_string())?;
        let response = open.sender.send_request(message).await.map_err(|error| error.to_string())?;
        read(response).await
    }
}

async fn read(response: Response<ResponseBody>) -> Result<Answer, String> {
    let (head, body) = response.into_parts();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let refusal = Refusal::from_status(head.status.as_u16(), header(header::RETRY_AFTER.as_str()));
    if let Some(refusal) = refusal {
        return Ok(Answer::End(Incoming::Refused(refusal)));
    }
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await.map_err(|error| error.to_string())?.to_bytes();
    Ok(answer(head.status, header(SESSION), &body))
}

fn answer(status: StatusCode, session: Option<&str>, body: &[u8]) -> Answer {
    let closed = |code: Option<u16>, reason: &str| Answer::End(Incoming::Closed(code, reason.to_owned()));
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let code = problem["close_code"].as_u64().and_then(|code| u16::try_from(code).ok());
    let reason = ["reason", "error"].into_iter().find_map(|name| problem[name].as_str()).unwrap_or_default();
    match status {
        StatusCode::OK => match std::str::from_utf8(body) {
            Ok(text) => Answer::Frames {
                session: session.map(str::to_owned),
                frames: text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect(),
            },
            Err(_) => Answer::End(Incoming::Broken("the brain answered what is not text".into())),
        },
        StatusCode::UPGRADE_REQUIRED if code.is_some() => closed(code, reason),
        StatusCode::CONFLICT => closed(code, reason),
        StatusCode::PAYLOAD_TOO_LARGE => closed(Some(CloseCode::TooLarge.number()), "the body is too large"),
        StatusCode::GONE => {
            Answer::End(Incoming::Broken("the long-poll session is gone: beginning another one".into()))
        }
        other => Answer::End(Incoming::Broken(format!("the brain answered a long-poll with {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end_of(status: u16, body: &str) -> Incoming {
        match answer(StatusCode::from_u16(status).expect("a status"), None, body.as_bytes()) {
            Answer::End(end) => end,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_status_has_its_meaning() {
        let closed = |code, reason: &str| Incoming::Closed(Some(code), reason.into());
        assert_eq!(
            answer(StatusCode::OK, Some("s"), b"{\"type\":\"ack\",\"seq\":1}\n\n{}"),
            Answer::Frames { session: Some("s".into()), frames: vec![r#"{"type":"ack","seq":1}"#.into(), "{}".into()] }
        );
        assert_eq!(
            end_of(426, r#"{"error":"protocol_mismatch","close_code":4001}"#),
            closed(4001, "protocol_mismatch")
        );
        assert_eq!(end_of(409, r#"{"error":"closed","close_code":4003,"reason":"revoked"}"#), closed(4003, "revoked"));
        assert_eq!(end_of(409, "no JSON"), Incoming::Closed(None, String::new()));
        assert_eq!(end_of(413, ""), closed(1009, "the body is too large"));
        for status in [404, 410, 426, 500, 502] {
            assert!(matches!(end_of(status, "{}"), Incoming::Broken(_)), "{status}");
        }
    }
}
