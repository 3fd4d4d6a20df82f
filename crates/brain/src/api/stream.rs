//! `GET stream`: Server-Sent Events.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use utoipa::IntoParams;

use super::extract::Params;
use super::{ApiState, Problem};
use crate::auth::{Principal, RequireViewer};
use crate::brain::Brain;
use crate::clock;
use crate::live::{Next, Subscription, Topic};

/// Silence after which a comment is sent, so that proxies keep the connection and browsers notice when it breaks.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How often it is checked that the reader may still read.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// How long a browser waits before it comes back, in milliseconds.
const RETRY_MS: u64 = 2_000;
const COMMENT: Bytes = Bytes::from_static(b":\n\n");
const RESYNC: Bytes = Bytes::from_static(b"event: resync\ndata: {}\n\n");

/// What to tell of.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamParams {
    /// Topics, comma-separated: `tasks`, `commands`, `agents`, `workers`, `queues`, `bulk`. Normally all.
    #[param(example = "tasks,commands")]
    topics: Option<String>,
    /// Id of the last event seen, where the header `Last-Event-ID` cannot be sent.
    last_event_id: Option<String>,
}

/// The live stream
///
/// Server-Sent Events: `hello` first, then `tasks`, `commands`, `agents`, `workers`, `queues` and `bulk` with what changed, at most
/// four a second each. Resumes after `Last-Event-ID`; where that is not possible, `resync` tells to fetch everything again.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/stream",
    operation_id = "stream",
    tag = "live",
    params(("project" = String, Path), StreamParams),
    responses((status = 200, description = "Events, until one side ends it", body = String, content_type = "text/event-stream"))
)]
pub(super) async fn stream(
    access: RequireViewer,
    State(state): State<ApiState>,
    headers: HeaderMap,
    Params(params): Params<StreamParams>,
) -> Result<Response, Problem> {
    let topics = topics(params.topics.as_deref().unwrap_or_default())?;
    let permit = state.streams.try_acquire_owned().map_err(|_| {
        Problem::overloaded("too_many_streams", "Too many live streams are open. Close some, or fetch instead.")
    })?;
    let last_event_id = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let last_event_id = last_event_id.or(params.last_event_id.as_deref()).filter(|id| !id.is_empty());
    let brain = state.brain;
    let mut check = tokio::time::interval_at(Instant::now() + CHECK_EVERY, CHECK_EVERY);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let reader = Reader {
        subscription: brain.live.subscribe(access.project.id, topics, last_event_id),
        principal: access.principal.clone(),
        brain,
        check,
        greeted: false,
        _permit: permit,
    };
    let events = stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((Ok::<_, Infallible>(event), reader))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // nginx would otherwise keep events back until it has a buffer full.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(events)).into_response())
}

fn topics(text: &str) -> Result<BTreeSet<Topic>, Problem> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let topic = |name: &str| {
        Topic::from_name(name).ok_or_else(|| {
            let known = Topic::ALL.map(Topic::name).join(", ");
            let detail = format!("There is no topic \"{name}\"; the topics are {known}.");
            Problem::new(StatusCode::BAD_REQUEST, "unknown_topic", detail)
        })
    };
    let chosen: BTreeSet<Topic> = names.map(topic).collect::<Result<_, _>>()?;
    Ok(if chosen.is_empty() { Topic::ALL.into_iter().collect() } else { chosen })
}

/// One open stream.
struct Reader {
    brain: Brain,
    principal: Principal,
    subscription: Subscription,
    check: Interval,
    greeted: bool,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    /// The next event, as it is sent; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.greeted, true) {
            let hello = serde_json::json!({ "epoch": self.brain.live.epoch() });
            return Some(format!("event: hello\ndata: {hello}\nretry: {RETRY_MS}\n\n").into());
        }
        let silent_until = Instant::now() + KEEP_ALIVE;
        loop {
            tokio::select! {
                // Open streams would keep the server from stopping.
                () = self.brain.stop.cancelled() => return None,
                _ = self.check.tick() => {
                    if !self.may_read().await {
                        return None;
                    }
                }
                () = tokio::time::sleep_until(silent_until) => return Some(COMMENT),
                next = self.subscription.next() => match next {
                    Next::Event(event) => return Some(event.frame),
                    Next::Resync => return Some(RESYNC),
                },
            }
        }
    }

    async fn may_read(&self) -> bool {
        match self.principal.is_still_valid(&*self.brain.store, clock::now()).await {
            Ok(valid) => valid,
            Err(error) => {
                // The store being away for a moment is no reason to throw everybody out.
                tracing::warn!(%error, "could not check whether a stream's reader may still read");
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_chosen_by_name_and_all_without_a_choice() {
        assert_eq!(topics(" ,").expect("all").len(), Topic::ALL.len());
        let chosen: Vec<Topic> = topics("queues, tasks").expect("two").into_iter().collect();
        assert_eq!(chosen, [Topic::Tasks, Topic::Queues]);
        assert!(topics("tasks,nonsense").is_err());
    }
}
