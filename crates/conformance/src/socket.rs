//! An agent's end of one WebSocket, without any opinion of what it should say.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use taskplane_protocol::frame::{BrainFrame, Command};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::endpoint::Stream;
use crate::probe::Probe;
use crate::verdict::Failure;

/// How long an answer may take that should come at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How often an upgrade is tried again when the brain says that it is busy.
const ATTEMPTS: usize = 10;

/// A WebSocket.
pub(crate) struct Socket {
    stream: WebSocketStream<Box<dyn Stream>>,
}

/// What came from the brain.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A text frame.
    Text(String),
    /// A ping; its pong is on its way.
    Ping,
    /// The pong to a ping of ours.
    Pong,
    /// The connection was closed, with a code if there was a close frame with one.
    Closed(Option<u16>, String),
    /// Nothing, for as long as was waited.
    Nothing,
}

impl Socket {
    /// Opens a WebSocket; nothing is said on it yet.
    pub(crate) async fn connect(probe: &Probe) -> Result<Self, Failure> {
        let endpoint = &probe.brain.endpoint;
        let bad = |error: &dyn std::fmt::Display| Failure::broken(format!("the WebSocket handshake failed: {error}"));
        for attempt in 1.. {
            let mut request = endpoint.websocket().into_client_request().map_err(|error| bad(&error))?;
            let token = HeaderValue::from_str(&probe.authorization()).map_err(|error| bad(&error))?;
            request.headers_mut().insert("authorization", token);
            let stream = endpoint.connect().await.map_err(|error| bad(&error))?;
            let handshake = tokio::time::timeout(PATIENCE, tokio_tungstenite::client_async(request, stream)).await;
            match handshake.map_err(|_| bad(&"no answer within 10 s"))? {
                Ok((stream, _)) => return Ok(Self { stream }),
                Err(Error::Http(answer)) if matches!(answer.status().as_u16(), 429 | 503) && attempt < ATTEMPTS => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(Error::Http(answer)) => return Err(bad(&format!("HTTP {}", answer.status()))),
                Err(error) => return Err(bad(&error)),
            }
        }
        Err(bad(&"the brain was busy"))
    }

    /// Sends a frame.
    pub(crate) async fn send(&mut self, frame: &Value) -> Result<(), Failure> {
        self.send_text(frame.to_string()).await
    }

    /// Sends a text frame.
    pub(crate) async fn send_text(&mut self, text: impl Into<String>) -> Result<(), Failure> {
        self.put(Message::Text(text.into().into())).await
    }

    /// Sends a text frame whose peer may close before it has read all of it.
    pub(crate) async fn send_unless_closed(&mut self, text: String) {
        // What the brain made of it is seen when its answer is read.
        let _ = tokio::time::timeout(PATIENCE, self.stream.send(Message::Text(text.into()))).await;
    }

    /// Sends a binary frame.
    pub(crate) async fn send_binary(&mut self, bytes: Vec<u8>) -> Result<(), Failure> {
        self.put(Message::Binary(bytes.into())).await
    }

    /// Sends a ping.
    pub(crate) async fn ping(&mut self) -> Result<(), Failure> {
        self.put(Message::Ping(bytes::Bytes::from_static(b"conformance"))).await
    }

    /// Sends a text frame that need not be UTF-8, in as many parts as there are.
    pub(crate) async fn send_parts(&mut self, parts: &[&[u8]]) -> Result<(), Failure> {
        for (index, part) in parts.iter().enumerate() {
            let kind = if index == 0 { Data::Text } else { Data::Continue };
            let frame = Frame::message(part.to_vec(), OpCode::Data(kind), index + 1 == parts.len());
            self.put(Message::Frame(frame)).await?;
        }
        Ok(())
    }

    async fn put(&mut self, message: Message) -> Result<(), Failure> {
        let sent = tokio::time::timeout(PATIENCE, self.stream.send(message)).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            // The reason may be a close frame that waits to be read.
            Ok(Err(error)) => Err(match self.hear(Duration::from_secs(1)).await {
                Heard::Closed(Some(code), reason) => Failure::broken(format!("closed with {code} ({reason})")),
                _ => Failure::broken(format!("a frame could not be sent: {error}")),
            }),
            Err(_) => Err(Failure::broken("a frame could not be sent within 10 s")),
        }
    }

    /// Waits for whatever comes next.
    pub(crate) async fn hear(&mut self, within: Duration) -> Heard {
        match tokio::time::timeout(within, self.stream.next()).await {
            Err(_) => Heard::Nothing,
            Ok(None) => Heard::Closed(None, "the connection ended".to_owned()),
            Ok(Some(Err(error))) => Heard::Closed(None, error.to_string()),
            Ok(Some(Ok(message))) => match message {
                Message::Text(text) => Heard::Text(text.as_str().to_owned()),
                Message::Ping(_) => {
                    // The library has queued the pong; this sends it.
                    let _ = self.stream.flush().await;
                    Heard::Ping
                }
                Message::Pong(_) => Heard::Pong,
                Message::Close(frame) => match frame {
                    Some(frame) => Heard::Closed(Some(frame.code.into()), frame.reason.as_str().to_owned()),
                    None => Heard::Closed(None, "a close frame without a code".to_owned()),
                },
                Message::Binary(_) => Heard::Closed(None, "a binary frame came; frames are text".to_owned()),
                Message::Frame(_) => Heard::Nothing,
            },
        }
    }

    /// Waits for the next frame of a type that is known; others are ignored, as an agent does.
    pub(crate) async fn frame(&mut self, what: &str) -> Result<BrainFrame, Failure> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.hear(until.saturating_duration_since(Instant::now())).await {
                Heard::Text(text) => match BrainFrame::parse(&text) {
                    Ok(BrainFrame::Unknown(_)) => {}
                    Ok(frame) => return Ok(frame),
                    Err(error) => return Err(Failure::broken(format!("the brain sent {text}: {error}"))),
                },
                Heard::Ping | Heard::Pong => {}
                Heard::Closed(code, reason) => {
                    return Err(Failure::broken(format!("waited for {what}, was {}", closed(code, &reason))));
                }
                Heard::Nothing => return Err(Failure::broken(format!("waited 10 s in vain for {what}"))),
            }
        }
    }

    /// Waits for the next `ack`.
    pub(crate) async fn ack(&mut self) -> Result<u64, Failure> {
        match self.frame("an ack").await? {
            BrainFrame::Ack { seq } => Ok(seq),
            other => Err(Failure::broken(format!("waited for an ack, got {other:?}"))),
        }
    }

    /// Waits for the next `command`.
    pub(crate) async fn command(&mut self) -> Result<Command, Failure> {
        match self.frame("a command").await? {
            BrainFrame::Command(command) => Ok(command),
            other => Err(Failure::broken(format!("waited for a command, got {other:?}"))),
        }
    }

    /// Waits until everything up to `seq` is acked, and no more than that. Returns how many acks it took.
    pub(crate) async fn acked(&mut self, seq: u64) -> Result<usize, Failure> {
        let mut last = 0;
        for acks in 1.. {
            let got = self.ack().await?;
            if got > seq {
                return Err(Failure::broken(format!("ack {got}, where {seq} was the last batch")));
            }
            if got < last {
                return Err(Failure::broken(format!("ack {got} after ack {last}: acks are cumulative")));
            }
            last = got;
            if got == seq {
                return Ok(acks);
            }
        }
        Err(Failure::broken("no end of acks"))
    }

    /// Sends a batch and waits until it is acked.
    pub(crate) async fn deliver(&mut self, batch: &Value) -> Result<(), Failure> {
        self.send(batch).await?;
        self.acked(batch["seq"].as_u64().unwrap_or_default()).await.map(|_| ())
    }

    /// Waits until the brain closes with `code`; frames before that are passed over.
    pub(crate) async fn closed_with(&mut self, code: u16, within: Duration) -> Result<String, Failure> {
        let until = Instant::now() + within;
        loop {
            match self.hear(until.saturating_duration_since(Instant::now())).await {
                Heard::Closed(Some(seen), reason) if seen == code => return Ok(closed(Some(seen), &reason)),
                Heard::Closed(seen, reason) => {
                    return Err(Failure::broken(format!("{}, and not with {code}", closed(seen, &reason))));
                }
                Heard::Text(_) | Heard::Ping | Heard::Pong => {}
                Heard::Nothing => {
                    return Err(Failure::broken(format!("not closed within {} s", within.as_secs())));
                }
            }
        }
    }
}

fn closed(code: Option<u16>, reason: &str) -> String {
    match code {
        Some(code) if reason.is_empty() => format!("closed with {code}"),
        Some(code) => format!("closed with {code} ({reason})"),
        None => format!("disconnected without a close code ({reason})"),
    }
}
