//! Sequence numbers and acks.

use serde_json::Value;

use crate::probe::{Probe, batch, new_stream};
use crate::rule::rules;
use crate::verdict::{Failure, Verdict};

rules! {
    "ack.first", "sequence-numbers-and-acks", "The first frame after hello on a new stream is ack 0.", first;
    "ack.batch", "sequence-numbers-and-acks", "Every batch is acked, and never before it was sent.", each;
    "ack.pipelined", "sequence-numbers-and-acks", "Batches may be sent ahead of their acks; acks are cumulative and never go back.", pipelined;
    "ack.window", "flow-control", "A whole window of 32 batches may be in flight.", window;
    "ack.duplicate", "sequence-numbers-and-acks", "A batch that is sent again is acked again and not stored again.", duplicate;
    "ack.old", "sequence-numbers-and-acks", "A batch from further back is answered with the last persisted seq.", old;
    "ack.reconnect", "sequence-numbers-and-acks", "The ack after hello is the last persisted batch of the stream.", reconnect;
    "ack.gap", "sequence-numbers-and-acks", "After a gap, the batch is stored and acked, and the missing ones are counted as lost.", gap;
    "ack.conflict", "sequence-numbers-and-acks", "Other content under an old seq is acked and not stored, and counts as lost.", conflict;
    "ack.64-bit", "sequence-numbers-and-acks", "A seq is an unsigned 64-bit number, exact to the last digit.", sixty_four_bits;
}

async fn first(probe: Probe) -> Verdict {
    match probe.open(&new_stream()).await? {
        (_, 0) => Ok("ack 0".to_owned()),
        (_, seq) => Err(Failure::broken(format!("ack {seq}"))),
    }
}

async fn each(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    for seq in 1..=3 {
        socket
            .deliver(&batch(seq, &probe.task("each")))
            .await
            .map_err(|failure| failure.at(&format!("batch {seq}")))?;
    }
    Ok("ack 1, 2, 3".to_owned())
}

async fn in_flight(probe: &Probe, count: u64) -> Verdict {
    let mut socket = probe.open_new().await?;
    for seq in 1..=count {
        socket.send(&batch(seq, &probe.task(&format!("flight-{seq}")))).await?;
    }
    let acks = socket.acked(count).await?;
    Ok(format!("{count} batches, {acks} acks, the last of them {count}"))
}

async fn pipelined(probe: Probe) -> Verdict {
    in_flight(&probe, 5).await
}

async fn window(probe: Probe) -> Verdict {
    in_flight(&probe, 32).await
}

async fn duplicate(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    let task = probe.task("twice");
    let batch = batch(1, &task);
    socket.deliver(&batch).await?;
    socket.deliver(&batch).await.map_err(|failure| failure.at("the second time"))?;
    let Some((status, events)) = probe.api(&format!("tasks/conformance/{task}/events")).await? else {
        return Ok("ack 1, ack 1 (what was stored is seen only with an API key)".to_owned());
    };
    match (status, events["items"].as_array().map(Vec::len)) {
        (200, Some(1)) => Ok("ack 1, ack 1; the API shows the event once".to_owned()),
        (200, Some(count)) => Err(Failure::broken(format!("the API shows the event {count} times"))),
        _ => Err(Failure::broken(format!("the API says {status} of the task's events: {events}"))),
    }
}

async fn old(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    let batches: Vec<Value> = (1..=3).map(|seq| batch(seq, &probe.task(&format!("old-{seq}")))).collect();
    for batch in &batches {
        socket.deliver(batch).await?;
    }
    socket.send(&batches[0]).await?;
    match socket.ack().await? {
        3 => Ok("ack 3 for batch 1".to_owned()),
        seq => Err(Failure::broken(format!("ack {seq} for batch 1, after batch 3 had been acked"))),
    }
}

async fn reconnect(probe: Probe) -> Verdict {
    let stream = new_stream();
    let (mut socket, _) = probe.open(&stream).await?;
    for seq in 1..=3 {
        socket.deliver(&batch(seq, &probe.task("reconnect"))).await?;
    }
    drop(socket);
    let (mut socket, seq) = probe.open(&stream).await?;
    if seq != 3 {
        return Err(Failure::broken(format!("ack {seq} after hello, after batch 3 had been acked")));
    }
    socket.deliver(&batch(4, &probe.task("reconnect"))).await?;
    Ok("ack 3 after hello, then ack 4".to_owned())
}

async fn gap(probe: Probe) -> Verdict {
    let stream = new_stream();
    let (mut socket, _) = probe.open(&stream).await?;
    socket.deliver(&batch(1, &probe.task("gap-1"))).await?;
    socket.deliver(&batch(5, &probe.task("gap-5"))).await.map_err(|failure| failure.at("after the gap"))?;
    drop(socket);
    let (_, seq) = probe.open(&stream).await?;
    if seq != 5 {
        return Err(Failure::broken(format!("ack {seq} after hello, after batch 5 had been acked")));
    }
    match probe.counted("lost_batches", 3).await? {
        Some(_) => Ok("batch 5 after batch 1 was acked; the API counts 3 lost batches".to_owned()),
        None => Ok("batch 5 after batch 1 was acked".to_owned()),
    }
}

async fn conflict(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    let (first, other) = (probe.task("first"), probe.task("other"));
    socket.deliver(&batch(1, &first)).await?;
    socket.deliver(&batch(1, &other)).await.map_err(|failure| failure.at("other content under seq 1"))?;
    if probe.stored_task(&other).await?.is_some_and(|task| task.is_object()) {
        return Err(Failure::broken("the API shows the task of the second batch"));
    }
    match probe.counted("lost_batches", 1).await? {
        Some(_) => Ok("ack 1, ack 1; the API counts a lost batch and does not show its task".to_owned()),
        None => Ok("ack 1, ack 1 (what was stored is seen only with an API key)".to_owned()),
    }
}

async fn sixty_four_bits(probe: Probe) -> Verdict {
    let stream = new_stream();
    let (mut socket, _) = probe.open(&stream).await?;
    // One more than a double can tell apart, one more than a signed number can hold, and the largest of all.
    for seq in [(1 << 53) + 1, (1 << 63) + 1, u64::MAX] {
        socket.deliver(&batch(seq, &probe.task("far"))).await.map_err(|failure| failure.at(&format!("seq {seq}")))?;
    }
    drop(socket);
    match probe.open(&stream).await? {
        (_, u64::MAX) => Ok(format!("ack {} on the next connection", u64::MAX)),
        (_, seq) => Err(Failure::broken(format!("ack {seq} on the next connection, after {} was acked", u64::MAX))),
    }
}
