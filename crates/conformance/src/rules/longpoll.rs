//! The fallback for networks that block WebSockets.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};
use taskplane_protocol::frame::BrainFrame;

use super::handshake::refused;
use crate::http::{self, Answer};
use crate::probe::{Probe, batch, new_stream};
use crate::rule::rules;
use crate::socket::PATIENCE;
use crate::verdict::{Failure, Verdict};

rules! {
    "longpoll.unauthorized", "long-poll", "A long-poll without a valid token is answered with 401 and WWW-Authenticate: Bearer.", unauthorized;
    "longpoll.session", "long-poll", "The answer to hello carries Taskplane-Session, is application/x-ndjson, and holds the first ack.", session;
    "longpoll.ack", "long-poll", "A posted batch is acked in the answer, long before the wait is over.", ack;
    "longpoll.order", "long-poll", "Frames of one request are taken in order, and so are requests of one session.", order;
    "longpoll.wait", "long-poll", "A poll with nothing to tell is answered after ?wait= seconds, with an empty body.", wait;
    "longpoll.superseded", "long-poll", "A second poll of a session makes the first return at once.", superseded;
    "longpoll.unknown-session", "long-poll", "An unknown session is answered with 410 and error session_gone.", unknown_session;
    "longpoll.version", "long-poll", "A hello of another major version is answered with 426, protocol_mismatch and close_code 4001.", version;
    "longpoll.no-hello", "long-poll", "A first request without hello is answered with 409 and close_code 4000.", no_hello;
    "longpoll.malformed", "long-poll", "A line that is no frame is answered with 409 and close_code 1007, and ends the session.", malformed;
    "longpoll.tolerant", "long-poll", "Heartbeats, unknown frames, unknown fields and empty lines are accepted.", tolerant;
    "longpoll.same-stream", "long-poll", "A stream goes on over the other transport: same acks, and the newer one supersedes the older.", same_stream;
    "longpoll.command", "long-poll", "A command comes in the answer to a waiting poll.", command;
    "longpoll.expiry", "long-poll", "A session ends after 60 s without a request: 410.", expiry, Slow;
}

/// How long an answer that does not wait may take.
const AT_ONCE: Duration = Duration::from_secs(8);

/// A session on a stream.
struct Session<'a> {
    probe: &'a Probe,
    id: String,
}

impl<'a> Session<'a> {
    /// Opens a session; also returns what the first `ack` said.
    async fn open(probe: &'a Probe, instance_id: &str) -> Result<(Self, u64), Failure> {
        let answer = probe.long_poll(None, None, &[probe.hello(instance_id).to_string()]).await?;
        let id = answer.header("taskplane-session").to_owned();
        if answer.status != 200 || id.is_empty() {
            return Err(unexpected(&answer).at("after hello"));
        }
        match acks(&answer)?.last() {
            Some(seq) => Ok((Self { probe, id }, *seq)),
            None => Err(unexpected(&answer).at("the answer to hello holds no ack")),
        }
    }

    async fn post(&self, wait: u64, frames: &[Value]) -> Result<Answer, Failure> {
        let lines: Vec<String> = frames.iter().map(Value::to_string).collect();
        self.probe.long_poll(Some(&self.id), Some(wait), &lines).await
    }

    /// Polls until everything up to `seq` is acked.
    async fn acked(&self, mut answer: Answer, seq: u64) -> Result<(), Failure> {
        let until = Instant::now() + PATIENCE;
        let mut last = 0;
        loop {
            for ack in acks(&answer)? {
                if ack < last || ack > seq {
                    return Err(Failure::broken(format!("ack {ack} after ack {last}, where {seq} was the last batch")));
                }
                last = ack;
            }
            if last == seq {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(Failure::broken(format!(
                    "ack {last} after 10 s of polling, where {seq} was the last batch"
                )));
            }
            answer = self.post(2, &[]).await?;
        }
    }
}

fn unexpected(answer: &Answer) -> Failure {
    let body: String = answer.body.chars().take(200).collect();
    match answer.status {
        429 | 503 => Failure::untested(format!("the brain is too busy to say: {}", answer.status)),
        status => Failure::broken(format!("HTTP {status}, body {body:?}")),
    }
}

/// The acks in an answer, in order.
fn acks(answer: &Answer) -> Result<Vec<u64>, Failure> {
    if answer.status != 200 {
        return Err(unexpected(answer));
    }
    let mut acks = Vec::new();
    for line in answer.body.lines().filter(|line| !line.trim().is_empty()) {
        match BrainFrame::parse(line) {
            Ok(BrainFrame::Ack { seq }) => acks.push(seq),
            Ok(_) => {}
            Err(error) => return Err(Failure::broken(format!("the line {line} of an answer: {error}"))),
        }
    }
    Ok(acks)
}

/// That an answer has a status, and fields in its body.
fn says(answer: &Answer, status: u16, fields: &Value) -> Verdict {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let mut fields_of = fields.as_object().into_iter().flatten();
    if answer.status == status && fields_of.all(|(name, value)| body[name] == *value) {
        return Ok(format!("{status} {}", answer.body.trim()));
    }
    Err(unexpected(answer).at(&format!("expected {status} {fields}")))
}

async fn unauthorized(probe: Probe) -> Verdict {
    let hello = format!("{}\n", probe.hello(&new_stream()));
    let post = async |headers: &[(&str, &str)]| {
        http::request(&probe.brain.endpoint, Method::POST, "/ws/longpoll", headers, hello.clone()).await
    };
    refused(&post(&[]).await?).map_err(|failure| failure.at("without a token"))?;
    refused(&post(&[("authorization", "Bearer !")]).await?).map_err(|failure| failure.at("with a nonsensical token"))
}

async fn session(probe: Probe) -> Verdict {
    let answer = probe.long_poll(None, None, &[probe.hello(&new_stream()).to_string()]).await?;
    let seen = acks(&answer)?;
    let (session, content) = (answer.header("taskplane-session"), answer.header("content-type"));
    if seen != [0] {
        return Err(Failure::broken(format!("the body {:?} for a new stream", answer.body)));
    }
    if session.is_empty() || !content.starts_with("application/x-ndjson") {
        return Err(Failure::broken(format!("Taskplane-Session \"{session}\", Content-Type \"{content}\"")));
    }
    Ok("ack 0 and a session".to_owned())
}

async fn ack(probe: Probe) -> Verdict {
    let (session, _) = Session::open(&probe, &new_stream()).await?;
    let began = Instant::now();
    let answer = session.post(20, &[batch(1, &probe.task("lp"))]).await?;
    if began.elapsed() > AT_ONCE {
        return Err(Failure::broken(format!("the answer came after {:.1} s", began.elapsed().as_secs_f64())));
    }
    match &acks(&answer)?[..] {
        [1] => Ok(format!("ack 1 after {:.2} s", began.elapsed().as_secs_f64())),
        other => Err(Failure::broken(format!("acks {other:?} in the answer to batch 1"))),
    }
}

async fn order(probe: Probe) -> Verdict {
    let (session, _) = Session::open(&probe, &new_stream()).await?;
    let batches: Vec<Value> = (1..=5).map(|seq| batch(seq, &probe.task(&format!("lp-{seq}")))).collect();
    let answer = session.post(20, &batches[..3]).await?;
    session.acked(answer, 3).await?;
    let answer = session.post(20, &batches[3..]).await?;
    session.acked(answer, 5).await?;
    // Out of order, there would have been gaps.
    probe.counted("lost_batches", 0).await?;
    Ok("3 batches and then 2 were acked, the last as 5".to_owned())
}

async fn wait(probe: Probe) -> Verdict {
    let (session, _) = Session::open(&probe, &new_stream()).await?;
    let began = Instant::now();
    let answer = session.post(2, &[]).await?;
    let after = began.elapsed().as_secs_f64();
    if answer.status != 200 && answer.status != 204 || !answer.body.trim().is_empty() {
        return Err(unexpected(&answer));
    }
    if !(1.5..12.0).contains(&after) {
        return Err(Failure::broken(format!("with wait=2 the answer came after {after:.1} s")));
    }
    Ok(format!("{} without a body after {after:.1} s, with wait=2", answer.status))
}

async fn superseded(probe: Probe) -> Verdict {
    let (session, _) = Session::open(&probe, &new_stream()).await?;
    let began = Instant::now();
    let first = async {
        let answer = session.post(30, &[]).await?;
        Ok::<_, Failure>((answer, began.elapsed()))
    };
    let second = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        session.post(1, &[]).await
    };
    let ((answer, after), second) = tokio::try_join!(first, second)?;
    if after > AT_ONCE {
        return Err(Failure::broken(format!("the first poll returned only after {:.1} s", after.as_secs_f64())));
    }
    if !matches!(answer.status, 200 | 204) || !matches!(second.status, 200 | 204) {
        return Err(Failure::broken(format!("HTTP {} for the first, {} for the second", answer.status, second.status)));
    }
    let answer = session.post(20, &[batch(1, &probe.task("lp"))]).await?;
    session.acked(answer, 1).await.map_err(|failure| failure.at("afterwards"))?;
    Ok(format!("the first returned after {:.1} s, with the second sent after 1 s", after.as_secs_f64()))
}

async fn unknown_session(probe: Probe) -> Verdict {
    let lines = [batch(1, &probe.task("lp")).to_string()];
    let answer = probe.long_poll(Some("no-such-session"), Some(1), &lines).await?;
    says(&answer, 410, &json!({"error": "session_gone"}))
}

async fn version(probe: Probe) -> Verdict {
    let mut hello = probe.hello(&new_stream());
    hello["protocol"] = "v2".into();
    let answer = probe.long_poll(None, None, &[hello.to_string()]).await?;
    says(&answer, 426, &json!({"error": "protocol_mismatch", "close_code": 4001}))
}

async fn no_hello(probe: Probe) -> Verdict {
    let answer = probe.long_poll(None, Some(1), &[batch(1, &probe.task("lp")).to_string()]).await?;
    says(&answer, 409, &json!({"close_code": 4000}))
}

async fn malformed(probe: Probe) -> Verdict {
    let (session, _) = Session::open(&probe, &new_stream()).await?;
    let answer = probe.long_poll(Some(&session.id), Some(1), &["no frame".to_owned()]).await?;
    let seen = says(&answer, 409, &json!({"close_code": 1007}))?;
    let answer = session.post(1, &[]).await?;
    says(&answer, 410, &json!({"error": "session_gone"})).map_err(|failure| failure.at("afterwards"))?;
    Ok(seen)
}

async fn tolerant(probe: Probe) -> Verdict {
    let (session, _) = Session::open(&probe, &new_stream()).await?;
    let mut batch = batch(1, &probe.task("lp"));
    batch["mood"] = "good".into();
    let lines = [
        String::new(),
        json!({"type": "heartbeat", "ts": "2026-11-22T18:20:00Z"}).to_string(),
        json!({"type": "weather", "sun": true}).to_string(),
        "\r".to_owned(),
        json!({"type": "command_result", "cmd_id": "nobody-gave-it", "ok": true}).to_string(),
        batch.to_string(),
    ];
    let answer = probe.long_poll(Some(&session.id), Some(20), &lines).await?;
    session.acked(answer, 1).await?;
    Ok("a batch among them was acked".to_owned())
}

async fn same_stream(probe: Probe) -> Verdict {
    let stream = new_stream();
    let (session, _) = Session::open(&probe, &stream).await?;
    let answer = session.post(20, &[batch(1, &probe.task("lp-1"))]).await?;
    session.acked(answer, 1).await?;
    let (mut socket, seq) = probe.open(&stream).await?;
    if seq != 1 {
        return Err(Failure::broken(format!("ack {seq} over the WebSocket, after batch 1 was acked over long-poll")));
    }
    let answer = session.post(5, &[]).await?;
    says(&answer, 409, &json!({"close_code": 4009})).map_err(|failure| failure.at("the long-poll"))?;
    socket.deliver(&batch(2, &probe.task("lp-2"))).await?;
    let (_, seq) = Session::open(&probe, &stream).await?;
    if seq != 2 {
        return Err(Failure::broken(format!("ack {seq} over long-poll, after batch 2 was acked over the WebSocket")));
    }
    socket.closed_with(4009, PATIENCE).await.map_err(|failure| failure.at("the WebSocket"))
}

async fn command(probe: Probe) -> Verdict {
    let (session, _) = Session::open(&probe, &new_stream()).await?;
    let giving = async {
        // The poll should be waiting; if it is not yet, the command waits for it.
        tokio::time::sleep(Duration::from_millis(500)).await;
        super::commands::give(&probe).await
    };
    let began = Instant::now();
    let (id, answer) = tokio::try_join!(giving, session.post(20, &[]))?;
    let frame = answer.body.lines().find_map(|line| match BrainFrame::parse(line) {
        Ok(BrainFrame::Command(command)) => Some(command),
        _ => None,
    });
    let Some(command) = frame else {
        return Err(unexpected(&answer).at("no command in the answer"));
    };
    let after = began.elapsed().as_secs_f64();
    session
        .post(1, &[json!({"type": "command_result", "cmd_id": command.cmd_id, "ok": false, "error": "busy"})])
        .await?;
    let stored = super::commands::ended(&probe, &id).await?;
    if stored["error"] != "busy" {
        return Err(Failure::broken(format!("after busy, the API shows {stored}")));
    }
    Ok(format!("it came after {after:.1} s, and its answer ended it"))
}

async fn expiry(probe: Probe) -> Verdict {
    let (session, _) = Session::open(&probe, &new_stream()).await?;
    tokio::time::sleep(Duration::from_secs(75)).await;
    let answer = session.post(1, &[]).await?;
    says(&answer, 410, &json!({"error": "session_gone"}))
}
