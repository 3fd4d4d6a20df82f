//! Signs of life.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::probe::{Probe, batch};
use crate::rule::rules;
use crate::socket::Heard;
use crate::verdict::{Failure, Verdict};

rules! {
    "heartbeat.accepted", "heartbeat", "A heartbeat is accepted with nothing but a time, with all its fields, and with nonsense in them.", accepted;
    "heartbeat.ping", "heartbeats-and-time", "The brain sends a WebSocket ping every 20 s.", ping, Waiting;
    "heartbeat.timeout", "close-codes", "A connection on which no frame comes for 90 s is closed with 4008, even if it answers pings.", timeout, Slow;
    "heartbeat.keeps-alive", "heartbeats-and-time", "A heartbeat every 30 s keeps a connection open.", keeps_alive, Slow;
    "schedules.accepted", "schedule_sync", "The state of a scheduler is accepted, and not acked.", schedules;
}

async fn accepted(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    let buffer = json!({"events": 12, "bytes": 3_456, "oldest_ts": "2026-11-22T18:20:00Z", "dropped": 0});
    for frame in [
        json!({"type": "heartbeat", "ts": "2026-11-22T18:20:00.123456Z"}),
        json!({"type": "heartbeat", "ts": "2026-11-22T18:20:00Z", "buffer": buffer, "adapters": {"conformance": "ok"}}),
        json!({"type": "heartbeat", "ts": null, "buffer": "full", "adapters": ["ok"]}),
    ] {
        socket.send(&frame).await?;
    }
    socket.deliver(&batch(1, &probe.task("heartbeat"))).await?;
    Ok("a batch after them was acked".to_owned())
}

async fn ping(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    let began = Instant::now();
    // The brain may look at its clock only every few seconds.
    let until = began + Duration::from_secs(25);
    loop {
        match socket.hear(until.saturating_duration_since(Instant::now())).await {
            Heard::Ping => return Ok(format!("the first came after {:.1} s", began.elapsed().as_secs_f64())),
            Heard::Text(_) | Heard::Pong => {}
            Heard::Nothing => return Err(Failure::broken("no ping within 25 s")),
            closed @ Heard::Closed(..) => return Err(Failure::broken(format!("{closed:?}"))),
        }
    }
}

async fn timeout(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    let began = Instant::now();
    let seen = socket.closed_with(4008, Duration::from_secs(110)).await?;
    let after = began.elapsed().as_secs_f64();
    if after < 85.0 {
        return Err(Failure::broken(format!("{seen} after only {after:.1} s")));
    }
    Ok(format!("{seen} after {after:.1} s"))
}

async fn keeps_alive(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    for _ in 0..4 {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            match socket.hear(until.saturating_duration_since(Instant::now())).await {
                Heard::Nothing => break,
                Heard::Text(_) | Heard::Ping | Heard::Pong => {}
                closed @ Heard::Closed(..) => return Err(Failure::broken(format!("{closed:?}"))),
            }
        }
        socket.send(&json!({"type": "heartbeat", "ts": "2026-11-22T18:20:00Z"})).await?;
    }
    socket.deliver(&batch(1, &probe.task("alive"))).await?;
    Ok("still open after 120 s".to_owned())
}

async fn schedules(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    let schedule = json!({
        "id": "1", "name": "nightly", "task": "reports.nightly", "engine": "conformance", "kind": "crontab",
        "expression": "0 3 * * mon-fri", "timezone": "UTC", "enabled": true, "from_the_future": [1],
    });
    let sync = |full: bool, schedules| json!({"type": "schedule_sync", "scheduler": "conformance-scheduler", "full": full, "schedules": schedules});
    let mut change = sync(false, json!([{"id": "2", "kind": "interval", "expression": "30s"}, {"id": 7}, "x", null]));
    change["removed"] = json!(["1"]);
    for frame in [sync(true, json!([schedule])), change, sync(true, json!([]))] {
        socket.send(&frame).await?;
    }
    // An ack before this batch was sent would be one of something else.
    match socket.hear(Duration::from_millis(300)).await {
        Heard::Text(text) => return Err(Failure::broken(format!("answered with {text}"))),
        Heard::Closed(code, reason) => return Err(Failure::broken(format!("closed with {code:?} ({reason})"))),
        Heard::Nothing | Heard::Ping | Heard::Pong => {}
    }
    socket.deliver(&batch(1, &probe.task("schedules"))).await?;
    Ok("all, changes and nonsense; a batch after them was acked".to_owned())
}
