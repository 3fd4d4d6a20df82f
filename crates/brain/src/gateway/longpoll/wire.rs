//! A long-poll session, as its connection sees it.

use std::sync::Arc;

use taskplane_protocol::close::CloseCode;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::super::wire::{Gone, Incoming, Wire};
use super::LongPolls;
use super::session::Session;

/// Frames by way of requests and their answers.
pub(super) struct LongPollWire {
    /// The session.
    pub(super) session: Arc<Session>,
    /// What its requests bring.
    pub(super) arrivals: mpsc::Receiver<Incoming>,
    /// Where it is known.
    pub(super) sessions: LongPolls,
    /// It was closed with a code, which the agent will want to know.
    pub(super) has_closed: bool,
}

impl Wire for LongPollWire {
    async fn receive(&mut self) -> Incoming {
        loop {
            let Some(idle_at) = self.session.idle_at() else { return Incoming::Gone };
            tokio::select! {
                incoming = self.arrivals.recv() => return incoming.unwrap_or(Incoming::Gone),
                () = tokio::time::sleep_until(idle_at) => {}
            }
        }
    }

    async fn send(&mut self, frame: String) -> Result<(), Gone> {
        self.session.leave(frame)
    }

    async fn ping(&mut self) -> Result<(), Gone> {
        // Its requests show that the agent is there, and their answers that we are.
        Ok(())
    }

    async fn close(&mut self, code: CloseCode, reason: String) {
        self.has_closed = true;
        self.arrivals.close();
        self.session.close(code, reason);
    }

    async fn finish(&mut self, stop: &CancellationToken) {
        self.arrivals.close();
        if self.has_closed {
            tokio::select! {
                () = self.session.told() => {}
                () = stop.cancelled() => {}
            }
        }
        self.sessions.remove(&self.session.id);
        // On a stop, the request that waits is told the code, and no other comes.
        if !(self.has_closed && stop.is_cancelled()) {
            self.session.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use taskplane_protocol::limits::LONGPOLL_SESSION_IDLE;
    use tokio::time::Instant;

    use super::*;

    fn wire() -> LongPollWire {
        let sessions = LongPolls::of_run(None);
        let (session, arrivals) = sessions.open([0; 32], 1).expect("there is room");
        LongPollWire { session, arrivals, sessions, has_closed: false }
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_after_a_minute_without_a_request() {
        let mut wire = wire();
        let request = wire.session.request();
        assert!(tokio::time::timeout(3 * LONGPOLL_SESSION_IDLE, wire.receive()).await.is_err(), "a request is at work");
        drop(request);
        let began = Instant::now();
        assert_eq!(wire.receive().await, Incoming::Gone);
        assert!(began.elapsed() >= LONGPOLL_SESSION_IDLE && began.elapsed() < 2 * LONGPOLL_SESSION_IDLE);
        wire.finish(&CancellationToken::new()).await;
        assert!(wire.sessions.find(&wire.session.id).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_close_that_nobody_asks_for_is_kept_for_a_minute() {
        let mut wire = wire();
        wire.close(CloseCode::Superseded, "newer".into()).await;
        let (sessions, id) = (wire.sessions.clone(), wire.session.id.clone());
        let began = Instant::now();
        let finishing = tokio::spawn(async move { wire.finish(&CancellationToken::new()).await });
        tokio::task::yield_now().await;
        assert!(sessions.find(&id).is_some());
        finishing.await.expect("ends");
        assert!(sessions.find(&id).is_none() && began.elapsed() >= LONGPOLL_SESSION_IDLE);
    }
}
