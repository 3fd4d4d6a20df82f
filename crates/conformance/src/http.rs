//! One HTTP request on a connection of its own.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;

use crate::endpoint::Endpoint;
use crate::verdict::Failure;

/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 << 20;
/// How long an answer may take. A long-poll takes up to 55 s, and the rules ask for less.
const TIMEOUT: Duration = Duration::from_secs(40);

/// What the brain answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// A header as text; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Sends one request and reads the whole answer.
pub(crate) async fn request(
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: String,
) -> Result<Answer, Failure> {
    match tokio::time::timeout(TIMEOUT, exchange(endpoint, method.clone(), path, headers, body)).await {
        Ok(answer) => answer,
        Err(_) => Err(Failure::broken(format!("no answer to {method} {path} within 40 s"))),
    }
}

async fn exchange(
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: String,
) -> Result<Answer, Failure> {
    let failed = |what: &str, error: &dyn std::fmt::Display| Failure::broken(format!("{what} {path}: {error}"));
    let stream = endpoint.connect().await.map_err(|error| failed("connecting for", &error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed("asking", &error))?;
    let driver = tokio::spawn(connection);
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = method;
    *request.uri_mut() = endpoint.path(path).parse().map_err(|error| failed("the path", &error))?;
    let host = HeaderValue::from_str(endpoint.authority()).map_err(|error| failed("the host of", &error))?;
    request.headers_mut().insert(HOST, host);
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| failed("a header of", &error))?;
        let value = HeaderValue::from_str(value).map_err(|error| failed("a header of", &error))?;
        request.headers_mut().append(name, value);
    }
    let response = sender.send_request(request).await.map_err(|error| failed("asking", &error))?;
    let (head, body) = response.into_parts();
    // After an upgrade there is no end to what follows.
    let is_upgrade = head.status == hyper::StatusCode::SWITCHING_PROTOCOLS;
    let body = if is_upgrade { Bytes::new() } else { whole(body).await.map_err(|error| failed("reading", &error))? };
    drop(sender);
    driver.abort();
    Ok(Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

async fn whole(body: hyper::body::Incoming) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    Ok(Limited::new(body, MAX_ANSWER).collect().await?.to_bytes())
}
