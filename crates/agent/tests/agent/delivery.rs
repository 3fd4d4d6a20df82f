//! What was seen arrives: once, in order, whatever happens to the connection.

use std::fs;
use std::path::Path;

use crate::brain::{ScriptedBrain, task_ids};
use crate::engine::{config, ids, start};

fn all_ids(batches: &[(u64, String)]) -> Vec<String> {
    batches.iter().flat_map(|(_, text)| task_ids(text)).collect()
}

#[tokio::test]
async fn the_first_frame_says_who_the_agent_is() {
    let dir = tempfile::tempdir().expect("dir");
    let brain = ScriptedBrain::start().await;
    let agent = start(config(&format!("{}/base/", brain.url()), dir.path()));
    let mut visit = brain.visit().await;
    assert_eq!((visit.path.as_str(), visit.authorization.as_str()), ("/base/ws", "Bearer tp_test"));
    let hello = visit.frame().await;
    assert_eq!(hello["type"], "hello");
    assert_eq!((hello["protocol"].as_str(), hello["agent_name"].as_str()), (Some("v1"), Some("worker-1")));
    assert_eq!(hello["instance_id"], agent.stream_id.as_str());
    assert_eq!(hello["framework"], "sidecar");
    assert_eq!(hello["engines"], serde_json::json!(["celery"]));
    assert_eq!(hello["capabilities"]["celery"]["native_retry"], true);
    assert_eq!(hello["metadata"]["pid"], std::process::id());
    visit.ack(0).await;
    agent.stop().await;
}

#[tokio::test]
async fn events_arrive_redacted_and_in_order() {
    let dir = tempfile::tempdir().expect("dir");
    let brain = ScriptedBrain::start().await;
    let agent = start(config(&brain.url(), dir.path()));
    let mut visit = brain.welcome(0).await;
    agent.sees_tasks(0, 1200).await;
    let mut batches = Vec::new();
    while all_ids(&batches).len() < 1200 {
        // Acked as they come: on a slow machine they are more than the window holds.
        let batch = visit.batch().await;
        visit.ack(batch.0).await;
        batches.push(batch);
    }
    assert_eq!(all_ids(&batches), ids(0, 1200));
    let seqs: Vec<u64> = batches.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    assert!(batches.iter().all(|(_, text)| text.contains("<email>") && !text.contains("example.com")));
    agent.stop().await;
}

#[tokio::test]
async fn what_was_not_acked_is_sent_again_byte_for_byte() {
    let dir = tempfile::tempdir().expect("dir");
    let brain = ScriptedBrain::start().await;
    let agent = start(config(&brain.url(), dir.path()));
    let mut visit = brain.welcome(0).await;
    agent.sees_tasks(0, 10).await;
    let mut sent = visit.batches_of(10).await;
    agent.sees_tasks(10, 20).await;
    sent.extend(visit.batches_of(10).await);
    drop(visit);

    let mut visit = brain.welcome(0).await;
    let again = visit.batches_of(20).await;
    assert_eq!(again, sent);
    drop(visit);

    let mut visit = brain.welcome(sent[0].0).await;
    let rest = visit.batches_of(20 - task_ids(&sent[0].1).len()).await;
    assert_eq!(rest, sent[1..]);
    visit.ack(rest.last().expect("a batch").0).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_brain_that_is_away_does_not_stop_the_observation() {
    let dir = tempfile::tempdir().expect("dir");
    let brain = ScriptedBrain::start().await;
    let url = brain.url();
    drop(brain);
    let agent = start(config(&url, dir.path()));
    // Far more than the channels between engine and buffer hold.
    agent.sees_tasks(0, 5000).await;
    let address = url.trim_start_matches("ws://").to_owned();
    let brain = ScriptedBrain::start_at(&address).await;
    let mut visit = brain.welcome(0).await;
    let mut arrived = Vec::new();
    while arrived.len() < 5000 {
        let (seq, text) = visit.batch().await;
        arrived.extend(task_ids(&text));
        visit.ack(seq).await;
    }
    assert_eq!(arrived, ids(0, 5000));
    agent.stop().await;
}

#[tokio::test]
async fn a_brain_that_acks_nothing_gets_no_more_than_the_window() {
    let dir = tempfile::tempdir().expect("dir");
    let brain = ScriptedBrain::start().await;
    let mut config = config(&brain.url(), dir.path());
    config.buffer.seal_events = 1;
    let agent = start(config);
    let mut visit = brain.welcome(0).await;
    agent.sees_tasks(0, 40).await;
    let first = visit.batches_of(32).await;
    assert_eq!(all_ids(&first), ids(0, 32));
    visit.ack(8).await;
    // Nothing came between: the next frames are the eight for which there is room now.
    assert_eq!(all_ids(&visit.batches_of(8).await), ids(32, 40));
    visit.ack(40).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_process_that_was_killed_is_continued_by_the_next_one() {
    let (dir, copy) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let brain = ScriptedBrain::start().await;
    let agent = start(config(&brain.url(), dir.path()));
    let mut visit = brain.welcome(0).await;
    agent.sees_tasks(0, 10).await;
    let sent = visit.batches_of(10).await;
    // What is on the disk now is what a kill would leave.
    copy_streams(dir.path(), copy.path());
    let stream_id = agent.stream_id.clone();
    visit.ack(sent.last().expect("a batch").0).await;
    agent.stop().await;

    let heir = start(config(&brain.url(), copy.path()));
    assert_eq!(heir.stream_id, stream_id);
    let mut visit = brain.welcome(0).await;
    assert_eq!(visit.batches_of(10).await, sent);
    heir.sees_tasks(10, 11).await;
    let (seq, text) = visit.batch().await;
    assert_eq!((seq, task_ids(&text)), (sent.last().expect("a batch").0 + 1, ids(10, 11)));
    visit.ack(seq).await;
    heir.stop().await;
}

#[tokio::test]
async fn the_brain_knows_better_when_the_buffer_was_lost() {
    let dir = tempfile::tempdir().expect("dir");
    let brain = ScriptedBrain::start().await;
    let agent = start(config(&brain.url(), dir.path()));
    let mut visit = brain.welcome(500).await;
    // An answer comes after the ack was taken.
    visit.command("c1", "purge_queue", serde_json::json!({"queue": "q"})).await;
    assert_eq!(visit.frame().await["ok"], true);
    agent.sees_tasks(0, 1).await;
    assert_eq!(visit.batch().await.0, 501);
    visit.ack(501).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_clean_stop_delivers_what_is_left_and_says_good_bye() {
    let dir = tempfile::tempdir().expect("dir");
    let brain = ScriptedBrain::start().await;
    let mut agent = start(config(&brain.url(), dir.path()));
    let mut visit = brain.welcome(0).await;
    agent.was_started(1).await;
    agent.sees_tasks(0, 3).await;
    let mut batches = visit.batches_of(3).await;
    agent.begin_to_stop();
    let (last, _) = batches.pop().expect("a batch");
    visit.ack(last).await;
    assert_eq!(visit.closed().await, Some(1000));
    agent.stop().await;
    let again = start(config(&brain.url(), dir.path()));
    again.stop().await;
}

fn copy_streams(from: &Path, to: &Path) {
    for stream in fs::read_dir(from.join("streams")).expect("streams") {
        let stream = stream.expect("entry");
        let target = to.join("streams").join(stream.file_name());
        fs::create_dir_all(&target).expect("creates");
        for file in fs::read_dir(stream.path()).expect("files") {
            let file = file.expect("entry");
            fs::copy(file.path(), target.join(file.file_name())).expect("copies");
        }
    }
}
