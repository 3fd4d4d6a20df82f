//! The published JSON Schema of every frame: what a peer should write.
//!
//! Derived from the frames' types; what their types cannot say is added by hand, beside this file. A reader is more
//! forgiving than the schema: what it tolerates is in `fixtures/tolerated.json`.

mod command;
mod event;
mod schedule;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::frame::{CommandProgress, Event, Heartbeat, Hello};
use crate::limits::{MAX_BATCH_EVENTS, MAX_NAME_BYTES};

/// The schema of one frame.
#[derive(Clone, Debug)]
pub struct FrameSchema {
    /// The frame's `type`.
    pub frame: &'static str,
    /// A self-contained schema document, draft 2020-12.
    pub schema: Value,
}

/// The schemas of all frames.
pub fn frames() -> Vec<FrameSchema> {
    vec![
        hello(),
        event_batch(),
        heartbeat(),
        command::result(),
        derived::<CommandProgress>(
            "command_progress",
            "Agent to brain, optional: how far a command has come. Only for commands that carry `progress: true`.",
            &[include_str!("../../fixtures/agent/command_progress.full.json")],
        ),
        schedule::sync(),
        ack(),
        command::command(),
    ]
}

fn hello() -> FrameSchema {
    let mut frame = derived::<Hello>(
        "hello",
        "Agent to brain, the first frame of every connection: who the agent is and what it can do.",
        &[
            include_str!("../../fixtures/agent/hello.minimal.json"),
            include_str!("../../fixtures/agent/hello.full.json"),
        ],
    );
    let properties = properties(&mut frame.schema);
    refine(properties, "protocol", json!({"pattern": r"^v[0-9]+(\.[0-9]+)?$", "examples": ["v1", "v1.0"]}));
    refine(properties, "agent_name", json!({"minLength": 1, "maxLength": MAX_NAME_BYTES}));
    refine(properties, "instance_id", json!({"maxLength": MAX_NAME_BYTES}));
    for object in ["capabilities", "metadata"] {
        refine(properties, object, json!({"type": ["object", "null"]}));
    }
    frame
}

fn event_batch() -> FrameSchema {
    let mut generator = generator();
    let mut event = generator.root_schema_for::<Event<'_>>().to_value();
    event::refine_event(&mut event);
    if let Some(event) = event.as_object_mut() {
        event.remove("$schema");
        event.insert("title".into(), "Event".into());
        event
            .insert("description".into(), "Something that happened to a task, a worker, a queue or a schedule.".into());
    }
    let schema = json!({
        "properties": {
            "seq": {
                "type": "integer", "minimum": 1, "maximum": u64::MAX,
                "description": "Position in the stream: from 1, strictly increasing, assigned when the batch is sealed.",
            },
            "events": {
                "type": "array", "minItems": 1, "maxItems": MAX_BATCH_EVENTS, "items": {"$ref": "#/$defs/Event"},
                "description": "What happened, in the order in which it was observed. An event that cannot be understood goes \
                                to quarantine and does not block the others.",
            },
        },
        "required": ["seq", "events"],
        "$defs": {"Event": event},
    });
    frame(
        "event_batch",
        "Agent to brain: events under one sequence number. Kept by the agent until it is acked.",
        schema,
        &[
            include_str!("../../fixtures/agent/event_batch.minimal.json"),
            include_str!("../../fixtures/agent/event_batch.task_events.json"),
            include_str!("../../fixtures/agent/event_batch.fleet_events.json"),
        ],
    )
}

fn heartbeat() -> FrameSchema {
    let mut heartbeat = derived::<Heartbeat>(
        "heartbeat",
        "Agent to brain, every 30 s: a sign of life.",
        &[
            include_str!("../../fixtures/agent/heartbeat.minimal.json"),
            include_str!("../../fixtures/agent/heartbeat.full.json"),
        ],
    );
    let properties = properties(&mut heartbeat.schema);
    refine(properties, "ts", json!({"type": "string", "format": "date-time"}));
    remove_default(properties);
    require(&mut heartbeat.schema, "ts");
    heartbeat
}

/// A heartbeat's report of the agent's buffer. By hand: its type belongs to the model, which knows no schemas.
pub(crate) fn buffer_report(_: &mut SchemaGenerator) -> Schema {
    let count = |description: &str| json!({"type": "integer", "minimum": 0, "description": description});
    json_schema!({
        "type": ["object", "null"],
        "properties": {
            "events": count("Events waiting for their ack."),
            "bytes": count("Bytes waiting for their ack."),
            "oldest_ts": {"type": ["string", "null"], "format": "date-time", "description": "Time of the oldest of them."},
            "dropped": count("Events dropped because the buffer was full, since it was made."),
        },
    })
}

fn ack() -> FrameSchema {
    let schema = json!({
        "properties": {
            "seq": {
                "type": "integer", "minimum": 0, "maximum": u64::MAX,
                "description": "The last batch of the stream that is on disk; 0 if none is. Everything up to it may be forgotten.",
            },
        },
        "required": ["seq"],
    });
    frame(
        "ack",
        "Brain to agent: everything up to `seq` is on disk. Sent right after `hello`, and after batches were stored.",
        schema,
        &[include_str!("../../fixtures/brain/ack.minimal.json")],
    )
}

fn generator() -> SchemaGenerator {
    // What a peer may write, not only what ours does: read as for deserialising.
    SchemaSettings::draft2020_12().for_deserialize().into_generator()
}

fn derived<T: JsonSchema>(name: &'static str, description: &str, examples: &[&str]) -> FrameSchema {
    frame(name, description, generator().into_root_schema_for::<T>().to_value(), examples)
}

/// A whole document for a frame out of the schema of its fields.
fn frame(name: &'static str, description: &str, mut fields: Value, examples: &[&str]) -> FrameSchema {
    let kind = json!({"const": name, "description": "The frame's type."});
    properties(&mut fields).insert("type".into(), kind);
    require(&mut fields, "type");
    let part = |key: &str| fields.get(key).cloned();
    // Examples are fixtures, which a test reads as JSON.
    let examples: Vec<Value> = examples.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name,
        "description": description,
        "type": "object",
        "properties": part("properties"),
        "required": part("required"),
        "additionalProperties": true,
        "examples": examples,
    });
    for key in ["allOf", "$defs"] {
        if let Some(value) = part(key) {
            schema[key] = value;
        }
    }
    FrameSchema { frame: name, schema }
}

fn properties(schema: &mut Value) -> &mut Map<String, Value> {
    object(object(schema).entry("properties").or_insert_with(|| json!({})))
}

/// Adds to the schema of one property.
fn refine(properties: &mut Map<String, Value>, name: &str, with: Value) {
    let property = object(properties.entry(name).or_insert_with(|| json!({})));
    if let Value::Object(with) = with {
        property.extend(with);
    }
}

/// "May be left out" is said by `required`; a default of null says nothing more.
fn remove_default(properties: &mut Map<String, Value>) {
    for property in properties.values_mut().filter_map(Value::as_object_mut) {
        if property.get("default").is_some_and(Value::is_null) {
            property.remove("default");
        }
    }
}

fn require(schema: &mut Value, name: &str) {
    if let Value::Array(required) = object(schema).entry("required").or_insert_with(|| json!([])) {
        required.insert(0, name.into());
    }
}

/// A schema as an object. `true`, which allows anything, is the same as `{}`.
fn object(schema: &mut Value) -> &mut Map<String, Value> {
    if !schema.is_object() {
        *schema = json!({});
    }
    let Value::Object(object) = schema else { unreachable!("it has just been made an object") };
    object
}
