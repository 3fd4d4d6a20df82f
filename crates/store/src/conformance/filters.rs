//! Filters find what the model says they mean.

use taskplane_model::TaskEventKind;
use taskplane_model::filter::TaskFilter;

use super::Subject;
use super::lists::pages;
use super::samples::{ENGINE, NOW, Random, Told, batch, default_project, deltas, fold, lives, open, store_batch};
use crate::tasks::{StoredTask, TaskQuery};
use crate::{StatisticsStore, TaskStore};

fn query(project: u64, text: &str) -> TaskQuery {
    let filter = TaskFilter::parse(text, NOW).expect("is a filter");
    TaskQuery { project, filter, limit: 30, cursor: None }
}

async fn found(store: &impl TaskStore, query: TaskQuery) -> Vec<StoredTask> {
    pages(store, query).await.into_iter().flat_map(|page| page.items).collect()
}

/// Every key of the filter language, alone and with others.
pub async fn every_filter_finds_what_the_model_says<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    let mut events = lives(&mut Random(11), 300);
    events.push(Told { engine: "rq", ..Told::new("job:9", TaskEventKind::Failed, NOW) });
    store_batch(&store, batch(project, stream, 1, deltas(&events))).await;
    let records = fold(&events);
    let some_id = records.keys().nth(7).map(|(_, id)| id.clone()).expect("is there");
    let texts = [
        "",
        "state:succeeded",
        "state:failed",
        "state:failed,revoked",
        "state:failed,succeeded",
        "state:pending",
        "state:lost",
        "name:shop.task1",
        "name:shop.*",
        "name:*3",
        "name:shop.task1,shop.task2",
        "name:shop.task1 state:failed",
        "name:shop.task1 state:succeeded",
        "queue:queue0",
        "queue:queue*",
        "queue:queue0 name:shop.task4",
        "worker:worker2@host",
        "worker:*@host",
        "worker:worker1@host state:failed,revoked",
        "engine:celery",
        "engine:rq",
        "id:job:9",
        &format!("id:{some_id}"),
        &format!("id:job:9,{some_id}"),
        "id:job:9 state:failed",
        "since:5m",
        "until:5m",
        "since:8m until:2m",
        "since:5m state:failed",
        "until:5m name:shop.task0",
        "arg:order_id=17",
        "\"card declined\"",
        "DECLINED state:failed",
        "task3",
        "\"job:\" state:succeeded",
        "since:5m worker:worker0@host queue:queue1 name:shop.*",
    ];
    for text in texts {
        let query = query(project, text);
        let filter = query.filter.clone();
        let mut expected: Vec<(String, String)> = Vec::new();
        for ((engine, id), record) in &records {
            let task = record.task();
            let seen = task.first_seen();
            let in_window =
                filter.since.is_none_or(|since| seen >= since) && filter.until.is_none_or(|until| seen < until);
            if in_window && filter.matches(engine, id, &task) {
                expected.push((engine.clone(), id.clone()));
            }
        }
        let mut got: Vec<_> = found(&store, query).await.into_iter().map(|task| (task.engine, task.task_id)).collect();
        got.sort_unstable();
        assert_eq!(got, expected, "{text}");
    }
}

/// Names that do not exist find nothing, at once.
pub async fn nonsense_finds_nothing<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    store_batch(&store, batch(project, stream, 1, deltas(&lives(&mut Random(2), 50)))).await;
    for text in [
        "name:none",
        "name:none*",
        "queue:none",
        "worker:none",
        "engine:none",
        "id:none",
        "arg:none=1",
        "none",
        "name:'; --",
    ] {
        let page = store.list_tasks(query(project, text)).await.expect("can be read");
        assert_eq!((page.items.len(), page.next), (0, None), "{text}");
    }
}

/// Nothing of one project shows in another.
pub async fn projects_are_apart<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    store_batch(&store, batch(project, stream, 1, deltas(&[Told::new("t1", TaskEventKind::Failed, NOW).named("n")])))
        .await;
    let other = project + 1;
    for text in ["", "state:failed", "name:n", "id:t1", "name:*"] {
        assert!(found(&store, query(other, text)).await.is_empty(), "{text}");
        let counts = store.count_tasks(query(other, text)).await.expect("can be counted");
        assert!(counts.by_state.iter().all(|(_, count, more)| (*count, *more) == (0, false)), "{text}");
    }
    assert_eq!(store.task(other, ENGINE, "t1").await.expect("can be read"), None);
    assert!(
        store.task_types(other, NOW.plus(-60_000_000), NOW.plus(60_000_000)).await.expect("can be read").is_empty()
    );
}
