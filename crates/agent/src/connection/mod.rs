//! The connection to the brain: made, lost, and made again, for as long as the agent runs.
//!
//! The brain being away disturbs nothing: events go on into the buffer, and are delivered when it is back. `transport` is the
//! seam that carries frames (`websocket`, or `longpoll` where that does not get through; `ways` chooses), `link` drives one
//! connection, this file decides what to do when it ends.

mod backoff;
mod dial;
mod endpoint;
mod link;
mod longpoll;
mod outdated;
mod oversize;
mod proxy;
mod tls;
mod token;
mod transport;
mod ways;
mod websocket;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use taskplane_protocol::close::{Reconnect, reconnect};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

pub use backoff::ReconnectTimes;
pub use dial::DialerError;
pub use endpoint::{Endpoint, EndpointError};
pub use proxy::{ProxySettings, ProxySettingsError};
pub use tls::{ClientCertificate, TlsOptions, TlsOptionsError};
pub use token::{Token, TokenError, TokenSource};

use backoff::{Backoff, dice};
pub(crate) use dial::Dialer;
pub(crate) use link::Courier;
use link::{Ended, Wishes, drive};
pub(crate) use outdated::Outdated;
pub(crate) use oversize::Oversize;
use transport::{ConnectError, Refusal};
pub(crate) use ways::Ways;
use ways::{Search, Way};

/// What all connections of an agent have in common.
pub(crate) struct Brain {
    pub(crate) url: String,
    pub(crate) ways: Arc<Ways>,
    pub(crate) token: TokenSource,
    pub(crate) times: ReconnectTimes,
    pub(crate) outdated: Outdated,
    /// Counts the brain's wishes to begin anew.
    pub(crate) restarts: watch::Sender<u64>,
}

/// Keeps a connection to the brain, for one stream.
pub(crate) struct Connection {
    brain: Arc<Brain>,
    backoff: Backoff,
    courier: Courier,
    /// The last reason that was said; a brain that is away for a night is not said every minute.
    said: Option<String>,
    /// While the WebSocket does not work. It goes on from one long-poll session to the next.
    search: Option<Search>,
}

/// When to end.
#[derive(Clone, Copy)]
struct Orders<'a> {
    /// As soon as everything is delivered.
    drain: &'a CancellationToken,
    /// In the middle of a connection.
    leave: &'a CancellationToken,
    /// Between two connections.
    give_up: &'a CancellationToken,
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
    /// Everything is delivered.
    Done,
}

impl Connection {
    pub(crate) fn new(brain: Arc<Brain>, courier: Courier) -> Self {
        let backoff = Backoff::new(&brain.times);
        Self { brain, backoff, courier, said: None, search: None }
    }

    /// Delivers until `stop`, and then what is left, for at most as long as `last_delivery` says by then.
    pub(crate) async fn run(mut self, stop: CancellationToken, last_delivery: watch::Receiver<Duration>) {
        let limit = async {
            stop.cancelled().await;
            let last_delivery = *last_delivery.borrow();
            sleep(last_delivery).await;
        };
        let never = CancellationToken::new();
        let orders = Orders { drain: &stop, leave: &never, give_up: &stop };
        tokio::select! {
            _ = self.keep_connected(orders) => {}
            () = limit => tracing::info!("stopped before everything was delivered; the rest is in the buffer"),
        }
    }

    /// Delivers what there is, until `stop`. True when the brain has all of it.
    pub(crate) async fn deliver_rest(mut self, stop: &CancellationToken) -> bool {
        let drain = CancellationToken::new();
        drain.cancel();
        self.keep_connected(Orders { drain: &drain, leave: stop, give_up: stop }).await
    }

    /// True when everything was delivered.
    async fn keep_connected(&mut self, orders: Orders<'_>) -> bool {
        loop {
            let next = self.connect_once(orders).await;
            if let Next::Done = next {
                return true;
            }
            if orders.give_up.is_cancelled() {
                return false;
            }
            tokio::select! {
                () = orders.give_up.cancelled() => return false,
                () = self.wait(next) => {}
            }
        }
    }

    /// Waits for the next attempt.
    async fn wait(&self, next: Next) {
        match next {
            Next::Now => {}
            Next::After(wait) => sleep(wait).await,
            Next::WhenTokenIsNot(old) if self.brain.token.can_change() => loop {
                sleep(self.brain.times.token_check).await;
                if self.brain.token.read().is_ok_and(|token| token != old) {
                    tracing::info!("the token has changed: connecting again");
                    break;
                }
            },
            Next::WhenTokenIsNot(_) | Next::Never | Next::Done => pending().await,
        }
    }

    /// One attempt to connect and, where it succeeds, the whole life of the connection.
    async fn connect_once(&mut self, orders: Orders<'_>) -> Next {
        if self.brain.outdated.is_known() {
            return self.outdated();
        }
        let brain = Arc::clone(&self.brain);
        let token = match brain.token.read() {
            Ok(token) => token,
            Err(error) => {
                self.say(&error.to_string(), "not connected");
                return Next::After(brain.times.token_check);
            }
        };
        let (way, mut channel) = match self.search.as_mut().and_then(Search::found) {
            Some(channel) => (Way::WebSocket, channel),
            None => {
                let way = brain.ways.next();
                match timeout(brain.times.connect, brain.ways.connect(way, &token)).await {
                    Ok(Ok(channel)) => (way, channel),
                    Ok(Err(ConnectError::Refused(refusal))) => return self.refused(&refusal),
                    Ok(Err(error)) => return self.failed(&error.to_string()),
                    Err(_) => {
                        brain.ways.does_not_work(way);
                        return self.failed("the brain did not answer in time");
                    }
                }
            }
        };
        tracing::debug!(brain = brain.url, ?way, "saying hello");
        let began = Instant::now();
        match way {
            Way::WebSocket => self.search = None,
            Way::LongPoll if self.search.as_ref().is_some_and(|search| search.is_with(&token)) => {}
            Way::LongPoll => {
                let times = &brain.times;
                self.search = Some(brain.ways.look_for_websocket(token.clone(), times.websocket_check, times.connect));
            }
        }
        let better = self.search.as_ref().map(|search| search.is_over.clone()).unwrap_or_default();
        let wishes = Wishes { drain: orders.drain, leave: orders.leave, better: &better };
        let (ended, was_live) = drive(channel.as_mut(), &mut self.courier, wishes).await;
        if was_live {
            brain.ways.works(way);
            self.said = None;
        } else if let Ended::Lost(_) = ended {
            brain.ways.does_not_work(way);
        }
        if was_live && began.elapsed() >= brain.times.healthy_after {
            self.backoff.reset();
        }
        self.after(ended, token)
    }

    fn failed(&mut self, reason: &str) -> Next {
        self.say(reason, "the brain cannot be reached; events are kept in the buffer");
        Next::After(self.backoff.next(dice()))
    }

    fn refused(&mut self, refusal: &Refusal) -> Next {
        self.say(&refusal.to_string(), "not connected");
        Next::After(match refusal {
            Refusal::Token => self.brain.times.refused.mul_f64(1.0 + dice()),
            Refusal::Busy(asked) => self.backoff.next_busy(*asked, dice()),
        })
    }

    fn outdated(&mut self) -> Next {
        let file = self.brain.outdated.file().display().to_string();
        tracing::error!(
            brain = self.brain.url,
            "the brain speaks another version of the protocol than this agent, which stays away: upgrade the agent. If it was \
             the brain that changed, remove {file} and start the agent again. Events are kept in the buffer"
        );
        Next::Never
    }

    fn after(&mut self, ended: Ended, token: Token) -> Next {
        let (code, reason) = match ended {
            Ended::Drained => return Next::Done,
            Ended::Left => return Next::Now,
            Ended::Restart => {
                tracing::info!("beginning anew, as the brain asked");
                self.brain.restarts.send_modify(|count| *count += 1);
                return Next::Now;
            }
            Ended::Refused(refusal) => return self.refused(&refusal),
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
                Next::After(self.backoff.next_busy(None, dice()))
            }
            Reconnect::StopUntilUpgraded => {
                tracing::error!(reason, "the brain does not speak with this version of the agent");
                if let Err(error) = self.brain.outdated.remember() {
                    tracing::warn!(%error, "this could not be written down: the agent will try again when it is restarted");
                }
                self.outdated()
            }
            Reconnect::StopUntilTokenChanges => {
                let reason = if reason.is_empty() { "the token was revoked" } else { reason.as_str() };
                tracing::error!(
                    reason,
                    "the brain does not accept the token any more: give this agent another one. Events are kept in the buffer"
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
            tracing::warn!(brain = self.brain.url, reason, "{what}");
            self.said = Some(reason.to_owned());
        }
    }
}
