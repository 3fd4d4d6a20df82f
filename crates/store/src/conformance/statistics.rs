//! Statistics are exactly what the tasks add up to.

use std::collections::BTreeMap;

use taskplane_model::rollup::{Rollup, contribute};
use taskplane_model::time::MINUTE;
use taskplane_model::{TaskEventKind, TaskRecord, Timestamp};

use super::Subject;
use super::samples::{NOW, Random, Told, bare, batch, default_project, deltas, fold, lives, open, store_batch};
use crate::stats::StatsQuery;
use crate::{IngestStore, StatisticsStore, Store, TaskStore};

fn window(project: u64) -> StatsQuery {
    let (since, until) = (NOW.plus(-60 * MINUTE), NOW.plus(30 * MINUTE));
    StatsQuery { project, since, until, step_minutes: 1, name: None, queue: None }
}

/// What records add up to, by minute, of those that `wanted` accepts.
fn straight<'a>(
    records: impl IntoIterator<Item = &'a TaskRecord>,
    wanted: impl Fn(&TaskRecord) -> bool,
) -> BTreeMap<i64, Rollup> {
    let mut minutes: BTreeMap<i64, Rollup> = BTreeMap::new();
    for record in records.into_iter().filter(|record| wanted(record)) {
        contribute(record, 1, |minute, change| change(minutes.entry(minute).or_default()));
    }
    minutes.retain(|_, rollup| !rollup.is_empty());
    minutes
}

async fn stored(store: &impl Store, query: StatsQuery) -> BTreeMap<i64, Rollup> {
    let points = store.stats(query).await.expect("can be read");
    points.into_iter().filter(|p| !p.rollup.is_empty()).map(|p| (p.ts.minute(), p.rollup)).collect()
}

/// However events are split into batches, ordered, repeated and grouped: tasks and statistics are those of a straight fold.
pub async fn any_split_order_and_repetition_gives_the_same<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let mut random = Random(7);
    let events = lives(&mut random, 200);
    let straight_records = fold(&events);
    let mut shuffled = events;
    random.shuffle(&mut shuffled);
    let streams = [open(&store, "web", "").await, open(&store, "worker", "").await, open(&store, "worker", "2").await];
    let mut seqs = [0; 3];
    let mut rest = &shuffled[..];
    let mut sent = Vec::new();
    while !rest.is_empty() {
        let (part, later) = rest.split_at((random.below(40) as usize + 1).min(rest.len()));
        rest = later;
        let which = random.below(3) as usize;
        seqs[which] += 1;
        // Some events are told twice, by another agent or later on.
        let twice = &shuffled[..random.below(20) as usize];
        sent.push(batch(project, streams[which], seqs[which], deltas(part.iter().chain(twice))));
    }
    let mut left = sent.as_slice();
    while !left.is_empty() {
        let (group, later) = left.split_at((random.below(5) as usize + 1).min(left.len()));
        left = later;
        store.record_batches(group.to_vec(), false).await.expect("is stored");
        if random.below(3) == 0 {
            store.record_batches(group.to_vec(), false).await.expect("is a replay");
        }
    }
    for ((engine, id), record) in &straight_records {
        let task = store.task(project, engine, id).await.expect("can be read").expect("is stored");
        assert_eq!(bare(task.record), *record, "{id}");
    }
    let records = || straight_records.values();
    assert_eq!(stored(&store, window(project)).await, straight(records(), |_| true));
    let by_name = StatsQuery { name: Some("shop.task1".into()), ..window(project) };
    assert_eq!(stored(&store, by_name).await, straight(records(), |r| r.name.as_deref() == Some("shop.task1")));
    let of_queue = |r: &TaskRecord| r.queue.as_ref().is_some_and(|queue| queue.value == "queue2");
    let by_queue = StatsQuery { queue: Some("queue2".into()), ..window(project) };
    assert_eq!(stored(&store, by_queue).await, straight(records(), of_queue));
    let nothing = StatsQuery { name: Some("no.such.task".into()), ..window(project) };
    assert!(stored(&store, nothing).await.is_empty());
}

/// A name or queue that is learned late moves what the task has contributed.
pub async fn late_facts_move_contributions<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    let started = Told::new("t1", TaskEventKind::Started, NOW);
    store_batch(&store, batch(project, stream, 1, deltas(&[started]))).await;
    let by_name = StatsQuery { name: Some("shop.pay".into()), ..window(project) };
    assert!(stored(&store, by_name.clone()).await.is_empty());
    assert_eq!(stored(&store, window(project)).await.len(), 1);
    let sent =
        Told { queue: Some("q".into()), ..Told::new("t1", TaskEventKind::Sent, NOW.plus(-1000)).named("shop.pay") };
    store_batch(&store, batch(project, stream, 2, deltas(&[sent]))).await;
    let named = stored(&store, by_name).await;
    let (sent, started): (i64, i64) = (named.values().map(|r| r.sent).sum(), named.values().map(|r| r.started).sum());
    assert_eq!((sent, started), (1, 1));
    assert_eq!(stored(&store, window(project)).await, named);
}

/// Steps in which nothing happened are there, empty; a step gathers its minutes.
pub async fn windows_have_all_their_steps<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    let start = Timestamp(NOW.minute() * MINUTE);
    let events: Vec<Told> = [0, 1, 4, 9]
        .map(|minute| Told::new(&format!("t{minute}"), TaskEventKind::Sent, start.plus(minute * MINUTE + 5)))
        .into();
    store_batch(&store, batch(project, stream, 1, deltas(&events))).await;
    let query = StatsQuery { since: start.plus(7), until: start.plus(9 * MINUTE), step_minutes: 3, ..window(project) };
    let points = store.stats(query).await.expect("can be read");
    let seen: Vec<_> = points.iter().map(|p| (p.ts, p.rollup.sent)).collect();
    // The ninth minute begins at the end of the window and is not in it.
    assert_eq!(seen, [(start, 2), (start.plus(3 * MINUTE), 1), (start.plus(6 * MINUTE), 0)]);
    let empty = StatsQuery { since: start, until: start, ..window(project) };
    assert!(store.stats(empty).await.expect("can be read").is_empty());
}

/// Task types come with what they add up to, busiest first.
pub async fn task_types_come_busiest_first<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    let mut events = Vec::new();
    for (name, count) in [("rare", 1), ("often", 5), ("some", 3)] {
        for number in 0..count {
            events.push(Told::new(&format!("{name}{number}"), TaskEventKind::Started, NOW).named(name));
        }
    }
    store_batch(&store, batch(project, stream, 1, deltas(&events))).await;
    let types = store.task_types(project, NOW.plus(-MINUTE), NOW.plus(MINUTE)).await.expect("can be read");
    let seen: Vec<_> = types.iter().map(|t| (t.name.as_str(), t.rollup.started)).collect();
    assert_eq!(seen, [("often", 5), ("some", 3), ("rare", 1)]);
    let earlier = store.task_types(project, NOW.plus(-9 * MINUTE), NOW.plus(-5 * MINUTE)).await.expect("can be read");
    assert!(earlier.is_empty());
}
