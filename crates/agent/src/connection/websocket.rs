//! Frames over a WebSocket.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt};
use taskplane_protocol::limits::MAX_FRAME_BYTES;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::http::{Response, StatusCode, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::dial::{DialError, Dialer, Stream};
use super::token::Token;
use super::transport::{Broken, Channel, ConnectError, Incoming, Refusal, Transport};

/// A few agents' worth of memory: the default read buffer is sixteen times that.
const READ_BUFFER_BYTES: usize = 8 << 10;

/// How much of a refusal is repeated.
const MAX_SAID: usize = 200;

/// WebSocket on a stream of our own.
pub(crate) struct WebSocketTransport {
    dialer: Arc<Dialer>,
}

impl WebSocketTransport {
    pub(crate) fn new(dialer: Arc<Dialer>) -> Self {
        Self { dialer }
    }

    /// Why the handshake failed, and what to do about it.
    fn explain(&self, error: &Error) -> String {
        let endpoint = self.dialer.endpoint();
        let hint = || {
            if endpoint.is_tls() {
                String::new()
            } else {
                format!("; if it speaks TLS on this port, use {}", endpoint.with_other_scheme())
            }
        };
        match error {
            Error::Io(error) => self.dialer.explain(error),
            Error::Http(response) => {
                let said = said(response.body().as_deref().unwrap_or_default());
                let hint = if response.status() == StatusCode::BAD_REQUEST { hint() } else { String::new() };
                format!("the brain answered {}{said}{hint}", response.status())
            }
            // What a TLS server answers to a plain request.
            Error::Protocol(ProtocolError::HttparseError(_) | ProtocolError::HandshakeIncomplete) => {
                format!("what answers at {} does not speak HTTP{}", endpoint.authority(), hint())
            }
            other => other.to_string(),
        }
    }
}

/// What the brain means by an answer that is no upgrade.
fn refusal<B>(response: &Response<B>) -> Option<Refusal> {
    let retry_after = response.headers().get("Retry-After").and_then(|value| value.to_str().ok());
    Refusal::from_status(response.status().as_u16(), retry_after)
}

/// The first line of a body, as far as it is text for people.
fn said(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line: String = text.trim().chars().take_while(|c| !c.is_control()).take(MAX_SAID).collect();
    if line.is_empty() || line.starts_with(['<', '{']) { String::new() } else { format!(": {line}") }
}

#[async_trait]
impl Transport for WebSocketTransport {
    async fn connect(&self, token: &Token) -> Result<Box<dyn Channel>, ConnectError> {
        let failed = |error: &dyn std::fmt::Display| ConnectError::Failed(error.to_string());
        let uri: Uri = self.dialer.endpoint().to_string().parse().map_err(|error| failed(&error))?;
        let request = ClientRequestBuilder::new(uri).with_header("Authorization", token.authorization());
        let unreachable = |error: DialError| ConnectError::Unreachable(error.to_string());
        let stream = self.dialer.dial().await.map_err(unreachable)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(MAX_FRAME_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES));
        match client_async_with_config(request, stream, Some(config)).await {
            Ok((socket, _)) => Ok(Box::new(WebSocketChannel { socket })),
            Err(error) => {
                let refusal = if let Error::Http(response) = &error { refusal(response) } else { None };
                let failed = || ConnectError::Failed(self.explain(&error));
                Err(refusal.map_or_else(failed, ConnectError::Refused))
            }
        }
    }
}

struct WebSocketChannel {
    socket: WebSocketStream<Box<dyn Stream>>,
}

#[async_trait]
impl Channel for WebSocketChannel {
    async fn send(&mut self, frame: String) -> Result<(), Broken> {
        self.socket.send(Message::text(frame)).await.map_err(|error| Broken(error.to_string()))
    }

    async fn receive(&mut self) -> Incoming {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => Incoming::Text(text.to_string()),
            Some(Ok(Message::Close(frame))) => {
                let (code, reason) =
                    frame.map_or((None, String::new()), |f| (Some(f.code.into()), f.reason.to_string()));
                Incoming::Closed(code, reason)
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Incoming::Alive,
            Some(Ok(Message::Binary(_))) => Incoming::Broken("the brain sent a binary frame".into()),
            Some(Err(error)) => Incoming::Broken(error.to_string()),
            None => Incoming::Broken("the connection was closed".into()),
        }
    }

    async fn close(&mut self) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        // The brain may be gone already.
        let _ = self.socket.close(Some(frame)).await;
    }
}
