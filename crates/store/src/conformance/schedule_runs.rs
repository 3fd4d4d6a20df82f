//! Runs of schedules.

use taskplane_model::schedule_run::{RunEvidence, RunState, ScheduleKey, ScheduleRun, ScheduleWatch, WatchedTiming};
use taskplane_model::time::{DAY, MINUTE};

use super::Subject;
use super::samples::{NOW, default_project};
use crate::fleet::ScheduleNews;
use crate::retention::Kept;
use crate::{RetentionStore, ScheduleStore};

const KEEP: usize = 100;

fn key(id: &str) -> ScheduleKey {
    ScheduleKey { scheduler: "celery-beat".into(), id: id.to_owned() }
}

fn watch(cursor: i64) -> ScheduleWatch {
    let timing = WatchedTiming {
        kind: "crontab".into(),
        expression: "0 3 * * *".into(),
        timezone: Some("Europe/Berlin".into()),
        enabled: true,
        starts_at: Some(NOW),
        expires_at: None,
    };
    let open = vec![run(cursor, RunState::Overdue)];
    ScheduleWatch { timing, since: NOW, cursor: NOW.plus(cursor), open, delays: vec![3], ..ScheduleWatch::default() }
}

fn run(due: i64, state: RunState) -> ScheduleRun {
    let seen = state.has_run().then(|| NOW.plus(due + 1));
    ScheduleRun {
        due: NOW.plus(due),
        state,
        seen_at: seen,
        evidence: seen.map(|_| RunEvidence::Task),
        task_id: seen.map(|_| "t\0 1".into()),
        overlapping: seen.is_some(),
    }
}

fn news(id: &str, runs: Vec<ScheduleRun>) -> ScheduleNews {
    let cursor = runs.iter().map(|run| run.due.0 - NOW.0).max().unwrap_or_default();
    ScheduleNews { key: key(id), watch: Some(watch(cursor)), runs, unexpected: Vec::new() }
}

async fn runs(store: &impl ScheduleStore, project: u64, id: &str) -> Vec<ScheduleRun> {
    let all = store.schedule_runs(project, vec![key(id)], KEEP).await.expect("can be read");
    all.into_iter().next().expect("one answer for each")
}

/// What is known of a run replaces what was known of it, however often it is noted; how far was judged is kept with it.
pub async fn runs_are_kept_once_for_each_due_time<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let first = vec![run(0, RunState::Seen), run(60, RunState::Overdue)];
    for _ in 0..2 {
        store.note_schedule_runs(project, vec![news("nightly", first.clone())], KEEP).await.expect("is kept");
    }
    assert_eq!(runs(&store, project, "nightly").await, [first[1].clone(), first[0].clone()]);
    let later = vec![run(60, RunState::Missed), run(120, RunState::Late)];
    store.note_schedule_runs(project, vec![news("nightly", later.clone())], KEEP).await.expect("is kept");
    drop(store);
    let store = subject.open().await;
    assert_eq!(runs(&store, project, "nightly").await, [later[1].clone(), later[0].clone(), first[0].clone()]);
    assert_eq!(store.schedule_watches(project).await.expect("can be read"), [(key("nightly"), watch(120))]);
    let unexpected = ScheduleNews { unexpected: vec![NOW.plus(60), NOW.plus(61)], ..news("nightly", Vec::new()) };
    store.note_schedule_runs(project, vec![unexpected], KEEP).await.expect("is kept");
    assert_eq!(runs(&store, project, "nightly").await, [later[1].clone(), first[0].clone()]);
}

/// Of each schedule so many runs stay as are wanted, and so many come back as are asked for.
pub async fn the_latest_runs_stay<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let many = |count: i64| (0..count).map(|due| run(due, RunState::Seen)).collect::<Vec<_>>();
    let all = vec![news("a", many(30)), news("b", many(5))];
    store.note_schedule_runs(project, all, 10).await.expect("is kept");
    let dues = |runs: &[ScheduleRun]| runs.iter().map(|run| run.due.0 - NOW.0).collect::<Vec<_>>();
    assert_eq!(dues(&runs(&store, project, "a").await), (20..30).rev().collect::<Vec<_>>());
    assert_eq!(dues(&runs(&store, project, "b").await), [4, 3, 2, 1, 0]);
    let keys = vec![key("b"), key("unknown"), key("a")];
    let some = store.schedule_runs(project, keys, 2).await.expect("can be read");
    assert_eq!(some.iter().map(|runs| dues(runs)).collect::<Vec<_>>(), [vec![4, 3], vec![], vec![29, 28]]);
    assert!(store.schedule_runs(project, Vec::new(), 2).await.expect("can be read").is_empty());
}

/// A schedule that is forgotten leaves nothing behind, and may come again.
pub async fn what_is_forgotten_is_gone<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let all = vec![news("a", vec![run(0, RunState::Seen)]), news("b", vec![run(0, RunState::Seen)])];
    store.note_schedule_runs(project, all, KEEP).await.expect("is kept");
    let forget = ScheduleNews { key: key("a"), watch: None, runs: Vec::new(), unexpected: Vec::new() };
    store.note_schedule_runs(project, vec![forget], KEEP).await.expect("is forgotten");
    let watches = store.schedule_watches(project).await.expect("can be read");
    assert_eq!(watches.iter().map(|(key, _)| key.id.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!((runs(&store, project, "a").await.len(), runs(&store, project, "b").await.len()), (0, 1));
    store.note_schedule_runs(project, vec![news("a", vec![run(5, RunState::Seen)])], KEEP).await.expect("is kept");
    assert_eq!(runs(&store, project, "a").await, [run(5, RunState::Seen)]);
}

/// Runs are dropped with the other records.
pub async fn old_runs_are_dropped<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let all = vec![run(-2 * DAY, RunState::Missed), run(-DAY, RunState::Seen), run(-MINUTE, RunState::Seen)];
    store.note_schedule_runs(project, vec![news("a", all.clone())], KEEP).await.expect("is kept");
    let dropped = store.drop_before(Kept::Records, NOW.plus(-DAY), 50).await.expect("are dropped");
    assert_eq!((dropped.count, dropped.more), (1, false));
    assert_eq!(runs(&store, project, "a").await, [all[2].clone(), all[1].clone()]);
}

/// The same id in another scheduler or project is another schedule.
pub async fn each_scheduler_and_project_has_runs_of_its_own<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let other = ScheduleKey { scheduler: "redbeat".into(), id: "a".into() };
    let in_other = ScheduleNews { key: other.clone(), ..news("a", vec![run(1, RunState::Seen)]) };
    let all = vec![in_other, news("a", vec![run(2, RunState::Seen)])];
    store.note_schedule_runs(project, all, KEEP).await.expect("is kept");
    store.note_schedule_runs(project + 1, vec![news("a", vec![run(3, RunState::Seen)])], KEEP).await.expect("is kept");
    let found = store.schedule_runs(project, vec![other, key("a")], KEEP).await.expect("can be read");
    assert_eq!(found, [vec![run(1, RunState::Seen)], vec![run(2, RunState::Seen)]]);
    assert_eq!(runs(&store, project + 1, "a").await, [run(3, RunState::Seen)]);
    let watches = store.schedule_watches(project).await.expect("can be read");
    assert_eq!(watches.iter().map(|(key, _)| key.scheduler.as_str()).collect::<Vec<_>>(), ["celery-beat", "redbeat"]);
}
