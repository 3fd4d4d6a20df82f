//! The fallback for networks that block WebSockets.

use std::time::{Duration, Instant};

use reqwest::Body;
use serde_json::{Value, json};

use crate::agent::{Agent, batch, plain, rich};
use crate::brain::{PATIENCE, TestBrain, until};
use crate::commands::retry;
use crate::events::{event, life};
use crate::poller::{Poller, Reply, ack, gone, reply};

#[tokio::test]
async fn a_session_carries_events_and_acks() {
    let brain = TestBrain::start().await;
    let mut agent = Poller::open(&brain, &rich("web", "i1"), 0).await;
    assert_eq!(brain.agent("web").await["state"], "online");
    for seq in 1..=3 {
        agent.tell(seq, life(&format!("t{seq}"))).await;
    }
    assert_eq!(brain.task_ids().await, ["t1", "t2", "t3"]);
    assert_eq!(brain.totals().await["succeeded"], 3);
    // Another session goes on where this one stands.
    Poller::open(&brain, &rich("web", "i1"), 3).await;
    Agent::open(&brain, &rich("web", "i1"), 3).await;
}

#[tokio::test]
async fn hello_and_batches_may_come_in_one_request_in_any_shape() {
    let brain = TestBrain::start().await;
    for (at, (between, end)) in
        [("\n", "\n"), ("\n", ""), ("\r\n", "\r\n"), ("\n\n \n", "\n\n")].into_iter().enumerate()
    {
        let name = format!("web-{at}");
        let mut agent = Poller::new(&brain, &brain.token(None).await.text);
        let frames = [plain(&name), batch(1, life(&format!("a{at}"))), batch(2, life(&format!("b{at}")))];
        let body = frames.map(|frame| frame.to_string()).join(between) + end;
        let mut last = agent.post(body, 25).await.frames().pop();
        while last != Some(ack(2)) {
            last = agent.post("", 25).await.frames().pop();
            assert!(last.is_some(), "no ack came");
        }
    }
    assert_eq!(brain.task_ids().await.len(), 8);
}

#[tokio::test]
async fn without_frames_a_poll_waits_as_long_as_it_says() {
    let brain = TestBrain::start().await;
    let mut agent = Poller::open(&brain, &plain("web"), 0).await;
    for wait in [0, 1] {
        let began = Instant::now();
        assert_eq!(agent.post("", wait).await, Reply::Frames(Vec::new()));
        assert!(began.elapsed() >= Duration::from_secs(wait), "{:?}", began.elapsed());
    }
    let refused = reply(agent.request("", "?wait=soon").send().await.expect("an answer")).await;
    assert!(matches!(&refused, Reply::Refused(400, body) if body["detail"].is_string()), "{refused:?}");
}

#[tokio::test]
async fn a_command_wakes_the_poll_that_waits_and_its_answer_comes_with_the_next() {
    let brain = TestBrain::start().await;
    let mut agent = Poller::open(&brain, &plain("web"), 0).await;
    agent.tell(1, json!([event("task_failed", "t1")])).await;
    let mut waiting = agent.clone();
    let waiting = tokio::spawn(async move { waiting.post("", 55).await });
    let row = brain.command(&retry("t1")).await;
    let frames = waiting.await.expect("ends").frames();
    assert_eq!((frames.len(), &frames[0]["cmd_id"]), (1, &row["id"]));
    let result = json!({ "new_task_id": "t2" });
    agent
        .post_frames(&[json!({ "type": "command_result", "cmd_id": row["id"], "ok": true, "result": result })], 0)
        .await;
    assert_eq!(brain.ended(&row).await["status"], "succeeded");
}

#[tokio::test]
async fn a_second_poll_supersedes_the_first_which_returns_at_once() {
    let brain = TestBrain::start().await;
    let mut agent = Poller::open(&brain, &plain("web"), 0).await;
    let mut first = agent.clone();
    let began = Instant::now();
    let first = tokio::spawn(async move { first.post("", 55).await });
    let waits = async || (brain.brain.metrics.longpoll_waiting.get() == 1).then_some(());
    until("the first waits", PATIENCE, waits).await;
    assert_eq!(agent.post("", 0).await, Reply::Frames(Vec::new()));
    assert_eq!(first.await.expect("ends"), Reply::Frames(Vec::new()));
    assert!(began.elapsed() < Duration::from_secs(55), "{:?}", began.elapsed());
    agent.tell(1, life("t1")).await;
}

#[tokio::test]
async fn requests_of_one_session_are_taken_in_order() {
    let brain = TestBrain::start().await;
    let mut agent = Poller::open(&brain, &plain("web"), 0).await;
    // The body of the first comes slowly; the second is complete, and has to wait.
    let (slow, body) = tokio::sync::mpsc::channel::<Result<String, std::io::Error>>(4);
    let stream = futures_util::stream::unfold(body, |mut body| async { Some((body.recv().await?, body)) });
    slow.send(Ok(batch(1, life("t1")).to_string() + "\n")).await.expect("is sent");
    let first = agent.request(Body::wrap_stream(stream), "?wait=20");
    let first = tokio::spawn(async move { reply(first.send().await.expect("an answer")).await });
    until("the first batch is there", PATIENCE, async || (brain.task_ids().await == ["t1"]).then_some(())).await;
    let mut other = agent.clone();
    let second = tokio::spawn(async move { other.post(batch(3, life("t3")).to_string(), 25).await });
    slow.send(Ok(batch(2, life("t2")).to_string())).await.expect("is sent");
    drop(slow);
    first.await.expect("ends").frames();
    second.await.expect("ends").frames();
    agent.tell(4, life("t4")).await;
    assert_eq!(brain.task_ids().await, ["t1", "t2", "t3", "t4"]);
    assert_eq!(brain.agent("web").await["lost_batches"], 0, "none came out of its order");
}

#[tokio::test]
async fn a_session_is_unknown_to_other_tokens_and_under_other_names() {
    let brain = TestBrain::start().await;
    let mut agent = Poller::open(&brain, &plain("web"), 0).await;
    let mut stranger = Poller::new(&brain, &brain.token(None).await.text);
    stranger.session = agent.session.clone();
    assert_eq!(stranger.post(batch(1, life("t1")).to_string(), 0).await, gone());
    for unknown in ["nothing", "", "ü", &"0".repeat(32)] {
        let mut lost = agent.clone();
        lost.session = Some(unknown.to_owned());
        assert_eq!(lost.post(batch(1, life("t1")).to_string(), 0).await, gone());
    }
    assert_eq!(brain.task_ids().await, Vec::<String>::new());
    agent.tell(1, life("t2")).await;
}

#[tokio::test]
async fn without_a_valid_token_nothing_is_taken() {
    let brain = TestBrain::start().await;
    let agent = Poller::open(&brain, &plain("web"), 0).await;
    for (token, session) in [("", None), ("nonsense", None), (&*brain.api_key, None), ("", agent.session.clone())] {
        let mut stranger = Poller::new(&brain, token);
        stranger.session = session;
        let answer = stranger.request(plain("web-02").to_string(), "").send().await.expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["www-authenticate"]),
            (401, &"Bearer".parse().expect("ok"))
        );
    }
    let answer = reqwest::Client::new().post(format!("http://{}/ws/longpoll", brain.address)).send().await;
    assert_eq!(answer.expect("an answer").status(), 401);
    assert_eq!(brain.items("agents").await.len(), 1);
}

#[tokio::test]
async fn what_came_whole_counts_when_a_request_breaks_off() {
    let brain = TestBrain::start().await;
    let mut agent = Poller::open(&brain, &plain("web"), 0).await;
    let whole = batch(1, life("t1")).to_string();
    let part = batch(2, life("t2")).to_string();
    let (body, chunks) = tokio::sync::mpsc::channel::<Result<String, std::io::Error>>(4);
    let stream = futures_util::stream::unfold(chunks, |mut chunks| async { Some((chunks.recv().await?, chunks)) });
    let request = agent.request(Body::wrap_stream(stream), "");
    let request = tokio::spawn(request.send());
    body.send(Ok(format!("{whole}\n{part}"))).await.expect("is sent");
    until("the whole line is stored", PATIENCE, async || (!brain.task_ids().await.is_empty()).then_some(())).await;
    body.send(Err(std::io::Error::other("cut"))).await.expect("is sent");
    assert!(request.await.expect("ends").is_err(), "the request breaks off");
    // The agent sends again what was not acked. What is stored already is acked again.
    agent.tell(1, serde_json::from_str::<Value>(&whole).expect("JSON")["events"].clone()).await;
    agent.tell(2, life("t2")).await;
    assert_eq!((brain.task_ids().await, &brain.totals().await["sent"]), (vec!["t1".into(), "t2".into()], &json!(2)));
}

#[tokio::test]
async fn a_command_that_a_broken_poll_may_have_fetched_is_not_sent_again() {
    let brain = TestBrain::start().await;
    let mut agent = Poller::open(&brain, &plain("web"), 0).await;
    let row = brain.command(&retry("t1")).await;
    // The request is made, and whoever made it is gone before it reads the answer.
    let answer = agent.request("", "").send().await.expect("an answer");
    drop(answer);
    assert_eq!(agent.post("", 0).await, Reply::Frames(Vec::new()));
    // A new session takes the place of the old one, and the outcome is known to be unknown.
    let mut again = Poller::open(&brain, &plain("web"), 0).await;
    let ended = brain.ended(&row).await;
    assert_eq!(ended["status"], "unknown");
    again.tell(1, life("t1")).await;
    assert_eq!(agent.post("", 0).await.closed().0, 4009);
}

#[tokio::test]
async fn a_poll_that_is_given_up_takes_nothing_with_it() {
    let brain = TestBrain::start().await;
    let mut agent = Poller::open(&brain, &plain("web"), 0).await;
    let given_up = tokio::spawn(agent.request("", "?wait=55").send());
    let waiting = &brain.brain.metrics.longpoll_waiting;
    until("the poll waits", PATIENCE, async || (waiting.get() == 1).then_some(())).await;
    given_up.abort();
    until("the brain has noticed", PATIENCE, async || (waiting.get() == 0).then_some(())).await;
    let row = brain.command(&retry("t1")).await;
    assert_eq!(agent.command().await["cmd_id"], row["id"]);
}

#[tokio::test]
async fn a_body_may_carry_many_large_frames() {
    let brain = TestBrain::start().await;
    let mut agent = Poller::open(&brain, &plain("web"), 0).await;
    let text = "x".repeat((4 << 20) - 100);
    let body = format!("{}\n{}", json!({ "type": "gossip", "text": text }), batch(1, life("t1")));
    assert_eq!(agent.post(body, 25).await.frames(), [ack(1)]);
    let text = "x".repeat(1 << 20);
    let gossip = json!({ "type": "gossip", "text": text }).to_string();
    let body = format!("{}{}", batch(2, life("t2")), format!("\n{gossip}").repeat(17));
    let Reply::Refused(413, refusal) = agent.post(body, 25).await else { panic!("is refused") };
    assert_eq!(refusal, json!({ "error": "body_too_large", "max_bytes": 16 << 20 }));
    assert_eq!(agent.post("", 25).await.frames(), [ack(2)], "the session goes on, and what came counts");
}
