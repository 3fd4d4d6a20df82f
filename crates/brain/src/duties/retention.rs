//! Drops what is older than the operator wants to keep, or more.
//!
//! All of it happens in small steps, and after each step at least as long a time belongs to others: agents wait for their
//! acks while a step is at work. Of several brains on one database the leader does it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use taskplane_store::StoreError;
use taskplane_store::retention::{Kept, StorageReport, YOUNGEST};
use tokio::time::MissedTickBehavior;

use crate::brain::Brain;
use crate::clock;
use crate::metrics::DroppedLabels;

const EVERY: Duration = Duration::from_secs(60);
/// A brain that has just started has agents to let in.
const AFTER_START: Duration = Duration::from_secs(5);
/// What goes when the database is too large, in this order, oldest first.
const TOO_LARGE: [Kept; 3] = [Kept::Events, Kept::Tasks, Kept::Failures];

pub(super) async fn run(brain: Brain) {
    let mut ticker = tokio::time::interval_at(tokio::time::Instant::now() + AFTER_START, EVERY);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = brain.stop.cancelled() => return,
            _ = ticker.tick() => {}
        }
        let mut round = Round::new(&brain);
        brain.metrics.retention_at_work.set(1);
        let ended = round.work().await;
        brain.metrics.retention_at_work.set(0);
        round.tell();
        match ended {
            Ok(()) | Err(End::NotHere) => {}
            Err(End::Failed(error)) => {
                tracing::warn!(%error, "what is too old could not be dropped; trying again in a minute");
            }
        }
    }
}

/// One time through all that is kept.
struct Round<'b> {
    brain: &'b Brain,
    pace: Pace,
    dropped: BTreeMap<Kept, u64>,
}

/// Why a round ends early.
#[derive(Debug)]
enum End {
    /// The brain stops, or another one leads.
    NotHere,
    Failed(StoreError),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl<'b> Round<'b> {
    fn new(brain: &'b Brain) -> Self {
        Self { brain, pace: Pace::default(), dropped: BTreeMap::new() }
    }

    async fn work(&mut self) -> Result<(), End> {
        self.measure().await?;
        let now = clock::now();
        for what in Kept::ALL {
            let horizon = self.brain.retention.horizon(what, now);
            while self.drop_some(what, horizon).await? {}
        }
        self.shrink().await?;
        while self.step(|limit| self.brain.store.forget_dropped(limit)).await? {}
        while self.step(|_| self.brain.store.give_back_space()).await? {}
        self.measure().await?;
        Ok(())
    }

    /// Drops the oldest while the database is larger than it may be. The last hour stays.
    async fn shrink(&mut self) -> Result<(), End> {
        let Some(limit) = self.brain.retention.size() else { return Ok(()) };
        let horizon = clock::now().plus(-YOUNGEST);
        for what in TOO_LARGE {
            while self.measure().await?.used_bytes > limit {
                if !self.drop_some(what, horizon).await? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Drops some; true when there is more.
    async fn drop_some(&mut self, what: Kept, horizon: taskplane_model::Timestamp) -> Result<bool, End> {
        let step = self.step(|limit| self.brain.store.drop_before(what, horizon, limit)).await?;
        if step.count > 0 {
            *self.dropped.entry(what).or_default() += step.count;
            self.brain.metrics.dropped.get_or_create(&DroppedLabels { what: what.into() }).inc_by(step.count);
        }
        Ok(step.more)
    }

    /// Does one step, and leaves the store alone for a while.
    async fn step<T, W>(&mut self, work: impl FnOnce(usize) -> W) -> Result<T, End>
    where
        W: Future<Output = Result<T, StoreError>>,
    {
        if self.brain.stop.is_cancelled() || !self.brain.leadership.is_mine() {
            return Err(End::NotHere);
        }
        let began = Instant::now();
        let done = work(self.pace.limit).await?;
        let pause = self.pace.after(began.elapsed());
        tokio::select! {
            () = self.brain.stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
        Ok(done)
    }

    async fn measure(&self) -> Result<StorageReport, End> {
        let report = self.brain.store.storage().await?;
        self.brain.metrics.note_storage(&report);
        Ok(report)
    }

    fn tell(&self) {
        if self.dropped.is_empty() {
            return;
        }
        let count = |what| self.dropped.get(&what).copied().unwrap_or_default();
        tracing::info!(
            batches = count(Kept::Events),
            tasks = count(Kept::Tasks),
            failures = count(Kept::Failures),
            statistics = count(Kept::Minutes) + count(Kept::Hours) + count(Kept::Days),
            records = count(Kept::Records),
            "dropped what is not to be kept any longer"
        );
    }
}

/// How much is done at once, and how long the store is then left alone.
#[derive(Debug, PartialEq, Eq)]
struct Pace {
    limit: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { limit: Self::FIRST }
    }
}

impl Pace {
    const FIRST: usize = 500;
    /// Even where everything waits, more than comes has to go in the long run.
    const LEAST: usize = 250;
    const MOST: usize = 2_000;
    /// A step that takes longer makes the next one smaller …
    const LONG: Duration = Duration::from_millis(20);
    /// … and one that takes less, larger.
    const SHORT: Duration = Duration::from_millis(8);
    /// A step that took so long has waited for others, who have more to do.
    const BUSY: Duration = Duration::from_millis(60);
    const LEAST_PAUSE: Duration = Duration::from_millis(2);

    /// Takes note of how long a step took. Returns how long to wait.
    fn after(&mut self, took: Duration) -> Duration {
        if took > Self::LONG {
            self.limit = (self.limit / 2).max(Self::LEAST);
        } else if took < Self::SHORT {
            self.limit = (self.limit + self.limit / 4).min(Self::MOST);
        }
        let pause = took.max(Self::LEAST_PAUSE);
        if took > Self::BUSY { 3 * pause } else { pause }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use taskplane_model::agent::AgentProfile;
    use taskplane_model::time::{DAY, MINUTE};
    use taskplane_model::{TaskEvent, TaskEventKind, TaskRecord, Timestamp};
    use taskplane_store::ingest::{BatchToStore, StreamToOpen, TaskDelta};
    use taskplane_store_sqlite::SqliteStore;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::brain::StartOptions;
    use crate::retention::Retention;

    /// A brain with one batch of each age, which tells of a task that failed and one that did not.
    async fn with_batches(retention: Retention, ages: &[(&str, i64)]) -> (Brain, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Arc::new(SqliteStore::open(folder.path()).expect("a store"));
        let options = StartOptions { retention, ..StartOptions::default() };
        let brain = Brain::start_with(store, "http://127.0.0.1:7440", CancellationToken::new(), options).await;
        let (brain, now) = (brain.expect("a brain"), clock::now());
        let profile = AgentProfile::default();
        let stream = StreamToOpen { project: 1, agent_name: "a".into(), instance_id: String::new(), profile };
        let stream = brain.store.open_stream(stream, now).await.expect("opens");
        for (seq, (name, age)) in (1..).zip(ages) {
            let at = now.plus(-age);
            let batch = BatchToStore {
                project: 1,
                agent: stream.agent,
                stream: stream.stream,
                seq,
                digest: seq,
                received_at: at,
                events: 2,
                compressed: vec![1; 1_000],
                tasks: vec![
                    task(format!("{name}-succeeded"), TaskEventKind::Succeeded, at),
                    task(format!("{name}-failed"), TaskEventKind::Failed, at),
                ],
                workers: Vec::new(),
                queues: Vec::new(),
                quarantined: Vec::new(),
            };
            brain.store.record_batches(vec![batch], false).await.expect("is stored");
        }
        (brain, folder)
    }

    fn task(task_id: String, kind: TaskEventKind, ts: Timestamp) -> TaskDelta {
        let mut record = TaskRecord::default();
        record.apply(&task_id, &TaskEvent { kind, ts, name: Some("n"), ..TaskEvent::default() });
        TaskDelta { engine: Arc::from("celery"), task_id, record }
    }

    /// Which tasks are stored, and of which there are raw events.
    async fn left(brain: &Brain, ids: &[&str]) -> (Vec<bool>, Vec<bool>) {
        let (mut tasks, mut events) = (Vec::new(), Vec::new());
        for id in ids {
            tasks.push(brain.store.task(1, "celery", id).await.expect("can be read").is_some());
            events.push(!brain.store.task_batches(1, "celery", id).await.expect("can be read").is_empty());
        }
        (tasks, events)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn everything_is_dropped_at_its_own_age() {
        let ages = [("old", 40 * DAY), ("middle", 10 * DAY), ("new", MINUTE)];
        let (brain, _folder) = with_batches(Retention::default(), &ages).await;
        let mut round = Round::new(&brain);
        round.work().await.expect("works");
        let ids = ["old-succeeded", "old-failed", "middle-succeeded", "new-succeeded"];
        let (tasks, events) = left(&brain, &ids).await;
        assert_eq!(tasks, [false, true, true, true]);
        assert_eq!(events, [false, false, false, true]);
        assert_eq!(round.dropped, BTreeMap::from([(Kept::Events, 2), (Kept::Tasks, 1)]));
        let text = brain.metrics.render();
        assert!(text.contains(r#"taskplane_retention_dropped_total{what="Tasks"} 1"#), "{text}");
        assert!(text.contains(r#"taskplane_storage_bytes{kind="Used"}"#), "{text}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_too_large_shrinks_down_to_the_last_hour() {
        let ages = [("old", 3 * DAY), ("new", MINUTE)];
        let no_room = Retention { size: Some(1), ..Retention::default() };
        let (brain, _folder) = with_batches(no_room, &ages).await;
        Round::new(&brain).work().await.expect("works");
        let (tasks, events) = left(&brain, &["old-succeeded", "old-failed", "new-succeeded", "new-failed"]).await;
        assert_eq!((tasks, events), (vec![false, false, true, true], vec![false, false, true, true]));
        assert!(brain.retention.is_reached_by(brain.store.storage().await.expect("can be read").used_bytes));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_brain_that_stops_drops_nothing_more() {
        let (brain, _folder) = with_batches(Retention::default(), &[("old", 40 * DAY), ("new", MINUTE)]).await;
        brain.stop.cancel();
        assert!(matches!(Round::new(&brain).work().await, Err(End::NotHere)));
        assert_eq!(left(&brain, &["old-succeeded"]).await.0, [true]);
    }

    #[test]
    fn steps_shrink_while_the_store_is_slow_and_grow_again() {
        let ms = Duration::from_millis;
        let mut pace = Pace::default();
        assert_eq!(pace.after(ms(10)), ms(10));
        assert_eq!(pace, Pace::default());
        for _ in 0..20 {
            assert_eq!(pace.after(ms(100)), ms(300));
        }
        assert_eq!(pace.limit, Pace::LEAST);
        for _ in 0..40 {
            assert_eq!(pace.after(ms(1)), ms(2));
        }
        assert_eq!(pace.limit, Pace::MOST);
    }
}
