//! What was stored stays stored.

use taskplane_model::TaskEventKind;
use taskplane_model::time::MINUTE;

use super::Subject;
use super::lists::pages;
use super::samples::{ENGINE, NOW, Random, Told, audit, batch, default_project, deltas, lives, open, store_batch};
use crate::ingest::Verdict;
use crate::stats::StatsQuery;
use crate::tasks::TaskQuery;
use crate::{AccessStore, IngestStore, StatisticsStore, Store, TaskStore};

/// Everything that the API can see, as text.
async fn seen(store: &impl Store) -> String {
    let project = default_project(store).await;
    let query = TaskQuery { project, limit: 100, ..TaskQuery::default() };
    let tasks: Vec<_> = pages(store, query).await.into_iter().flat_map(|page| page.items).collect();
    let (since, until) = (NOW.plus(-60 * MINUTE), NOW.plus(60 * MINUTE));
    let stats = StatsQuery { project, since, until, step_minutes: 1, name: None, queue: None };
    let stats = store.stats(stats).await.expect("can be read");
    let agents = store.agents(project).await.expect("can be read");
    let tokens = store.agent_tokens(project).await.expect("can be read");
    format!("{tasks:?} {stats:?} {agents:?} {tokens:?}")
}

/// A store that is opened again shows the same.
pub async fn everything_is_there_after_a_restart<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    store_batch(&store, batch(project, stream, 1, deltas(&lives(&mut Random(4), 100)))).await;
    store.create_agent_token(project, None, [1; 32], audit("make"), NOW).await.expect("is kept");
    let before = seen(&store).await;
    drop(store);
    let store = subject.open().await;
    assert_eq!(seen(&store).await, before);
    assert_eq!(open(&store, "a", "").await.last_seq, 1);
}

/// Deduplication, merging and statistics go on where they stood.
pub async fn work_goes_on_after_a_restart<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    let sent = batch(project, stream, 1, deltas(&[Told::new("t1", TaskEventKind::Sent, NOW).named("n")]));
    store_batch(&store, sent.clone()).await;
    drop(store);
    let store = subject.open().await;
    let started = batch(project, stream, 2, deltas(&[Told::new("t1", TaskEventKind::Started, NOW.plus(5))]));
    let recorded = store.record_batches(vec![sent, started], false).await.expect("is stored");
    assert_eq!(recorded.batches, [(Verdict::Replay, 1), (Verdict::Stored { lost: 0 }, 2)]);
    let task = store.task(project, ENGINE, "t1").await.expect("can be read").expect("is stored");
    assert_eq!((task.record.marks.len(), task.record.name.as_deref()), (2, Some("n")));
    let types = store.task_types(project, NOW.plus(-MINUTE), NOW.plus(MINUTE)).await.expect("can be read");
    assert_eq!(types.iter().map(|t| (t.rollup.sent, t.rollup.started)).collect::<Vec<_>>(), [(1, 1)]);
}

/// Two stores on one database, as the brain and the command line have them, see what the other writes.
pub async fn two_stores_share_one_database<S: Subject>(subject: &S) {
    let (brain, command_line) = (subject.open().await, subject.open().await);
    let project = default_project(&brain).await;
    command_line.create_agent_token(project, None, [1; 32], audit("make"), NOW).await.expect("is kept");
    assert!(brain.agent_token([1; 32]).await.expect("can be read").is_some());
    // Both may even take batches in: nothing that one remembers may be wrong because of the other.
    let stream = open(&brain, "a", "").await;
    let sent = |n: i64| deltas(&[Told::new(&format!("t{}", n % 3), TaskEventKind::Sent, NOW.plus(n)).named("n")]);
    for seq in 1..=12 {
        let store = if seq % 2 == 0 { &brain } else { &command_line };
        store_batch(store, batch(project, stream, seq, sent(seq.cast_signed()))).await;
    }
    for store in [&brain, &command_line] {
        let types = store.task_types(project, NOW.plus(-MINUTE), NOW.plus(MINUTE)).await.expect("can be read");
        assert_eq!(types.iter().map(|t| t.rollup.sent).collect::<Vec<_>>(), [3]);
        assert_eq!(
            store.task(project, ENGINE, "t1").await.expect("can be read").expect("is stored").record.marks.len(),
            4
        );
    }
}
