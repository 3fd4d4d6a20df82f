//! The frames, and their text.

mod bounded;
mod command;
mod event;
mod hello;
mod schedule;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use taskplane_model::agent::BufferReport;
use thiserror::Error;

pub use command::{Command, CommandProgress, CommandResult, commands};
pub use event::{Event, EventBatch, event_types};
pub use hello::Hello;
pub use schedule::ScheduleSync;

use crate::text::Str;

/// What an agent sends.
#[derive(Debug)]
pub enum AgentFrame<'a> {
    /// First frame: who it is.
    Hello(Box<Hello>),
    /// Events, under one sequence number.
    EventBatch(EventBatch<'a>),
    /// Every 30 s.
    Heartbeat(Heartbeat),
    /// The answer to a command.
    CommandResult(CommandResult),
    /// How far a command has come.
    CommandProgress(CommandProgress),
    /// The state of a scheduler.
    ScheduleSync(ScheduleSync),
    /// A type that this version does not know; to be ignored and counted.
    Unknown(String),
}

/// What a brain sends.
#[derive(Debug)]
pub enum BrainFrame {
    /// Everything up to `seq` is on disk.
    Ack {
        /// Last persisted batch.
        seq: u64,
    },
    /// Do something.
    Command(Command),
    /// A type that this version does not know; to be ignored and counted.
    Unknown(String),
}

/// An agent's sign of life.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Heartbeat {
    /// When, by the agent's clock, RFC 3339; text, because nothing depends on it.
    #[serde(deserialize_with = "readable_or_nothing")]
    pub ts: Option<String>,
    /// How full its buffer is; a report that cannot be read is no report, for a heartbeat is first of all a sign of life.
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::buffer_report"))]
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "readable_or_nothing")]
    pub buffer: Option<BufferReport>,
    /// What its adapters say: `ok`, or why not.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "readable_or_nothing")]
    pub adapters: Option<std::collections::BTreeMap<String, String>>,
}

/// Why text is not a frame. Closes the connection with 1007.
#[derive(Debug, Error)]
pub enum FrameError {
    /// Something other than an object; an array would otherwise be read as a struct's fields in order.
    #[error("not a JSON object")]
    NotAnObject,
    /// Not JSON, or without a `type`.
    #[error("not a JSON object with a type: {0}")]
    NotAFrame(#[source] serde_json::Error),
    /// A known type with missing or wrong fields.
    #[error("{kind} is malformed: {source}")]
    Malformed {
        /// The frame's type.
        kind: &'static str,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A batch without events, or with too many.
    #[error("event_batch {seq} has {events} events; 1 to {} are allowed", crate::limits::MAX_BATCH_EVENTS)]
    BatchSize {
        /// The batch.
        seq: u64,
        /// How many it has.
        events: usize,
    },
    /// Sequence numbers begin at 1.
    #[error("event_batch has seq 0; sequence numbers begin at 1")]
    SeqZero,
}

impl<'a> AgentFrame<'a> {
    /// Reads one frame.
    pub fn parse(text: &'a str) -> Result<Self, FrameError> {
        // Our own agent writes the type first; that spares the hot path one reading of the whole frame.
        let kind = if text.starts_with(r#"{"type":"event_batch","#) { "event_batch".into() } else { frame_type(text)? };
        Ok(match &*kind {
            "hello" => Self::Hello(Box::new(body("hello", text)?)),
            "event_batch" => Self::EventBatch(EventBatch::parse(text)?),
            "heartbeat" => Self::Heartbeat(body("heartbeat", text)?),
            "command_result" => Self::CommandResult(body("command_result", text)?),
            "command_progress" => Self::CommandProgress(body("command_progress", text)?),
            "schedule_sync" => Self::ScheduleSync(body("schedule_sync", text)?),
            _ => Self::Unknown(kind.0.into_owned()),
        })
    }
}

impl BrainFrame {
    /// Reads one frame.
    pub fn parse(text: &str) -> Result<Self, FrameError> {
        #[derive(Deserialize)]
        struct Ack {
            seq: u64,
        }
        let kind = frame_type(text)?;
        Ok(match &*kind {
            "ack" => Self::Ack { seq: body::<Ack>("ack", text)?.seq },
            "command" => Self::Command(body("command", text)?),
            _ => Self::Unknown(kind.0.into_owned()),
        })
    }

    /// The text of an `ack`.
    pub fn ack(seq: u64) -> String {
        format!(r#"{{"type":"ack","seq":{seq}}}"#)
    }
}

/// The text of a frame: `body` with its type in front.
pub fn encode(kind: &'static str, body: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Typed<'a, T> {
        r#type: &'static str,
        #[serde(flatten)]
        body: &'a T,
    }
    // Frames are plain structs with string keys: writing them cannot fail. An empty object is ignored by any peer.
    serde_json::to_string(&Typed { r#type: kind, body }).unwrap_or_else(|_| "{}".to_owned())
}

fn readable_or_nothing<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let raw = Option::<&RawValue>::deserialize(deserializer)?;
    Ok(raw.and_then(|raw| serde_json::from_str(raw.get()).ok()))
}

fn frame_type(text: &str) -> Result<Str<'_>, FrameError> {
    #[derive(Deserialize)]
    struct Tag<'a> {
        #[serde(borrow)]
        r#type: Str<'a>,
    }
    if !text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') {
        return Err(FrameError::NotAnObject);
    }
    serde_json::from_str::<Tag<'_>>(text).map(|tag| tag.r#type).map_err(FrameError::NotAFrame)
}

fn body<'a, T: Deserialize<'a>>(kind: &'static str, text: &'a str) -> Result<T, FrameError> {
    serde_json::from_str(text).map_err(|source| FrameError::Malformed { kind, source })
}

#[cfg(test)]
mod tests;
