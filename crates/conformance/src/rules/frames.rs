//! Framing: what is a frame, and what is none.

use serde_json::json;
use taskplane_protocol::limits::MAX_FRAME_BYTES;

use crate::probe::{Probe, batch, sent};
use crate::rule::rules;
use crate::socket::{Heard, PATIENCE};
use crate::verdict::{Failure, Verdict};

rules! {
    "frame.binary", "framing", "A binary frame is closed with 1007.", binary;
    "frame.not-json", "framing", "A text frame that is not JSON is closed with 1007.", not_json;
    "frame.not-object", "framing", "A text frame of JSON that is no object is closed with 1007.", not_object;
    "frame.not-utf8", "framing", "A text frame that is not UTF-8 is closed with 1007.", not_utf8;
    "frame.malformed", "framing", "A frame of a known type whose required fields are missing or wrong is closed with 1007.", malformed;
    "frame.too-large", "framing", "A frame over 4 MiB is closed with 1009.", too_large;
    "frame.large", "limits", "A frame of 4 MiB is accepted.", large;
    "frame.unknown-fields", "versions", "Fields that nobody knows are ignored, in frames and in events.", unknown_fields;
    "frame.unknown-types", "versions", "Frames of a type that nobody knows are ignored.", unknown_types;
    "frame.field-order", "framing", "The order of fields is free, and so is white space.", field_order;
    "frame.fragments", "framing", "A frame that comes in several WebSocket fragments is one frame.", fragments;
    "frame.ping", "heartbeats-and-time", "A WebSocket ping is answered with its pong.", ping;
}

async fn binary(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    socket.send_binary(br#"{"type":"heartbeat"}"#.to_vec()).await?;
    socket.closed_with(1007, PATIENCE).await
}

/// That each text closes a connection of its own with 1007.
async fn each_closes(probe: &Probe, texts: &[&str]) -> Verdict {
    let mut seen = String::new();
    for text in texts {
        let mut socket = probe.open_new().await?;
        socket.send_text(*text).await?;
        seen = socket.closed_with(1007, PATIENCE).await.map_err(|failure| failure.at(text))?;
    }
    Ok(seen)
}

async fn not_json(probe: Probe) -> Verdict {
    let texts = ["hello", "", "{\"type\":\"heartbeat\"", "{\"type\":\"heartbeat\"}{\"type\":\"heartbeat\"}", "{'a':1}"];
    each_closes(&probe, &texts).await
}

async fn not_object(probe: Probe) -> Verdict {
    each_closes(&probe, &["[]", "[\"heartbeat\",\"2026-11-22T18:20:00Z\"]", "\"heartbeat\"", "null", "7", "true"]).await
}

async fn not_utf8(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    socket.send_parts(&[b"{\"type\":\"heartbeat\",\"ts\":\"\xff\xfe\"}"]).await?;
    socket.closed_with(1007, PATIENCE).await
}

async fn malformed(probe: Probe) -> Verdict {
    let texts = [
        r#"{"ts":"2026-11-22T18:20:00Z"}"#,
        r#"{"type":7}"#,
        r#"{"type":"event_batch","events":[{"event_type":"x"}]}"#,
        r#"{"type":"event_batch","seq":0,"events":[{"event_type":"x"}]}"#,
        r#"{"type":"event_batch","seq":-1,"events":[{"event_type":"x"}]}"#,
        r#"{"type":"event_batch","seq":"1","events":[{"event_type":"x"}]}"#,
        r#"{"type":"event_batch","seq":18446744073709551616,"events":[{"event_type":"x"}]}"#,
        r#"{"type":"event_batch","seq":1,"events":{}}"#,
        r#"{"type":"event_batch","seq":1}"#,
        r#"{"type":"command_result","ok":true}"#,
    ];
    each_closes(&probe, &texts).await
}

/// A batch whose text has exactly `bytes` bytes.
fn batch_of(bytes: usize, task: &str) -> String {
    let mut event = sent(task);
    event["args_redacted"] = json!([""]);
    let empty = json!({"type": "event_batch", "seq": 1, "events": [event.clone()]}).to_string();
    event["args_redacted"] = json!(["x".repeat(bytes.saturating_sub(empty.len()))]);
    json!({"type": "event_batch", "seq": 1, "events": [event]}).to_string()
}

async fn too_large(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    socket.send_unless_closed(batch_of(MAX_FRAME_BYTES + 1, &probe.task("large"))).await;
    socket.closed_with(1009, PATIENCE).await
}

async fn large(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    socket.send_text(batch_of(MAX_FRAME_BYTES, &probe.task("large"))).await?;
    socket.acked(1).await?;
    Ok(format!("a batch of {MAX_FRAME_BYTES} bytes was acked"))
}

async fn unknown_fields(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    socket.send(&json!({"type": "heartbeat", "ts": "2026-11-22T18:20:00Z", "mood": {"good": true}})).await?;
    let mut batch = batch(1, &probe.task("fields"));
    batch["mood"] = json!(["good", {"deep": [[]]}]);
    batch["events"][0]["mood"] = json!({"good": 1e3});
    socket.deliver(&batch).await?;
    Ok("a batch with them was acked".to_owned())
}

async fn unknown_types(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    for frame in [json!({"type": "weather", "sun": true}), json!({"type": "ack", "seq": 7}), json!({"type": ""})] {
        socket.send(&frame).await?;
    }
    socket.deliver(&batch(1, &probe.task("types"))).await?;
    Ok("a batch after them was acked".to_owned())
}

async fn field_order(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    let (event, task) = (sent(&probe.task("order")), probe.task("order"));
    let pretty = format!(" \r\n{{ \"events\" :\t[ {event:#} ] , \"seq\" : 1 , \"type\" : \"event_batch\" }}\n ");
    socket.send_text(pretty).await?;
    socket.acked(1).await?;
    match probe.stored_task(&task).await? {
        None => Ok("acked".to_owned()),
        Some(stored) if stored.is_object() => Ok("acked, and the API shows the task".to_owned()),
        Some(_) => Err(Failure::broken("acked, but the API does not show the task")),
    }
}

async fn fragments(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    let text = batch(1, &probe.task("fragments-ż")).to_string();
    let (first, rest) = text.as_bytes().split_at(text.len() / 3);
    let (second, third) = rest.split_at(rest.len() / 2);
    socket.send_parts(&[first, second, b"", third]).await?;
    socket.acked(1).await?;
    Ok("a batch in 4 fragments was acked".to_owned())
}

async fn ping(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    socket.ping().await?;
    loop {
        match socket.hear(PATIENCE).await {
            Heard::Pong => return Ok("a pong came".to_owned()),
            Heard::Text(_) | Heard::Ping => {}
            other => return Err(Failure::broken(format!("{other:?}"))),
        }
    }
}
