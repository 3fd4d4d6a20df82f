//! Who is let in.

use std::time::Instant;

use hyper::Method;

use crate::http::{self, Answer};
use crate::probe::{Probe, batch, new_stream, patiently};
use crate::rule::rules;
use crate::socket::PATIENCE;
use crate::verdict::{Failure, Verdict};

rules! {
    "handshake.no-token", "authentication", "A handshake without a token is answered with 401 and WWW-Authenticate: Bearer.", no_token;
    "handshake.malformed-token", "authentication", "A handshake whose Authorization header is no bearer token is answered with 401.", malformed;
    "handshake.unknown-token", "authentication", "A handshake with a token that was never issued is answered with 401.", unknown;
    "handshake.accepted", "authentication", "A handshake with a valid token is upgraded, whatever the letter case of the scheme.", accepted;
    "token.revoked", "close-codes", "When its token is revoked, a connection is closed with 4003, and the token is not accepted again.", revoked;
    "token.bound", "authentication", "A token that is bound to an agent's name is of no use to another: 4003.", bound;
}

const UPGRADE: &[(&str, &str)] = &[
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

async fn handshake(probe: &Probe, authorization: Option<&str>) -> Result<Answer, Failure> {
    let headers: Vec<_> = UPGRADE.iter().copied().chain(authorization.map(|value| ("authorization", value))).collect();
    patiently(async || http::request(&probe.brain.endpoint, Method::GET, "/ws", &headers, String::new()).await).await
}

/// That an answer refuses, and says how to do better.
pub(super) fn refused(answer: &Answer) -> Verdict {
    if matches!(answer.status, 429 | 503) {
        return Err(Failure::untested(format!("the brain is too busy to say: {}", answer.status)));
    }
    let challenge = answer.header("www-authenticate");
    let names_bearer = challenge.split([' ', ',']).next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"));
    match (answer.status, names_bearer) {
        (401, true) => Ok(format!("401, WWW-Authenticate: {challenge}")),
        (401, false) => Err(Failure::broken(format!("401 with WWW-Authenticate \"{challenge}\"; it must name Bearer"))),
        (status, _) => Err(Failure::broken(format!("HTTP {status}"))),
    }
}

async fn no_token(probe: Probe) -> Verdict {
    refused(&handshake(&probe, None).await?)
}

async fn malformed(probe: Probe) -> Verdict {
    let token = &probe.brain.token;
    for value in ["Bearer", "Bearer !", &format!("Basic {token}"), token] {
        // The header is not repeated: it may hold the real token.
        let what = if value.starts_with("Bearer") { value } else { "another scheme, or none" };
        refused(&handshake(&probe, Some(value)).await?).map_err(|failure| failure.at(what))?;
    }
    Ok("401 for an empty and a nonsensical token, another scheme, and none".to_owned())
}

async fn unknown(probe: Probe) -> Verdict {
    // As a token of this brain looks, but another one.
    let mut other: Vec<char> = probe.brain.token.chars().collect();
    if let Some(last) = other.last_mut() {
        *last = if *last == 'x' { 'y' } else { 'x' };
    }
    let other: String = other.into_iter().collect();
    refused(&handshake(&probe, Some(&format!("Bearer {other}"))).await?)
}

async fn accepted(probe: Probe) -> Verdict {
    for scheme in ["Bearer", "bearer"] {
        let answer = handshake(&probe, Some(&format!("{scheme} {}", probe.brain.token))).await?;
        if answer.status != 101 {
            return Err(Failure::broken(format!("HTTP {} for the scheme {scheme}", answer.status)));
        }
    }
    Ok("101".to_owned())
}

async fn revoked(probe: Probe) -> Verdict {
    let (probe, id) = probe.with_new_token(None).await?;
    let (mut socket, _) = probe.open(&new_stream()).await?;
    socket.deliver(&batch(1, &probe.task("revoked"))).await?;
    let began = Instant::now();
    probe.revoke_token(&id).await?;
    let seen = socket.closed_with(4003, PATIENCE).await?;
    let after = began.elapsed().as_secs_f64();
    let answer = handshake(&probe, Some(&probe.authorization())).await?;
    refused(&answer).map_err(|failure| failure.at("on the next handshake"))?;
    Ok(format!("{seen} after {after:.1} s, and 401 on the next handshake"))
}

async fn bound(probe: Probe) -> Verdict {
    let other = format!("{}-other", probe.agent);
    let (bound, id) = probe.with_new_token(Some(&other)).await?;
    let mut socket = bound.connect().await?;
    socket.send(&bound.hello(&new_stream())).await?;
    let seen = socket.closed_with(4003, PATIENCE).await?;
    let right = Probe { agent: other, ..bound };
    right.open(&new_stream()).await.map_err(|failure| failure.at("the agent that it is bound to"))?;
    probe.revoke_token(&id).await?;
    Ok(format!("{seen}; the agent that it is bound to is let in"))
}
