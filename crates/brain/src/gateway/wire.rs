//! How frames come and go: what a transport gives to the connection that it carries.

use std::future::Future;

use axum::extract::ws::Utf8Bytes;
use taskplane_protocol::close::CloseCode;
use tokio_util::sync::CancellationToken;

/// What a transport brings.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// A text frame.
    Text(Utf8Bytes),
    /// A frame that is not UTF-8 text.
    NotText,
    /// A frame over the limit.
    TooLarge,
    /// A sign that the peer's host is there.
    Alive,
    /// The end: nothing more comes, and nothing can be sent.
    Gone,
}

/// The transport is of no more use.
pub(super) struct Gone;

/// One connection's transport.
pub(super) trait Wire: Send {
    /// What comes next. May be given up while it waits, without losing anything.
    fn receive(&mut self) -> impl Future<Output = Incoming> + Send;

    /// Sends a frame.
    fn send(&mut self, frame: String) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Shows the peer's host that we are there.
    fn ping(&mut self) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Says why the connection ends. Nothing is received or sent afterwards.
    fn close(&mut self, code: CloseCode, reason: String) -> impl Future<Output = ()> + Send;

    /// Lets the peer take note of the end, for a bounded time, and not when the brain stops if that would keep it.
    fn finish(&mut self, stop: &CancellationToken) -> impl Future<Output = ()> + Send;
}
