//! Messages as they were seen on the wire, for tests.

use serde_json::{Map, Value};

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("a sample is JSON")
}

/// Task messages: `{"case", "redis_key", "envelope", "decoded_body"}`.
pub(crate) fn task_messages() -> Vec<Value> {
    parse(include_str!("../tests/samples/redis_task_messages.json")).as_array().cloned().expect("a list")
}

/// The task message of this case.
pub(crate) fn task_message(case: &str) -> Value {
    task_messages().into_iter().find(|m| m["case"] == case).map(|m| m["envelope"].clone()).expect("a known case")
}

/// Events by name.
pub(crate) fn events() -> Map<String, Value> {
    parse(include_str!("../tests/samples/events.json")).as_object().cloned().expect("a map")
}

/// Published messages: `{"channel", "payload"}`.
pub(crate) fn published() -> Vec<Value> {
    parse(include_str!("../tests/samples/redis_pubsub_envelopes.json")).as_array().cloned().expect("a list")
}

/// Result metas: `{"case", "value"}`.
pub(crate) fn results() -> Vec<Value> {
    parse(include_str!("../tests/samples/results.json")).as_array().cloned().expect("a list")
}

/// Replies to control commands by method.
pub(crate) fn control_replies() -> Map<String, Value> {
    parse(include_str!("../tests/samples/control_replies.json")).as_object().cloned().expect("a map")
}

/// One entry of the `unacked` hash.
pub(crate) fn unacked_entry() -> Value {
    parse(include_str!("../tests/samples/redis_unacked_entry.json"))
}

/// The message of RabbitMQ of this case: `{"properties", "body"}`.
pub(crate) fn rabbitmq_message(case: &str) -> Value {
    let all = parse(include_str!("../tests/samples/rabbitmq_messages.json"));
    let messages = all.as_array().cloned().expect("a list");
    messages.into_iter().find(|message| message["case"] == case).expect("a known case")
}
