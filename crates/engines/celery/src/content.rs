//! The body of a message, whatever brought it, and what says how to read it.

use std::{borrow::Cow, io::Read as _};

use serde_json::Value;

use crate::python_json::read_leniently;

/// No body of a sane message is larger once inflated.
pub(crate) const MAX_BODY: u64 = 16 << 20;

/// A body as the worker would get it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) content_type: Option<String>,
    /// The header `compression`.
    pub(crate) compression: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// Why the bytes are no readable message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvelopeError {
    #[error("it is not a kombu message: {0}")]
    Malformed(String),
    #[error("its body is {0}, which cannot be read from outside Python")]
    UnreadableContent(String),
}

impl Content {
    /// The body as JSON: inflated, parsed.
    pub(crate) fn json(&self) -> Result<Value, EnvelopeError> {
        let bytes = self.bytes()?;
        serde_json::from_slice(&bytes).map_err(|e| EnvelopeError::Malformed(format!("body: {}", e.classify_name())))
    }

    /// The body for display, with what Python writes beyond JSON made harmless.
    pub(crate) fn lenient(&self) -> Result<Value, EnvelopeError> {
        let bytes = self.bytes()?;
        read_leniently(&bytes).map_err(|e| EnvelopeError::Malformed(format!("body: {}", e.classify_name())))
    }

    /// The bytes of a JSON body.
    pub(crate) fn bytes(&self) -> Result<Cow<'_, [u8]>, EnvelopeError> {
        let content = self.content_type.as_deref().unwrap_or("application/json");
        if content != "application/json" {
            return Err(EnvelopeError::UnreadableContent(content.to_owned()));
        }
        match self.compression.as_deref() {
            None => Ok(Cow::Borrowed(&self.body)),
            // Celery calls it gzip, but writes a zlib stream.
            Some("application/x-gzip" | "application/zlib") => inflate(&self.body).map(Cow::Owned),
            Some(other) => Err(EnvelopeError::UnreadableContent(format!("compressed as {other}"))),
        }
    }
}

pub(crate) fn inflate(bytes: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let mut out = Vec::new();
    flate2::read::ZlibDecoder::new(bytes)
        .take(MAX_BODY)
        .read_to_end(&mut out)
        .map_err(|_| EnvelopeError::Malformed("body: not a zlib stream".to_owned()))?;
    Ok(out)
}

/// The kind of a JSON error. Its full text may quote the message.
pub(crate) trait ClassifyName {
    fn classify_name(&self) -> &'static str;
}

impl ClassifyName for serde_json::Error {
    fn classify_name(&self) -> &'static str {
        match self.classify() {
            serde_json::error::Category::Io => "cannot be read",
            serde_json::error::Category::Syntax => "not JSON",
            serde_json::error::Category::Data => "a field is missing or of the wrong type",
            serde_json::error::Category::Eof => "cut off",
        }
    }
}
