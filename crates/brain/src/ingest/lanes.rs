//! A queue that takes turns: one lane for each token, and the next item from the next lane.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The queue. It is as long as its items are allowed to be elsewhere; one reader takes them out.
pub(super) struct Lanes<T> {
    state: Mutex<State<T>>,
    changed: Notify,
}

struct State<T> {
    lanes: HashMap<Arc<str>, VecDeque<T>>,
    /// Lanes with something in them, each once.
    turns: VecDeque<Arc<str>>,
    is_closed: bool,
}

impl<T> Lanes<T> {
    /// An empty queue.
    pub(super) fn new() -> Self {
        let state = State { lanes: HashMap::new(), turns: VecDeque::new(), is_closed: false };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    /// Adds an item to the end of a lane.
    pub(super) fn push(&self, lane: &Arc<str>, item: T) {
        let mut state = self.lock();
        let items = state.lanes.entry(Arc::clone(lane)).or_default();
        items.push_back(item);
        if items.len() == 1 {
            state.turns.push_back(Arc::clone(lane));
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The next item, or `None` when the queue is closed and empty. Only one may wait.
    pub(super) async fn next(&self) -> Option<T> {
        loop {
            let is_closed = match self.pop() {
                Ok(item) => return Some(item),
                Err(is_closed) => is_closed,
            };
            if is_closed {
                return None;
            }
            self.changed.notified().await;
        }
    }

    /// Nothing more will be added.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// The next item, or whether the queue is closed.
    fn pop(&self) -> Result<T, bool> {
        let mut state = self.lock();
        let Some(lane) = state.turns.pop_front() else { return Err(state.is_closed) };
        let items = state.lanes.get_mut(&lane);
        let item = items.and_then(VecDeque::pop_front).ok_or(false)?;
        if state.lanes.get(&lane).is_some_and(VecDeque::is_empty) {
            state.lanes.remove(&lane);
        } else {
            state.turns.push_back(lane);
        }
        Ok(item)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // A lane and its turn change together, with nothing in between that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_lane_has_its_turn_and_its_order() {
        let lanes = Lanes::new();
        let [flood, trickle] = ["flood", "trickle"].map(Arc::from);
        for at in 0..100 {
            lanes.push(&flood, at);
        }
        for at in 1_000..1_002 {
            lanes.push(&trickle, at);
        }
        lanes.close();
        let mut order = Vec::new();
        while let Some(item) = lanes.next().await {
            order.push(item);
        }
        assert_eq!(order[..5], [0, 1_000, 1, 1_001, 2]);
        assert_eq!(order.len(), 102);
        assert!(order[4..].windows(2).all(|two| two[0] < two[1]));
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_an_item_and_by_the_end() {
        let lanes = Arc::new(Lanes::new());
        let reader = Arc::clone(&lanes);
        let reading = tokio::spawn(async move { (reader.next().await, reader.next().await) });
        tokio::task::yield_now().await;
        lanes.push(&Arc::from("a"), 1);
        tokio::task::yield_now().await;
        lanes.close();
        assert_eq!(reading.await.expect("ends"), (Some(1), None));
    }
}
