//! What carries frames. The WebSocket does now; long-poll can come beside it.

use async_trait::async_trait;
use thiserror::Error;

use super::token::Token;

/// A way to reach the brain.
#[async_trait]
pub(crate) trait Transport: Send + Sync {
    /// Opens a channel. The caller bounds the time.
    async fn connect(&self, token: &Token) -> Result<Box<dyn Channel>, ConnectError>;
}

/// An open connection that carries text frames both ways.
#[async_trait]
pub(crate) trait Channel: Send {
    /// Sends one frame, and waits until the system has taken it.
    async fn send(&mut self, frame: String) -> Result<(), Broken>;

    /// Waits for what comes. May be dropped while it waits without losing anything.
    async fn receive(&mut self) -> Incoming;

    /// Says good-bye. The channel is not used afterwards.
    async fn close(&mut self);
}

/// What comes over a channel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A text frame.
    Text(String),
    /// A sign of life.
    Alive,
    /// The brain closed, with a code and a reason.
    Closed(Option<u16>, String),
    /// The connection broke.
    Broken(String),
}

/// The connection is gone; why.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct Broken(pub(crate) String);

/// Why there is no connection.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    /// HTTP 401.
    #[error("the brain refused the token")]
    Refused,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}
