//! Bodies that cannot be read here: pickles, YAML, MessagePack, JSON that only Python reads, what is compressed in an unknown way.
//!
//! A body that is no task's takes its worker down, and of these nobody here can tell. So none is ever made, and one is published
//! again only as it was, and only when a worker has received it: it reads the body before it says so, and will read it again.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::{attempts::Attempts, envelope::Envelope};

/// Longer text forms of arguments are of no use: Celery's own end at about 1,030 bytes.
const MAX_REPR: usize = 4 << 10;

/// A body as it came, which may be anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sealed {
    content_type: Option<String>,
    content_encoding: Option<String>,
    /// The header `compression`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compression: Option<String>,
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    bytes: Vec<u8>,
    /// The arguments as workers are to show them.
    args_repr: Option<String>,
    kwargs_repr: Option<String>,
}

impl Sealed {
    pub(crate) fn of(envelope: &Envelope) -> Option<Self> {
        let content = envelope.content().ok()?;
        let repr = |header| {
            let repr = envelope.headers.get(header).and_then(Value::as_str);
            repr.filter(|repr| repr.len() <= MAX_REPR).map(str::to_owned)
        };
        Some(Self {
            args_repr: repr("argsrepr"),
            kwargs_repr: repr("kwargsrepr"),
            content_type: content.content_type,
            content_encoding: envelope.content_encoding.clone(),
            compression: content.compression,
            bytes: content.body,
        })
    }

    /// Roughly what it takes in memory.
    pub(crate) fn size(&self) -> usize {
        let repr = |repr: &Option<String>| repr.as_ref().map_or(0, String::len);
        200 + self.bytes.len() + repr(&self.args_repr) + repr(&self.kwargs_repr)
    }
}

/// The body of one attempt of a task, as its message brought it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Unread {
    attempt: u32,
    sealed: Arc<Sealed>,
}

impl Unread {
    pub(crate) fn new(attempt: u32, sealed: Sealed) -> Self {
        Self { attempt, sealed: Arc::new(sealed) }
    }

    /// The body, if a worker has received it.
    pub(crate) fn received(&self, attempts: &Attempts) -> Option<Verbatim> {
        attempts.was_received(self.attempt).then(|| Verbatim(Arc::clone(&self.sealed)))
    }

    pub(crate) fn size(&self) -> usize {
        self.sealed.size()
    }
}

/// A body that a worker has received, and that may be published again. Nothing makes one but [`Unread::received`], or reading
/// what that made and was kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verbatim(Arc<Sealed>);

impl Verbatim {
    pub(crate) fn content_type(&self) -> Option<String> {
        self.0.content_type.clone()
    }

    pub(crate) fn content_encoding(&self) -> Option<String> {
        self.0.content_encoding.clone()
    }

    /// The header `compression`.
    pub(crate) fn compression(&self) -> Option<&str> {
        self.0.compression.as_deref()
    }

    pub(crate) fn base64(&self) -> String {
        STANDARD.encode(&self.0.bytes)
    }

    /// The text forms of `args` and `kwargs`.
    pub(crate) fn reprs(&self) -> [Option<&str>; 2] {
        [self.0.args_repr.as_deref(), self.0.kwargs_repr.as_deref()]
    }

    /// True when it is what a message was found to have in it.
    pub(crate) fn is(&self, sealed: Option<&Sealed>) -> bool {
        sealed == Some(&*self.0)
    }

    /// What it is, for people.
    pub(crate) fn kind(&self) -> String {
        let content = match self.0.content_type.as_deref() {
            Some("application/x-python-serialize") => "pickle",
            Some("application/x-yaml") => "YAML",
            Some("application/x-msgpack") => "MessagePack",
            Some("application/json") | None => "JSON",
            Some(other) => other,
        };
        match self.compression() {
            Some(compression) => format!("{content}, compressed as {compression}"),
            None => content.to_owned(),
        }
    }
}

impl Serialize for Verbatim {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Verbatim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Sealed::deserialize(deserializer).map(|sealed| Self(Arc::new(sealed)))
    }
}

fn to_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(|_| serde::de::Error::custom("not base64"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn pickle() -> Sealed {
        let raw = samples::task_message("pickle").to_string();
        Sealed::of(&Envelope::parse(raw.as_bytes()).expect("an envelope")).expect("a body")
    }

    #[test]
    fn only_what_a_worker_has_received_is_given_out() {
        let mut attempts = Attempts::default();
        let unread = Unread::new(1, pickle());
        attempts.exists(1);
        assert_eq!(unread.received(&attempts), None, "it only waits");
        attempts.note_received(0);
        assert_eq!(unread.received(&attempts), None, "that was another message");
        attempts.note_received(1);
        let verbatim = unread.received(&attempts).expect("was received");
        assert!(verbatim.is(Some(&pickle())));
        assert_eq!(verbatim.kind(), "pickle");
    }

    #[test]
    fn what_is_kept_is_the_same_when_it_is_read_again() {
        let sealed = Sealed { bytes: (0..=255).collect(), compression: Some("application/x-bz2".into()), ..pickle() };
        let kept = Verbatim(Arc::new(sealed));
        let text = serde_json::to_string(&kept).expect("is written");
        let read: Verbatim = serde_json::from_str(&text).expect("is read");
        assert_eq!((&read, read.kind().as_str()), (&kept, "pickle, compressed as application/x-bz2"));
        assert!(serde_json::from_str::<Verbatim>(&text.replace("\"bytes\":\"", "\"bytes\":\"?")).is_err());
    }
}
