//! Tasks that are called lost.

use taskplane_model::filter::{Pattern, TaskFilter};
use taskplane_model::time::{MINUTE, SECOND};
use taskplane_model::{TaskEventKind, TaskState, Timestamp};

use super::Subject;
use super::lists::pages;
use super::samples::{ENGINE, NOW, Told, batch, default_project, deltas, open, store_batch};
use crate::stats::StatsQuery;
use crate::tasks::{LostTask, StoredTask, TaskQuery};
use crate::{SearchStore, StatisticsStore, Store, TaskStore};

/// When tasks are called lost.
const LATER: Timestamp = Timestamp(NOW.0 + 10 * MINUTE);

fn on(worker: &str, told: Told) -> Told {
    Told { worker: Some(worker.into()), ..told }
}

/// A task that a worker began, and nothing more was heard.
fn begun(id: &str) -> [Told; 2] {
    let received = on("w1@h", Told::new(id, TaskEventKind::Received, NOW)).named("shop.pay");
    [received, on("w1@h", Told::new(id, TaskEventKind::Started, NOW.plus(SECOND)))]
}

async fn stored(store: &impl TaskStore, project: u64, id: &str) -> StoredTask {
    store.task(project, ENGINE, id).await.expect("can be read").expect("is stored")
}

fn lost(judged: StoredTask) -> LostTask {
    LostTask { judged, evidence: vec!["no result is stored".into(), "the worker w1@h, which had it, is gone".into()] }
}

async fn counted(store: &impl Store, project: u64, states: &[TaskState]) -> (u64, Vec<String>) {
    let filter = TaskFilter { states: states.to_vec(), ..TaskFilter::default() };
    let query = TaskQuery { project, filter, limit: 100, cursor: None };
    let counts = store.count_tasks(query.clone()).await.expect("are counted").by_state;
    let count = counts.iter().filter(|(state, ..)| states.contains(state)).map(|(_, count, _)| count).sum();
    (count, listed(store, project, query.filter).await)
}

async fn listed(store: &impl TaskStore, project: u64, filter: TaskFilter) -> Vec<String> {
    let pages = pages(store, TaskQuery { project, filter, limit: 100, cursor: None }).await;
    pages.into_iter().flat_map(|page| page.items).map(|task| task.task_id).collect()
}

/// What has become known since a task was judged keeps it from being called lost; so does there being no such task.
pub async fn a_task_is_lost_unless_something_is_known_since<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    let events: Vec<Told> = ["gone", "told-again", "ended", "delivered"].into_iter().flat_map(begun).collect();
    store_batch(&store, batch(project, stream, 1, deltas(&events))).await;
    let mut judged = Vec::new();
    for id in ["gone", "told-again", "ended", "delivered"] {
        judged.push(stored(&store, project, id).await);
    }
    judged.push(StoredTask { task_id: "never-seen".into(), ..judged[0].clone() });
    judged.push(StoredTask { engine: "another".into(), ..judged[0].clone() });
    // Told by another agent, what was known is nothing new; what happened before the last thing known may be.
    let since = [
        begun("told-again")[1].clone(),
        on("w1@h", Told::new("ended", TaskEventKind::Succeeded, NOW.plus(2 * SECOND))),
        on("w2@h", Told::new("delivered", TaskEventKind::Received, NOW.plus(SECOND / 2))),
    ];
    let other = open(&store, "b", "").await;
    store_batch(&store, batch(project, other, 1, deltas(&since))).await;

    let marked = store.mark_lost(project, judged.into_iter().map(lost).collect(), LATER).await.expect("are marked");
    let mut ids: Vec<&str> = marked.iter().map(|task| task.task_id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["gone", "told-again"]);
    for task in &marked {
        assert_eq!(*task, stored(&store, project, &task.task_id).await, "it comes back as it is stored");
        let task = task.record.task();
        let mark = task.lost().expect("is lost");
        assert_eq!((mark.ts, mark.worker.as_deref(), mark.attempt), (LATER, Some("w1@h"), Some(0)));
        let evidence = "no result is stored; the worker w1@h, which had it, is gone";
        assert_eq!((task.state, mark.exception_message.as_deref()), (TaskState::Lost, Some(evidence)));
    }
    assert_eq!(stored(&store, project, "ended").await.record.task().state, TaskState::Succeeded);
    assert_eq!(stored(&store, project, "delivered").await.record.task().state, TaskState::Started);
    assert_eq!(store.task(project, ENGINE, "never-seen").await.expect("can be read"), None);
    let again = vec![lost(marked[0].clone())];
    assert_eq!(store.mark_lost(project + 1, again, LATER).await.expect("is taken"), []);
    assert_eq!(store.mark_lost(project, Vec::new(), LATER).await.expect("is taken"), []);
}

/// A lost task is counted and found as one, before and after indexing, and adds no end to the statistics.
pub async fn lost_tasks_are_counted_and_found<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    let ids: Vec<String> = (0..40).map(|number| format!("t{number}")).collect();
    let events: Vec<Told> = ids.iter().flat_map(|id| begun(id)).collect();
    store_batch(&store, batch(project, stream, 1, deltas(&events))).await;
    while store.index_tasks(LATER).await.expect("works") {}
    let totals = async || {
        let (since, until) = (NOW.plus(-MINUTE), LATER.plus(MINUTE));
        let query = StatsQuery { project, since, until, step_minutes: 1, name: None, queue: None };
        let points = store.stats(query).await.expect("can be read");
        let sum = |of: fn(&taskplane_model::rollup::Rollup) -> i64| points.iter().map(|point| of(&point.rollup)).sum();
        let sums: [i64; 3] =
            [sum(|r| r.started), sum(|r| r.failed + r.succeeded + r.revoked), sum(|r| r.runtime.count())];
        sums
    };
    assert_eq!(totals().await, [40, 0, 0]);
    let mut tasks = Vec::new();
    for id in &ids[..10] {
        tasks.push(lost(stored(&store, project, id).await));
    }
    assert_eq!(store.mark_lost(project, tasks, LATER).await.expect("are marked").len(), 10);
    for _ in 0..2 {
        let (count, mut found) = counted(&store, project, &[TaskState::Lost]).await;
        found.sort_unstable();
        let mut expected = ids[..10].to_vec();
        expected.sort_unstable();
        assert_eq!((count, found), (10, expected));
        assert_eq!(counted(&store, project, &[TaskState::Started]).await.0, 30);
        assert_eq!(totals().await, [40, 0, 0]);
        // Why is text that can be searched for.
        let filter = TaskFilter { text: vec!["w1@h, which".into()], ..TaskFilter::default() };
        assert_eq!(listed(&store, project, filter).await.len(), 10);
        let names = vec![Pattern("shop.pay".into())];
        let filter = TaskFilter { names, states: vec![TaskState::Lost], ..TaskFilter::default() };
        assert_eq!(listed(&store, project, filter).await.len(), 10);
        while store.index_tasks(LATER.plus(MINUTE)).await.expect("works") {}
    }
}

/// A lost task that is heard of again is what it is heard to be, also in counts and columns.
pub async fn a_lost_task_that_is_delivered_again_lives<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    store_batch(&store, batch(project, stream, 1, deltas(&begun("t1")))).await;
    let judged = stored(&store, project, "t1").await;
    store.mark_lost(project, vec![lost(judged)], LATER).await.expect("is marked");
    assert_eq!(counted(&store, project, &[TaskState::Lost]).await, (1, vec!["t1".to_owned()]));
    let events = [
        on("w2@h", Told::new("t1", TaskEventKind::Received, LATER.plus(SECOND))),
        on("w2@h", Told::new("t1", TaskEventKind::Started, LATER.plus(2 * SECOND))),
    ];
    store_batch(&store, batch(project, stream, 2, deltas(&events))).await;
    assert_eq!(counted(&store, project, &[TaskState::Lost]).await, (0, Vec::new()));
    let found = stored(&store, project, "t1").await;
    let task = found.record.task();
    assert_eq!((task.state, task.worker(), task.started_twice()), (TaskState::Started, Some("w2@h"), true));
    let workers = vec![Pattern("w2@h".into())];
    let filter = TaskFilter { workers, states: vec![TaskState::Started], ..TaskFilter::default() };
    assert_eq!(listed(&store, project, filter).await.len(), 1);
}
