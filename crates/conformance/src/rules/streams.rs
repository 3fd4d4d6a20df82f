//! Streams: one buffer, one sequence.

use serde_json::json;

use crate::probe::{Probe, batch, new_stream};
use crate::rule::rules;
use crate::socket::PATIENCE;
use crate::verdict::{Failure, Verdict};

rules! {
    "stream.separate", "identity-and-streams", "Connections of one agent with different instance ids live side by side, each with its own sequence.", separate;
    "stream.superseded", "identity-and-streams", "A second connection of the same stream takes over: the first is closed with 4009.", superseded;
    "stream.plain", "identity-and-streams", "An agent without instance_id has one stream, which keeps its place across connections.", plain;
}

async fn separate(probe: Probe) -> Verdict {
    let (mut one, mut other) = (probe.open_new().await?, probe.open_new().await?);
    for seq in 1..=2 {
        one.deliver(&batch(seq, &probe.task(&format!("one-{seq}")))).await.map_err(|f| f.at("the first stream"))?;
        other
            .deliver(&batch(seq, &probe.task(&format!("other-{seq}"))))
            .await
            .map_err(|f| f.at("the second stream"))?;
    }
    match probe.counted("connections", 2).await? {
        Some(_) => Ok("both delivered batches 1 and 2; the API shows 2 connections".to_owned()),
        None => Ok("both delivered batches 1 and 2".to_owned()),
    }
}

async fn superseded(probe: Probe) -> Verdict {
    let stream = new_stream();
    let (mut first, _) = probe.open(&stream).await?;
    first.deliver(&batch(1, &probe.task("first"))).await?;
    let (mut second, seq) = probe.open(&stream).await?;
    if seq != 1 {
        return Err(Failure::broken(format!("ack {seq} for the second connection, after batch 1 had been acked")));
    }
    let seen = first.closed_with(4009, PATIENCE).await.map_err(|failure| failure.at("the first connection"))?;
    second.deliver(&batch(2, &probe.task("second"))).await.map_err(|failure| failure.at("the second connection"))?;
    Ok(format!("the first connection was {seen}, the second goes on"))
}

async fn plain(probe: Probe) -> Verdict {
    if !probe.has_own_name() {
        return Err(Failure::untested("the agent's name was given, and its plain stream may be in use"));
    }
    let hello = json!({"type": "hello", "protocol": "v1", "agent_name": probe.agent, "engines": ["conformance"]});
    let mut socket = probe.connect().await?;
    socket.send(&hello).await?;
    let before = socket.ack().await?;
    socket.deliver(&batch(before + 1, &probe.task("plain"))).await?;
    drop(socket);
    let mut socket = probe.connect().await?;
    socket.send(&hello).await?;
    match socket.ack().await? {
        seq if seq == before + 1 => Ok(format!("ack {seq} on the next connection")),
        seq => Err(Failure::broken(format!("ack {seq} on the next connection, after {} was acked", before + 1))),
    }
}
