//! The live stream.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{Method, header};
use futures_util::StreamExt;
use serde_json::{Value, json};
use taskplane_brain::live::Topic;
use taskplane_model::access::Role;

use crate::brain::TestBrain;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Reader {
    body: BodyDataStream,
    text: String,
}

#[derive(Debug, PartialEq)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

async fn open(brain: &TestBrain, path: &str, last_event_id: Option<&str>) -> Reader {
    let request = brain.request(Role::Viewer, Method::GET, path);
    let request = last_event_id.into_iter().fold(request, |request, id| request.header("last-event-id", id));
    let request = request.header(header::ACCEPT_ENCODING, "gzip").body(Body::empty()).expect("a request");
    let response = brain.respond(request).await;
    assert_eq!(response.status(), 200);
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().expect("text"));
    assert_eq!(header("content-type"), Some("text/event-stream"));
    assert_eq!((header("cache-control"), header("x-accel-buffering")), (Some("no-store"), Some("no")));
    assert_eq!(header("content-encoding"), None, "compression would hold events back");
    Reader { body: response.into_body().into_data_stream(), text: String::new() }
}

impl Reader {
    async fn next(&mut self) -> Option<Event> {
        let event = loop {
            while !self.text.contains("\n\n") {
                let chunk = tokio::time::timeout(PATIENCE, self.body.next()).await.expect("in time")?;
                self.text.push_str(std::str::from_utf8(&chunk.expect("a chunk")).expect("text"));
            }
            let (event, rest) = self.text.split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned()))?;
            self.text = rest;
            // While nothing happens, comments keep the stream open.
            if !event.starts_with(':') {
                break event;
            }
        };
        let field = |name: &str| {
            let value = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.unwrap_or_default().trim().to_owned()
        };
        let data = serde_json::from_str(&field("data")).expect("JSON");
        Some(Event { name: field("event"), id: field("id"), data })
    }
}

async fn note(brain: &TestBrain, topic: Topic, number: u64) {
    brain.brain.live.note(brain.project_id().await, topic, format!("k{number}"), json!({ "n": number }));
}

#[tokio::test]
async fn a_reader_is_greeted_and_told_of_its_topics() {
    let brain = TestBrain::start().await;
    let mut reader = open(&brain, "stream?topics=queues,workers", None).await;
    let hello = reader.next().await.expect("hello");
    assert_eq!((hello.name.as_str(), &hello.data["epoch"]), ("hello", &json!(brain.brain.live.epoch())));
    note(&brain, Topic::Tasks, 1).await;
    note(&brain, Topic::Queues, 2).await;
    let event = reader.next().await.expect("an event");
    assert_eq!((event.name.as_str(), &event.data["items"]), ("queues", &json!([{ "n": 2 }])));
    assert!(event.id.starts_with(brain.brain.live.epoch()));
    brain.brain.stop.cancel();
    assert_eq!(reader.next().await, None, "the stream ends with the brain");
}

#[tokio::test]
async fn a_reader_resumes_where_it_was() {
    let brain = TestBrain::start().await;
    let mut reader = open(&brain, "stream", None).await;
    reader.next().await.expect("hello");
    note(&brain, Topic::Queues, 1).await;
    let seen = reader.next().await.expect("an event").id;
    drop(reader);
    note(&brain, Topic::Queues, 2).await;
    let by_query = format!("stream?last_event_id={seen}");
    for (path, header) in [("stream", Some(seen.as_str())), (by_query.as_str(), None)] {
        let mut reader = open(&brain, path, header).await;
        assert_eq!(reader.next().await.expect("hello").name, "hello");
        assert_eq!(reader.next().await.expect("what was missed").data["items"], json!([{ "n": 2 }]));
    }
}

#[tokio::test]
async fn a_reader_of_another_run_fetches_everything_again() {
    let brain = TestBrain::start().await;
    let mut reader = open(&brain, "stream", Some("elsewhere-7")).await;
    assert_eq!(reader.next().await.expect("hello").name, "hello");
    assert_eq!(
        reader.next().await.expect("resync"),
        Event { name: "resync".into(), id: String::new(), data: json!({}) }
    );
}

#[tokio::test]
async fn unknown_topics_are_refused() {
    let brain = TestBrain::start().await;
    assert_eq!(brain.get("stream?topics=tasks,weather").await.problem(400), "unknown_topic");
}
