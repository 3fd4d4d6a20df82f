//! `POST /ws/longpoll`.

use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use prometheus_client::metrics::gauge::Gauge;
use serde::Deserialize;
use taskplane_protocol::close::CloseCode;
use taskplane_protocol::limits::{LONGPOLL_MAX_WAIT, LONGPOLL_WAIT};
use tokio::time::Instant;

use super::answer::{self, SESSION};
use super::body::{Line, Lines};
use super::forward::forward;
use super::session::{Answer, Request, Session};
use super::session_id;
use super::wire::LongPollWire;
use crate::api::Problem;
use crate::brain::Brain;
use crate::client_address::ClientAddress;
use crate::gateway::connection::{Admitted, serve};
use crate::gateway::door::{admit, authenticate};
use crate::gateway::wire::Incoming;
use crate::peers::PEER;

#[derive(Deserialize)]
pub(crate) struct Wait {
    /// Seconds.
    wait: Option<u64>,
}

/// How long it takes at most until the session of a revoked token is closed.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

impl Wait {
    fn duration(&self) -> Duration {
        self.wait.map_or(LONGPOLL_WAIT, |seconds| Duration::from_secs(seconds).min(LONGPOLL_MAX_WAIT))
    }
}

/// `POST /ws/longpoll`: takes frames, and answers with frames.
pub(crate) async fn poll(
    State(brain): State<Brain>,
    client: ClientAddress,
    wait: Result<Query<Wait>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let client = brain.peers.client(client, &headers);
    let Some(named) = headers.get(SESSION) else {
        return match (admit(&brain, client, &headers).await, wait) {
            (Err(refusal), _) => refusal,
            (Ok(_), Err(_)) => bad_wait(),
            (Ok(admitted), Ok(wait)) => begin(brain, admitted, Lines::of(body), wait.duration()).await,
        };
    };
    let named = named.to_str().unwrap_or_default();
    let session = brain.longpolls.find(named);
    let token = match authenticate(&brain, client, &headers).await {
        Ok((token, _)) => token,
        Err((unknown, refusal)) => {
            // Whoever knows the token may still hear what its session was closed with: that it was revoked.
            let session = session.filter(|session| Some(session.owner) == unknown);
            let close = match session {
                Some(session) => tokio::time::timeout(CLOSE_WITHIN, close_of(&session)).await.ok(),
                None => None,
            };
            return close.map_or(refusal, |(code, reason)| answer::closed(code, &reason));
        }
    };
    match (session.filter(|session| session.owner == token), wait) {
        (None, wait) => elsewhere(&brain, named, client, wait, &headers, body).await,
        (Some(_), Err(_)) => bad_wait(),
        (Some(session), Ok(wait)) => exchange(&brain, session.request(), Lines::of(body), wait.duration()).await,
    }
}

/// A request of a session that this brain does not have: perhaps another one does.
async fn elsewhere(
    brain: &Brain,
    named: &str,
    client: ClientAddress,
    wait: Result<Query<Wait>, QueryRejection>,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    // What was passed on once stays where it is, whoever claims to have done it.
    let run = session_id::run(named).filter(|_| !headers.contains_key(PEER));
    let peer = match run {
        Some(run) => brain.peers.find(run).await,
        None => None,
    };
    match (peer, wait) {
        (None, _) => answer::gone(),
        (Some(_), Err(_)) => bad_wait(),
        (Some(peer), Ok(wait)) => forward(brain, &peer, client, headers, body, wait.duration()).await,
    }
}

/// What a session is closed with. A token that was revoked a moment ago is noticed here first, and its session soon after.
async fn close_of(session: &Session) -> (CloseCode, String) {
    loop {
        if let Some(close) = session.take_close() {
            return close;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn bad_wait() -> Response {
    Problem::bad_request("wait is a whole number of seconds").into_response()
}

/// The first request of a session.
async fn begin(brain: Brain, admitted: Admitted, mut lines: Lines, wait: Duration) -> Response {
    let first = match lines.next().await {
        Line::Came(incoming) => incoming,
        Line::TooSlow => return answer::too_slow(),
        Line::End | Line::TooMuch | Line::Broken => {
            return answer::closed(CloseCode::NoHello, "the first request of a session begins with hello");
        }
    };
    let opened = brain.longpolls.open(admitted.token, brain.door.limits().longpoll_sessions);
    let Some((session, arrivals)) = opened else {
        return answer::closed(CloseCode::Overloaded, "there are too many long-poll sessions");
    };
    let request = session.request();
    let wire = LongPollWire { session, arrivals, sessions: brain.longpolls.clone(), has_closed: false };
    brain.tasks.spawn(Box::pin(carry(brain.clone(), admitted, wire)));
    let _ = request.bring(first).await;
    exchange(&brain, request, lines, wait).await
}

async fn carry(brain: Brain, admitted: Admitted, wire: LongPollWire) {
    brain.metrics.longpoll_sessions.inc();
    serve(brain.clone(), admitted, wire).await;
    brain.metrics.longpoll_sessions.dec();
}

/// Takes what a request brings, and answers it.
async fn exchange(brain: &Brain, request: Request, mut lines: Lines, wait: Duration) -> Response {
    let turn = request.turn().await;
    let refusal = loop {
        let incoming = match lines.next().await {
            Line::Came(incoming) => incoming,
            Line::End => break None,
            // Nobody hears the answer; what there is to say waits for the next request.
            Line::Broken => break Some(answer::answer(request.session(), Answer::Nothing)),
            Line::TooMuch => break Some(answer::too_much()),
            Line::TooSlow => break Some(answer::too_slow()),
        };
        let is_last = !matches!(incoming, Incoming::Text(_));
        if request.bring(incoming).await.is_err() || is_last {
            lines.drain().await;
            break None;
        }
    };
    drop(turn);
    if let Some(refusal) = refusal {
        return refusal;
    }
    let _waiting = Waiting::begin(&brain.metrics.longpoll_waiting);
    let answer = request.answer(Instant::now() + wait).await;
    answer::answer(request.session(), answer)
}

/// Counts a request while it waits, also when it is given up.
struct Waiting<'a>(&'a Gauge);

impl<'a> Waiting<'a> {
    fn begin(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
