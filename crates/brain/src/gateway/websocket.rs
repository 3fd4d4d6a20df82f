//! The WebSocket transport.

use std::future::poll_fn;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use taskplane_protocol::close::CloseCode;
use taskplane_protocol::limits::MAX_FRAME_BYTES;
use tokio_util::sync::CancellationToken;

use super::connection::serve;
use super::door::admit;
use super::faults::{is_not_utf8, is_too_large};
use super::wire::{Gone, Incoming, Wire};
use crate::brain::Brain;
use crate::client_address::ClientAddress;

/// Memory that an idle socket's read buffer takes, and how much is copied at once of what `server/read_ahead.rs` has read in
/// larger pieces. The library's default of 128 KiB costs 1.3 GB for 10,000 idle agents.
const READ_BUFFER_BYTES: usize = 512;
/// Bytes that are written at once.
const WRITE_BUFFER_BYTES: usize = 8 << 10;
/// How long a peer may take to accept a frame.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a peer has to answer a close. A socket that is dropped with unread bytes in it is reset, and the code is lost.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// `GET /ws`: authenticates, then upgrades.
pub async fn upgrade(
    State(brain): State<Brain>,
    client: ClientAddress,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let admitted = match admit(&brain, client, &headers).await {
        Ok(admitted) => admitted,
        Err(refusal) => return refusal,
    };
    match upgrade {
        Ok(upgrade) => upgrade
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_frame_size(MAX_FRAME_BYTES)
            .max_message_size(MAX_FRAME_BYTES)
            .on_upgrade(move |socket| {
                // A task of its own: this one stays as large as all that upgrading needs.
                let tasks = brain.tasks.clone();
                tasks.spawn(serve(brain, admitted, WebSocketWire { socket, held: None, is_broken: false }));
                std::future::ready(())
            }),
        Err(rejection) => rejection.into_response(),
    }
}

struct WebSocketWire {
    socket: WebSocket,
    /// The last message, until the next one is waited for: while somebody has it, the library takes new memory for what comes, as much as that
    /// needs. Else it would use that of the largest message again, and keep it for as long as the agent is connected.
    held: Option<Message>,
    /// What came was no WebSocket frame that can be taken: nothing after it can be read.
    is_broken: bool,
}

impl WebSocketWire {
    async fn put(&mut self, message: Message) -> Result<(), Gone> {
        match tokio::time::timeout(SEND_TIMEOUT, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }

    async fn next(&mut self) -> Option<Result<Message, axum::Error>> {
        let next = poll_fn(|cx| {
            let polled = self.socket.poll_next_unpin(cx);
            self.held = None;
            polled
        })
        .await;
        self.held = next.as_ref().and_then(|message| message.as_ref().ok()).cloned();
        next
    }

    /// Reads what still comes, until the peer closes.
    async fn drain(&mut self) {
        if self.is_broken {
            return std::future::pending().await;
        }
        while let Some(Ok(_)) = self.next().await {}
    }

    fn on_error(&mut self, error: &axum::Error) -> Incoming {
        self.is_broken = is_too_large(error) || is_not_utf8(error);
        match error {
            error if is_too_large(error) => Incoming::TooLarge,
            error if is_not_utf8(error) => Incoming::NotText,
            _ => Incoming::Gone,
        }
    }
}

impl Wire for WebSocketWire {
    async fn receive(&mut self) -> Incoming {
        match self.next().await {
            Some(Ok(Message::Text(text))) => Incoming::Text(text),
            Some(Ok(Message::Binary(_))) => Incoming::NotText,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Incoming::Alive,
            Some(Ok(Message::Close(_))) | None => Incoming::Gone,
            Some(Err(error)) => self.on_error(&error),
        }
    }

    async fn send(&mut self, frame: String) -> Result<(), Gone> {
        self.put(Message::Text(frame.into())).await
    }

    async fn ping(&mut self) -> Result<(), Gone> {
        self.put(Message::Ping(bytes::Bytes::new())).await
    }

    async fn close(&mut self, code: CloseCode, reason: String) {
        let frame = CloseFrame { code: code.number(), reason: reason.into() };
        // Who cannot be told has gone.
        let _ = self.put(Message::Close(Some(frame))).await;
    }

    async fn finish(&mut self, _stop: &CancellationToken) {
        let _ = tokio::time::timeout(CLOSE_WITHIN, self.drain()).await;
    }
}
