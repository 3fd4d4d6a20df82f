//! What needs someone.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taskplane_brain::{clock, problems};
use taskplane_model::Timestamp;
use taskplane_model::time::{MINUTE, SECOND};

use crate::agent::{Agent, rich};
use crate::brain::{SOON, TestBrain, until};
use crate::events::event_with;

/// An event of a worker or a queue.
fn told(event_type: &str, at: Timestamp, more: Value) -> Value {
    let mut event = json!({ "event_type": event_type, "ts": at.to_string(), "engine": "celery" });
    event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    event
}

/// A worker that consumes `emails`, and has begun so many tasks.
fn heartbeat(at: Timestamp, processed: u64) -> Value {
    let facts = json!({
        "worker": "w1", "queues": ["emails"], "concurrency": 2, "active": 0, "processed": processed, "visibility_timeout_s": 3600
    });
    told("worker_heartbeat", at, facts)
}

fn sample(at: Timestamp, depth: u64, consumers: u64) -> Value {
    told("queue_stats", at, json!({ "queue": "emails", "depth": depth, "consumers": consumers }))
}

/// Kind and subject of each problem.
async fn kinds(brain: &TestBrain) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let found = brain.items("problems").await;
    found.iter().map(|problem| (text(&problem["kind"]), text(&problem["subject"]["name"]))).collect()
}

/// Titles of the problems at a time of the test's own.
async fn titles_at(brain: &TestBrain, now: Timestamp) -> Vec<String> {
    let found = problems::look(&brain.brain, 1, now).await.expect("can be looked at");
    found.into_iter().map(|problem| problem.title).collect()
}

/// What a story finds that has times of its own. The brain looks by itself as well, every five seconds of the real time, which is
/// another: a story that this may have come into, since the machine was slow, is told again.
async fn undisturbed(story: impl AsyncFn(&TestBrain) -> Vec<Vec<String>>) -> Vec<Vec<String>> {
    for _ in 0..20 {
        let began = Instant::now();
        let brain = TestBrain::start().await;
        let found = story(&brain).await;
        if began.elapsed() < Duration::from_secs(5) {
            return found;
        }
    }
    panic!("the machine is too slow for this story");
}

#[tokio::test]
async fn where_all_is_well_there_is_none() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &rich("web", "i1"), 0).await;
    let now = clock::now();
    agent.tell(1, json!([heartbeat(now, 7), sample(now, 3, 1)])).await;
    assert_eq!(kinds(&brain).await, []);
}

#[tokio::test]
async fn what_needs_someone_is_listed_the_worst_first() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &rich("web", "i1"), 0).await;
    let now = clock::now();
    let events = json!([
        { "task_id": "no event type" },
        told("worker_heartbeat", now, json!({ "worker": "w1", "queues": ["other"], "task_events": false })),
        told("worker_offline", now, json!({ "worker": "w2", "active": 2 })),
        sample(now, 34, 0),
    ]);
    agent.tell(1, events).await;
    let expected =
        [("queue_unconsumed", "emails"), ("worker_offline", "w2"), ("quarantine", "web"), ("events_off", "w1")];
    let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter().map(|(kind, name)| ((*kind).to_owned(), (*name).to_owned())).collect()
    };
    assert_eq!(kinds(&brain).await, pairs(&expected));
    let unconsumed = &brain.items("problems").await[0];
    assert_eq!((&unconsumed["severity"], &unconsumed["title"]), (&json!("error"), &json!("No worker consumes emails")));
    assert_eq!(unconsumed["subject"], json!({ "type": "queue", "name": "emails", "engine": "celery" }));
    assert_eq!((&unconsumed["cause"], &unconsumed["since"]), (&json!("34 tasks wait."), &json!(null)));
    assert!(unconsumed["remedy"].is_string());

    agent.vanish();
    until("the agent is missed", SOON, async || {
        let found = brain.items("problems").await;
        let is_told = found[0]["kind"] == "agent_offline" && found[0]["since"].is_string();
        is_told.then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_takes_no_tasks_while_its_queue_waits_is_named() {
    // It has begun one after 130 s.
    let looks: Vec<(i64, u64)> = (0..=120).step_by(10).map(|seconds| (seconds, 7)).chain([(130, 8)]).collect();
    let found = undisturbed(async |brain| {
        let mut agent = Agent::open(brain, &rich("web", "i1"), 0).await;
        let began = clock::now();
        let mut found = Vec::new();
        for (seq, (seconds, processed)) in (1..).zip(&looks) {
            let at = began.plus(seconds * SECOND);
            agent.tell(seq, json!([heartbeat(at, *processed), sample(at, 34, 1)])).await;
            problems::look_on(&brain.brain, 1, at).await.expect("can be looked at");
            found.push(titles_at(brain, at).await);
        }
        found
    })
    .await;
    for ((seconds, _), found) in looks.iter().zip(found) {
        let expected: &[&str] = if (61..130).contains(seconds) { &["Worker w1 takes no tasks"] } else { &[] };
        assert_eq!(found, expected, "after {seconds} s");
    }
}

#[tokio::test]
async fn an_eta_beyond_the_visibility_timeout_is_found() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &rich("web", "i1"), 0).await;
    let now = clock::now();
    let held = |task_id: &str, hours: i64| {
        let eta = now.plus(hours * 60 * MINUTE + MINUTE).to_string();
        event_with("task_received", task_id, json!({ "worker": "w1", "queue": "emails", "eta": eta }))
    };
    agent.tell(1, json!([heartbeat(now, 7), held("near", 0), held("far", 1), held("furthest", 9)])).await;
    assert_eq!(kinds(&brain).await, []);
    problems::look_closer(&brain.brain, 1, now).await.expect("can be looked at");
    let found = brain.items("problems").await;
    assert_eq!(
        (found.len(), &found[0]["kind"], &found[0]["severity"]),
        (1, &json!("eta_beyond_visibility"), &json!("warning"))
    );
    let cause = found[0]["cause"].as_str().expect("text");
    assert!(
        found[0]["title"].as_str().is_some_and(|title| title.contains("2 tasks")) && cause.contains("furthest"),
        "{found:?}"
    );
    assert!(found[0]["remedy"].as_str().is_some_and(|remedy| remedy.contains("broker_transport_options")));
}

#[tokio::test]
async fn a_worker_of_whose_tasks_nothing_is_heard_is_named_until_something_is() {
    let found = undisturbed(async |brain| {
        let mut agent = Agent::open(brain, &rich("web", "i1"), 0).await;
        let began = clock::now();
        let at = |seconds: i64| began.plus(seconds * SECOND);
        let begun = event_with("task_started", "t1", json!({ "worker": "w1", "ts": at(50).to_string() }));
        let mut found = Vec::new();
        for (seq, (seconds, more)) in (1..).zip([(0, vec![]), (20, vec![]), (40, vec![]), (60, vec![begun])]) {
            let events = [vec![heartbeat(at(seconds), seconds as u64)], more].concat();
            agent.tell(seq, Value::from(events)).await;
            problems::look_on(&brain.brain, 1, at(seconds)).await.expect("can be looked at");
            problems::look_closer(&brain.brain, 1, at(seconds)).await.expect("can be looked at");
            found.push(titles_at(brain, at(seconds)).await);
        }
        found
    })
    .await;
    let named = vec!["No task events are heard from worker w1".to_owned()];
    assert_eq!(found, [vec![], vec![], named, vec![]]);
}

#[tokio::test]
async fn workers_of_an_agent_that_is_away_are_not_told_one_by_one() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &rich("web", "i1"), 0).await;
    agent.tell(1, json!([heartbeat(clock::now().plus(-2 * MINUTE), 7)])).await;
    let of = |kind: &str, name: &str| vec![(kind.to_owned(), name.to_owned())];
    assert_eq!(kinds(&brain).await, of("worker_silent", "w1"));
    drop(agent);
    let away = async || Some(kinds(&brain).await).filter(|kinds| *kinds == of("agent_offline", "web"));
    until("the agent alone", SOON, away).await;
}
