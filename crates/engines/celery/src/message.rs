//! Task messages: read from a queue, and built for publishing.
//!
//! A malformed message takes down every worker that receives it, in a loop. So a message is built from typed parts, written, and
//! read again before it is sent. Bytes are forwarded for one reason only: as the body of a message that a worker has received, and
//! so read, where it cannot be read here ([`Verbatim`]); the rest of that message is built like any other.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use taskplane_agent::engine::{CommandError, TaskObservation};
use taskplane_model::{TaskEventKind, Timestamp};

use crate::{
    acceptable,
    content::EnvelopeError,
    envelope::{DeliveryInfo, Envelope, Properties},
    python_repr,
    verbatim::{Sealed, Verbatim},
    workers::Workers,
};

/// Headers that describe the bytes or the delivery of one message, not its task.
const STALE: [&str; 5] = ["compression", "redelivered", "expires", "group", "group_index"];
/// Headers that each message of a task has its own of.
const MADE_ANEW: [&str; 11] = [
    "lang",
    "task",
    "id",
    "eta",
    "retries",
    "root_id",
    "parent_id",
    "argsrepr",
    "kwargsrepr",
    "origin",
    "replaced_task_nesting",
];

/// What is bound to a task: what runs after it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Embed {
    pub(crate) callbacks: Value,
    pub(crate) errbacks: Value,
    /// The rest of the chain, last task first.
    pub(crate) chain: Value,
    /// The chord body that waits for this task.
    pub(crate) chord: Value,
}

impl Embed {
    fn has(value: &Value) -> bool {
        !matches!(value, Value::Null) && value.as_array().is_none_or(|items| !items.is_empty())
    }

    pub(crate) fn has_chain(&self) -> bool {
        Self::has(&self.chain)
    }

    pub(crate) fn has_callbacks(&self) -> bool {
        Self::has(&self.callbacks) || Self::has(&self.errbacks)
    }

    pub(crate) fn has_chord(&self) -> bool {
        Self::has(&self.chord)
    }

    /// The id of the chord body that waits for this task.
    pub(crate) fn chord_id(&self) -> Option<&str> {
        task_id(&self.chord)
    }

    /// The chord body that waits for this task, or for the last one of its chain.
    pub(crate) fn body(&self) -> Option<&Value> {
        match self.has_chord() {
            true => Some(&self.chord),
            false => self.last_link()?.pointer("/options/chord").filter(|chord| !chord.is_null()),
        }
    }

    /// Its id.
    pub(crate) fn body_id(&self) -> Option<&str> {
        task_id(self.body()?)
    }

    pub(crate) fn last_link(&self) -> Option<&Value> {
        self.chain.get(0)
    }
}

fn task_id(signature: &Value) -> Option<&str> {
    signature.pointer("/options/task_id").and_then(Value::as_str)
}

/// What a task is called with, in full.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Payload {
    pub(crate) args: Vec<Value>,
    pub(crate) kwargs: Map<String, Value>,
    #[serde(default)]
    pub(crate) embed: Embed,
}

/// What a message has in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    /// Written from its parts.
    Read(Payload),
    /// As it was.
    Verbatim(Verbatim),
}

impl Body {
    /// The text forms of its arguments, as Celery's publishers write them.
    fn reprs(&self) -> [Value; 2] {
        match self {
            Self::Read(payload) => {
                [python_repr::args(&payload.args), python_repr::kwargs(&payload.kwargs)].map(Value::from)
            }
            Self::Verbatim(verbatim) => verbatim.reprs().map(Value::from),
        }
    }

    /// True when this is what a message was found to have in it.
    fn is_of(&self, message: &TaskMessage) -> bool {
        match self {
            Self::Read(payload) => message.payload.as_ref() == Ok(payload),
            Self::Verbatim(verbatim) => verbatim.is(message.sealed.as_ref()),
        }
    }
}

/// A task message as it lies in a queue.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TaskMessage {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) headers: Map<String, Value>,
    /// What it is called with, or why that cannot be read.
    pub(crate) payload: Result<Payload, EnvelopeError>,
    /// The body itself, where it cannot be read.
    pub(crate) sealed: Option<Sealed>,
    pub(crate) routing_key: String,
    pub(crate) exchange: String,
    pub(crate) priority: Option<i64>,
    pub(crate) delivery_tag: String,
}

impl TaskMessage {
    /// Reads a message of either protocol. `None` when it is no task message.
    pub(crate) fn read(raw: &[u8]) -> Option<Self> {
        let envelope = Envelope::parse(raw).ok()?;
        let body = envelope.json_body();
        let sealed = body.as_ref().err().and_then(|_| Sealed::of(&envelope));
        let (headers, payload) = match &body {
            Ok(Value::Object(old)) => (protocol_1_headers(old), Ok(protocol_1_payload(old))),
            Ok(body) => (envelope.headers, payload(body)),
            Err(error) => (envelope.headers, Err(error.clone())),
        };
        Some(Self {
            id: text(&headers, "id")?,
            name: text(&headers, "task")?,
            payload,
            sealed,
            routing_key: envelope.properties.delivery_info.routing_key,
            exchange: envelope.properties.delivery_info.exchange,
            priority: envelope.properties.priority,
            delivery_tag: envelope.properties.delivery_tag,
            headers,
        })
    }

    /// Group this task is a member of.
    pub(crate) fn group_id(&self) -> Option<String> {
        text(&self.headers, "group")
    }

    /// The headers that a repetition of the task carries too: those that are not made anew for each message, and not at
    /// their defaults.
    pub(crate) fn own_headers(&self) -> Map<String, Value> {
        let is_default = |key: &str, value: &Value| match key {
            "timelimit" => value.as_array().is_none_or(|limits| limits.iter().all(Value::is_null)),
            "stamps" => value.as_object().is_none_or(Map::is_empty),
            "ignore_result" => value == &json!(false),
            _ => value.is_null(),
        };
        let is_own = |(key, value): &(&String, &Value)| {
            !MADE_ANEW.contains(&key.as_str()) && !STALE.contains(&key.as_str()) && !is_default(key, value)
        };
        self.headers.iter().filter(is_own).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Attempt number.
    pub(crate) fn retries(&self) -> u32 {
        self.headers.get("retries").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
    }

    /// What can be told of a message that waits in `queue`.
    pub(crate) fn sent(&self, queue: &str) -> TaskObservation {
        let payload = self.payload.as_ref().ok();
        TaskObservation {
            kind: TaskEventKind::Sent,
            task_id: self.id.clone(),
            name: Some(self.name.clone()),
            args: payload.map(|p| Value::Array(p.args.clone())),
            kwargs: payload.map(|p| Value::Object(p.kwargs.clone())),
            queue: Some(queue.to_owned()),
            routing_key: Some(self.routing_key.clone()).filter(|k| !k.is_empty()),
            exchange: Some(self.exchange.clone()).filter(|e| !e.is_empty()),
            hostname: text(&self.headers, "origin").and_then(|o| o.split_once('@').map(|(_, host)| host.to_owned())),
            retries: Some(self.retries()),
            eta: time(self.headers.get("eta")),
            expires: time(self.headers.get("expires")),
            priority: self.priority,
            root_id: text(&self.headers, "root_id"),
            parent_id: text(&self.headers, "parent_id").filter(|p| *p != self.id),
            group_id: self.group_id(),
            chord_id: payload.and_then(|p| p.embed.chord_id()).map(str::to_owned),
            ..TaskObservation::default()
        }
    }
}

fn payload(body: &Value) -> Result<Payload, EnvelopeError> {
    let malformed = || EnvelopeError::Malformed("its body is not [args, kwargs, embed]".to_owned());
    let [args, kwargs, embed] = body.as_array().map(Vec::as_slice).ok_or_else(malformed)? else {
        return Err(malformed());
    };
    Ok(Payload {
        args: args.as_array().ok_or_else(malformed)?.clone(),
        kwargs: kwargs.as_object().ok_or_else(malformed)?.clone(),
        embed: serde_json::from_value(embed.clone()).unwrap_or_default(),
    })
}

/// Protocol 1 has everything in the body; only `task_protocol = 1` still writes it.
fn protocol_1_headers(body: &Map<String, Value>) -> Map<String, Value> {
    let mut headers = Map::new();
    for (new, old) in [
        ("id", "id"),
        ("task", "task"),
        ("retries", "retries"),
        ("eta", "eta"),
        ("expires", "expires"),
        ("group", "taskset"),
        ("timelimit", "timelimit"),
    ] {
        headers.insert(new.to_owned(), body.get(old).cloned().unwrap_or(Value::Null));
    }
    headers
}

fn protocol_1_payload(body: &Map<String, Value>) -> Payload {
    let take = |key: &str| body.get(key).cloned().unwrap_or(Value::Null);
    Payload {
        args: body.get("args").and_then(Value::as_array).cloned().unwrap_or_default(),
        kwargs: body.get("kwargs").and_then(Value::as_object).cloned().unwrap_or_default(),
        embed: Embed {
            callbacks: take("callbacks"),
            errbacks: take("errbacks"),
            chain: Value::Null,
            chord: take("chord"),
        },
    }
}

/// A text field that is there and not empty.
pub(crate) fn text(fields: &Map<String, Value>, key: &str) -> Option<String> {
    fields.get(key).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned)
}

/// An ISO 8601 time. Without a zone it is UTC, as older versions of Celery write it.
pub(crate) fn time(value: Option<&Value>) -> Option<Timestamp> {
    let text = value?.as_str()?;
    Timestamp::parse_rfc3339(text).or_else(|| Timestamp::parse_rfc3339(&format!("{text}Z")))
}

/// A task about to be published.
#[derive(Clone, Debug)]
pub(crate) struct NewTask {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) body: Body,
    /// Headers of the message it repeats, when there is one: time limits, stamps and the application's own are kept.
    pub(crate) headers: Map<String, Value>,
    pub(crate) root_id: String,
    pub(crate) parent_id: Option<String>,
    pub(crate) queue: String,
    pub(crate) priority: Option<i64>,
    pub(crate) eta: Option<Timestamp>,
    pub(crate) expires: Option<Timestamp>,
}

/// The message that was built is not one a worker would survive. A defect of ours, caught before sending.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message built for the task is not valid ({0}); nothing was sent")]
pub(crate) struct InvalidMessage(pub(crate) String);

/// A message that was built, written, and read again.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) envelope: Envelope,
    /// The envelope as it is written to Redis.
    pub(crate) raw: Vec<u8>,
    /// What a worker will read.
    pub(crate) message: TaskMessage,
}

impl NewTask {
    /// The message, read again and compared before it is handed out.
    pub(crate) fn outgoing(&self) -> Result<Outgoing, InvalidMessage> {
        let invalid = |why: &str| InvalidMessage(why.to_owned());
        self.check().map_err(InvalidMessage)?;
        let envelope = self.envelope().map_err(|_| invalid("the body cannot be written"))?;
        let raw = serde_json::to_vec(&envelope).map_err(|_| invalid("the message cannot be written"))?;
        let message = TaskMessage::read(&raw).ok_or_else(|| invalid("the message cannot be read again"))?;
        let same = message.id == self.id
            && message.name == self.name
            && self.body.is_of(&message)
            && message.routing_key == self.queue
            && !message.delivery_tag.is_empty();
        if same { Ok(Outgoing { envelope, raw, message }) } else { Err(invalid("reading it again gives another task")) }
    }

    /// Refuses what a worker could read but not digest, and says why.
    pub(crate) fn check(&self) -> Result<(), String> {
        acceptable::check_time("ETA", self.eta)?;
        acceptable::check_time("expiry", self.expires)?;
        acceptable::check_headers(&self.headers)?;
        let Body::Read(Payload { args, kwargs, embed }) = &self.body else { return Ok(()) };
        let bound = [&embed.callbacks, &embed.errbacks, &embed.chain, &embed.chord];
        args.iter().chain(bound).try_for_each(acceptable::check_values)?;
        match kwargs.len() == 2 && kwargs.contains_key("__type__") && kwargs.contains_key("__value__") {
            true => Err("its keyword arguments together look like one value of another type to Celery".to_owned()),
            false => kwargs.values().try_for_each(acceptable::check_values),
        }
    }

    /// Refuses what a worker could not digest, or would drop because it has no such task.
    pub(crate) fn check_against(&self, workers: &Workers) -> Result<(), CommandError> {
        self.check().map_err(|why| CommandError::InvalidArgs(format!("no worker could take the task: {why}")))?;
        let (queue, name) = (&self.queue, &self.name);
        match workers.would_drop(queue, name) {
            true => Err(CommandError::InvalidArgs(format!(
                "no worker that consumes the queue {queue:?} has a task called {name:?}, so that it would be dropped: look whether \
                 that is the task's own name or one that it is only shown under"
            ))),
            false => Ok(()),
        }
    }

    fn envelope(&self) -> Result<Envelope, serde_json::Error> {
        let (body, content_encoding, content_type) = match &self.body {
            Body::Read(Payload { args, kwargs, embed }) => {
                let body = serde_json::to_vec(&json!([args, kwargs, embed]))?;
                (STANDARD.encode(body), Some("utf-8".to_owned()), Some("application/json".to_owned()))
            }
            Body::Verbatim(verbatim) => (verbatim.base64(), verbatim.content_encoding(), verbatim.content_type()),
        };
        Ok(Envelope {
            body,
            content_encoding,
            content_type,
            headers: self.all_headers(),
            properties: Properties {
                correlation_id: Some(self.id.clone()),
                reply_to: Some(String::new()),
                delivery_mode: Some(2),
                delivery_info: DeliveryInfo { exchange: String::new(), routing_key: self.queue.clone() },
                priority: Some(self.priority.unwrap_or(0)),
                body_encoding: Some("base64".to_owned()),
                delivery_tag: uuid::Uuid::new_v4().to_string(),
            },
        })
    }

    /// Every header that Celery itself writes: a worker may rely on any of them.
    fn all_headers(&self) -> Map<String, Value> {
        let mut headers = self.headers.clone();
        for stale in STALE {
            headers.remove(stale);
        }
        if let Body::Verbatim(verbatim) = &self.body
            && let Some(compression) = verbatim.compression()
        {
            headers.insert("compression".to_owned(), json!(compression));
        }
        let [args_repr, kwargs_repr] = self.body.reprs();
        let kept = |key: &str, default: Value| (key.to_owned(), self.headers.get(key).cloned().unwrap_or(default));
        let fixed = |key: &str, value: Value| (key.to_owned(), value);
        headers.extend([
            fixed("lang", json!("py")),
            fixed("task", json!(self.name)),
            fixed("id", json!(self.id)),
            kept("shadow", Value::Null),
            fixed("eta", json!(self.eta.map(iso_8601))),
            fixed("expires", json!(self.expires.map(iso_8601))),
            fixed("group", Value::Null),
            fixed("group_index", Value::Null),
            fixed("retries", json!(0)),
            kept("timelimit", json!([null, null])),
            fixed("root_id", json!(self.root_id)),
            fixed("parent_id", json!(self.parent_id)),
            fixed("argsrepr", args_repr),
            fixed("kwargsrepr", kwargs_repr),
            fixed("origin", json!("taskplane")),
            kept("ignore_result", json!(false)),
            fixed("replaced_task_nesting", json!(0)),
            kept("stamped_headers", Value::Null),
            kept("stamps", json!({})),
        ]);
        headers
    }
}

fn iso_8601(at: Timestamp) -> String {
    at.to_string().replace('Z', "+00:00")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use proptest::prelude::*;

    fn read(case: &str) -> TaskMessage {
        TaskMessage::read(samples::task_message(case).to_string().as_bytes()).expect("a task message")
    }

    fn again(message: &TaskMessage) -> NewTask {
        NewTask {
            id: "11111111-2222-4333-8444-555555555555".into(),
            name: message.name.clone(),
            body: Body::Read(message.payload.clone().expect("readable")),
            headers: message.headers.clone(),
            root_id: message.id.clone(),
            parent_id: None,
            queue: message.routing_key.clone(),
            priority: message.priority,
            eta: Some(Timestamp(1_795_365_356_297_093)),
            expires: None,
        }
    }

    #[test]
    fn a_chord_member_names_its_chord_and_group() {
        let sent = read("chord_header_0").sent("rawq");
        assert_eq!(sent.chord_id.as_deref(), Some("43dff8fe-a215-4d6a-8aba-c5119da48fe7"));
        assert_eq!(sent.group_id.as_deref(), Some("e6111b8d-e8bd-4733-a5df-f15ab9f09ea1"));
        assert_eq!((sent.args, sent.queue.as_deref()), (Some(json!([0, 0])), Some("rawq")));
    }

    #[test]
    fn a_waiting_task_shows_its_eta() {
        let sent = read("eta_expires_timelimit_shadow_ignore").sent("rawq");
        assert_eq!(sent.eta, Timestamp::parse_rfc3339("2026-11-22T17:35:22.360401Z"));
        assert!(sent.expires.is_some());
    }

    #[test]
    fn a_pickled_message_is_known_but_its_arguments_are_not() {
        let message = read("pickle");
        assert_eq!(message.name, "proj.add");
        assert!(matches!(message.payload, Err(EnvelopeError::UnreadableContent(_))));
        assert_eq!(message.sent("q").args, None);
    }

    #[test]
    fn a_message_published_again_has_every_header_and_the_rest_of_its_chain() {
        let original = read("chain_head");
        let raw = again(&original).outgoing().expect("valid").raw;
        let copy = TaskMessage::read(&raw).expect("a task message");
        assert_eq!(copy.payload, original.payload);
        assert!(copy.payload.as_ref().is_ok_and(|p| p.embed.has_chain()));
        for header in original.headers.keys() {
            assert!(copy.headers.contains_key(header), "{header} is missing");
        }
        assert_eq!(copy.headers["eta"], "2026-11-22T16:35:56.297093+00:00");
        assert_eq!((copy.headers["retries"].as_u64(), &copy.headers["root_id"]), (Some(0), &json!(original.id)));
    }

    #[test]
    fn the_applications_own_headers_survive() {
        let raw = again(&read("plain_with_custom_header")).outgoing().expect("valid").raw;
        assert_eq!(TaskMessage::read(&raw).expect("a task message").headers["x-mine"], 1);
    }

    #[test]
    fn typed_json_values_pass_untouched() {
        let original = read("json_typed_values");
        let copy = TaskMessage::read(&again(&original).outgoing().expect("valid").raw).expect("a task message");
        assert_eq!(copy.payload, original.payload);
    }

    #[test]
    fn a_body_that_is_not_three_parts_has_no_payload() {
        for body in [json!([]), json!([[], {}]), json!([[], {}, {}, 1]), json!([{}, {}, {}]), json!("x"), json!(1)] {
            assert!(payload(&body).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            TaskMessage::read(&bytes);
        }

        #[test]
        fn a_damaged_message_never_panics(cut in 0usize..2000, flip in 0usize..2000, byte in any::<u8>()) {
            let mut raw = samples::task_message("chain_head").to_string().into_bytes();
            let len = raw.len();
            raw[flip % len] = byte;
            raw.truncate(len - cut % len);
            TaskMessage::read(&raw);
        }
    }
}
