//! Looks for results that are new in the table, or changed: a database tells nobody of them.
//!
//! Rows are found by the keys that the tables have in every version: new ones behind the highest `id` that was seen, and
//! those of tasks that had not ended by `task_id`. What a task under the same id makes of a failure is seen only among the
//! last rows.

use std::{num::NonZero, sync::Arc};

use lru::LruCache;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{Backend, Freshness, RESULTS_AT_ONCE, STATES_AT_ONCE, table::State};
use crate::{
    broker::{BrokerError, Incoming},
    clock::Backoff,
    health::BrokerHealth,
    lookup,
    shared::{Shared, lock},
};

/// The last rows are looked at again: a transaction may commit behind one that took its `id` later.
const LOOK_BACK: i64 = 500;
/// Rows whose state is remembered.
const MAX_SEEN: NonZero<usize> = NonZero::new(16_384).expect("not zero");
/// Tasks that have not ended, and how many of them are looked at each time.
const MAX_OPEN: NonZero<usize> = NonZero::new(4_096).expect("not zero");
const OPEN_AT_ONCE: usize = 500;
/// How often a revoked task is looked at again.
const REVOKED_LOOKS: u16 = 200;
/// Pages of new rows that are read before the tasks that have not ended.
const MAX_PAGES: usize = 10;

/// Tells of results as they come, until `stop`.
pub(crate) async fn follow(
    shared: Arc<Shared>,
    backend: Arc<Backend>,
    incoming: mpsc::Sender<Incoming>,
    health: BrokerHealth,
    stop: CancellationToken,
) {
    let mut follower = Follower::default();
    let mut backoff = Backoff::new(shared.timings.reconnect);
    let work = async {
        loop {
            match follower.look(&shared, &backend, &incoming).await {
                Ok(()) => {
                    backoff.reset();
                    health.ok(super::PART).await;
                    sleep(shared.timings.results_every).await;
                }
                Err(error) => {
                    health.down(super::PART, error.to_string()).await;
                    sleep(backoff.next()).await;
                }
            }
        }
    };
    stop.run_until_cancelled(work).await;
}

/// What was seen.
struct Follower {
    /// The highest `id`.
    highest: Option<i64>,
    /// States and times of the last rows, by task.
    seen: LruCache<String, (String, Option<String>)>,
    /// How often a task that has not ended is still looked at.
    open: LruCache<String, u16>,
    /// When all that is new was seen.
    complete: Instant,
}

impl Default for Follower {
    fn default() -> Self {
        Self { highest: None, seen: LruCache::new(MAX_SEEN), open: LruCache::new(MAX_OPEN), complete: Instant::now() }
    }
}

impl Follower {
    async fn look(
        &mut self,
        shared: &Shared,
        backend: &Backend,
        incoming: &mpsc::Sender<Incoming>,
    ) -> Result<(), BrokerError> {
        let Some(highest) = self.highest else { return self.begin(backend).await };
        let begun = Instant::now();
        let (table, dialect) = (&backend.table, backend.database.dialect());
        let mut after = highest - LOOK_BACK;
        for _ in 0..MAX_PAGES {
            let page = backend.states(table.after(dialect, after, STATES_AT_ONCE)).await?;
            let Some(last) = page.last().map(|state| state.id) else {
                self.after_nothing(backend).await?;
                break;
            };
            let is_last = page.len() < STATES_AT_ONCE;
            self.tell(shared, backend, page, incoming).await?;
            self.highest = self.highest.max(Some(last));
            after = last;
            if is_last {
                break;
            }
        }
        let open = self.next_open();
        if !open.is_empty() {
            let states = backend.states(table.states_of(dialect, &open)).await?;
            self.tell(shared, backend, states, incoming).await?;
        }
        self.complete = begun;
        Ok(())
    }

    /// The tasks that have not ended whose turn it is.
    fn next_open(&mut self) -> Vec<String> {
        let next: Vec<String> = self.open.iter().rev().take(OPEN_AT_ONCE).map(|(id, _)| id.clone()).collect();
        for id in &next {
            match self.open.get_mut(id) {
                Some(looks) if *looks > 0 => *looks -= 1,
                _ => drop(self.open.pop(id)),
            }
        }
        next
    }

    /// What is there already is told by others.
    async fn begin(&mut self, backend: &Backend) -> Result<(), BrokerError> {
        let back = usize::try_from(LOOK_BACK).unwrap_or_default();
        let last = backend.states(backend.table.before(backend.database.dialect(), i64::MAX, back)).await?;
        self.highest = Some(last.first().map_or(0, |state| state.id));
        self.complete = Instant::now();
        last.into_iter().for_each(|state| self.note(state));
        Ok(())
    }

    /// A table that was emptied may count from the beginning again.
    async fn after_nothing(&mut self, backend: &Backend) -> Result<(), BrokerError> {
        let last = backend.states(backend.table.before(backend.database.dialect(), i64::MAX, 1)).await?;
        if let Some(state) = last.first() {
            self.highest = Some(state.id - 1);
        }
        Ok(())
    }

    async fn tell(
        &mut self,
        shared: &Shared,
        backend: &Backend,
        states: Vec<State>,
        incoming: &mpsc::Sender<Incoming>,
    ) -> Result<(), BrokerError> {
        // Noted once it is told: what could not be read is looked for again.
        let (changed, others): (Vec<State>, Vec<State>) = states
            .into_iter()
            .filter(|state| self.is_news(state))
            .partition(|state| state.is_end() || !shared.task_events);
        // Where events are sent, they tell what a task does before it ends; late, the table would tell of another attempt.
        others.into_iter().for_each(|state| self.note(state));
        for changed in changed.chunks(RESULTS_AT_ONCE) {
            let ids: Vec<&str> = changed.iter().map(|state| state.task_id.as_str()).collect();
            let mut raws = backend.read_as(&ids, Freshness::Since(self.complete)).await?;
            for state in changed {
                let raw = raws.remove(&state.task_id);
                let is_known = lock(&shared.tracker).contains(&state.task_id);
                if let Some(raw) = raw.filter(|raw| is_known || lookup::has_run(&state.task_id, raw))
                    && incoming.send(Incoming::StoredResult(raw)).await.is_err()
                {
                    return Ok(());
                }
                self.note(state.clone());
            }
        }
        Ok(())
    }

    fn is_news(&self, state: &State) -> bool {
        self.seen.peek(&state.task_id).is_none_or(|(status, done)| *status != state.status || *done != state.done)
    }

    fn note(&mut self, state: State) {
        match state.is_end() {
            false => drop(self.open.put(state.task_id.clone(), u16::MAX)),
            // Newer versions write a revocation before the task ends otherwise.
            true if state.status == "REVOKED" => drop(self.open.put(state.task_id.clone(), REVOKED_LOOKS)),
            true => drop(self.open.pop(&state.task_id)),
        }
        self.seen.put(state.task_id, (state.status, state.done));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(id: &str, status: &str) -> State {
        State { id: 1, task_id: id.to_owned(), status: status.to_owned(), done: None }
    }

    #[test]
    fn tasks_are_looked_at_until_they_end_the_revoked_ones_not_for_long() {
        let mut follower = Follower::default();
        for (id, status) in [("revoked", "REVOKED"), ("done", "SUCCESS"), ("begun", "STARTED")] {
            assert!(follower.is_news(&state(id, status)));
            follower.note(state(id, status));
            assert!(!follower.is_news(&state(id, status)));
        }
        for _ in 0..=REVOKED_LOOKS {
            assert_eq!(follower.next_open(), ["revoked", "begun"]);
        }
        assert_eq!(follower.next_open(), ["begun"]);
        assert!(follower.is_news(&state("begun", "FAILURE")));
        follower.note(state("begun", "FAILURE"));
        assert!(follower.next_open().is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut follower = Follower::default();
        (0..MAX_SEEN.get() + 10).for_each(|n| follower.note(state(&n.to_string(), "STARTED")));
        assert_eq!((follower.seen.len(), follower.open.len()), (MAX_SEEN.get(), MAX_OPEN.get()));
        assert_eq!(follower.next_open().len(), OPEN_AT_ONCE);
    }
}
