//! What carries frames: `websocket`, and `longpoll` where that does not get through.

use std::time::Duration;

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

    /// Sends what was not yet sent, and says good-bye. The channel is not used afterwards.
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
    /// The brain does not let us in, after all.
    Refused(Refusal),
    /// The connection broke.
    Broken(String),
}

/// The connection is gone; why.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct Broken(pub(crate) String);

/// Why a brain that can be reached does not let us in.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// HTTP 401: the token.
    #[error("the brain refused the token: create a new one for this agent on the brain, and give it to the agent")]
    Token,
    /// HTTP 429 or 503: it has enough to do, for so long if it says so.
    #[error("the brain has too much to do, and asked to come back later")]
    Busy(Option<Duration>),
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    /// The brain said why not.
    #[error(transparent)]
    Refused(Refusal),
    /// Nobody is there.
    #[error("{0}")]
    Unreachable(String),
    /// Somebody is there, and it does not work.
    #[error("{0}")]
    Failed(String),
}

impl Refusal {
    /// What a status of HTTP says, with the value of its `Retry-After`; `None` for other ones.
    pub(super) fn from_status(status: u16, retry_after: Option<&str>) -> Option<Self> {
        match status {
            401 => Some(Self::Token),
            // An answer without a time is that of a proxy in front of a brain that is not there.
            503 if retry_after.is_none() => None,
            429 | 503 => Some(Self::Busy(retry_after.and_then(|s| s.trim().parse().ok()).map(Duration::from_secs))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_whose_fault_it_is() {
        let ten = Some(Duration::from_secs(10));
        for (status, retry_after, refusal) in [
            (401, None, Some(Refusal::Token)),
            (429, Some("10"), Some(Refusal::Busy(ten))),
            (429, None, Some(Refusal::Busy(None))),
            (429, Some("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Refusal::Busy(None))),
            (503, Some(" 10 "), Some(Refusal::Busy(ten))),
            (503, None, None),
            (403, None, None),
            (502, Some("10"), None),
        ] {
            assert_eq!(Refusal::from_status(status, retry_after), refusal, "{status} {retry_after:?}");
        }
    }
}
