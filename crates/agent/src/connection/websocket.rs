//! Frames over a WebSocket.

use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt};
use taskplane_protocol::limits::MAX_FRAME_BYTES;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::http::{StatusCode, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::endpoint::Endpoint;
use super::token::Token;
use super::transport::{Broken, Channel, ConnectError, Incoming, Transport};

/// A few agents' worth of memory: the default read buffer is sixteen times that.
const READ_BUFFER_BYTES: usize = 8 << 10;

/// Plain WebSocket over our own TCP connection.
pub(crate) struct WebSocketTransport {
    endpoint: Endpoint,
}

impl WebSocketTransport {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }
}

#[async_trait]
impl Transport for WebSocketTransport {
    async fn connect(&self, token: &Token) -> Result<Box<dyn Channel>, ConnectError> {
        let failed = |error: &dyn std::fmt::Display| ConnectError::Failed(error.to_string());
        let uri: Uri = self.endpoint.to_string().parse().map_err(|error| failed(&error))?;
        let request = ClientRequestBuilder::new(uri).with_header("Authorization", token.authorization());
        let tcp = TcpStream::connect((self.endpoint.host.as_str(), self.endpoint.port))
            .await
            .map_err(|error| failed(&error))?;
        // Frames are written whole; waiting for more would only delay them.
        tcp.set_nodelay(true).map_err(|error| failed(&error))?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(MAX_FRAME_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES));
        match client_async_with_config(request, tcp, Some(config)).await {
            Ok((socket, _)) => Ok(Box::new(WebSocketChannel { socket })),
            Err(Error::Http(response)) if response.status() == StatusCode::UNAUTHORIZED => Err(ConnectError::Refused),
            Err(Error::Http(response)) => {
                Err(ConnectError::Failed(format!("the brain answered {}", response.status())))
            }
            Err(error) => Err(failed(&error)),
        }
    }
}

struct WebSocketChannel {
    socket: WebSocketStream<TcpStream>,
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
