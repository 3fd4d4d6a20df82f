//! A brain that takes only short frames gets everything all the same.

use serde_json::Value;

use crate::brain::{ScriptedBrain, task_ids};
use crate::engine::{RunningAgent, config, ids, start};

/// Takes batches of at most `limit` bytes, closes with 1009 at longer ones, and acks each that it took before the next one.
/// Ends when so many events came.
async fn take_short_ones(brain: &ScriptedBrain, limit: usize, events: usize) -> Vec<(u64, String)> {
    let mut taken: Vec<(u64, String)> = Vec::new();
    loop {
        let last = taken.last().map_or(0, |(seq, _)| *seq);
        let mut visit = brain.welcome(last).await;
        loop {
            let (seq, text) = visit.batch().await;
            if text.len() > limit {
                visit.close(1009).await;
                break;
            }
            assert_eq!(seq, taken.last().map_or(0, |(seq, _)| *seq) + 1, "without a gap");
            taken.push((seq, text));
            visit.ack(seq).await;
            if taken.iter().map(|(_, text)| task_ids(text).len()).sum::<usize>() == events {
                return taken;
            }
        }
    }
}

async fn stopped_after_reading(agent: RunningAgent, batches: &[(u64, String)], from: usize, to: usize) {
    let mut arrived: Vec<String> = batches.iter().flat_map(|(_, text)| task_ids(text)).collect();
    arrived.sort_by_key(|id| id[1..].parse::<usize>().expect("a number"));
    assert_eq!(arrived, ids(from, to), "each is there once");
    agent.stop().await;
}

#[tokio::test]
async fn batches_are_split_until_the_brain_takes_them() {
    let dir = tempfile::tempdir().expect("dir");
    let brain = ScriptedBrain::start().await;
    let agent = start(config(&brain.url(), dir.path()));
    agent.sees_tasks(0, 700).await;
    let batches = take_short_ones(&brain, 4000, 700).await;
    assert!(batches.len() > 10);
    stopped_after_reading(agent, &batches, 0, 700).await;
}

#[tokio::test]
async fn only_the_batch_that_was_meant_is_split() {
    let dir = tempfile::tempdir().expect("dir");
    let brain = ScriptedBrain::start().await;
    let mut config = config(&brain.url(), dir.path());
    config.buffer.seal_events = 2;
    let agent = start(config);
    let mut visit = brain.welcome(0).await;
    agent.sees_tasks(0, 6).await;
    let sent = visit.batches_of(6).await;
    let pair = sent.iter().rposition(|(_, text)| task_ids(text).len() == 2).expect("a batch of two");
    // Those before it are on their way to the disk when one is refused.
    visit.close(1009).await;
    let (seq, text) = &sent[pair];
    let mut visit = brain.welcome(seq - 1).await;
    assert_eq!(visit.batch().await, sent[pair], "it may have been another one");
    visit.close(1009).await;
    let mut visit = brain.welcome(seq - 1).await;
    let rest = visit.batches_of(2 + sent[pair + 1..].iter().map(|(_, text)| task_ids(text).len()).sum::<usize>()).await;
    let (first, last) = (&rest[0], rest.last().expect("a batch"));
    assert_eq!(
        (first.0, task_ids(&first.1), task_ids(&last.1)),
        (*seq, task_ids(text)[..1].to_vec(), task_ids(text)[1..].to_vec())
    );
    assert_eq!(rest[1..rest.len() - 1], sent[pair + 1..], "the others are as they were");
    visit.ack(last.0).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_single_event_that_is_too_large_arrives_shortened() {
    let dir = tempfile::tempdir().expect("dir");
    let brain = ScriptedBrain::start().await;
    let agent = start(config(&brain.url(), dir.path()));
    agent.sees_a_failure(0, 20_000).await;
    let batches = take_short_ones(&brain, 1000, 1).await;
    let frame: Value = serde_json::from_str(&batches[0].1).expect("JSON");
    assert_eq!(frame["events"][0]["traceback"], "<cut size>");
    stopped_after_reading(agent, &batches, 0, 1).await;
}
