//! Which transport is used: the WebSocket, and long-poll where upgrades fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::dial::Dialer;
use super::longpoll::LongPollTransport;
use super::token::Token;
use super::transport::{Channel, ConnectError, Transport};
use super::websocket::WebSocketTransport;

/// So many upgrades fail in a row before long-poll is tried.
const FAILED_UPGRADES: u32 = 3;

/// A transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    WebSocket,
    LongPoll,
}

/// All transports, and what is known of them. One for all connections of an agent.
pub(crate) struct Ways {
    websocket: WebSocketTransport,
    longpoll: LongPollTransport,
    /// Upgrades that failed in a row. A brain that cannot be reached at all does not count: long-poll would not reach it
    /// either.
    failed: AtomicU32,
}

impl Ways {
    pub(crate) fn new(dialer: &Arc<Dialer>) -> Self {
        let websocket = WebSocketTransport::new(Arc::clone(dialer));
        let longpoll = LongPollTransport::new(Arc::clone(dialer));
        Self { websocket, longpoll, failed: AtomicU32::new(0) }
    }

    /// The one to try next.
    pub(super) fn next(&self) -> Way {
        if self.failed.load(Ordering::Relaxed) >= FAILED_UPGRADES { Way::LongPoll } else { Way::WebSocket }
    }

    pub(super) async fn connect(&self, way: Way, token: &Token) -> Result<Box<dyn Channel>, ConnectError> {
        let connected = match way {
            Way::WebSocket => self.websocket.connect(token).await,
            Way::LongPoll => self.longpoll.connect(token).await,
        };
        if matches!(connected, Err(ConnectError::Failed(_))) {
            self.does_not_work(way);
        }
        connected
    }

    /// The brain answered over it.
    pub(super) fn works(&self, way: Way) {
        if way == Way::WebSocket {
            self.failed.store(0, Ordering::Relaxed);
        }
    }

    /// Somebody is there, but not the brain. Where long-poll does not work either the two take turns.
    pub(super) fn does_not_work(&self, way: Way) {
        match way {
            Way::WebSocket if self.failed.fetch_add(1, Ordering::Relaxed) + 1 == FAILED_UPGRADES => {
                tracing::warn!("WebSockets do not get through to the brain: trying long-poll");
            }
            Way::WebSocket => {}
            Way::LongPoll => self.failed.store(FAILED_UPGRADES - 1, Ordering::Relaxed),
        }
    }

    /// Tries the WebSocket every now and then, until it works.
    pub(super) fn look_for_websocket(self: &Arc<Self>, token: Token, every: Duration, patience: Duration) -> Search {
        let (found, channel) = oneshot::channel();
        let is_over = CancellationToken::new();
        let (ways, over, with) = (Arc::clone(self), is_over.clone(), token.clone());
        let searching = AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                sleep(every).await;
                if let Ok(Ok(websocket)) = timeout(patience, ways.websocket.connect(&token)).await {
                    tracing::info!("WebSockets get through to the brain again");
                    let _ = found.send(websocket);
                    return over.cancel();
                }
            }
        }));
        Search { is_over, with, channel, _searching: searching }
    }
}

/// A search for a better way. Ends when dropped.
pub(super) struct Search {
    /// Cancelled when it is there.
    pub(super) is_over: CancellationToken,
    with: Token,
    channel: oneshot::Receiver<Box<dyn Channel>>,
    _searching: AbortOnDropHandle<()>,
}

impl Search {
    /// True when it goes on, with this token.
    pub(super) fn is_with(&self, token: &Token) -> bool {
        self.with == *token && !self.is_over.is_cancelled()
    }

    /// What was found.
    pub(super) fn found(&mut self) -> Option<Box<dyn Channel>> {
        self.channel.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ProxySettings, TlsOptions};
    use super::*;

    #[test]
    fn three_upgrades_that_fail_in_a_row_lead_to_long_poll_and_back() {
        let endpoint = "ws://127.0.0.1:9".parse().expect("an endpoint");
        let dialer = Dialer::new(endpoint, TlsOptions::default(), &ProxySettings::default()).expect("a dialer");
        let ways = Ways::new(&Arc::new(dialer));
        let tried = |ways: &Ways, works: bool| {
            let way = ways.next();
            if works {
                ways.works(way)
            } else {
                ways.does_not_work(way)
            };
            way
        };
        assert_eq!([false, false, true, false, false, false].map(|works| tried(&ways, works)), [Way::WebSocket; 6]);
        assert_eq!([true, true].map(|works| tried(&ways, works)), [Way::LongPoll; 2]);
        // Neither works: something else is wrong.
        let alternating = [Way::LongPoll, Way::WebSocket, Way::LongPoll, Way::WebSocket];
        assert_eq!([false; 4].map(|works| tried(&ways, works)), alternating);
        ways.works(Way::WebSocket);
        assert_eq!(ways.next(), Way::WebSocket);
    }
}
