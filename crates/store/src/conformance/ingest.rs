//! Streams and batches: each counts once.

use taskplane_model::{TaskEventKind, TaskState};

use super::Subject;
use super::samples::{ENGINE, NOW, Random, Told, bare, batch, default_project, deltas, fold, lives, open, store_batch};
use crate::ingest::{OpenedStream, Quarantined, Verdict};
use crate::tasks::Page;
use crate::{FleetStore, IngestStore, Store, StoreError, TaskStore};

fn told(id: &str, kind: TaskEventKind) -> Vec<Told> {
    vec![Told::new(id, kind, NOW).named("shop.pay")]
}

async fn agent(store: &impl Store, name: &str) -> taskplane_model::agent::Agent {
    let project = default_project(store).await;
    let agents = store.agents(project).await.expect("can be read");
    agents.into_iter().find(|agent| agent.name == name).expect("is registered")
}

/// A stream keeps its number and its place; another instance of the agent is another stream of the same agent.
pub async fn streams_remember_where_they_stand<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let first = open(&store, "a", "").await;
    assert_eq!(first.last_seq, 0);
    store_batch(&store, batch(project, first, 1, deltas(&told("t1", TaskEventKind::Sent)))).await;
    let again = open(&store, "a", "").await;
    assert_eq!(again, OpenedStream { last_seq: 1, opening: again.opening, ..first });
    assert!(again.opening >= first.opening);
    let other = open(&store, "a", "second").await;
    assert_eq!((other.agent, other.last_seq), (first.agent, 0));
    assert_ne!(other.stream, first.stream);
    assert_ne!(open(&store, "b", "").await.agent, first.agent);
}

/// A batch that comes again changes nothing, also inside one call.
pub async fn batches_are_stored_once<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    let one = batch(project, stream, 1, deltas(&told("t1", TaskEventKind::Sent)));
    let recorded = store.record_batches(vec![one.clone(), one.clone()], true).await.expect("is stored");
    assert_eq!(recorded.batches, [(Verdict::Stored { lost: 0 }, 1), (Verdict::Replay, 1)]);
    let before = store.task(project, ENGINE, "t1").await.expect("can be read");
    let recorded = store.record_batches(vec![one], true).await.expect("is understood");
    assert_eq!(recorded.batches, [(Verdict::Replay, 1)]);
    assert!(recorded.tasks.is_empty());
    assert_eq!(store.task(project, ENGINE, "t1").await.expect("can be read"), before);
    assert_eq!(agent(&store, "a").await.lost_batches, 0);
}

/// Another batch under a used number is not stored, counts as lost, and the agent shows the remedy until a new stream opens.
pub async fn a_restarted_sequence_is_a_conflict<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    store_batch(&store, batch(project, stream, 1, deltas(&told("t1", TaskEventKind::Sent)))).await;
    let mut other = batch(project, stream, 1, deltas(&told("t2", TaskEventKind::Sent)));
    other.digest += 1;
    let recorded = store.record_batches(vec![other], true).await.expect("is understood");
    assert_eq!(recorded.batches, [(Verdict::Conflict, 1)]);
    assert_eq!(store.task(project, ENGINE, "t2").await.expect("can be read"), None);
    let shown = agent(&store, "a").await;
    assert_eq!(shown.lost_batches, 1);
    assert!(shown.problem.expect("is told").contains("instance_id"));
    open(&store, "a", "fresh").await;
    assert_eq!(agent(&store, "a").await.problem, None);
}

/// A batch beyond the next number is stored, and what is missing is counted.
pub async fn gaps_are_counted_as_lost<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    let group =
        [3, 4, 7].map(|seq| batch(project, stream, seq, deltas(&told(&format!("t{seq}"), TaskEventKind::Sent))));
    let recorded = store.record_batches(group.into(), false).await.expect("is stored");
    let stored = |lost| Verdict::Stored { lost };
    assert_eq!(recorded.batches, [(stored(2), 3), (stored(0), 4), (stored(2), 7)]);
    assert_eq!(agent(&store, "a").await.lost_batches, 4);
    // A batch from inside the gap is too late: its number is passed.
    let late = batch(project, stream, 5, deltas(&told("late", TaskEventKind::Sent)));
    let recorded = store.record_batches(vec![late], false).await.expect("is understood");
    assert_eq!(recorded.batches, [(Verdict::Replay, 7)]);
    assert_eq!(store.task(project, ENGINE, "late").await.expect("can be read"), None);
    let huge = batch(project, stream, u64::MAX, deltas(&told("huge", TaskEventKind::Sent)));
    let recorded = store.record_batches(vec![huge], false).await.expect("is stored");
    assert_eq!(recorded.batches, [(stored(u64::MAX - 8), u64::MAX)]);
    assert_eq!(open(&store, "a", "").await.last_seq, u64::MAX);
}

/// Batches of several agents and streams about the same tasks merge in one call.
pub async fn one_call_takes_many_streams<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let (web, worker) = (open(&store, "web", "").await, open(&store, "worker", "").await);
    let sent = batch(project, web, 1, deltas(&told("t1", TaskEventKind::Sent)));
    let started = batch(project, worker, 1, deltas(&told("t1", TaskEventKind::Started)));
    let recorded = store.record_batches(vec![started, sent], true).await.expect("is stored");
    assert_eq!(recorded.tasks.len(), 1, "one task changed");
    let task = store.task(project, ENGINE, "t1").await.expect("can be read").expect("is stored");
    assert_eq!(task.record.task().state, TaskState::Started);
    let mut agents = vec![web.agent, worker.agent];
    agents.sort_unstable();
    assert_eq!((task.record.agents.clone(), task.record.batches.len()), (agents, 2));
    assert!(task.agent.is_some());
}

/// A call with a batch of a stream that was never opened fails, and nothing of it is stored.
pub async fn an_unknown_stream_is_refused_whole<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    let good = batch(project, stream, 1, deltas(&told("t1", TaskEventKind::Sent)));
    let foreign = OpenedStream { stream: stream.stream + 1_000, ..stream };
    let bad = batch(project, foreign, 1, deltas(&told("t2", TaskEventKind::Sent)));
    let error = store.record_batches(vec![good.clone(), bad], false).await.expect_err("is refused");
    assert!(matches!(error, StoreError::Internal(_)), "{error}");
    assert_eq!(store.task(project, ENGINE, "t1").await.expect("can be read"), None);
    assert_eq!(open(&store, "a", "").await.last_seq, 0);
    store_batch(&store, good).await;
    assert!(store.task(project, ENGINE, "t1").await.expect("can be read").is_some());
}

/// With `want_tasks`, each changed task comes back once, as it is stored; without, none.
pub async fn changed_tasks_come_back<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    let mut random = Random(1);
    let events = lives(&mut random, 50);
    let (early, late) = events.split_at(events.len() / 2);
    for (seq, part) in [(1, early), (2, late)] {
        let recorded =
            store.record_batches(vec![batch(project, stream, seq, deltas(part))], true).await.expect("is stored");
        assert_eq!(recorded.tasks.len(), fold(part).len());
        for (of, task) in recorded.tasks {
            assert_eq!((of, task.agent.as_deref()), (project, Some("a")));
            let stored = store.task(project, &task.engine, &task.task_id).await.expect("can be read");
            assert_eq!(stored.as_ref(), Some(&task));
        }
    }
    for ((engine, id), record) in fold(&events) {
        let stored = store.task(project, &engine, &id).await.expect("can be read").expect("is stored");
        assert_eq!(bare(stored.record), record);
    }
}

/// The batches that told of a task come back as they came, oldest first.
pub async fn raw_batches_can_be_read_back<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let (web, worker) = (open(&store, "web", "").await, open(&store, "worker", "").await);
    let first = batch(project, web, 1, deltas(&told("t1", TaskEventKind::Sent)));
    let second = batch(project, worker, 1, deltas(&told("t1", TaskEventKind::Started)));
    let unrelated = batch(project, worker, 2, deltas(&told("t2", TaskEventKind::Started)));
    for one in [first.clone(), second.clone(), unrelated] {
        store_batch(&store, one).await;
    }
    let raw = store.task_batches(project, ENGINE, "t1").await.expect("can be read");
    let seen: Vec<_> = raw.iter().map(|b| (b.agent.as_str(), b.seq, b.received_at, b.compressed.clone())).collect();
    assert_eq!(seen, [("web", 1, NOW, first.compressed), ("worker", 1, NOW, second.compressed)]);
    assert!(store.task_batches(project, ENGINE, "nobody").await.expect("can be read").is_empty());
}

/// Events that were not understood are counted on their agent, once.
pub async fn quarantined_events_are_counted<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    let mut one = batch(project, stream, 1, Vec::new());
    one.quarantined = vec![Quarantined { raw: "{\"ü\":".repeat(10_000), reason: "not JSON".into() }; 3];
    store_batch(&store, one.clone()).await;
    store.record_batches(vec![one], false).await.expect("is a replay");
    assert_eq!(agent(&store, "a").await.quarantined_events, 3);
}

/// Events that were not understood can be looked at, newest first.
pub async fn quarantined_events_come_in_pages<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    for seq in 1..=3 {
        let mut one = batch(project, stream, seq, Vec::new());
        one.quarantined = vec![Quarantined { raw: format!("{{\"n\":{seq}}}"), reason: "no event_type".into() }];
        store_batch(&store, one).await;
    }
    let page = async |cursor| store.quarantine(project, Page { limit: 2, cursor }).await.expect("can be read");
    let (first, cursor) = page(None).await;
    let (rest, end) = page(Some(cursor.expect("there is more"))).await;
    let raws: Vec<&str> = first.iter().chain(&rest).map(|event| event.raw.as_str()).collect();
    assert_eq!(raws, ["{\"n\":3}", "{\"n\":2}", "{\"n\":1}"]);
    assert_eq!((end, first[0].agent.as_str(), first[0].reason.as_str()), (None, "a", "no event_type"));
    assert!(store.quarantine(project + 1, Page { limit: 2, cursor: None }).await.expect("can be read").0.is_empty());
}
