//! Redaction with an oracle: secrets are planted anywhere in a fuzzed observation, and never appear in what leaves the host.
//! The wire event is always valid JSON and within its bounds.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};
use taskplane_agent::engine::TaskObservation;
use taskplane_agent::redact::{MAX_EVENT_BYTES, MAX_VALUE_BYTES};
use taskplane_fuzz::{REDACTORS, observation};
use taskplane_model::TaskEventKind;
use taskplane_protocol::frame::Event;

/// Parts of the planted secrets by which they are recognised. Each is short or plain enough to pass when it is not hidden.
const PLANTED: &[&str] =
    &["S3cr3tPl4nted", "eyJzdWIiOiJwbGFudGVkIn0", "c2lnbmVk", "4111111111111111", "4111 1111 1111 1111"];
/// Keys that hide their value.
const SECRET_KEYS: &[&str] =
    &["password", "db_password", "apiKey", "X-Auth-Token", "client_secret", "sessionid", "card_cvv2", "user_pin"];

#[derive(Arbitrary, Debug)]
struct Seen<'a> {
    args: Vec<Node<'a>>,
    kwargs: Vec<(Key<'a>, Node<'a>)>,
    result: Option<Node<'a>>,
    exception: Option<Text<'a>>,
    message: Option<Text<'a>>,
    traceback: Option<Text<'a>>,
    mode: u8,
}

#[derive(Arbitrary, Debug)]
enum Node<'a> {
    Null,
    Bool(bool),
    Number(i64),
    Float(f64),
    /// A card number, as a number.
    Card,
    Text(Text<'a>),
    List(Vec<Node<'a>>),
    Object(Vec<(Key<'a>, Node<'a>)>),
    /// Everything inside is secret.
    Hidden(u8, Vec<Node<'a>>),
    /// `{"name": "password", "value": …}`
    Named(u8, &'a str),
    Deep(u8, Box<Node<'a>>),
    Wide(u8, &'a str),
}

#[derive(Arbitrary, Debug)]
enum Key<'a> {
    Any(&'a str),
    /// A secret stands in the key itself.
    Secret(Secret),
}

#[derive(Arbitrary, Debug)]
enum Text<'a> {
    Any(&'a str),
    Around(&'a str, Secret, &'a str),
    Two(&'a str, Secret, &'a str, Secret, &'a str),
    Long(u8, &'a str, Secret),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Secret {
    Jwt,
    Card,
    SpacedCard,
    Url,
    Assigned(u8),
    Quoted(u8),
    JsonText(u8),
    Option,
    Bearer,
    Query(u8),
    Key,
}

impl Secret {
    fn text(self) -> String {
        let key = |n: u8| SECRET_KEYS[usize::from(n) % SECRET_KEYS.len()];
        match self {
            Self::Jwt => "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwbGFudGVkIn0.c2lnbmVk".to_owned(),
            Self::Card => " 4111111111111111 ".to_owned(),
            Self::SpacedCard => " 4111 1111 1111 1111 ".to_owned(),
            Self::Url => " redis://user:S3cr3tPl4nted@broker/0 ".to_owned(),
            Self::Assigned(n) => format!(" {}=S3cr3tPl4nted ", key(n)),
            Self::Quoted(n) => format!(" {{'{}': 'S3cr3tPl4nted'}} ", key(n)),
            Self::JsonText(n) => format!(" {{\"{}\": \"S3cr3tPl4nted\"}} ", key(n)),
            Self::Option => " --db-password S3cr3tPl4nted ".to_owned(),
            Self::Bearer => " Authorization: Bearer S3cr3tPl4nted ".to_owned(),
            Self::Query(n) => format!(" /path?x=1&{}=S3cr3tPl4nted ", key(n)),
            Self::Key => " -----BEGIN PRIVATE KEY-----\nS3cr3tPl4nted\n-----END PRIVATE KEY----- ".to_owned(),
        }
    }
}

impl Text<'_> {
    fn text(&self) -> String {
        match self {
            Self::Any(text) => (*text).to_owned(),
            Self::Around(before, secret, after) => format!("{before}{}{after}", secret.text()),
            Self::Two(a, one, b, two, c) => format!("{a}{}{b}{}{c}", one.text(), two.text()),
            Self::Long(times, filler, secret) => {
                let times = usize::from(*times);
                format!("{}{}{}", filler.repeat(times), secret.text(), filler.repeat(times))
            }
        }
    }
}

impl Node<'_> {
    fn json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(b) => json!(b),
            // A number of the fuzzer's own making is not planted.
            Self::Number(4_111_111_111_111_111) => json!(0),
            Self::Number(n) => json!(n),
            Self::Float(f) if *f == 4_111_111_111_111_111.0 => json!(0),
            Self::Float(f) => json!(f),
            Self::Card => json!(4_111_111_111_111_111_u64),
            Self::Text(text) => json!(text.text()),
            Self::List(nodes) => nodes.iter().map(Self::json).collect(),
            Self::Object(fields) => object(fields),
            Self::Hidden(key, nodes) => {
                let mut inside: Vec<Value> = nodes.iter().map(Self::json).collect();
                inside.push(json!("S3cr3tPl4nted"));
                json!({ SECRET_KEYS[usize::from(*key) % SECRET_KEYS.len()]: inside })
            }
            Self::Named(key, other) => {
                let key = SECRET_KEYS[usize::from(*key) % SECRET_KEYS.len()];
                json!([{"name": key, "value": "S3cr3tPl4nted", "other": other}, [key, "S3cr3tPl4nted"]])
            }
            Self::Deep(levels, node) => (0..levels % 64).fold(node.json(), |inner, _| json!([inner])),
            Self::Wide(times, text) => json!(vec![*text; usize::from(*times) * 4]),
        }
    }
}

fn object(fields: &[(Key<'_>, Node<'_>)]) -> Value {
    let key = |key: &Key<'_>| match key {
        Key::Any(text) => (*text).to_owned(),
        Key::Secret(secret) => secret.text(),
    };
    Value::Object(fields.iter().map(|(k, node)| (key(k), node.json())).collect::<Map<_, _>>())
}

fuzz_target!(|data: &[u8]| {
    // What the fuzzer writes itself, it may write where it belongs to nothing secret.
    if PLANTED.iter().any(|secret| data.windows(secret.len()).any(|window| window == secret.as_bytes())) {
        return;
    }
    let Ok(seen) = Seen::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let text = |text: &Option<Text<'_>>| text.as_ref().map(Text::text);
    let task = TaskObservation {
        kind: TaskEventKind::Failed,
        task_id: "1f9c5".to_owned(),
        args: Some(seen.args.iter().map(Node::json).collect()),
        kwargs: Some(object(&seen.kwargs)),
        result: seen.result.as_ref().map(Node::json),
        exception: text(&seen.exception),
        exception_message: text(&seen.message),
        traceback: text(&seen.traceback),
        ..TaskObservation::default()
    };
    let told = task.exception_message.clone().unwrap_or_default();
    let observation = observation(task);
    let redactor = &REDACTORS[usize::from(seen.mode) % REDACTORS.len()];
    let wire = redactor.encode(&observation);
    assert!(wire.len() <= MAX_EVENT_BYTES, "an event of {} bytes", wire.len());
    let event: Event<'_> = serde_json::from_str(&wire).expect("a wire event is JSON");
    for value in [event.args_redacted, event.kwargs_redacted, event.result_redacted].into_iter().flatten() {
        assert!(value.get().len() <= MAX_VALUE_BYTES, "a value of {} bytes", value.get().len());
    }
    nothing_planted_in(&wire);
    nothing_planted_in(&redactor.message(&told));
});

fn nothing_planted_in(text: &str) {
    for secret in PLANTED {
        if let Some(at) = text.find(secret) {
            let around = &text.as_bytes()[at.saturating_sub(60)..(at + secret.len() + 20).min(text.len())];
            panic!("{secret} is in {:?}", String::from_utf8_lossy(around));
        }
    }
}
