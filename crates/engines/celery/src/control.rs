//! Celery's remote control: what is asked, and what is replied. How both travel is the broker's.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Map, Value, json};

use crate::{clock, content::Content, envelope::Envelope, workers::Learned};

/// The exchange that replies are published to.
pub(crate) const REPLY_EXCHANGE: &str = "reply.celery.pidbox";
/// The exchange that every worker listens on.
pub(crate) const EXCHANGE: &str = "celery.pidbox";
/// kombu's own, in seconds.
const DEFAULT_VISIBILITY_TIMEOUT: f64 = 3600.0;
/// More task types of one worker than this are not remembered.
const MAX_TASK_TYPES: usize = 10_000;
/// More queues of one worker are not remembered.
const MAX_QUEUES: usize = 1_000;
/// More replies than this are not awaited.
pub(crate) const MAX_REPLIES: usize = 10_000;

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

impl Call {
    /// The body of the message, which says where to reply.
    pub(crate) fn body(&self, oid: &str, ticket: &str) -> Value {
        json!({
            "method": self.method,
            "arguments": self.arguments,
            "destination": self.to,
            "pattern": null,
            "matcher": null,
            "ticket": ticket,
            "reply_to": {"exchange": REPLY_EXCHANGE, "routing_key": oid},
        })
    }

    /// The headers of the message.
    pub(crate) fn headers(&self) -> Map<String, Value> {
        let expires = clock::now().0 as f64 / 1e6 + self.wait.as_secs_f64();
        // A clock ahead of the workers' own would move all of theirs forward.
        Map::from_iter([("clock".to_owned(), json!(0)), ("expires".to_owned(), json!(expires))])
    }
}

/// What the workers answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Replies {
    /// The broker had nobody to give the call to.
    pub(crate) nobody_listens: bool,
    /// To how many the broker gave the call, where it says so.
    pub(crate) listening: Option<usize>,
    pub(crate) by_worker: BTreeMap<String, Value>,
}

/// The reply of one worker in its kombu envelope.
pub(crate) fn reply(raw: &[u8], ticket: &str) -> Map<String, Value> {
    let Ok(envelope) = Envelope::parse(raw) else { return Map::new() };
    let told = envelope.headers.get("ticket").and_then(Value::as_str);
    envelope.content().map(|content| read_reply(told, &content, ticket)).unwrap_or_default()
}

/// The reply of one worker, unless it is unreadable (some are pickles) or answers something else.
pub(crate) fn read_reply(told: Option<&str>, content: &Content, ticket: &str) -> Map<String, Value> {
    match content.json() {
        Ok(Value::Object(by_worker)) if told == Some(ticket) => by_worker,
        _ => Map::new(),
    }
}

/// What a reply to `stats` tells of its worker.
pub(crate) fn read_stats(reply: &Value) -> Learned {
    let pool = reply.pointer("/pool/implementation").and_then(Value::as_str);
    // A pool that has grown still tells the size that it began with; its processes are as many as they are.
    let processes = reply.pointer("/pool/processes").and_then(Value::as_array).map(|pids| pids.len() as u64);
    let at_start = reply.pointer("/pool/max-concurrency").and_then(Value::as_u64);
    let concurrency = processes.filter(|count| *count > 0).or(at_start);
    Learned {
        // `celery.concurrency.prefork:TaskPool`
        pool: pool.map(|p| p.split(':').next().unwrap_or(p)).map(|p| p.rsplit('.').next().unwrap_or(p).to_owned()),
        concurrency,
        pid: reply.get("pid").and_then(Value::as_u64),
        visibility_timeout_s: visibility_timeout(reply),
        ..Learned::default()
    }
}

/// After how long the broker delivers a message again that the worker has not acknowledged. Only kombu's Redis transport does that.
fn visibility_timeout(stats: &Value) -> Option<f64> {
    let transport = stats.pointer("/broker/transport").and_then(Value::as_str)?;
    if !(transport.starts_with("redis") || transport.starts_with("sentinel")) {
        return None;
    }
    let own = stats.pointer("/broker/transport_options/visibility_timeout");
    Some(own.and_then(Value::as_f64).unwrap_or(DEFAULT_VISIBILITY_TIMEOUT))
}

/// What a reply to `active_queues` tells of its worker.
pub(crate) fn read_active_queues(reply: &Value) -> Learned {
    let names = reply.as_array().map(|queues| {
        queues.iter().filter_map(|queue| queue.get("name")?.as_str()).map(str::to_owned).take(MAX_QUEUES).collect()
    });
    Learned { queues: names, ..Learned::default() }
}

/// The queues that a worker's settings name: those they list, those they route to, and the one for everything else.
pub(crate) fn read_declared_queues(conf: &Value) -> Vec<String> {
    let name = |queue: &Value| queue.as_str().or_else(|| queue.get("name")?.as_str()).map(str::to_owned);
    // As a mapping, names are keys.
    let listed = conf["task_queues"].as_array().into_iter().flatten().filter_map(name);
    let mapped = conf["task_queues"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
    let routes = conf["task_routes"].as_object().into_iter().flatten();
    let routed = routes.filter_map(|(_, route)| name(route.get("queue").unwrap_or(route)));
    listed.chain(mapped).chain(routed).chain(name(&conf["task_default_queue"])).take(MAX_QUEUES).collect()
}

/// The task types that a worker says it can run. `None` when there are too many to remember.
pub(crate) fn read_registered(reply: &Value) -> Option<BTreeSet<String>> {
    let names = reply.as_array().filter(|names| names.len() <= MAX_TASK_TYPES)?;
    // Behind a name may stand what limits it: `name [rate_limit=5/s]`.
    let name = |name: &Value| Some(name.as_str()?.split(" [").next()?.to_owned());
    Some(names.iter().filter_map(name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn the_queues_that_settings_name_are_read_in_all_their_forms() {
        let conf = json!({
            "task_default_queue": "default",
            "task_queues": [{"name": "mail", "routing_key": "m"}, {"name": null}, "plain"],
            "task_routes": {"a.*": {"queue": "slow"}, "b": "other", "c": {"queue": {"name": "made"}}, "d": {"priority": 3}},
        });
        assert_eq!(read_declared_queues(&conf), ["mail", "plain", "slow", "other", "made", "default"]);
        assert_eq!(read_declared_queues(&json!({"task_queues": {"mapped": {"exchange": "x"}}})), ["mapped"]);
        for nonsense in [json!(null), json!({"task_queues": 7, "task_routes": ["a"], "task_default_queue": 7})] {
            assert!(read_declared_queues(&nonsense).is_empty());
        }
    }

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
    fn task_types_are_told_with_their_limits() {
        let known = read_registered(&json!(["a.b", "a.c [rate_limit=5/s]"]));
        assert_eq!(known, Some(["a.b".to_owned(), "a.c".to_owned()].into()));
        assert_eq!(read_registered(&json!({"error": "x"})), None);
    }

    #[test]
    fn the_visibility_timeout_is_that_of_the_redis_transport() {
        let of = |broker: Value| read_stats(&json!({"broker": broker})).visibility_timeout_s;
        assert_eq!(read_stats(&sample("stats")).visibility_timeout_s, Some(3600.0));
        let options = json!({"visibility_timeout": 43_200});
        assert_eq!(of(json!({"transport": "redis", "transport_options": options})), Some(43_200.0));
        assert_eq!(of(json!({"transport": "amqp", "transport_options": options})), None);
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
        assert_eq!(call.headers()["clock"], 0);
        let body = call.body("oid", "ticket");
        assert_eq!(body["reply_to"], json!({"exchange": "reply.celery.pidbox", "routing_key": "oid"}));
        assert_eq!((&body["destination"], &body["method"]), (&json!(["w@h"]), &json!("revoke")));
    }
}
