//! Counting: with so many tasks that censuses are taken of them, counts are still those of the tasks.

use std::collections::BTreeMap;

use taskplane_model::filter::TaskFilter;
use taskplane_model::time::{MINUTE, SECOND};
use taskplane_model::{TaskEventKind, TaskState};

use super::Subject;
use super::lists::{counted, pages};
use super::samples::{NOW, Random, Told, batch, default_project, deltas, lives, open, store_batch};
use super::search::index;
use crate::retention::Kept;
use crate::tasks::{COUNT_BOUND, StoredTask, TaskQuery};
use crate::{RetentionStore, Store};

/// More than a census takes.
const TASKS: usize = 17_000;
const FILTERS: [&str; 12] = [
    "",
    "state:succeeded",
    "queue:queue1",
    "queue:queue0,queue2 state:failed,pending",
    "worker:worker1*",
    "name:shop.task1 queue:queue2",
    "name:*3 worker:worker2@host",
    "since:5m",
    "since:6m until:2m queue:queue1",
    "until:3m worker:worker0@host state:failed,revoked",
    "engine:rq",
    "queue:late worker:late@host",
];

fn query(project: u64, text: &str) -> TaskQuery {
    let filter = TaskFilter::parse(text, NOW).expect("is a filter");
    TaskQuery { project, filter, limit: 1_000, cursor: None }
}

async fn all(store: &impl Store, project: u64) -> Vec<StoredTask> {
    pages(store, query(project, "")).await.into_iter().flat_map(|page| page.items).collect()
}

/// Every count is that of the tasks which are there.
async fn check(store: &impl Store, project: u64, when: &str) {
    let tasks = all(store, project).await;
    for text in FILTERS {
        let filter = query(project, text).filter;
        let mut expected: BTreeMap<TaskState, u64> = BTreeMap::new();
        for task in &tasks {
            let is_in_time = filter.since.is_none_or(|since| task.first_seen >= since)
                && filter.until.is_none_or(|until| task.first_seen < until);
            let view = task.record.task();
            if is_in_time && filter.matches(&task.engine, &task.task_id, &view) {
                *expected.entry(view.state).or_default() += 1;
            }
        }
        let counts = counted(store, &query(project, text)).await;
        for (state, count, more) in counts.by_state {
            let expected = expected.get(&state).copied().unwrap_or(0);
            let bounded = (expected.min(COUNT_BOUND), expected > COUNT_BOUND);
            assert_eq!((count, more), bounded, "\"{text}\" {state} {when}");
        }
    }
}

/// Counts are exact before and after censuses were taken, when tasks have changed or come since, and when tasks were dropped.
pub async fn counts_are_exact_with_censuses<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    let events = lives(&mut Random(51), TASKS);
    let mut seq = 0;
    for part in events.chunks(events.len() / 6 + 1) {
        seq += 1;
        store_batch(&store, batch(project, stream, seq, deltas(part))).await;
    }
    index(&store, 30).await;
    // What was indexed is more than an hour old then: it does not matter any more that many tasks have not ended.
    index(&store, 120).await;
    check(&store, project, "with a census").await;

    let late = |id: &str, kind, seconds: i64| {
        let told = Told::new(id, kind, NOW.plus(seconds * SECOND));
        Told { queue: Some("late".into()), worker: Some("late@host".into()), attempt: Some(7), ..told }
    };
    let ends = [TaskEventKind::Started, TaskEventKind::Failed, TaskEventKind::Succeeded, TaskEventKind::Revoked];
    let changed = events.iter().step_by(events.len() / 16).zip(ends.into_iter().cycle());
    let mut told: Vec<Told> = changed.map(|(event, kind)| late(&event.task_id, kind, 60)).collect();
    told.extend((0..4).map(|n| late(&format!("job:late-{n}"), TaskEventKind::Sent, -n * 100)));
    store_batch(&store, batch(project, stream, seq + 1, deltas(&told))).await;
    check(&store, project, "when some have changed").await;
    index(&store, 150).await;
    check(&store, project, "indexed again").await;

    while store.drop_before(Kept::Tasks, NOW.plus(-6 * MINUTE), 5_000).await.expect("is dropped").more {}
    check(&store, project, "when tasks were dropped").await;
    while store.drop_before(Kept::Failures, NOW.plus(-8 * MINUTE), 5_000).await.expect("is dropped").more {}
    check(&store, project, "when failures were dropped").await;
    while store.forget_dropped(5_000).await.expect("is forgotten") {}
    index(&store, 240).await;
    check(&store, project, "when what was dropped is forgotten").await;
}
