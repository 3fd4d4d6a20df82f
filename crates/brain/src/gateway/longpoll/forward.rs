//! Passing a request on to the brain that has its session. Behind a balancer, any request may come to any brain.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use taskplane_protocol::limits::MAX_FRAME_BYTES;
use tokio::time::{Instant, sleep_until, timeout};

use super::answer::{self, SESSION};
use super::body::MAX_BODY_BYTES;
use crate::api::Problem;
use crate::brain::Brain;
use crate::client_address::ClientAddress;
use crate::metrics::{ForwardLabels, Forwarded};
use crate::peers::{CLIENT, PEER, Peer};

/// How much longer than it may wait a request may take, once nothing of its body moves any more. An agent waits a little longer.
const PATIENCE: Duration = Duration::from_secs(25);
/// Most bytes of an answer, which is also what agents take.
const MAX_ANSWER_BYTES: usize = 2 * MAX_FRAME_BYTES;
/// Headers of an answer that are the agent's business.
const ANSWERED: [HeaderName; 5] =
    [header::CONTENT_TYPE, header::CACHE_CONTROL, header::RETRY_AFTER, header::WWW_AUTHENTICATE, SESSION];

/// Has the request answered by `peer`. When that cannot be, the session is as good as gone: the agent begins another one.
pub(super) async fn forward(
    brain: &Brain,
    peer: &Peer,
    client: ClientAddress,
    headers: &HeaderMap,
    body: Body,
    wait: Duration,
) -> Response {
    let count = |outcome| brain.metrics.longpolls_forwarded.get_or_create(&ForwardLabels { outcome }).inc();
    let Some(url) = &peer.url else {
        count(Forwarded::Unreachable);
        peer.complain("it has not said where it is reached");
        return answer::gone();
    };
    let Some(_room) = brain.peers.room() else {
        count(Forwarded::NoRoom);
        return Problem::overloaded("too_many_longpolls", "Too many long-polls are passed on at once.").into_response();
    };
    let flow = Flow::default();
    let mut request = brain.peers.http().post(format!("{url}/ws/longpoll?wait={}", wait.as_secs()));
    for name in [header::AUTHORIZATION, header::CONTENT_TYPE, SESSION] {
        if let Some(value) = headers.get(&name) {
            request = request.header(name, value);
        }
    }
    let request = request.header(PEER, &peer.key).header(CLIENT, client.0.to_string());
    let request = request.body(reqwest::Body::wrap_stream(flow.bounded(body)));
    let answered = tokio::select! {
        answered = request.send() => answered,
        () = flow.stalled(wait + PATIENCE) => {
            count(Forwarded::Unreachable);
            peer.complain("it did not answer in time");
            return answer::gone();
        }
    };
    match (answered, flow.ended_by()) {
        (Ok(answered), _) => {
            count(Forwarded::Answered);
            passed_back(answered)
        }
        (Err(_), Some(End::TooMuch)) => {
            count(Forwarded::Broken);
            answer::too_much()
        }
        // That the agent broke off is not the peer's fault, and nobody hears the answer.
        (Err(_), Some(End::Broken)) => {
            count(Forwarded::Broken);
            answer::gone()
        }
        (Err(error), None) => {
            count(Forwarded::Unreachable);
            peer.complain(&innermost(&error));
            answer::gone()
        }
    }
}

/// The peer's answer as ours.
fn passed_back(answered: reqwest::Response) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(answered.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    for name in ANSWERED {
        if let Some(value) = answered.headers().get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    let chunks = Box::pin(answered.bytes_stream());
    let bounded = stream::try_unfold((chunks, MAX_ANSWER_BYTES), |(mut chunks, left)| async move {
        let next = timeout(PATIENCE, chunks.next()).await.map_err(|_| std::io::ErrorKind::TimedOut)?;
        let Some(chunk) = next.transpose().map_err(std::io::Error::other)? else { return Ok(None) };
        let left = left.checked_sub(chunk.len()).ok_or(std::io::ErrorKind::FileTooLarge)?;
        Ok::<_, std::io::Error>(Some((chunk, (chunks, left))))
    });
    *response.body_mut() = Body::from_stream(bounded);
    response
}

/// Why a body has ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// There was too much of it.
    TooMuch,
    /// The agent's connection broke.
    Broken,
}

/// How a body flows through.
#[derive(Clone)]
struct Flow(Arc<Mutex<(Instant, Option<End>)>>);

impl Default for Flow {
    fn default() -> Self {
        Self(Arc::new(Mutex::new((Instant::now(), None))))
    }
}

impl Flow {
    /// The body, which ends with an error where it is longer than a body may be.
    fn bounded(&self, body: Body) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
        let (flow, mut read) = (self.clone(), 0);
        body.into_data_stream().map_err(std::io::Error::other).map(move |chunk| {
            read += chunk.as_ref().map_or(0, Bytes::len);
            let end = match &chunk {
                Err(_) => Some(End::Broken),
                Ok(_) if read > MAX_BODY_BYTES => Some(End::TooMuch),
                Ok(_) => None,
            };
            flow.set(end);
            match end {
                Some(End::TooMuch) => Err(std::io::ErrorKind::FileTooLarge.into()),
                _ => chunk,
            }
        })
    }

    /// Comes back when nothing has moved for so long.
    async fn stalled(&self, patience: Duration) {
        loop {
            let until = self.get().0 + patience;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }

    fn ended_by(&self) -> Option<End> {
        self.get().1
    }

    fn set(&self, end: Option<End>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), end);
    }

    fn get(&self) -> (Instant, Option<End>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is at the bottom of an error; what is above it names the URL and little else.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
