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
    let (dispatcher, answers) = Dispatcher::new(Arc::new([]), Arc::clone(&redactor));
    let schedules = ScheduleBoard::new(Arc::new([]), redactor);
    let spool = Spool::new(Buffer::open(dir.path(), BufferOptions::default()).expect("opens"));
    let hello = Hello { protocol: "v1".into(), agent_name: "a".into(), ..Hello::default() };
    let courier = Courier {
        hello,
        spool,
        health,
        dispatcher,
        answers,
        oversize: Oversize::default(),
        is_live: watch::Sender::new(false),
        is_leftover: false,
        schedules,
    };
    let (to_brain, sent) = mpsc::unbounded_channel();
    let (brain, from_brain) = mpsc::unbounded_channel();
    Ends { pipe: Pipe { to_brain, from_brain }, sent, brain, courier, _dir: dir }
}

/// A connection of which nobody wants that it ends.
async fn undisturbed(pipe: &mut Pipe, courier: &mut Courier) -> (Ended, bool) {
    let never = CancellationToken::new();
    drive(pipe, courier, Wishes { drain: &never, leave: &never, better: &never }).await
}

fn parsed(frame: Option<String>) -> Value {
    serde_json::from_str(&frame.expect("a frame")).expect("JSON")
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_says_how_the_buffer_and_the_engines_are_and_a_silent_brain_is_given_up() {
    let Ends { mut pipe, mut sent, brain, mut courier, _dir } = ends();
    let waiting = [(Timestamp(1_795_000_000_000_000), "{}".to_owned())];
    courier.spool.append_all_blocking(&waiting);
    brain.send(Incoming::Text(r#"{"type":"ack","seq":0}"#.into())).expect("sends");
    let ended = undisturbed(&mut pipe, &mut courier).await;
    assert_eq!(ended, (Ended::Lost("nothing was heard from the brain for 60 s".into()), true));
    assert_eq!(parsed(sent.recv().await)["type"], "hello");
    let heartbeat = parsed(sent.recv().await);
    assert_eq!((&heartbeat["type"], &heartbeat["adapters"]), (&json!("heartbeat"), &json!({"celery": "ok"})));
    assert_eq!((&heartbeat["buffer"]["events"], &heartbeat["buffer"]["dropped"]), (&json!(1), &json!(0)));
    assert_eq!(heartbeat["buffer"]["oldest_ts"], "2026-11-18T11:06:40.000000Z");
}

#[tokio::test(start_paused = true)]
async fn a_brain_that_never_welcomes_is_given_up() {
    let Ends { mut pipe, sent: _sent, brain: _brain, mut courier, _dir } = ends();
    let ended = undisturbed(&mut pipe, &mut courier).await;
    assert_eq!(ended, (Ended::Lost("the brain did not answer hello within 10 s".into()), false));
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_says_what_is_wrong_with_the_disk_and_nothing_of_a_buffer_that_is_not_the_agents() {
    let Ends { mut pipe, mut sent, brain, mut courier, _dir } = ends();
    courier.is_leftover = true;
    courier.spool = Spool::new(Buffer::open_on_a_disk_that_refuses(_dir.path()));
    courier.spool.append_all_blocking(&[(Timestamp(0), "{}".to_owned())]);
    brain.send(Incoming::Text(r#"{"type":"ack","seq":0}"#.into())).expect("sends");
    undisturbed(&mut pipe, &mut courier).await;
    sent.recv().await.expect("hello");
    let heartbeat = parsed(sent.recv().await);
    let said = heartbeat["adapters"]["buffer"].as_str().expect("a sentence");
    assert!(said.starts_with("the buffer cannot be written: events are dropped until it can"), "{said}");
    assert_eq!(heartbeat["buffer"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn schedules_are_told_once_the_brain_has_welcomed_us_and_when_they_change() {
    let Ends { mut pipe, mut sent, brain, mut courier, _dir } = ends();
    let board = courier.schedules.clone();
    board.list("celery-beat", &[Default::default()]);
    tokio::spawn(async move { undisturbed(&mut pipe, &mut courier).await });
    assert_eq!(parsed(sent.recv().await)["type"], "hello");
    assert!(sent.try_recv().is_err(), "nothing is told before the welcome");
    brain.send(Incoming::Text(r#"{"type":"ack","seq":0}"#.into())).expect("sends");
    let mut next = async || loop {
        let frame = parsed(sent.recv().await);
        if frame["type"] == "schedule_sync" {
            return frame;
        }
    };
    let first = next().await;
    assert_eq!((&first["full"], &first["scheduler"]), (&json!(true), &json!("celery-beat")));
    board.list("celery-beat", &[]);
    let second = next().await;
    assert_eq!((&second["full"], &second["removed"]), (&json!(false), &json!([""])));
}
