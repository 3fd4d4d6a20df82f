//! Lists: newest first, nothing lost, nothing twice.

use std::collections::BTreeSet;

use taskplane_model::{TaskEventKind, TaskState};

use super::Subject;
use super::samples::{ENGINE, NOW, Random, Told, bare, batch, default_project, deltas, fold, lives, open, store_batch};
use crate::TaskStore;
use crate::tasks::{COUNT_BOUND, StateCounts, TaskPage, TaskQuery};

/// What a query counts. A count that ran out of time is made again: on a busy machine, that says nothing about the store.
pub(super) async fn counted(store: &impl TaskStore, query: &TaskQuery) -> StateCounts {
    for _ in 0..100 {
        let counts = store.count_tasks(query.clone()).await.expect("can be counted");
        if counts.by_state.iter().all(|(_, count, more)| !more || *count == COUNT_BOUND) {
            return counts;
        }
    }
    panic!("{query:?} is never counted to its end");
}

/// Every page of a query, in order.
pub(super) async fn pages(store: &impl TaskStore, mut query: TaskQuery) -> Vec<TaskPage> {
    let mut pages = Vec::new();
    loop {
        let page = store.list_tasks(query.clone()).await.expect("can be read");
        assert!(page.items.len() <= query.limit);
        query.cursor = page.next;
        pages.push(page);
        if query.cursor.is_none() {
            return pages;
        }
        assert!(pages.len() < 10_000, "the pages do not end");
    }
}

/// Tasks of one id and different engines are different tasks; ids come back as they were written.
pub async fn tasks_are_found_by_id<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    let lower = "0b7f5a1e-3c4d-4e5f-8a9b-0c1d2e3f4a5b";
    let ids = [lower, &lower.to_uppercase(), &lower.replace('-', ""), "job:1", "Ünïcode", ""];
    let mut events = Vec::new();
    for id in ids {
        events.push(Told::new(id, TaskEventKind::Sent, NOW));
        events.push(Told { engine: "rq", ..Told::new(id, TaskEventKind::Started, NOW) });
    }
    store_batch(&store, batch(project, stream, 1, deltas(&events))).await;
    for ((engine, id), record) in fold(&events) {
        let task = store.task(project, &engine, &id).await.expect("can be read").expect("is stored");
        assert_eq!((task.engine, task.task_id, bare(task.record)), (engine, id, record));
        assert_eq!(task.first_seen, NOW);
    }
    assert_eq!(store.task(project, "huey", lower).await.expect("can be read"), None);
    assert_eq!(store.task(project, ENGINE, "job:2").await.expect("can be read"), None);
}

/// Paging shows every task that was there at the start once, while others are written.
pub async fn pages_lose_and_repeat_nothing_while_tasks_come<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    let mut random = Random(3);
    let events = lives(&mut random, 300);
    store_batch(&store, batch(project, stream, 1, deltas(&events))).await;
    let there: BTreeSet<String> = fold(&events).into_keys().map(|(_, id)| id).collect();
    let mut seen = Vec::new();
    let mut query = TaskQuery { project, limit: 7, ..TaskQuery::default() };
    let mut seq = 1;
    loop {
        let page = store.list_tasks(query.clone()).await.expect("can be read");
        seen.extend(page.items.into_iter().map(|task| (task.key, task.first_seen, task.task_id)));
        query.cursor = page.next;
        if page.next.is_none() {
            break;
        }
        seq += 1;
        // Newer tasks, and news of the ones that are being listed.
        let mut more = lives(&mut random, 3);
        more.push(Told::new(&events[seq as usize].task_id, TaskEventKind::Failed, NOW.plus(1_000_000)));
        store_batch(&store, batch(project, stream, seq, deltas(&more))).await;
    }
    assert!(seen.windows(2).all(|two| two[0].0 > two[1].0 && two[0].1 >= two[1].1), "newest first");
    let mut listed: Vec<String> = seen.into_iter().map(|(.., id)| id).filter(|id| there.contains(id)).collect();
    listed.sort_unstable();
    assert_eq!(listed, there.into_iter().collect::<Vec<_>>());
}

/// A page that is the last one has no cursor, also where it is full.
pub async fn pages_end<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    let query = TaskQuery { project, limit: 10, ..TaskQuery::default() };
    let nothing = store.list_tasks(query.clone()).await.expect("can be read");
    assert_eq!((nothing.items.len(), nothing.next), (0, None));
    let sent = |n: i64| Told::new(&format!("t{n}"), TaskEventKind::Sent, NOW.plus(n));
    store_batch(&store, batch(project, stream, 1, deltas(&(0..20).map(sent).collect::<Vec<_>>()))).await;
    let sizes: Vec<_> = pages(&store, query).await.iter().map(|page| page.items.len()).collect();
    assert_eq!(sizes, [10, 10]);
}

/// Clocks that know only seconds give many tasks one instant; all of them are stored and listed.
pub async fn tasks_of_one_instant_are_all_listed<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    for seq in 1..=3 {
        let sent = |n| Told::new(&format!("t{seq}-{n}"), TaskEventKind::Sent, NOW);
        store_batch(&store, batch(project, stream, seq, deltas(&(0..1_500).map(sent).collect::<Vec<_>>()))).await;
    }
    let query = TaskQuery { project, limit: 400, ..TaskQuery::default() };
    let listed: Vec<_> = pages(&store, query).await.into_iter().flat_map(|page| page.items).collect();
    let keys: BTreeSet<_> = listed.iter().map(|task| task.key).collect();
    let ids: BTreeSet<_> = listed.iter().map(|task| task.task_id.as_str()).collect();
    assert_eq!((listed.len(), keys.len(), ids.len()), (4_500, 4_500, 4_500));
    let newest = listed.iter().map(|task| task.first_seen.0 - NOW.0).max().expect("is not empty");
    assert!(newest < 10_000, "moved by {newest} µs");
}

/// Counts say what lists show.
pub async fn counts_equal_lists<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    let events = lives(&mut Random(5), 400);
    store_batch(&store, batch(project, stream, 1, deltas(&events))).await;
    for text in [
        "",
        "state:succeeded",
        "state:failed,pending",
        "name:shop.task1",
        "queue:queue1 state:failed",
        "worker:worker1*",
        "arg:order_id=17",
        "declined",
        "since:5m",
        "until:5m name:*2",
        "engine:celery",
        "engine:rq",
    ] {
        let filter = taskplane_model::filter::TaskFilter::parse(text, NOW).expect("is a filter");
        let query = TaskQuery { project, filter, limit: 50, cursor: None };
        let counts = counted(&store, &query).await;
        let listed: Vec<_> = pages(&store, query.clone()).await.into_iter().flat_map(|page| page.items).collect();
        let asked = &query.filter.states;
        for state in TaskState::ALL {
            let shown = listed.iter().filter(|task| task.record.task().state == state).count() as u64;
            let counted = counts.by_state.iter().find(|(of, ..)| *of == state);
            if asked.is_empty() || asked.contains(&state) {
                assert_eq!(counted, Some(&(state, shown, false)), "{text} {state}");
            } else {
                assert_eq!((counted, shown), (None, 0), "{text} {state}");
            }
        }
    }
}
