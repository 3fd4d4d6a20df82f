//! What is older goes, what is younger stays.

use taskplane_model::time::{DAY, MINUTE};
use taskplane_model::{TaskEventKind, TaskState, Timestamp};

use super::Subject;
use super::lists::pages;
use super::samples::{ENGINE, NOW, Random, Told, audit, batch, default_project, deltas, open, store_batch};
use crate::retention::{Dropped, Kept};
use crate::stats::StatsQuery;
use crate::tasks::{Page, TaskQuery};
use crate::{AccessStore, RetentionStore, StatisticsStore, Store, TaskStore};

/// Drops all that is older than `horizon`, a few at a time, and what pointed to it. Returns how many.
async fn drop_all(store: &impl RetentionStore, what: Kept, horizon: Timestamp, limit: usize) -> u64 {
    let mut sum = 0;
    loop {
        let Dropped { count, more } = store.drop_before(what, horizon, limit).await.expect("is dropped");
        sum += count;
        if !more {
            break;
        }
    }
    while store.forget_dropped(limit).await.expect("is forgotten") {}
    sum
}

/// A day's tasks: `count` that succeed, and one that fails, one that is cancelled and one that never begins.
fn day(prefix: &str, begin: Timestamp, count: usize) -> Vec<Told> {
    use TaskEventKind::{Failed, Revoked, Sent, Succeeded};
    let ends = std::iter::repeat_n(Some(Succeeded), count).chain([Some(Failed), Some(Revoked), None]);
    let mut events = Vec::new();
    for (number, end) in ends.enumerate() {
        let id = match end {
            Some(Failed) => format!("{prefix}-failed"),
            Some(Revoked) => format!("{prefix}-revoked"),
            None => format!("{prefix}-open"),
            _ => format!("{prefix}-{number}"),
        };
        let at = begin.plus(number as i64 * 1_000);
        let told = Told { parent: Some(format!("{prefix}-0")), ..Told::new(&id, Sent, at).named("n") };
        events.push(told);
        events.extend(end.map(|kind| Told::new(&id, kind, at.plus(500))));
    }
    events
}

/// A store with a day of 30 tasks each, ten days and one day ago.
async fn two_days<S: Subject>(subject: &S) -> (S::Store, u64) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    for (seq, (prefix, days)) in (1..).zip([("old", 10), ("new", 1)]) {
        let begin = NOW.plus(-days * DAY);
        let batch = batch(project, stream, seq, deltas(&day(prefix, begin, 27)));
        store_batch(&store, crate::ingest::BatchToStore { received_at: begin.plus(MINUTE), ..batch }).await;
    }
    (store, project)
}

/// Ids of all tasks, oldest first.
async fn ids(store: &impl Store, project: u64) -> Vec<String> {
    let pages = pages(store, TaskQuery { project, limit: 7, ..TaskQuery::default() }).await;
    let mut ids: Vec<_> = pages.into_iter().flat_map(|page| page.items).map(|task| task.task_id).collect();
    ids.reverse();
    ids
}

async fn statistics(store: &impl StatisticsStore, project: u64) -> String {
    let (since, until) = (NOW.plus(-11 * DAY), NOW.plus(MINUTE));
    let query = StatsQuery { project, since, until, step_minutes: 60 * 24, name: None, queue: None };
    let types = store.task_types(project, since, until).await.expect("can be read");
    format!("{:?} {types:?}", store.stats(query).await.expect("can be read"))
}

/// Tasks that ended well are dropped before a horizon, failures and open ones before theirs; what is younger stays whole.
pub async fn tasks_are_dropped_by_age_and_failures_later<S: Subject>(subject: &S) {
    let (store, project) = two_days(subject).await;
    let counted = statistics(&store, project).await;
    let young = store.task(project, ENGINE, "new-3").await.expect("can be read").expect("is stored");
    let horizon = NOW.plus(-5 * DAY);
    assert_eq!(drop_all(&store, Kept::Tasks, horizon, 4).await, 28);
    let left = ids(&store, project).await;
    assert_eq!(left[..2], ["old-failed", "old-open"]);
    assert_eq!(left.len(), 2 + 30);
    let failed = store.task(project, ENGINE, "old-failed").await.expect("can be read").expect("is stored");
    assert_eq!(failed.record.task().state, TaskState::Failed);
    assert_eq!(store.task(project, ENGINE, "old-3").await.expect("can be read"), None);
    assert_eq!(store.task_tree(project, ENGINE, "old-3", 9).await.expect("can be read").map(|tree| tree.tasks), None);
    let tree = store.task_tree(project, ENGINE, "old-failed", 50).await.expect("can be read").expect("is known");
    assert_eq!(tree.tasks.len(), 2);
    let tree = store.task_tree(project, ENGINE, "new-5", 50).await.expect("can be read").expect("is known");
    assert_eq!(tree.tasks.len(), 30);
    assert_eq!(store.task(project, ENGINE, "new-3").await.expect("can be read"), Some(young));
    assert_eq!(drop_all(&store, Kept::Failures, horizon, 4).await, 2);
    assert_eq!(ids(&store, project).await.len(), 30);
    assert_eq!(store.task(project, ENGINE, "old-failed").await.expect("can be read"), None);
    assert_eq!(statistics(&store, project).await, counted, "statistics do not change");
    assert_eq!(drop_all(&store, Kept::Tasks, horizon, 4).await, 0);
}

/// Raw events go before their horizon, in the order in which they came; the tasks that they told of stay.
pub async fn raw_events_are_dropped_by_age<S: Subject>(subject: &S) {
    let (store, project) = two_days(subject).await;
    let batches = async |id| store.task_batches(project, ENGINE, id).await.expect("can be read").len();
    assert_eq!((batches("old-1").await, batches("new-1").await), (1, 1));
    assert_eq!(drop_all(&store, Kept::Events, NOW.plus(-5 * DAY), 1).await, 1);
    assert_eq!((batches("old-1").await, batches("new-1").await), (0, 1));
    assert_eq!(ids(&store, project).await.len(), 60);
    // The number of the newest one must not be given again, however old it is.
    drop_all(&store, Kept::Events, NOW.plus(DAY), 100).await;
    let stream = open(&store, "a", "").await;
    assert_eq!(stream.last_seq, 2, "the stream knows where it stands");
    let told = [Told::new("later", TaskEventKind::Sent, NOW)];
    store_batch(&store, batch(project, stream, 3, deltas(&told))).await;
    let raw = store.task_batches(project, ENGINE, "new-1").await.expect("can be read");
    assert!(raw.iter().all(|batch| batch.seq == 2), "{raw:?}");
    assert_eq!(batches("later").await, 1);
}

/// No step does more than it was asked for, and one that was interrupted is gone on with.
pub async fn steps_are_bounded_and_go_on_after_a_restart<S: Subject>(subject: &S) {
    let (store, project) = two_days(subject).await;
    let horizon = NOW.plus(-5 * DAY);
    let step = store.drop_before(Kept::Tasks, horizon, 10).await.expect("is dropped");
    assert_eq!(step, Dropped { count: 10, more: true });
    assert_eq!(ids(&store, project).await.len(), 50);
    drop(store);
    let store = subject.open().await;
    assert_eq!(drop_all(&store, Kept::Tasks, horizon, 10).await, 18);
    assert_eq!(drop_all(&store, Kept::Failures, horizon, 10).await, 2);
    assert_eq!(ids(&store, project).await.len(), 30);
}

/// What comes much too late, for a task that may have been dropped, is a raw event and nothing else. The id can be used again.
pub async fn dropped_tasks_do_not_come_back<S: Subject>(subject: &S) {
    let (store, project) = two_days(subject).await;
    drop_all(&store, Kept::Tasks, NOW.plus(-5 * DAY), 10).await;
    let stream = open(&store, "b", "").await;
    let late = NOW.plus(-10 * DAY).plus(3_700);
    let told = [
        Told::new("old-3", TaskEventKind::Succeeded, late),
        Told::new("never-seen", TaskEventKind::Sent, late),
        Told::new("old-failed", TaskEventKind::Started, late),
    ];
    store_batch(&store, batch(project, stream, 1, deltas(&told))).await;
    for id in ["old-3", "never-seen"] {
        assert_eq!(store.task(project, ENGINE, id).await.expect("can be read"), None, "{id}");
    }
    let kept = store.task(project, ENGINE, "old-failed").await.expect("can be read").expect("is stored");
    assert_eq!(kept.record.marks.len(), 3, "what is stored is told more");
    let types = store.task_types(project, NOW.plus(-11 * DAY), NOW).await.expect("can be read");
    let counted = types.iter().map(|one| (one.rollup.sent, one.rollup.started, one.rollup.succeeded));
    assert_eq!(counted.collect::<Vec<_>>(), [(60, 1, 54)], "only what is stored is counted");
    let again = [Told::new("old-3", TaskEventKind::Sent, NOW).named("again")];
    store_batch(&store, batch(project, stream, 2, deltas(&again))).await;
    let task = store.task(project, ENGINE, "old-3").await.expect("can be read").expect("is stored");
    assert_eq!((task.first_seen, task.record.name.as_deref()), (NOW, Some("again")));
}

/// Whatever is dropped in whatever pieces, every task that is left is found by its id, by its name, and by what it names.
pub async fn what_is_left_is_found_however_much_was_dropped<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    let mut random = Random(11);
    let mut expected = Vec::new();
    let tasks_of_a_day = subject.more_than_a_piece().div_ceil(40) as i64;
    for seq in 1..=40 {
        let begin = NOW.plus(-(41 - seq) * DAY);
        let mut events = Vec::new();
        for number in 0..tasks_of_a_day {
            let (id, at) = (random.task_id(), begin.plus(number * 10));
            let fails = random.below(20) == 0;
            let end = if fails { TaskEventKind::Failed } else { TaskEventKind::Succeeded };
            events.push(Told { root: Some(format!("root-{seq}")), ..Told::new(&id, end, at).named("n") });
            if fails || seq > 30 {
                expected.push(id);
            }
        }
        store_batch(&store, batch(project, stream, seq.cast_unsigned(), deltas(&events))).await;
        if seq % 10 == 0 {
            drop_all(&store, Kept::Tasks, NOW.plus(-(41 - seq + 9) * DAY), 300).await;
        }
    }
    drop_all(&store, Kept::Tasks, NOW.plus(-10 * DAY), 300).await;
    let mut left = ids(&store, project).await;
    left.sort_unstable();
    expected.sort_unstable();
    assert_eq!(left, expected);
    for id in expected.iter().step_by(17) {
        assert!(store.task(project, ENGINE, id).await.expect("can be read").is_some(), "{id}");
    }
    let of_old = |id: &String| !left.contains(id);
    assert!(!expected.iter().any(of_old));
    let tree = store.task_tree(project, ENGINE, &expected[0], 2_000).await.expect("can be read").expect("is known");
    let root = tree.tasks[0].record.root_id.clone();
    assert!(tree.tasks.iter().all(|task| task.record.root_id == root));
}

/// Old entries of the audit, and sign-ins that have expired, go; younger ones stay.
pub async fn records_and_signins_are_dropped<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    for byte in 0..6 {
        let at = NOW.plus(-(5 - i64::from(byte)) * DAY);
        store.create_agent_token(project, None, [byte; 32], audit("made"), at).await.expect("is kept");
    }
    let old = NOW.plus(-6 * DAY);
    store.create_signin_link([1; 32], taskplane_model::access::Role::Admin, old, old).await.expect("is kept");
    store.create_signin_link([2; 32], taskplane_model::access::Role::Admin, NOW, old).await.expect("is kept");
    assert_eq!(drop_all(&store, Kept::Records, NOW.plus(-2 * DAY), 2).await, 3);
    assert_eq!(drop_all(&store, Kept::SignIns, NOW.plus(-DAY), 2).await, 1);
    assert!(!store.is_unclaimed().await.expect("can be read"));
    let session = store.redeem_signin_link([2; 32], [3; 32], NOW, NOW.plus(-DAY)).await.expect("is answered");
    assert!(session.is_some());
    let (entries, _) = store.audit(project, Page { limit: 9, cursor: None }).await.expect("can be read");
    let at: Vec<_> = entries.iter().map(|entry| entry.at).collect();
    assert_eq!(at, [NOW, NOW.plus(-DAY), NOW.plus(-2 * DAY)]);
}

/// The report says how far back the store reaches.
pub async fn the_report_says_how_far_back_it_reaches<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let empty = store.storage().await.expect("can be read");
    assert_eq!((empty.oldest.events, empty.oldest.tasks, empty.oldest.failures), (None, None, None));
    assert!(empty.file_bytes > 0);
    drop(store);
    let (store, _) = two_days(subject).await;
    let begin = |days: i64| Some(NOW.plus(-days * DAY));
    let oldest = store.storage().await.expect("can be read").oldest;
    assert_eq!(oldest.events, begin(10).map(|at| at.plus(MINUTE)));
    assert_eq!((oldest.tasks, oldest.failures), (begin(10), begin(10)));
    drop_all(&store, Kept::Tasks, NOW.plus(-5 * DAY), 100).await;
    drop_all(&store, Kept::Events, NOW.plus(-5 * DAY), 100).await;
    let oldest = store.storage().await.expect("can be read").oldest;
    assert_eq!(oldest.events, begin(1).map(|at| at.plus(MINUTE)));
    assert_eq!((oldest.tasks, oldest.failures), (begin(1), begin(10).map(|at| at.plus(27_000))));
    drop_all(&store, Kept::Failures, NOW.plus(-5 * DAY), 100).await;
    assert_eq!(store.storage().await.expect("can be read").oldest.failures, begin(1));
}
