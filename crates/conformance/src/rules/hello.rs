//! The first frame.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::probe::{Probe, batch, new_stream};
use crate::rule::rules;
use crate::socket::PATIENCE;
use crate::verdict::{Failure, Verdict};

rules! {
    "hello.deadline", "close-codes", "A connection on which no hello comes within 10 s is closed with 4000.", deadline, Waiting;
    "hello.first", "hello", "A connection whose first frame is not hello is closed with 4000.", first;
    "hello.incomplete", "hello", "A hello without agent_name or protocol is no hello: 4000.", incomplete;
    "hello.major", "versions", "A hello of another major version is closed with 4001.", major;
    "hello.minor", "versions", "A hello of any minor version of v1 is accepted.", minor;
    "hello.minimal", "hello", "A hello with nothing but protocol and agent_name is accepted, and answered with an ack.", minimal;
    "hello.full", "hello", "A hello with every field, and with fields that nobody knows, is accepted.", full;
    "hello.second", "hello", "A second hello on one connection is closed with 1007.", second;
}

async fn deadline(probe: Probe) -> Verdict {
    let mut socket = probe.connect().await?;
    let began = Instant::now();
    let seen = socket.closed_with(4000, Duration::from_secs(20)).await?;
    let after = began.elapsed().as_secs_f64();
    if after < 9.0 {
        return Err(Failure::broken(format!("{seen} after only {after:.1} s")));
    }
    Ok(format!("{seen} after {after:.1} s"))
}

/// What a connection is closed with whose first frame is `frame`.
async fn closes(probe: &Probe, frame: &Value, code: u16) -> Verdict {
    let mut socket = probe.connect().await?;
    socket.send(frame).await?;
    let what = frame["type"].as_str().unwrap_or("a frame without a type");
    socket.closed_with(code, PATIENCE).await.map_err(|failure| failure.at(what))
}

async fn first(probe: Probe) -> Verdict {
    closes(&probe, &json!({"type": "heartbeat", "ts": "2026-11-22T18:20:00Z"}), 4000).await?;
    closes(&probe, &json!({"type": "conformance"}), 4000).await?;
    closes(&probe, &batch(1, "too-early"), 4000).await
}

async fn incomplete(probe: Probe) -> Verdict {
    closes(&probe, &json!({"type": "hello", "protocol": "v1"}), 4000).await?;
    closes(&probe, &json!({"type": "hello", "agent_name": probe.agent}), 4000).await
}

async fn major(probe: Probe) -> Verdict {
    let mut seen = String::new();
    for version in ["v0.9", "v2", "v11.1", "1"] {
        let mut hello = probe.hello(&new_stream());
        hello["protocol"] = version.into();
        seen = closes(&probe, &hello, 4001).await.map_err(|failure| failure.at(version))?;
    }
    Ok(seen)
}

async fn minor(probe: Probe) -> Verdict {
    for version in ["v1.0", "v1.7", "v1.123"] {
        let mut hello = probe.hello(&new_stream());
        hello["protocol"] = version.into();
        let mut socket = probe.connect().await?;
        socket.send(&hello).await?;
        socket.ack().await.map_err(|failure| failure.at(version))?;
    }
    Ok("v1.0, v1.7 and v1.123 were accepted".to_owned())
}

async fn minimal(probe: Probe) -> Verdict {
    let mut socket = probe.connect().await?;
    socket.send(&json!({"type": "hello", "protocol": "v1", "agent_name": probe.agent})).await?;
    let seq = socket.ack().await?;
    if probe.has_own_name() && seq != 0 {
        return Err(Failure::broken(format!("ack {seq} for an agent that has never sent anything")));
    }
    Ok(format!("ack {seq}"))
}

async fn full(probe: Probe) -> Verdict {
    let mut hello = probe.hello(&new_stream());
    let all = json!({
        "framework": "django", "framework_version": "5.0.2", "worker_role": "web", "schedulers": ["celery-beat"],
        "capabilities": {"conformance": {"native_retry": false}, "celery-beat": {"writable_backend": "django-celery-beat"}},
        "extensions": ["progress", "query_state"], "metadata": {"hostname": "web-01", "pid": 12345},
        "from_the_future": {"a": [1, null, {"b": "c"}]},
    });
    if let (Value::Object(hello), Value::Object(all)) = (&mut hello, all) {
        hello.extend(all);
    }
    let mut socket = probe.connect().await?;
    socket.send(&hello).await?;
    Ok(format!("ack {}", socket.ack().await?))
}

async fn second(probe: Probe) -> Verdict {
    let stream = new_stream();
    let (mut socket, _) = probe.open(&stream).await?;
    socket.send(&probe.hello(&stream)).await?;
    socket.closed_with(1007, PATIENCE).await
}
