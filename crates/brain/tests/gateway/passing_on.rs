//! Long-polls behind a balancer: a request may come to another brain than the one that has the session.

use std::time::{Duration, Instant};

use reqwest::Body;
use serde_json::json;
use taskplane_testkit::PostgresDatabase;

use crate::agent::{batch, plain};
use crate::brain::{PATIENCE, TestBrain, until};
use crate::commands::retry;
use crate::events::{event, life};
use crate::poller::{Poller, Reply, ack, gone, reply};

/// Two brains on one database.
struct Pair {
    here: TestBrain,
    there: TestBrain,
    database: PostgresDatabase,
}

impl Pair {
    async fn start() -> Self {
        let database = PostgresDatabase::create().expect("a database");
        let (here, there) = (TestBrain::start_on(&database).await, TestBrain::start_on(&database).await);
        Self { here, there, database }
    }

    /// An agent's session at one brain, and the same session by way of the other one.
    async fn session(&self) -> (Poller, Poller) {
        let here = Poller::open(&self.here, &plain("web"), 0).await;
        let there = here.clone().by_way_of(&self.there);
        (here, there)
    }
}

#[tokio::test]
async fn a_session_goes_on_whichever_brain_its_requests_come_to() {
    let pair = Pair::start().await;
    let (mut here, mut there) = pair.session().await;
    for seq in 1..=4 {
        let poller = if seq % 2 == 0 { &mut here } else { &mut there };
        poller.tell(seq, life(&format!("t{seq}"))).await;
    }
    assert_eq!(pair.there.task_ids().await, ["t1", "t2", "t3", "t4"]);
    assert_eq!(pair.here.brain.connections.count() + pair.there.brain.connections.count(), 1);
    let began = Instant::now();
    assert_eq!(there.post("", 1).await, Reply::Frames(Vec::new()));
    assert!(began.elapsed() >= Duration::from_secs(1));
    let refused = reply(there.request("", "?wait=soon").send().await.expect("an answer")).await;
    assert!(matches!(refused, Reply::Refused(400, _)), "{refused:?}");
}

#[tokio::test]
async fn a_poll_that_waits_at_another_brain_fetches_commands_and_is_superseded() {
    let pair = Pair::start().await;
    let (mut here, mut there) = pair.session().await;
    there.tell(1, json!([event("task_failed", "t1")])).await;
    let waiting = &pair.here.brain.metrics.longpoll_waiting;
    let waits = async || (waiting.get() == 1).then_some(());

    let mut held = there.clone();
    let poll = tokio::spawn(async move { held.post("", 55).await });
    until("it waits", PATIENCE, waits).await;
    let row = pair.here.command(&retry("t1")).await;
    let frames = poll.await.expect("ends").frames();
    assert_eq!((frames.len(), &frames[0]["cmd_id"]), (1, &row["id"]));

    let mut held = there.clone();
    let poll = tokio::spawn(async move { held.post("", 55).await });
    until("it waits", PATIENCE, waits).await;
    assert_eq!(here.post("", 0).await, Reply::Frames(Vec::new()));
    assert_eq!(poll.await.expect("ends"), Reply::Frames(Vec::new()), "the newer one took over");

    let given_up = tokio::spawn(there.request("", "?wait=55").send());
    until("it waits", PATIENCE, waits).await;
    given_up.abort();
    until("it is given up there, too", PATIENCE, async || (waiting.get() == 0).then_some(())).await;
}

#[tokio::test]
async fn what_came_whole_counts_when_a_request_breaks_off_on_the_way() {
    let pair = Pair::start().await;
    let (_, mut there) = pair.session().await;
    let (whole, part) = (batch(1, life("t1")).to_string(), batch(2, life("t2")).to_string());
    let (body, chunks) = tokio::sync::mpsc::channel::<Result<String, std::io::Error>>(4);
    let stream = futures_util::stream::unfold(chunks, |mut chunks| async { Some((chunks.recv().await?, chunks)) });
    let request = tokio::spawn(there.request(Body::wrap_stream(stream), "").send());
    body.send(Ok(format!("{whole}\n{part}"))).await.expect("is sent");
    let stored = async || (pair.here.totals().await["succeeded"] == 1).then_some(());
    until("the whole line is stored", PATIENCE, stored).await;
    body.send(Err(std::io::Error::other("cut"))).await.expect("is sent");
    assert!(request.await.expect("ends").is_err(), "the request breaks off");
    assert_eq!(there.post("", 25).await.frames(), [ack(1)]);
    there.tell(2, life("t2")).await;
    assert_eq!(pair.here.task_ids().await, ["t1", "t2"]);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_by_whoever_passes_it_on() {
    let pair = Pair::start().await;
    let (_, mut there) = pair.session().await;
    let gossip = json!({ "type": "gossip", "text": "x".repeat(1 << 20) }).to_string();
    let body = format!("{}{}", batch(1, life("t1")), format!("\n{gossip}").repeat(17));
    assert!(matches!(there.post(body, 25).await, Reply::Refused(413, _)));
    assert_eq!(there.post("", 25).await.frames(), [ack(1)], "the session goes on, and what came counts");
}

#[tokio::test]
async fn nobody_else_gets_at_a_session_by_way_of_another_brain() {
    let pair = Pair::start().await;
    let (_, there) = pair.session().await;
    let mut stranger = Poller::new(&pair.there, &pair.there.token(None).await.text);
    stranger.session = there.session.clone();
    assert_eq!(stranger.post(batch(1, life("t1")).to_string(), 0).await, gone());
    let mut nobody = Poller::new(&pair.there, "nonsense");
    nobody.session = there.session.clone();
    let refused = nobody.request("", "?wait=0").send().await.expect("an answer");
    assert_eq!(refused.status(), 401);
    assert_eq!(pair.here.task_ids().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_request_is_passed_on_once_whoever_says_so() {
    let pair = Pair::start().await;
    let (_, there) = pair.session().await;
    for key in ["", "tpp_nonsense", &pair.there.brain.peers.key().0, &pair.here.brain.peers.key().0] {
        let request =
            there.request("", "?wait=0").header("taskplane-peer", key).header("taskplane-client", "192.0.2.1");
        assert_eq!(reply(request.send().await.expect("an answer")).await, gone());
    }
}

#[tokio::test]
async fn the_session_of_a_brain_that_cannot_be_reached_or_is_gone_is_gone() {
    let Pair { mut here, there, database } = Pair::start().await;
    let mut poller = Poller::open(&here, &plain("web"), 0).await.by_way_of(&there);
    poller.tell(1, life("t1")).await;
    here.stop_serving().await;
    assert_eq!(poller.post(batch(2, life("t2")).to_string(), 25).await, gone());
    here.brain.stop.cancel();
    let run = here.brain.store.replicas().expect("a shared database").run();
    let has_left = async || {
        let count = database.sql(&format!("SELECT count(*) FROM replicas WHERE run = {run}")).expect("an answer");
        (count == "0").then_some(())
    };
    until("it has left", PATIENCE, has_left).await;
    assert_eq!(poller.post(batch(2, life("t2")).to_string(), 25).await, gone());
    poller.session = None;
    assert_eq!(poller.post(plain("web").to_string(), 25).await.frames(), [ack(1)]);
    poller.tell(2, life("t2")).await;
}
