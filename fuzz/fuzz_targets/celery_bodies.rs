//! Messages from typed parts (properties, headers, body), as a broker hands them over: over AMQP as they are, over Redis
//! wrapped in kombu's envelope. Bytes of the body reach the parsers behind base64 and compression, where mutated envelopes
//! hardly ever come.
#![no_main]

use std::io::Write;

use arbitrary::Arbitrary;
use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, write::ZlibEncoder};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};
use taskplane_engine_celery::fuzzing;
use taskplane_fuzz::encodes_within_bounds;

#[derive(Arbitrary, Debug)]
struct Message<'a> {
    compression: Compressed,
    content_type: Content,
    /// A priority, an id, a name: what headers and properties carry.
    priority: Option<i64>,
    id: Option<&'a str>,
    task: Option<&'a str>,
    headers: Vec<(&'a str, Scalar<'a>)>,
    /// The rest: JSON, or whatever.
    body: &'a [u8],
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Compressed {
    Not,
    Zlib,
    /// Says so, and is not.
    Claimed,
    Unknown,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Content {
    Json,
    Pickle,
    Missing,
}

#[derive(Arbitrary, Debug)]
enum Scalar<'a> {
    Null,
    Number(i64),
    Float(f64),
    Text(&'a str),
    List(Vec<&'a str>),
    Object(&'a str, i64),
}

impl Scalar<'_> {
    fn json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Number(n) => json!(n),
            Self::Float(f) => json!(f),
            Self::Text(text) => json!(text),
            Self::List(texts) => json!(texts),
            Self::Object(key, n) => json!({ *key: n }),
        }
    }
}

fuzz_target!(|message: Message<'_>| {
    let raw = envelope(&message);
    if let Some(message) = fuzzing::task_message(&raw) {
        encodes_within_bounds(message.sent);
        if let Some(again) = message.again {
            again.expect("a readable task can be published again");
        }
    }
    let entry = [b"[".as_slice(), &raw, b",\"\",\"celery\"]"].concat();
    fuzzing::unacked_entry(&entry);
    let (seen, _workers) = fuzzing::events(&raw).unwrap_or_default();
    seen.into_iter().for_each(encodes_within_bounds);
    fuzzing::control_reply(&raw, "ticket");
    // A result is stored without an envelope.
    fuzzing::result(message.body).into_iter().for_each(encodes_within_bounds);
});

fn envelope(message: &Message<'_>) -> Vec<u8> {
    let mut headers: Map<String, Value> = Map::new();
    headers.insert("ticket".to_owned(), json!("ticket"));
    headers.insert("id".to_owned(), json!(message.id.unwrap_or("1f9c5")));
    headers.insert("task".to_owned(), json!(message.task.unwrap_or("proj.add")));
    headers.extend(message.headers.iter().map(|(key, value)| ((*key).to_owned(), value.json())));
    let body = match message.compression {
        Compressed::Zlib => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(message.body).expect("a Vec takes every write");
            encoder.finish().expect("a Vec takes every write")
        }
        _ => message.body.to_vec(),
    };
    match message.compression {
        Compressed::Not => {}
        Compressed::Zlib | Compressed::Claimed => {
            drop(headers.insert("compression".into(), json!("application/x-gzip")))
        }
        Compressed::Unknown => drop(headers.insert("compression".into(), json!("application/x-brotli"))),
    }
    let content_type = match message.content_type {
        Content::Json => json!("application/json"),
        Content::Pickle => json!("application/x-python-serialize"),
        Content::Missing => Value::Null,
    };
    let envelope = json!({
        "body": STANDARD.encode(body),
        "content-encoding": "utf-8",
        "content-type": content_type,
        "headers": headers,
        "properties": {
            "correlation_id": message.id, "delivery_mode": 2, "priority": message.priority, "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": "celery"}, "delivery_tag": "6f0d5c0e",
        },
    });
    envelope.to_string().into_bytes()
}
