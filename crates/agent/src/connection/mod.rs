//! The connection to the brain: made, lost, and made again, for as long as the agent runs.
//!
//! The brain being away disturbs nothing: events go on into the buffer, and are delivered when it is back. `transport` is the
//! seam that carries frames (`websocket` now), `link` drives one connection, this file decides what to do when it ends.

mod backoff;
mod endpoint;
mod link;
mod oversize;
mod token;
mod transport;
mod websocket;

use std::time::Duration;

use taskplane_protocol::close::{Reconnect, reconnect};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

pub use backoff::ReconnectTimes;
pub use endpoint::{Endpoint, EndpointError};
pub use token::{Token, TokenError, TokenSource};

use backoff::{Backoff, dice};
pub(crate) use link::Courier;
use link::{Ended, drive};
pub(crate) use oversize::Oversize;
use transport::{ConnectError, Transport};
use websocket::WebSocketTransport;

/// How long the agent tries to deliver what is left when it stops.
const DRAIN: Duration = Duration::from_secs(2);

/// Keeps a connection to the brain.
pub(crate) struct Connection {
    transport: Box<dyn Transport>,
    brain: String,
    token: TokenSource,
    times: ReconnectTimes,
    backoff: Backoff,
    courier: Courier,
    /// Counts the brain's wishes to begin anew.
    restarts: watch::Sender<u64>,
    /// The last reason that was said; a brain that is away for a night is not said every minute.
    said: Option<String>,
}

/// What to do after an attempt.
enum Next {
    /// Try again at once.
    Now,
    /// Try again after so long.
    After(Duration),
    /// Try again when the token is another one.
    WhenTokenIsNot(Token),
    /// Never try again.
    Never,
}

impl Connection {
    pub(crate) fn new(
        endpoint: Endpoint,
        token: TokenSource,
        times: ReconnectTimes,
        courier: Courier,
        restarts: watch::Sender<u64>,
    ) -> Self {
        let (brain, backoff) = (endpoint.to_string(), Backoff::new(&times));
        let transport = Box::new(WebSocketTransport::new(endpoint));
        Self { transport, brain, token, times, backoff, courier, restarts, said: None }
    }

    /// Delivers until `stop`, and then for at most two seconds what is left.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let limit = async {
            stop.cancelled().await;
            sleep(DRAIN).await;
        };
        tokio::select! {
            () = self.keep_connected(&stop) => {}
            () = limit => tracing::info!("stopped before everything was delivered; the rest is in the buffer"),
        }
    }

    async fn keep_connected(&mut self, stop: &CancellationToken) {
        loop {
            let next = self.connect_once(stop).await;
            if stop.is_cancelled() {
                return;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wait(next) => {}
            }
        }
    }

    async fn wait(&self, next: Next) {
        match next {
            Next::Now => {}
            Next::After(wait) => sleep(wait).await,
            Next::WhenTokenIsNot(old) if self.token.can_change() => loop {
                sleep(self.times.token_check).await;
                if self.token.read().is_ok_and(|token| token != old) {
                    tracing::info!("the token has changed: connecting again");
                    return;
                }
            },
            Next::WhenTokenIsNot(_) | Next::Never => std::future::pending().await,
        }
    }

    /// One attempt to connect and, where it succeeds, the whole life of the connection.
    async fn connect_once(&mut self, stop: &CancellationToken) -> Next {
        let token = match self.token.read() {
            Ok(token) => token,
            Err(error) => {
                self.say(&error.to_string(), "not connected");
                return Next::After(self.times.token_check);
            }
        };
        let connecting = timeout(self.times.connect, self.transport.connect(&token)).await;
        let mut channel = match connecting {
            Ok(Ok(channel)) => channel,
            Ok(Err(ConnectError::Refused)) => {
                self.say(
                    "the brain refused the token: create a new one for this agent on the brain, and give it to the agent",
                    "not connected",
                );
                return Next::After(self.times.refused.mul_f64(1.0 + dice()));
            }
            Ok(Err(ConnectError::Failed(reason))) => return self.failed(&reason),
            Err(_) => return self.failed("the brain did not answer in time"),
        };
        tracing::info!(brain = self.brain, "connected");
        self.said = None;
        let began = Instant::now();
        let ended = drive(channel.as_mut(), &mut self.courier, stop).await;
        if began.elapsed() >= self.times.healthy_after {
            self.backoff.reset();
        }
        self.after(ended, token)
    }

    fn failed(&mut self, reason: &str) -> Next {
        self.say(reason, "the brain cannot be reached; events are kept in the buffer");
        Next::After(self.backoff.next(dice()))
    }

    fn after(&mut self, ended: Ended, token: Token) -> Next {
        let (code, reason) = match ended {
            Ended::Drained => return Next::Never,
            Ended::Restart => {
                tracing::info!("beginning anew, as the brain asked");
                self.restarts.send_modify(|count| *count += 1);
                return Next::Now;
            }
            Ended::Lost(reason) => (None, reason),
            Ended::Closed(code, reason) => (code, reason),
        };
        match reconnect(code) {
            Reconnect::Backoff => {
                tracing::info!(?code, reason, "disconnected; connecting again");
                Next::After(self.backoff.next(dice()))
            }
            Reconnect::LongBackoff => {
                tracing::warn!(?code, reason, "disconnected; connecting again after a while");
                // The whole of the longest wait, and apart from others who were told the same.
                Next::After(self.times.max.mul_f64(1.0 + dice() / 2.0))
            }
            Reconnect::StopUntilUpgraded => {
                tracing::warn!(
                    reason,
                    "the brain speaks another version of the protocol: upgrade this agent. Events are kept in the buffer"
                );
                Next::Never
            }
            Reconnect::StopUntilTokenChanges => {
                tracing::warn!(
                    reason,
                    "the token was revoked: give this agent another one. Events are kept in the buffer"
                );
                Next::WhenTokenIsNot(token)
            }
        }
    }

    /// Says why there is no connection, unless that was the last thing said.
    fn say(&mut self, reason: &str, what: &str) {
        if self.said.as_deref() == Some(reason) {
            tracing::debug!(reason, "{what}");
        } else {
            tracing::warn!(brain = self.brain, reason, "{what}");
            self.said = Some(reason.to_owned());
        }
    }
}
