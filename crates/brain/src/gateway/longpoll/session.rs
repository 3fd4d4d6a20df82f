//! One long-poll session, as its requests see it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taskplane_protocol::close::CloseCode;
use taskplane_protocol::limits::LONGPOLL_SESSION_IDLE;
use taskplane_store::access::SecretHash;
use tokio::sync::{Mutex as Turns, MutexGuard as Turn, Notify, mpsc};
use tokio::time::Instant;

use super::super::wire::{Gone, Incoming};

/// Most frames that wait for a request to fetch them. Acks make one, so these are commands.
const MAX_WAITING: usize = 256;
/// Frames on their way from a request to the connection.
const ARRIVING: usize = 4;
/// How an `ack` begins; of several in a row the last says all.
const ACK: &str = r#"{"type":"ack","#;

/// Where the requests of a session meet its connection.
pub(super) struct Session {
    /// What the agent calls it.
    pub(super) id: String,
    /// The token that opened it, and alone may use it.
    pub(super) owner: SecretHash,
    arriving: mpsc::Sender<Incoming>,
    /// Bodies are read one after the other.
    turns: Turns<()>,
    state: Mutex<State>,
    /// Something that a waiting request should look at.
    changed: Notify,
}

struct State {
    leaving: VecDeque<String>,
    end: Option<End>,
    /// The newest request; older ones wait no longer.
    newest: u64,
    requests: usize,
    last_request: Instant,
}

/// How a session ended.
#[derive(Clone, Debug)]
enum End {
    /// With a close that no request has been told.
    Closed(CloseCode, String),
    /// Everything is told.
    Told,
}

/// What a request is answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// Frames.
    Frames(Vec<String>),
    /// Nothing came in time, or a newer request took over.
    Nothing,
    /// The session was closed.
    Closed(CloseCode, String),
    /// There is no such session any more.
    Gone,
}

impl Session {
    /// A new session, and what its requests bring.
    pub(super) fn new(id: String, owner: SecretHash) -> (Arc<Self>, mpsc::Receiver<Incoming>) {
        let (arriving, arrivals) = mpsc::channel(ARRIVING);
        let state = State { leaving: VecDeque::new(), end: None, newest: 0, requests: 0, last_request: Instant::now() };
        let (turns, changed) = (Turns::new(()), Notify::new());
        (Arc::new(Self { id, owner, arriving, turns, state: Mutex::new(state), changed }), arrivals)
    }

    /// A request comes, and supersedes the one before it.
    pub(super) fn request(self: &Arc<Self>) -> Request {
        let mut state = self.lock();
        state.newest += 1;
        state.requests += 1;
        let request = Request { session: Arc::clone(self), number: state.newest };
        drop(state);
        self.changed.notify_waiters();
        request
    }

    /// Puts a frame where the next answer takes it from.
    pub(super) fn leave(&self, frame: String) -> Result<(), Gone> {
        let mut state = self.lock();
        if frame.starts_with(ACK) && state.leaving.back().is_some_and(|last| last.starts_with(ACK)) {
            state.leaving.pop_back();
        }
        if state.leaving.len() >= MAX_WAITING {
            return Err(Gone);
        }
        state.leaving.push_back(frame);
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }

    /// Puts frames back that were taken for an answer of which nothing was written.
    pub(super) fn put_back(&self, frames: Vec<String>) {
        let mut state = self.lock();
        for frame in frames.into_iter().rev() {
            state.leaving.push_front(frame);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Ends the session with something to tell.
    pub(super) fn close(&self, code: CloseCode, reason: String) {
        self.lock().end = Some(End::Closed(code, reason));
        self.changed.notify_waiters();
    }

    /// Ends the session: nothing more is told.
    pub(super) fn end(&self) {
        self.lock().end = Some(End::Told);
        self.changed.notify_waiters();
    }

    /// Waits until a close has been told, or at most as long as a session is kept without a request.
    pub(super) async fn told(&self) {
        let told = async {
            loop {
                let changed = self.changed.notified();
                if matches!(self.lock().end, Some(End::Told)) {
                    return;
                }
                changed.await;
            }
        };
        let _ = tokio::time::timeout(LONGPOLL_SESSION_IDLE, told).await;
    }

    /// What the session was closed with, if it was and nobody has been told.
    pub(super) fn take_close(&self) -> Option<(CloseCode, String)> {
        let mut state = self.lock();
        let Some(End::Closed(code, reason)) = state.end.clone() else { return None };
        state.end = Some(End::Told);
        drop(state);
        self.changed.notify_waiters();
        Some((code, reason))
    }

    /// When the session will have been without a request for too long; `None` when it has been.
    pub(super) fn idle_at(&self) -> Option<Instant> {
        let state = self.lock();
        let since = if state.requests > 0 { Instant::now() } else { state.last_request };
        Some(since + LONGPOLL_SESSION_IDLE).filter(|at| *at > Instant::now())
    }

    fn look(&self, request: u64) -> Option<Answer> {
        let mut state = self.lock();
        if state.newest != request {
            return Some(Answer::Nothing);
        }
        if !state.leaving.is_empty() {
            return Some(Answer::Frames(state.leaving.drain(..).collect()));
        }
        state.end.as_ref()?;
        drop(state);
        Some(self.take_close().map_or(Answer::Gone, |(code, reason)| Answer::Closed(code, reason)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain assignments and queue operations only: a panic elsewhere cannot leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request at work; while there is one, the session is not idle.
pub(super) struct Request {
    session: Arc<Session>,
    number: u64,
}

impl Request {
    /// The session.
    pub(super) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Waits until the requests before this one have brought what they bring.
    pub(super) async fn turn(&self) -> Turn<'_, ()> {
        self.session.turns.lock().await
    }

    /// Hands over what came. Waits while the brain is busy, which is what slows a fast agent down.
    pub(super) async fn bring(&self, incoming: Incoming) -> Result<(), Gone> {
        self.session.arriving.send(incoming).await.map_err(|_| Gone)
    }

    /// Waits for what there is to answer, at most until `deadline`.
    pub(super) async fn answer(&self, deadline: Instant) -> Answer {
        loop {
            // What changes from here on wakes us up.
            let changed = self.session.changed.notified();
            if let Some(answer) = self.session.look(self.number) {
                return answer;
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return self.session.look(self.number).unwrap_or(Answer::Nothing);
            }
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let mut state = self.session.lock();
        state.requests -= 1;
        state.last_request = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Arc<Session> {
        Session::new("s".into(), [0; 32]).0
    }

    fn ack(seq: u64) -> String {
        taskplane_protocol::frame::BrainFrame::ack(seq)
    }

    async fn now(request: &Request) -> Answer {
        request.answer(Instant::now()).await
    }

    #[tokio::test]
    async fn acks_in_a_row_become_one_and_keep_their_place() {
        let session = session();
        for frame in [ack(1), ack(2), "command".to_owned(), ack(3), ack(4)] {
            assert!(session.leave(frame).is_ok());
        }
        let request = session.request();
        let Answer::Frames(frames) = now(&request).await else { panic!("frames") };
        assert_eq!(frames, [ack(2), "command".to_owned(), ack(4)]);
        assert!(matches!(now(&request).await, Answer::Nothing));
    }

    #[tokio::test]
    async fn what_was_not_written_comes_again_and_first() {
        let session = session();
        assert!(session.leave("a".into()).is_ok());
        let request = session.request();
        let Answer::Frames(frames) = now(&request).await else { panic!("frames") };
        assert!(session.leave("b".into()).is_ok());
        session.put_back(frames);
        let Answer::Frames(frames) = now(&request).await else { panic!("frames") };
        assert_eq!(frames, ["a", "b"]);
    }

    #[tokio::test]
    async fn a_newer_request_takes_over() {
        let session = session();
        let old = session.request();
        let waiting = tokio::spawn(async move { old.answer(Instant::now() + LONGPOLL_SESSION_IDLE).await });
        tokio::task::yield_now().await;
        let new = session.request();
        assert!(matches!(waiting.await.expect("ends"), Answer::Nothing));
        assert!(session.leave("a".into()).is_ok());
        assert!(matches!(now(&new).await, Answer::Frames(_)));
    }

    #[tokio::test]
    async fn a_close_is_told_once_and_after_the_frames_before_it() {
        let session = session();
        assert!(session.leave(ack(1)).is_ok());
        session.close(CloseCode::GoingAway, "stopping".into());
        let request = session.request();
        assert!(matches!(now(&request).await, Answer::Frames(_)));
        assert!(matches!(now(&request).await, Answer::Closed(CloseCode::GoingAway, _)));
        assert!(matches!(now(&request).await, Answer::Gone));
    }

    #[tokio::test]
    async fn frames_that_nobody_fetches_are_bounded() {
        let session = session();
        let kept = (0..10_000).take_while(|_| session.leave("command".into()).is_ok()).count();
        assert_eq!(kept, MAX_WAITING);
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_is_idle_when_there_was_no_request_for_a_while() {
        let session = session();
        let request = session.request();
        tokio::time::advance(2 * LONGPOLL_SESSION_IDLE).await;
        assert!(session.idle_at().is_some(), "a request is at work");
        drop(request);
        assert!(session.idle_at().is_some());
        tokio::time::advance(LONGPOLL_SESSION_IDLE).await;
        assert!(session.idle_at().is_none());
    }
}
