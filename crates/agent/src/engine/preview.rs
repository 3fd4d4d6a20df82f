//! What a retry would send.

use serde_json::{Map, Value};
use taskplane_model::Timestamp;

/// Where the arguments of a retry come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentSource {
    /// The task's message, which still is with the broker.
    Message,
    /// What the agent has kept on its host.
    PayloadStore,
    /// The result backend.
    Result,
    /// The worker that holds the task.
    Worker,
    /// Their text form in events.
    Events,
    /// All of them were given with the request.
    Supplied,
}

impl ArgumentSource {
    /// Its name on the wire.
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::PayloadStore => "payload_store",
            Self::Result => "result",
            Self::Worker => "worker",
            Self::Events => "events",
            Self::Supplied => "supplied",
        }
    }
}

/// What a retry would publish. Values are **not redacted**.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPreview {
    /// Where the arguments come from.
    pub source: ArgumentSource,
    /// Everything of the original message is there: arguments, what follows the task, and its own headers.
    pub lossless: bool,
    /// Task type.
    pub name: String,
    /// Queue it would go to.
    pub queue: String,
    /// Not before.
    pub eta: Option<Timestamp>,
    /// What comes along and what is left behind, for people; a clause each.
    pub notes: Vec<String>,
    /// Positional and keyword arguments. `None` where the original message is sent as it is, and only the application can read it.
    pub arguments: Option<(Vec<Value>, Map<String, Value>)>,
}
