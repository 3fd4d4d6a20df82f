//! How many events a batch may have.

use serde_json::{Value, json};
use taskplane_protocol::limits::MAX_BATCH_EVENTS;

use crate::probe::{Probe, batch, event, sent};
use crate::rule::rules;
use crate::socket::PATIENCE;
use crate::verdict::{Failure, Verdict};

rules! {
    "batch.stored", "event_batch", "What is acked is stored.", stored;
    "batch.most", "limits", "A batch of 5,000 events is accepted.", most;
    "batch.too-many", "limits", "A batch of 5,001 events is closed with 1007, and not stored.", too_many;
    "batch.empty", "limits", "A batch without events is closed with 1007.", empty;
    "batch.life", "event_batch", "The events of a task may come in any order and in several batches.", life;
}

async fn stored(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    let task = probe.task("stored");
    socket.deliver(&batch(1, &task)).await?;
    match probe.stored_task(&task).await? {
        None => Err(Failure::untested("needs --api-key")),
        Some(stored) if stored["task_id"] == *task => Ok("the API shows the task of an acked batch".to_owned()),
        Some(stored) => Err(Failure::broken(format!("the API shows {stored} for the task of an acked batch"))),
    }
}

fn many(count: usize, task: &str) -> Value {
    let events: Vec<Value> = (0..count).map(|index| sent(&format!("{task}-{}", index % 10))).collect();
    json!({"type": "event_batch", "seq": 1, "events": events})
}

async fn most(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    socket.deliver(&many(MAX_BATCH_EVENTS, &probe.task("most"))).await?;
    Ok("acked".to_owned())
}

async fn too_many(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    let task = probe.task("too-many");
    socket.send_unless_closed(many(MAX_BATCH_EVENTS + 1, &task).to_string()).await;
    let seen = socket.closed_with(1007, PATIENCE).await?;
    if probe.stored_task(&format!("{task}-0")).await?.is_some_and(|stored| stored.is_object()) {
        return Err(Failure::broken(format!("{seen}, but the API shows a task of the batch")));
    }
    Ok(seen)
}

async fn empty(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    socket.send(&json!({"type": "event_batch", "seq": 1, "events": []})).await?;
    socket.closed_with(1007, PATIENCE).await
}

async fn life(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    let task = probe.task("life");
    let last = [event("task_succeeded", &task), event("task_received", &task)];
    let first = [event("task_started", &task), event("task_sent", &task), event("task_progress", &task)];
    socket.deliver(&json!({"type": "event_batch", "seq": 1, "events": last})).await?;
    socket.deliver(&json!({"type": "event_batch", "seq": 2, "events": first})).await?;
    match probe.stored_task(&task).await? {
        None => Ok("acked (what was made of it is seen only with an API key)".to_owned()),
        Some(stored) if stored["state"] == "succeeded" => Ok("the API shows the task as succeeded".to_owned()),
        Some(stored) => Err(Failure::broken(format!("the API shows the task as {}", stored["state"]))),
    }
}
