//! Memory for batches, shared fairly among tokens.
//!
//! Who finds none waits. Waiters are served token by token, not in the order in which they came: a token that floods waits
//! for itself.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::oneshot;

/// The memory there is. Cheap to clone.
#[derive(Clone)]
pub(super) struct Memory {
    state: Arc<Mutex<State>>,
    /// Most bytes that one token may hold.
    share: usize,
    gauges: Gauges,
}

/// What is shown of it.
#[derive(Clone, Default)]
pub(super) struct Gauges {
    /// Bytes that are held.
    pub(super) held: Gauge,
    /// Tokens that wait.
    pub(super) throttled: Gauge,
}

struct State {
    free: usize,
    tokens: HashMap<Arc<str>, Token>,
    /// Tokens with waiters, each once, in the order in which they are served.
    turns: VecDeque<Arc<str>>,
}

#[derive(Default)]
struct Token {
    held: usize,
    waiters: VecDeque<Waiter>,
}

struct Waiter {
    size: usize,
    granted: oneshot::Sender<Grant>,
}

/// Memory that a batch holds. Dropping it gives it back.
pub(super) struct Grant {
    memory: Memory,
    token: Arc<str>,
    size: usize,
}

impl Memory {
    /// Memory of `total` bytes, `share` of which one token may hold.
    pub(super) fn new(total: usize, share: usize, gauges: Gauges) -> Self {
        let state = State { free: total, tokens: HashMap::new(), turns: VecDeque::new() };
        Self { state: Arc::new(Mutex::new(state)), share: share.min(total), gauges }
    }

    /// Takes `size` bytes for `token`; more than a token's share counts as its share. Waits until they are there.
    pub(super) async fn take(&self, token: &Arc<str>, size: usize) -> Grant {
        let size = size.clamp(1, self.share);
        let waiting = {
            let mut state = self.lock();
            // Nobody overtakes those who wait.
            if state.turns.is_empty() && size <= state.free && state.is_within(self.share, token, size) {
                return self.grant(&mut state, token, size);
            }
            let (granted, waiting) = oneshot::channel();
            let waiters = &mut state.tokens.entry(Arc::clone(token)).or_default().waiters;
            waiters.push_back(Waiter { size, granted });
            if waiters.len() == 1 {
                state.turns.push_back(Arc::clone(token));
            }
            waiting
        };
        // Those before it may all wait for their own token only.
        self.serve();
        match waiting.await {
            Ok(grant) => grant,
            // Cannot be: a waiter is only forgotten when nobody waits for it.
            Err(_) => std::future::pending().await,
        }
    }

    /// Serves who can be served.
    fn serve(&self) {
        while let Some((waiter, grant)) = self.next() {
            // Who stopped waiting in this very moment gives it back: dropped, it serves the next.
            let _ = waiter.granted.send(grant);
        }
    }

    /// The next waiter that can be served, and what it gets.
    fn next(&self) -> Option<(Waiter, Grant)> {
        let mut state = self.lock();
        let served = self.take_turn(&mut state);
        self.gauges.throttled.set(i64::try_from(state.turns.len()).unwrap_or(i64::MAX));
        served
    }

    fn take_turn(&self, state: &mut State) -> Option<(Waiter, Grant)> {
        for _ in 0..state.turns.len() {
            let token = state.turns.pop_front()?;
            let Some(size) = state.first_waiter(&token) else {
                state.forget_if_idle(&token);
                continue;
            };
            if !state.is_within(self.share, &token, size) {
                state.turns.push_back(token);
                continue;
            }
            if size > state.free {
                // It is first when there is more; a smaller one does not overtake it.
                state.turns.push_front(token);
                return None;
            }
            let waiters = &mut state.tokens.get_mut(&token)?.waiters;
            let waiter = waiters.pop_front()?;
            if !waiters.is_empty() {
                state.turns.push_back(Arc::clone(&token));
            }
            return Some((waiter, self.grant(state, &token, size)));
        }
        None
    }

    fn grant(&self, state: &mut State, token: &Arc<str>, size: usize) -> Grant {
        state.free -= size;
        self.gauges.held.inc_by(i64::try_from(size).unwrap_or(i64::MAX));
        state.tokens.entry(Arc::clone(token)).or_default().held += size;
        Grant { memory: self.clone(), token: Arc::clone(token), size }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Sums and queues change together, with nothing in between that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// True when `size` more bytes are within the share of `token`; a token that holds nothing may always have something.
    fn is_within(&self, share: usize, token: &str, size: usize) -> bool {
        let held = self.tokens.get(token).map_or(0, |token| token.held);
        held == 0 || held + size <= share
    }

    /// What the first waiter of `token` wants. Those that nobody waits for any more are forgotten.
    fn first_waiter(&mut self, token: &str) -> Option<usize> {
        let waiters = &mut self.tokens.get_mut(token)?.waiters;
        while waiters.front().is_some_and(|waiter| waiter.granted.is_closed()) {
            waiters.pop_front();
        }
        waiters.front().map(|waiter| waiter.size)
    }

    fn forget_if_idle(&mut self, token: &str) {
        if self.tokens.get(token).is_some_and(|token| token.held == 0 && token.waiters.is_empty()) {
            self.tokens.remove(token);
        }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        let mut state = self.memory.lock();
        state.free += self.size;
        self.memory.gauges.held.dec_by(i64::try_from(self.size).unwrap_or(i64::MAX));
        if let Some(token) = state.tokens.get_mut(&self.token) {
            token.held -= self.size;
        }
        state.forget_if_idle(&self.token);
        let somebody_waits = !state.turns.is_empty();
        drop(state);
        if somebody_waits {
            self.memory.serve();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;

    use super::*;

    fn memory(total: usize, share: usize) -> Memory {
        Memory::new(total, share, Gauges::default())
    }

    fn take(memory: &Memory, token: &str, size: usize) -> BoxFuture<'static, Grant> {
        let (memory, token) = (memory.clone(), Arc::from(token));
        let mut taking = async move { memory.take(&token, size).await }.boxed();
        // It has asked, and has what it wants or waits.
        match (&mut taking).now_or_never() {
            Some(grant) => std::future::ready(grant).boxed(),
            None => taking,
        }
    }

    fn has(taking: &mut BoxFuture<'static, Grant>) -> Option<Grant> {
        taking.now_or_never()
    }

    #[test]
    fn a_flood_waits_for_itself() {
        let memory = memory(100, 60);
        let mut flood: Vec<_> = (0..50).map(|_| take(&memory, "flood", 20)).collect();
        let held: Vec<_> = flood.iter_mut().filter_map(has).collect();
        assert_eq!(held.len(), 3, "its share");
        let other = has(&mut take(&memory, "other", 20)).expect("there is room for others");
        drop((other, held));
    }

    #[test]
    fn waiters_are_served_token_by_token() {
        let memory = memory(100, 100);
        let all = has(&mut take(&memory, "flood", 100)).expect("is free");
        let mut flood: Vec<_> = (0..50).map(|_| take(&memory, "flood", 50)).collect();
        let mut trickle = take(&memory, "trickle", 50);
        drop(all);
        let first = has(&mut flood[0]).expect("is served");
        let second = has(&mut trickle).expect("is served next, whatever came before it");
        assert!(has(&mut flood[1]).is_none());
        drop((first, second));
        assert!(has(&mut flood[1]).is_some());
    }

    #[test]
    fn a_large_one_is_not_overtaken_for_ever() {
        let memory = memory(100, 100);
        let small = has(&mut take(&memory, "a", 10)).expect("is free");
        let mut large = take(&memory, "b", 100);
        let mut smaller = take(&memory, "c", 10);
        assert!(has(&mut large).is_none() && has(&mut smaller).is_none());
        drop(small);
        drop(has(&mut large).expect("is served first"));
        assert!(has(&mut smaller).is_some());
    }

    #[test]
    fn what_is_too_large_for_a_share_counts_as_one() {
        let memory = memory(100, 50);
        assert!(has(&mut take(&memory, "a", 5_000)).is_some());
    }

    #[test]
    fn who_stops_waiting_keeps_nothing() {
        let memory = memory(100, 100);
        for round in 0..3 {
            let all = has(&mut take(&memory, "a", 100)).unwrap_or_else(|| panic!("round {round}: something is kept"));
            let waiting: Vec<_> = ["a", "b", "c"].map(|token| take(&memory, token, 60)).into();
            drop(all);
            drop(waiting);
        }
        let state = memory.lock();
        assert_eq!(state.free, 100);
        assert!(state.tokens.len() <= 1 && state.turns.is_empty(), "nothing is remembered of who is gone");
    }
}
