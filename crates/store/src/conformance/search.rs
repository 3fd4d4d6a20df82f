//! Search: what is found is the same before, while and after tasks are indexed.

use taskplane_model::TaskEventKind;
use taskplane_model::filter::TaskFilter;
use taskplane_model::time::MINUTE;

use super::Subject;
use super::lists::pages;
use super::samples::{NOW, Random, Told, batch, default_project, deltas, fold, lives, open, store_batch};
use crate::tasks::TaskQuery;
use crate::{SearchStore, Store, TaskStore};

/// Steps after which indexing is taken not to end.
const MAX_STEPS: usize = 1_000;

fn query(project: u64, text: &str) -> TaskQuery {
    let filter = TaskFilter::parse(text, NOW).expect("is a filter");
    TaskQuery { project, filter, limit: 50, cursor: None }
}

/// Ids of what a filter means.
async fn found(store: &impl Store, project: u64, text: &str) -> Vec<String> {
    let pages = pages(store, query(project, text)).await;
    let mut ids: Vec<String> = pages.into_iter().flat_map(|page| page.items).map(|task| task.task_id).collect();
    ids.sort_unstable();
    ids
}

/// Indexes everything, as if it were so many minutes later.
pub(super) async fn index(store: &impl SearchStore, minutes: i64) {
    for _ in 0..MAX_STEPS {
        if !store.index_tasks(NOW.plus(minutes * MINUTE)).await.expect("a step") {
            return;
        }
    }
    panic!("indexing does not end");
}

fn sent(id: &str, minutes_ago: i64) -> Told {
    Told::new(id, TaskEventKind::Sent, NOW.plus(-minutes_ago * MINUTE))
}

fn failed(id: &str, exception: &str) -> Told {
    Told { exception: Some(exception.into()), ..Told::new(id, TaskEventKind::Failed, NOW.plus(-MINUTE)) }
}

/// A word is found before and after its task was indexed; indexing what is indexed changes nothing.
pub async fn a_word_is_found_before_and_after_indexing<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    let mut events = lives(&mut Random(21), 500);
    events.push(failed("job:needle", "Needle in a Haystack"));
    store_batch(&store, batch(project, stream, 1, deltas(&events))).await;
    for minutes in [0, 20, 40, 60] {
        for text in ["haystack", "\"needle in\"", "\"job:needle\"", "\"e in a h\" state:failed"] {
            assert_eq!(found(&store, project, text).await, ["job:needle"], "{text} after {minutes} minutes");
        }
        assert!(found(&store, project, "\"needle on\"").await.is_empty());
        index(&store, minutes).await;
        assert!(!store.index_tasks(NOW.plus(minutes * MINUTE)).await.expect("a step"), "there is nothing more to do");
    }
}

/// What a task says after it was indexed is found, before and after that was indexed, too.
pub async fn a_late_exception_is_found<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    store_batch(&store, batch(project, stream, 1, deltas(&lives(&mut Random(22), 500)))).await;
    let pay = |id| sent(id, 2).named("shop.pay");
    store_batch(&store, batch(project, stream, 2, deltas(&[pay("job:one"), pay("job:two")]))).await;
    index(&store, 20).await;
    assert!(found(&store, project, "volcano").await.is_empty());
    store_batch(&store, batch(project, stream, 3, deltas(&[failed("job:one", "A Volcano erupted")]))).await;
    assert_eq!(found(&store, project, "volcano").await, ["job:one"]);
    index(&store, 40).await;
    assert_eq!(found(&store, project, "volcano").await, ["job:one"]);
    store_batch(&store, batch(project, stream, 4, deltas(&[failed("job:two", "The same volcano")]))).await;
    assert_eq!(found(&store, project, "volcano").await, ["job:one", "job:two"]);
    index(&store, 60).await;
    assert_eq!(found(&store, project, "volcano name:shop.pay").await, ["job:one", "job:two"]);
}

/// What moves to another queue or worker after it was indexed is found there.
pub async fn a_late_move_is_found<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    store_batch(&store, batch(project, stream, 1, deltas(&lives(&mut Random(25), 300)))).await;
    let one = Told { queue: Some("slow".into()), ..sent("job:one", 5) };
    store_batch(&store, batch(project, stream, 2, deltas(&[one]))).await;
    index(&store, 20).await;
    for (seq, minutes) in [(3u64, 40), (4, 60)] {
        let queue = format!("queue-of-{seq}");
        let worker = format!("worker-of-{seq}");
        let ts = NOW.plus(-(5 - seq.cast_signed()) * MINUTE);
        let told = Told::new("job:one", TaskEventKind::Received, ts);
        let told = Told { queue: Some(queue.clone()), worker: Some(worker.clone()), attempt: Some(seq as u32), ..told };
        store_batch(&store, batch(project, stream, seq, deltas(&[told]))).await;
        for text in [format!("queue:{queue}"), format!("worker:{worker}"), format!("worker:{worker} queue:{queue}")] {
            assert_eq!(found(&store, project, &text).await, ["job:one"], "{text}");
            index(&store, minutes).await;
            assert_eq!(found(&store, project, &text).await, ["job:one"], "{text}");
        }
    }
}

/// A task that comes when younger ones have been indexed is found.
pub async fn a_late_task_is_found<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    store_batch(&store, batch(project, stream, 1, deltas(&lives(&mut Random(23), 500)))).await;
    index(&store, 20).await;
    for (seq, minutes) in [(2, 5), (3, 50)] {
        let id = format!("job:late-{seq}");
        let late = sent(&id, minutes).named("shop.straggler");
        store_batch(&store, batch(project, stream, seq, deltas(&[late]))).await;
        assert!(found(&store, project, "straggler").await.contains(&id));
        assert_eq!(found(&store, project, &format!("late-{seq}")).await, [id]);
    }
    index(&store, 40).await;
    assert_eq!(found(&store, project, "straggler").await, ["job:late-2", "job:late-3"]);
    assert_eq!(found(&store, project, "late-3").await, ["job:late-3"]);
}

/// Filters mean the same with the index, in parts and as a whole, and counts equal lists.
pub async fn filters_mean_the_same_with_the_index<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    let mut random = Random(24);
    let mut events = lives(&mut random, 1_200);
    for event in &mut events {
        event.exception = event.exception.take().map(|text| format!("{text} {}", random.below(50)));
    }
    events.push(Told { queue: Some("rare".into()), ..sent("job:rare", 1) });
    random.shuffle(&mut events);
    let records = fold(&events);
    let texts = [
        "queue:rare",
        "queue:queue1 worker:worker2@host",
        "queue:queue1,rare name:shop.task4",
        "worker:worker1@host,worker3@host state:failed",
        "name:*2 queue:queue2 state:succeeded",
        "worker:*0@host \"declined 7\"",
        "declined state:failed",
        "arg:order_id=17",
        "arg:order_id=170 queue:queue*",
        "\"job:11\"",
        "task3 engine:celery",
        "99",
        "a0f",
        "order_id",
    ];
    let parts: Vec<&[Told]> = events.chunks(events.len() / 4 + 1).collect();
    for (number, part) in parts.iter().enumerate() {
        store_batch(&store, batch(project, stream, number as u64 + 1, deltas(*part))).await;
        if number + 1 < parts.len() {
            index(&store, 20 + 20 * number as i64).await;
        }
    }
    for minutes in [0, 100, 120] {
        for text in texts {
            let filter = query(project, text).filter;
            let is_meant = |((engine, id), record): (&(String, String), &taskplane_model::TaskRecord)| {
                filter.matches(engine, id, &record.task()).then(|| id.clone())
            };
            let mut expected: Vec<String> = records.iter().filter_map(is_meant).collect();
            expected.sort_unstable();
            assert_eq!(found(&store, project, text).await, expected, "{text} after {minutes} minutes");
            let counts = store.count_tasks(query(project, text)).await.expect("can be counted");
            if counts.by_state.iter().all(|(_, _, more)| !more) {
                let counted: u64 = counts.by_state.iter().map(|(_, count, _)| *count).sum();
                assert_eq!(counted, expected.len() as u64, "{text} after {minutes} minutes");
            }
        }
        index(&store, minutes).await;
    }
}

/// The index outlives the stores that made it, and two that take turns hide nothing from each other.
pub async fn indexers_take_turns<S: Subject>(subject: &S) {
    let (one, two) = (subject.open().await, subject.open().await);
    let project = default_project(&one).await;
    let stream = open(&one, "a", "").await;
    for round in 0..6u64 {
        let mut told = lives(&mut Random(30 + round), 200);
        told.push(failed(&format!("job:round-{round}"), "xylophone"));
        store_batch(&one, batch(project, stream, round + 1, deltas(&told))).await;
        let now = NOW.plus(20 * (round.cast_signed() + 1) * MINUTE);
        one.index_tasks(now).await.expect("a step");
        assert_eq!(found(&two, project, "xylophone").await.len() as u64, round + 1);
        two.index_tasks(now).await.expect("a step");
        assert_eq!(found(&one, project, "xylophone").await.len() as u64, round + 1);
    }
    index(&one, 200).await;
    drop((one, two));
    assert_eq!(found(&subject.open().await, project, "xylophone").await.len(), 6);
}
