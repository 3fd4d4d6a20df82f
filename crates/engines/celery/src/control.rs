//! Celery's remote control, spoken by hand: a broadcast, and replies in a list of our own.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use redis::{AsyncCommands as _, RedisResult, aio::MultiplexedConnection};
use serde_json::{Map, Value, json};

use crate::{
    clock,
    envelope::{DeliveryInfo, Envelope, Properties},
    link::{Link, LinkError},
    workers::Learned,
};

/// Where replies are routed.
const REPLY_BINDINGS: &str = "_kombu.binding.reply.celery.pidbox";
/// More replies than this are not awaited.
const MAX_REPLIES: usize = 10_000;

/// A question or an order to workers.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) arguments: Value,
    /// These workers only; all when `None`.
    pub(crate) to: Option<Vec<String>>,
    /// How long replies are awaited.
    pub(crate) wait: Duration,
}

/// What the workers answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Replies {
    /// How many processes listened.
    pub(crate) listening: usize,
    pub(crate) by_worker: BTreeMap<String, Value>,
}

/// The remote control of one broker.
pub(crate) struct Control {
    link: Arc<Link>,
}

impl Control {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self { link }
    }

    /// Broadcasts and collects replies, until all that listen have answered or the wait is over.
    pub(crate) async fn call(&self, call: &Call) -> Result<Replies, LinkError> {
        // The replies are awaited by a blocking command: not on a connection that others share.
        let mut connection = self.link.dedicated().await?;
        let exchange = Exchange::new(call, self.link.address.db);
        let deadline = call.wait + Duration::from_secs(5);
        let talk = async {
            let result = exchange.talk(call, &mut connection).await;
            let _: RedisResult<()> = exchange.clean_up(&mut connection).await;
            result
        };
        match tokio::time::timeout(deadline, talk).await {
            Ok(Ok(replies)) => Ok(replies),
            Ok(Err(_)) => Err(self.link.failed("broke off while workers were asked")),
            Err(_elapsed) => Err(self.link.failed("did not answer in time while workers were asked")),
        }
    }
}

/// One broadcast and the place for its replies.
struct Exchange {
    channel: String,
    ticket: String,
    binding: String,
    reply_key: String,
    message: Vec<u8>,
}

impl Exchange {
    fn new(call: &Call, db: i64) -> Self {
        let (oid, ticket) = (uuid::Uuid::new_v4().to_string(), uuid::Uuid::new_v4().to_string());
        let reply_key = format!("{oid}.reply.celery.pidbox");
        Self {
            channel: format!("/{db}.celery.pidbox"),
            binding: format!("{oid}\x06\x16\x06\x16{reply_key}"),
            message: message(call, &oid, &ticket),
            reply_key,
            ticket,
        }
    }

    async fn talk(&self, call: &Call, connection: &mut MultiplexedConnection) -> RedisResult<Replies> {
        let _: () = connection.sadd(REPLY_BINDINGS, &self.binding).await?;
        let listening: usize = connection.publish(&self.channel, &self.message).await?;
        let mut replies = Replies { listening, ..Replies::default() };
        let expected = call.to.as_ref().map_or(listening, Vec::len).min(MAX_REPLIES);
        let deadline = Instant::now() + call.wait;
        while listening > 0 && replies.by_worker.len() < expected && Instant::now() < deadline {
            // Whole seconds: Redis before 6.0 knows no others.
            let popped: Option<(String, Vec<u8>)> = connection.brpop(&self.reply_key, 1.0).await?;
            if let Some((_, raw)) = popped {
                replies.by_worker.extend(reply(&raw, &self.ticket));
            }
        }
        Ok(replies)
    }

    async fn clean_up(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        redis::pipe()
            .srem(REPLY_BINDINGS, &self.binding)
            .ignore()
            .del(&self.reply_key)
            .ignore()
            .query_async(connection)
            .await
    }
}

fn message(call: &Call, oid: &str, ticket: &str) -> Vec<u8> {
    let body = json!({
        "method": call.method,
        "arguments": call.arguments,
        "destination": call.to,
        "pattern": null,
        "matcher": null,
        "ticket": ticket,
        "reply_to": {"exchange": "reply.celery.pidbox", "routing_key": oid},
    });
    let expires = clock::now().0 as f64 / 1e6 + call.wait.as_secs_f64();
    // A clock ahead of the workers' own would move all of theirs forward.
    let headers = Map::from_iter([("clock".to_owned(), json!(0)), ("expires".to_owned(), json!(expires))]);
    let envelope = Envelope {
        body: STANDARD.encode(body.to_string()),
        content_encoding: Some("utf-8".to_owned()),
        content_type: Some("application/json".to_owned()),
        headers,
        properties: Properties {
            delivery_mode: Some(2),
            delivery_info: DeliveryInfo { exchange: "celery.pidbox".to_owned(), routing_key: String::new() },
            priority: Some(0),
            body_encoding: Some("base64".to_owned()),
            delivery_tag: uuid::Uuid::new_v4().to_string(),
            ..Properties::default()
        },
    };
    serde_json::to_vec(&envelope).unwrap_or_default()
}

/// The reply of one worker, unless it is unreadable (some are pickles) or answers something else.
pub(crate) fn reply(raw: &[u8], ticket: &str) -> Map<String, Value> {
    let Ok(envelope) = Envelope::parse(raw) else { return Map::new() };
    if envelope.headers.get("ticket").and_then(Value::as_str) != Some(ticket) {
        return Map::new();
    }
    match envelope.json_body() {
        Ok(Value::Object(by_worker)) => by_worker,
        _ => Map::new(),
    }
}

/// What a reply to `stats` tells of its worker.
pub(crate) fn read_stats(reply: &Value) -> Learned {
    let pool = reply.pointer("/pool/implementation").and_then(Value::as_str);
    let concurrency = reply.pointer("/pool/max-concurrency").and_then(Value::as_u64);
    Learned {
        // `celery.concurrency.prefork:TaskPool`
        pool: pool.map(|p| p.split(':').next().unwrap_or(p)).map(|p| p.rsplit('.').next().unwrap_or(p).to_owned()),
        concurrency,
        pid: reply.get("pid").and_then(Value::as_u64),
        queues: None,
    }
}

/// What a reply to `active_queues` tells of its worker.
pub(crate) fn read_active_queues(reply: &Value) -> Learned {
    let names = reply.as_array().map(|queues| {
        queues.iter().filter_map(|queue| queue.get("name")?.as_str()).map(str::to_owned).take(1_000).collect()
    });
    Learned { queues: names, ..Learned::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn sample(method: &str) -> Value {
        samples::control_replies()[method]["reply"]["w1@host"].clone()
    }

    #[test]
    fn workers_tell_their_pool_and_queues() {
        let stats = read_stats(&sample("stats"));
        assert_eq!((stats.pool.as_deref(), stats.concurrency, stats.pid), (Some("prefork"), Some(1), Some(11475)));
        assert_eq!(read_active_queues(&sample("active_queues")).queues, Some(vec!["celery".to_owned()]));
        assert_eq!(read_active_queues(&json!({"error": "x"})).queues, None);
    }

    #[test]
    fn only_replies_with_our_ticket_count() {
        let raw = samples::control_replies()["ping"]["reply_envelope_raw"].to_string();
        let ours = reply(raw.as_bytes(), "e7e162aa-e641-4fec-b401-7224e9313f7a");
        assert_eq!(ours.get("w1@host"), Some(&json!({"ok": "pong"})));
        assert!(reply(raw.as_bytes(), "another").is_empty());
        assert!(reply(b"\x80\x04pickle", "another").is_empty());
    }

    #[test]
    fn a_broadcast_says_where_to_reply() {
        let call = Call {
            method: "revoke",
            arguments: json!({"task_id": ["t"]}),
            to: Some(vec!["w@h".into()]),
            wait: Duration::from_secs(1),
        };
        let envelope = Envelope::parse(&message(&call, "oid", "ticket")).expect("a message");
        assert_eq!(envelope.headers["clock"], 0);
        let body = envelope.json_body().expect("a body");
        assert_eq!(body["reply_to"], json!({"exchange": "reply.celery.pidbox", "routing_key": "oid"}));
        assert_eq!((&body["destination"], &body["method"]), (&json!(["w@h"]), &json!("revoke")));
    }
}
