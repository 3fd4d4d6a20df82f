//! Folded or not, dropped or not: statistics are what the minutes of all tasks add up to.

use std::collections::BTreeMap;

use taskplane_model::rollup::{Rollup, contribute};
use taskplane_model::time::{DAY, MINUTE};
use taskplane_model::{TaskEventKind, TaskRecord, Timestamp};

use super::Subject;
use super::samples::{NOW, Random, Told, batch, default_project, deltas, fold, open};
use crate::ingest::OpenedStream;
use crate::retention::Kept;
use crate::stats::StatsQuery;
use crate::{RetentionStore, StatisticsStore, Store};

const HOUR: i64 = 60 * MINUTE;
const NAMES: u64 = 3;
const QUEUES: u64 = 2;

/// A store, and all that it was told.
struct World<S> {
    store: S,
    project: u64,
    stream: OpenedStream,
    seq: u64,
    random: Random,
    told: Vec<Told>,
    /// Nothing before it is kept any more.
    nothing_before: i64,
}

impl<S: Store> World<S> {
    async fn new(store: S, seed: u64) -> Self {
        let project = default_project(&store).await;
        let stream = open(&store, "a", "").await;
        Self { store, project, stream, seq: 0, random: Random(seed), told: Vec::new(), nothing_before: i64::MIN }
    }

    /// Some minute of the last three days; many fall together.
    fn instant(&mut self) -> Timestamp {
        let random = &mut self.random;
        let back = random.below(3).cast_signed() * DAY + random.below(5).cast_signed() * 5 * HOUR;
        let minutes = [0, 1, 9, 10, 59, 61][random.below(6) as usize] * MINUTE;
        NOW.plus(-back - minutes + random.below(40_000_000).cast_signed())
    }

    /// Something happens to one of a few tasks, perhaps long ago.
    fn event(&mut self) -> Told {
        let id = format!("t{}", self.random.below(40));
        let kind = match self.random.below(5) {
            0 => TaskEventKind::Sent,
            1 => TaskEventKind::Succeeded,
            2 => TaskEventKind::Failed,
            3 => TaskEventKind::Retry,
            _ => TaskEventKind::Started,
        };
        let mut told = Told::new(&id, kind, self.instant());
        told.attempt = Some(self.random.below(3) as u32);
        // A name or queue that is told late moves everything.
        if self.random.below(3) == 0 {
            told = told.named(&format!("shop.task{}", self.random.below(NAMES)));
        }
        if self.random.below(3) == 0 {
            told.queue = Some(format!("queue{}", self.random.below(QUEUES)));
        }
        told
    }

    /// Stores some events, and some again.
    async fn tell(&mut self, count: usize) {
        let mut news = Vec::new();
        for _ in 0..count {
            news.push(self.event());
        }
        self.seq += 1;
        let sent = batch(self.project, self.stream, self.seq, deltas(&news));
        for _ in 0..=self.random.below(2) {
            self.store.record_batches(vec![sent.clone()], false).await.expect("is stored");
        }
        self.told.extend(news);
    }

    /// Folds a few pieces.
    async fn fold_some(&mut self) {
        let now = NOW.plus(-(self.random.below(3).cast_signed()) * DAY + HOUR);
        for _ in 0..self.random.below(12) {
            if !self.store.fold_statistics(now).await.expect("works") {
                return;
            }
        }
    }

    /// Folds whatever there is.
    async fn fold_all(&mut self) {
        while self.store.fold_statistics(NOW.plus(2 * DAY)).await.expect("works") {}
    }

    async fn drop_before(&mut self, what: Kept, horizon: Timestamp) {
        while self.store.drop_before(what, horizon, 5).await.expect("works").more {}
    }

    /// What all that was told adds up to, by minute and name, of a name and a queue.
    fn straight(&self, name: Option<&str>, queue: Option<&str>) -> BTreeMap<(i64, Option<String>), Rollup> {
        let mut sums: BTreeMap<_, Rollup> = BTreeMap::new();
        let records = fold(&self.told);
        let is_wanted = |record: &&TaskRecord| {
            (name.is_none() || record.name.as_deref() == name)
                && (queue.is_none() || record.queue.as_ref().map(|queue| queue.value.as_str()) == queue)
        };
        for record in records.values().filter(is_wanted) {
            contribute(record, 1, |minute, change| {
                if minute >= self.nothing_before {
                    change(sums.entry((minute, record.name.clone())).or_default());
                }
            });
        }
        sums
    }

    /// Asks for a window in every way, and compares. `since` has to begin a day, hour or minute of which something is kept.
    async fn check(&self, since: Timestamp, until: Timestamp, step_minutes: i64) {
        for (name, queue) in
            [(None, None), (Some("shop.task1"), None), (None, Some("queue1")), (Some("shop.task2"), Some("queue0"))]
        {
            let query = StatsQuery {
                project: self.project,
                since,
                until,
                step_minutes,
                name: name.map(str::to_owned),
                queue: queue.map(str::to_owned),
            };
            let points = self.store.stats(query).await.expect("can be read");
            let sums = self.straight(name, queue);
            let ends = points.iter().skip(1).map(|point| point.ts.minute()).chain([until.plus(-1).minute() + 1]);
            for (point, end) in points.iter().zip(ends) {
                let within = sums.iter().filter(|((minute, _), _)| (point.ts.minute()..end).contains(minute));
                let expected = within.fold(Rollup::default(), |mut sum, (_, rollup)| {
                    sum.merge(rollup);
                    sum
                });
                let asked = format!("{name:?} {queue:?} {since:?} to {until:?} by {step_minutes}: {:?}", point.ts);
                assert_eq!(point.rollup, expected, "{asked}");
            }
            let first = points.first().map(|point| point.ts);
            assert!(first.is_some_and(|first| first <= since), "{first:?} {since:?}");
        }
        let types = self.store.task_types(self.project, since, until).await.expect("can be read");
        let types: BTreeMap<String, Rollup> = types.into_iter().map(|one| (one.name, one.rollup)).collect();
        let mut expected: BTreeMap<String, Rollup> = BTreeMap::new();
        for ((minute, name), rollup) in self.straight(None, None) {
            if let Some(name) = name
                && (since.minute()..until.plus(-1).minute() + 1).contains(&minute)
            {
                expected.entry(name).or_default().merge(&rollup);
            }
        }
        expected.retain(|_, rollup| !rollup.is_empty());
        assert_eq!(types, expected, "{since:?} to {until:?}");
    }

    /// Looks through windows of every kind.
    async fn check_windows(&mut self) {
        let from = NOW.plus(-4 * DAY);
        self.check(from, NOW.plus(DAY), 1_440).await;
        self.check(from, NOW.plus(DAY), 60).await;
        let (a, b) = (self.instant(), self.instant());
        let (since, until) = (a.min(b), a.max(b).plus(MINUTE));
        let minutes = (until.0 - since.0) / MINUTE;
        for step in [7, 10, 100, 180, 10_000] {
            self.check(since, until, step.max(minutes / 1_400)).await;
        }
        self.check(NOW.plus(-HOUR), NOW.plus(MINUTE), 1).await;
    }
}

fn hour_of(instant: Timestamp) -> Timestamp {
    Timestamp(instant.0 - instant.0.rem_euclid(HOUR))
}

fn day_of(instant: Timestamp) -> Timestamp {
    Timestamp(instant.0 - instant.0.rem_euclid(DAY))
}

/// Whatever is folded when, and however late something is told: each answer is what the minutes add up to.
pub async fn folding_changes_no_answer<S: Subject>(subject: &S) {
    let mut world = World::new(subject.open().await, 3).await;
    for round in 0..8 {
        world.tell(20).await;
        world.fold_some().await;
        if round % 2 == 1 {
            world.check_windows().await;
        }
    }
    world.fold_all().await;
    world.check_windows().await;
    assert!(!world.store.fold_statistics(NOW.plus(2 * DAY)).await.expect("works"), "all is folded");
    world.tell(3).await;
    world.check_windows().await;
}

/// Minutes and hours may be dropped: what they add up to stays, and what comes late is added to it.
pub async fn dropped_minutes_live_on_in_hours_and_days<S: Subject>(subject: &S) {
    let mut world = World::new(subject.open().await, 5).await;
    world.tell(120).await;
    world.fold_all().await;
    let horizon = hour_of(NOW.plus(-26 * HOUR));
    world.drop_before(Kept::Minutes, horizon.plus(25 * MINUTE)).await;
    for _ in 0..4 {
        world.check(NOW.plus(-4 * DAY), NOW.plus(DAY), 1_440).await;
        world.check(hour_of(NOW.plus(-50 * HOUR)), NOW, 1).await;
        world.check(horizon.plus(MINUTE), NOW, 7).await;
        world.tell(15).await;
        world.check(hour_of(NOW.plus(-30 * HOUR)), NOW, 60).await;
        world.fold_some().await;
    }
    world.fold_all().await;
    let days = day_of(horizon);
    world.drop_before(Kept::Hours, NOW).await;
    for _ in 0..3 {
        world.check(days.plus(-3 * DAY), NOW.plus(DAY), 1).await;
        world.check(days, NOW, 2).await;
        world.tell(15).await;
        world.fold_some().await;
    }
    world.fold_all().await;
    world.drop_before(Kept::Days, days.plus(-DAY)).await;
    world.nothing_before = days.plus(-DAY).minute();
    for _ in 0..2 {
        world.check(days.plus(-2 * DAY), NOW.plus(DAY), 1_440).await;
        world.tell(15).await;
        world.fold_all().await;
    }
}

/// Minutes are dropped when the hours that live on have them.
pub async fn what_is_not_folded_is_not_dropped<S: Subject>(subject: &S) {
    let mut world = World::new(subject.open().await, 6).await;
    world.tell(60).await;
    let dropped = world.store.drop_before(Kept::Minutes, NOW, 1_000).await.expect("works");
    assert_eq!((dropped.count, dropped.more), (0, false));
    let dropped = world.store.drop_before(Kept::Hours, NOW, 1_000).await.expect("works");
    assert_eq!((dropped.count, dropped.more), (0, false));
    world.check(NOW.plus(-4 * DAY), NOW.plus(DAY), 60).await;
    world.fold_all().await;
    assert!(world.store.drop_before(Kept::Minutes, NOW, 1_000).await.expect("works").count > 0);
    world.check(NOW.plus(-4 * DAY), NOW.plus(DAY), 60).await;
}
