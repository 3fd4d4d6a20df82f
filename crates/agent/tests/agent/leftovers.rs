//! What dead processes leave behind is delivered by a living one.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;
use taskplane_agent::buffer::{Buffer, BufferOptions};
use taskplane_model::Timestamp;

use crate::brain::{ScriptedBrain, Visit, task_ids};
use crate::engine::{config, ids, start};

/// A stream of a process that is dead, with one event in each of so many batches; and its id.
fn left_behind(owner: &str, dir: &Path, batches: usize, living: &mut Vec<Buffer>) -> String {
    let mut buffer = Buffer::open_for(owner, dir, BufferOptions::default()).expect("opens");
    for n in 0..batches {
        let event = json!({"event_type": "task_sent", "engine": "celery", "task_id": format!("t{n}")}).to_string();
        buffer.append(Timestamp(1_795_000_000_000_000), event.as_bytes());
        buffer.seal();
    }
    let id = buffer.stream_id().to_string();
    // As long as they live they do not take each other's.
    living.push(buffer);
    id
}

/// Waits for the next connection, of whichever stream, and says that the brain has everything up to `last`.
async fn welcomed(brain: &ScriptedBrain, last: u64) -> (String, Visit) {
    let mut visit = brain.visit().await;
    let hello = visit.frame().await;
    assert_eq!((&hello["type"], &hello["agent_name"]), (&json!("hello"), &json!("worker-1")));
    visit.ack(last).await;
    (hello["instance_id"].as_str().expect("an id").to_owned(), visit)
}

fn streams(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("streams")).expect("streams").count()
}

async fn until(what: impl Fn() -> bool) {
    crate::brain::soon(async {
        while !what() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn streams_of_dead_processes_are_delivered_under_their_own_names_and_then_removed() {
    let dir = tempfile::tempdir().expect("dir");
    let mut living = Vec::new();
    let left: Vec<String> = (0..5).map(|_| left_behind("worker-1", dir.path(), 3, &mut living)).collect();
    drop(living);
    let brain = ScriptedBrain::start().await;
    let agent = start(config(&brain.url(), dir.path()));
    let mut arrived: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut main = None;
    for _ in 0..5 {
        let (stream, mut visit) = welcomed(&brain, 0).await;
        let batches = visit.batches_of(3).await;
        assert_eq!(batches.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [1, 2, 3]);
        visit.ack(3).await;
        arrived.insert(stream.clone(), batches.iter().flat_map(|(_, text)| task_ids(text)).collect());
        if stream == agent.stream_id {
            main = Some(visit);
        } else {
            assert_eq!(visit.closed().await, Some(1000));
        }
    }
    assert_eq!(arrived, left.into_iter().map(|stream| (stream, ids(0, 3))).collect());
    until(|| streams(dir.path()) == 1).await;
    let mut main = main.expect("the agent's own stream is one of them");
    agent.sees_tasks(3, 4).await;
    assert_eq!(main.batch().await.0, 4);
    agent.stop().await;
}

#[tokio::test]
async fn a_process_that_dies_meanwhile_is_noticed_and_a_living_one_is_left_alone() {
    let dir = tempfile::tempdir().expect("dir");
    let mut living = Vec::new();
    let dying = left_behind("worker-1", dir.path(), 1, &mut living);
    let brain = ScriptedBrain::start().await;
    let agent = start(config(&brain.url(), dir.path()));
    let (own, mut main) = welcomed(&brain, 0).await;
    assert_ne!(own, dying);
    agent.sees_tasks(0, 1).await;
    main.batch().await;
    drop(living);
    let (stream, mut visit) = welcomed(&brain, 0).await;
    assert_eq!(stream, dying);
    // The connection breaks: it is tried again.
    visit.batch().await;
    drop(visit);
    let (stream, mut visit) = welcomed(&brain, 1).await;
    assert_eq!((stream, visit.closed().await), (dying, Some(1000)));
    until(|| streams(dir.path()) == 1).await;
    agent.stop().await;
}

#[tokio::test]
async fn the_streams_of_other_agents_are_left_alone() {
    let dir = tempfile::tempdir().expect("dir");
    left_behind("worker-2", dir.path(), 1, &mut Vec::new());
    let brain = ScriptedBrain::start().await;
    let agent = start(config(&brain.url(), dir.path()));
    welcomed(&brain, 0).await;
    let (stream, _visit) = welcomed(&brain, 0).await;
    assert_eq!(stream, agent.stream_id, "the first connection was dropped, and it is the only one");
    assert_eq!(streams(dir.path()), 2);
    agent.stop().await;
}

#[tokio::test]
async fn a_command_is_carried_out_over_any_connection_and_once() {
    let dir = tempfile::tempdir().expect("dir");
    let mut living = Vec::new();
    left_behind("worker-1", dir.path(), 1, &mut living);
    left_behind("worker-1", dir.path(), 1, &mut living);
    drop(living);
    let brain = ScriptedBrain::start().await;
    let agent = start(config(&brain.url(), dir.path()));
    let mut visits = Vec::new();
    for _ in 0..2 {
        let (stream, mut visit) = welcomed(&brain, 0).await;
        visit.batch().await;
        visits.push((stream, visit));
    }
    visits.sort_by_key(|(stream, _)| *stream == agent.stream_id);
    let done = json!({"type": "command_result", "cmd_id": "c1", "ok": true, "result": {"new_task_id": "t-1"}});
    for (_, visit) in &mut visits {
        visit.command("c1", "retry_task", json!({"task_id": "t", "engine": "celery"})).await;
        assert_eq!(visit.frame().await, done);
    }
    agent.stop().await;
}

#[tokio::test]
async fn what_is_not_delivered_when_the_agent_stops_stays() {
    let dir = tempfile::tempdir().expect("dir");
    let mut living = Vec::new();
    left_behind("worker-1", dir.path(), 1, &mut living);
    left_behind("worker-1", dir.path(), 1, &mut living);
    drop(living);
    let brain = ScriptedBrain::start().await;
    let agent = start(config(&brain.url(), dir.path()));
    let (_, mut first) = welcomed(&brain, 0).await;
    let (_, mut second) = welcomed(&brain, 0).await;
    first.batch().await;
    second.batch().await;
    agent.stop().await;
    assert_eq!(streams(dir.path()), 2);
}
