//! The kombu envelope: what every message on Redis is wrapped in (task, event, control, reply).

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::content::{ClassifyName as _, Content, EnvelopeError};

/// A kombu message as it lies on Redis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Envelope {
    pub(crate) body: String,
    #[serde(rename = "content-encoding", default)]
    pub(crate) content_encoding: Option<String>,
    #[serde(rename = "content-type", default)]
    pub(crate) content_type: Option<String>,
    #[serde(default)]
    pub(crate) headers: Map<String, Value>,
    pub(crate) properties: Properties,
}

/// The properties kombu reads. A message without a delivery tag or delivery info takes its worker down.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Properties {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) correlation_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reply_to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delivery_mode: Option<u8>,
    pub(crate) delivery_info: DeliveryInfo,
    #[serde(default)]
    pub(crate) priority: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body_encoding: Option<String>,
    pub(crate) delivery_tag: String,
}

/// Where a message was published to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct DeliveryInfo {
    #[serde(default)]
    pub(crate) exchange: String,
    #[serde(default)]
    pub(crate) routing_key: String,
}

/// Of an envelope, what tells its message from all others.
#[derive(Deserialize)]
struct Tagged<'a> {
    #[serde(borrow)]
    properties: Tag<'a>,
}

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(borrow)]
    delivery_tag: Cow<'a, str>,
}

/// The delivery tag of an envelope, which is not read any further: that takes a tenth of the time.
pub(crate) fn delivery_tag(raw: &[u8]) -> Option<Cow<'_, str>> {
    serde_json::from_slice::<Tagged<'_>>(raw).ok().map(|tagged| tagged.properties.delivery_tag)
}

impl Envelope {
    pub(crate) fn parse(raw: &[u8]) -> Result<Self, EnvelopeError> {
        serde_json::from_slice(raw).map_err(|e| EnvelopeError::Malformed(e.classify_name().to_owned()))
    }

    /// The body with its base64 removed.
    pub(crate) fn content(&self) -> Result<Content, EnvelopeError> {
        let body = match self.properties.body_encoding.as_deref() {
            Some("base64") => {
                STANDARD.decode(&self.body).map_err(|_| EnvelopeError::Malformed("body: not base64".to_owned()))?
            }
            _ => self.body.clone().into_bytes(),
        };
        let compression = self.headers.get("compression").and_then(Value::as_str).map(str::to_owned);
        Ok(Content { content_type: self.content_type.clone(), compression, body })
    }

    /// The body as JSON.
    pub(crate) fn json_body(&self) -> Result<Value, EnvelopeError> {
        self.content()?.json()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        content::{MAX_BODY, inflate},
        samples,
    };
    use proptest::prelude::*;

    #[test]
    fn every_sampled_task_message_is_read() {
        for case in samples::task_messages() {
            let raw = case["envelope"].to_string();
            let envelope = Envelope::parse(raw.as_bytes()).expect("parses");
            assert_eq!(delivery_tag(raw.as_bytes()).as_deref(), Some(envelope.properties.delivery_tag.as_str()));
            match envelope.json_body() {
                Ok(body) if !case["decoded_body"].is_null() => assert_eq!(body, case["decoded_body"]),
                Ok(body) => assert_eq!(body.as_array().map(Vec::len), Some(3), "{}", case["case"]),
                Err(error) => {
                    assert!(matches!(error, EnvelopeError::UnreadableContent(_)), "{}: {error}", case["case"])
                }
            }
        }
    }

    #[test]
    fn a_body_named_gzip_is_inflated_as_zlib() {
        let compressed = samples::task_messages()
            .iter()
            .any(|case| case["envelope"]["headers"]["compression"] == "application/x-gzip");
        assert!(compressed, "the samples hold a compressed message");
    }

    /// The envelope of `body`, which says that it is compressed.
    fn compressed(body: &[u8]) -> Envelope {
        use std::io::Write as _;

        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body).expect("a Vec takes every write");
        Envelope {
            body: STANDARD.encode(encoder.finish().expect("a Vec takes every write")),
            content_encoding: None,
            content_type: None,
            headers: Map::from_iter([("compression".to_owned(), Value::from("application/x-gzip"))]),
            properties: Properties { body_encoding: Some("base64".into()), ..Properties::default() },
        }
    }

    #[test]
    fn a_body_that_inflates_without_end_is_given_up() {
        let bomb = compressed(&vec![b' '; 4 * MAX_BODY as usize]);
        assert!(bomb.body.len() < 1 << 20);
        let content = bomb.content().expect("base64");
        assert_eq!(content.bytes().map(|bytes| bytes.len()), Ok(MAX_BODY as usize));
        assert!(content.json().is_err() && content.lenient().is_err());
    }

    #[test]
    fn deep_nesting_and_endless_numbers_are_refused_wherever_they_stand() {
        let deep = "[".repeat(100_000);
        let digits = "9".repeat(1 << 20);
        for text in
            [deep.clone(), format!("[{digits}"), format!("{{\"headers\":{deep}"), format!("{{\"body\":{digits}e9")]
        {
            assert!(Envelope::parse(text.as_bytes()).is_err());
            let plain = Envelope { properties: Properties::default(), headers: Map::new(), ..compressed(b"") };
            let plain = Envelope { body: text, ..plain };
            let content = plain.content().expect("plain text");
            assert!(content.json().is_err() && content.lenient().is_err());
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), body in "\\PC{0,80}") {
            let _ = Envelope::parse(&bytes);
            let envelope = Envelope {
                body,
                content_encoding: None,
                content_type: None,
                headers: Map::new(),
                properties: Properties { body_encoding: Some("base64".into()), ..Properties::default() },
            };
            let _ = envelope.json_body();
            let _ = inflate(&bytes);
        }
    }
}
