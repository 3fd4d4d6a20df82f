use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use taskplane_model::Timestamp;
use tempfile::TempDir;

use super::super::transport::Broken;
use super::*;
use crate::buffer::{Buffer, BufferOptions};
use crate::engine::Health;
use crate::redact::Redactor;

/// A channel whose other end the test holds.
struct Pipe {
    to_brain: mpsc::UnboundedSender<String>,
    from_brain: mpsc::UnboundedReceiver<Incoming>,
}

#[async_trait]
impl Channel for Pipe {
    async fn send(&mut self, frame: String) -> Result<(), Broken> {
        self.to_brain.send(frame).map_err(|_| Broken("the test is over".into()))
    }

    async fn receive(&mut self) -> Incoming {
        match self.from_brain.recv().await {
            Some(incoming) => incoming,
            None => std::future::pending().await,
        }
    }

    async fn close(&mut self) {}
}

struct Ends {
    pipe: Pipe,
    sent: mpsc::UnboundedReceiver<String>,
    brain: mpsc::UnboundedSender<Incoming>,
    courier: Courier,
    _dir: TempDir,
}

fn ends() -> Ends {
    let dir = tempfile::tempdir().expect("dir");
    let redactor = Arc::new(Redactor::new(&Default::default()).expect("built-in rules"));
    let health = HealthBoard::new(["celery"].into_iter(), Arc::clone(&redactor));
    health.note("celery", &Health::Ok);
    let (dispatcher, answers) = Dispatcher::new(Arc::new([]), redactor);
    let spool = Spool::new(Buffer::open(dir.path(), BufferOptions::default()).expect("opens"));
    let hello = Hello { protocol: "v1".into(), agent_name: "a".into(), ..Hello::default() };
    let courier = Courier { hello, spool, health, dispatcher, answers, oversize: Oversize::default() };
    let (to_brain, sent) = mpsc::unbounded_channel();
    let (brain, from_brain) = mpsc::unbounded_channel();
    Ends { pipe: Pipe { to_brain, from_brain }, sent, brain, courier, _dir: dir }
}

fn parsed(frame: Option<String>) -> Value {
    serde_json::from_str(&frame.expect("a frame")).expect("JSON")
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_says_how_the_buffer_and_the_engines_are_and_a_silent_brain_is_given_up() {
    let Ends { mut pipe, mut sent, brain, mut courier, _dir } = ends();
    let waiting = [(Timestamp(1_795_000_000_000_000), "{}".to_owned())];
    courier.spool.append_all_blocking(&waiting);
    let drain = CancellationToken::new();
    brain.send(Incoming::Text(r#"{"type":"ack","seq":0}"#.into())).expect("sends");
    let ended = drive(&mut pipe, &mut courier, &drain).await;
    assert_eq!(ended, Ended::Lost("nothing was heard from the brain for 60 s".into()));
    assert_eq!(parsed(sent.recv().await)["type"], "hello");
    let heartbeat = parsed(sent.recv().await);
    assert_eq!((&heartbeat["type"], &heartbeat["adapters"]), (&json!("heartbeat"), &json!({"celery": "ok"})));
    assert_eq!((&heartbeat["buffer"]["events"], &heartbeat["buffer"]["dropped"]), (&json!(1), &json!(0)));
    assert_eq!(heartbeat["buffer"]["oldest_ts"], "2026-11-18T11:06:40.000000Z");
}

#[tokio::test(start_paused = true)]
async fn a_brain_that_never_welcomes_is_given_up() {
    let Ends { mut pipe, sent: _sent, brain: _brain, mut courier, _dir } = ends();
    let ended = drive(&mut pipe, &mut courier, &CancellationToken::new()).await;
    assert_eq!(ended, Ended::Lost("the brain did not answer hello within 10 s".into()));
}

#[tokio::test]
async fn a_batch_that_is_refused_again_and_again_is_sent_shortened() {
    let Ends { mut pipe, mut sent, brain, mut courier, _dir } = ends();
    let event = json!({"event_type": "task_failed", "task_id": "t", "traceback": "x".repeat(200_000)}).to_string();
    courier.spool.append_all_blocking(&[(Timestamp(0), event)]);
    courier.spool.seal_blocking();
    let mut lengths = Vec::new();
    for _ in 0..4 {
        brain.send(Incoming::Text(r#"{"type":"ack","seq":0}"#.into())).expect("sends");
        let drain = CancellationToken::new();
        let driven = drive(&mut pipe, &mut courier, &drain);
        let brain = &brain;
        let refusing = async {
            while parsed(sent.recv().await)["type"] == "hello" {}
            brain.send(Incoming::Closed(Some(1009), "too large".into())).expect("sends");
        };
        let (ended, ()) = tokio::join!(driven, refusing);
        assert_eq!(ended, Ended::Closed(Some(1009), "too large".into()));
        lengths.push(courier.oversize.room(&courier.spool.next_after(0).await.expect("a batch")));
    }
    assert_eq!(lengths, [None, Some(128 << 10), Some(32 << 10), Some(8 << 10)]);
}
