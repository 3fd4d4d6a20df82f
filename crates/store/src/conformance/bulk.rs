//! Bulk jobs: no task is in two hands, and what became of each is counted once.

use taskplane_model::bulk::{
    BulkChange, BulkEnd, BulkItemState, BulkJob, BulkLane, BulkOptions, BulkOutcome, BulkState, MAX_CHUNK,
};
use taskplane_model::command::{Command, CommandStatus};
use taskplane_model::{TaskEventKind, TaskState};

use super::Subject;
use super::samples::{ENGINE, NOW, Told, audit, batch, default_project, deltas, open, store_batch};
use crate::bulk::{BulkClaimRequest, NewBulkItem, codes};
use crate::retention::Kept;
use crate::tasks::{Page, StoredTask, TaskQuery};
use crate::{AccessStore, BulkStore, CommandStore, RetentionStore, Store};

fn id(task: &StoredTask) -> String {
    task.task_id.clone()
}

/// Stores failed tasks; returns them, oldest first.
async fn failed(store: &impl Store, count: usize) -> Vec<StoredTask> {
    let project = default_project(store).await;
    let stream = open(store, "a", "").await;
    let events: Vec<Told> =
        (0..count).map(|n| Told::new(&format!("t{n:05}"), TaskEventKind::Failed, NOW).named("shop.pay")).collect();
    store_batch(store, batch(project, stream, stream.last_seq + 1, deltas(&events))).await;
    let query = TaskQuery { project, limit: 1_000, ..TaskQuery::default() };
    let mut tasks = store.list_tasks(query).await.expect("can be listed").items;
    tasks.reverse();
    tasks
}

fn new_job(project: u64, id: &str) -> BulkJob {
    let lanes = vec![BulkLane { engine: ENGINE.into(), agents: vec![1], host: None }];
    BulkJob { lanes, ..BulkJob::new(id.into(), project, "tester".into(), BulkOptions::default(), NOW) }
}

fn item(task: &StoredTask) -> NewBulkItem {
    let (engine, task_id) = (task.engine.clone(), task.task_id.clone());
    NewBulkItem { key: task.key, lane: 0, engine, task_id, name: task.record.name.clone() }
}

/// A job that runs, with these tasks.
async fn running(store: &impl Store, id: &str, tasks: &[StoredTask]) -> BulkJob {
    let project = default_project(store).await;
    store.create_bulk_job(new_job(project, id), None, audit("make")).await.expect("is recorded");
    assert!(store.add_bulk_items(project, id, tasks.iter().map(item).collect()).await.expect("are noted"));
    let begun = store.change_bulk_job(project, id, BulkChange::Begin, None, NOW).await.expect("begins");
    let (job, changed) = begun.expect("is there");
    assert!(changed && job.counts.total == tasks.len() as u64);
    job
}

/// Takes tasks in hand; returns their ids.
async fn claim(store: &impl Store, id: &str, command: &str) -> (BulkJob, Vec<String>) {
    let request = BulkClaimRequest { lane: 0, command: command.into() };
    let project = default_project(store).await;
    let claimed = store.claim_bulk_items(project, id, request, NOW.plus(1)).await.expect("works").expect("is there");
    (claimed.0, claimed.1.into_iter().map(|item| item.task_id).collect())
}

async fn settle(store: &impl Store, id: &str, command: &str, ends: Vec<(String, BulkEnd)>) -> BulkJob {
    let project = default_project(store).await;
    store.settle_bulk_claim(project, id, command, ends, NOW.plus(2)).await.expect("works").expect("is there")
}

/// A job is recorded once per key, with its audit entry, and comes back as it was.
pub async fn jobs_are_recorded_once_and_listed<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let key = || Some("key".to_owned());
    let (made, new) = store.create_bulk_job(new_job(project, "j1"), key(), audit("make")).await.expect("is recorded");
    assert_eq!((&made, new), (&new_job(project, "j1"), true));
    let (known, new) = store.create_bulk_job(new_job(project, "j2"), key(), audit("make")).await.expect("is answered");
    assert_eq!((known.id.as_str(), new), ("j1", false));
    assert_eq!(store.bulk_job_with_key(project, "key").await.expect("can be read"), Some(made.clone()));
    assert_eq!(store.bulk_job_with_key(project, "other").await.expect("can be read"), None);
    store.create_bulk_job(new_job(project, "j3"), None, audit("make")).await.expect("is recorded");
    assert_eq!(store.bulk_job(project, "j1").await.expect("can be read"), Some(made));
    assert_eq!(store.bulk_job(project, "j2").await.expect("can be read"), None);
    assert_eq!(store.bulk_job(project + 1, "j1").await.expect("can be read"), None);
    let (first, cursor) = store.bulk_jobs(project, Page { limit: 1, cursor: None }).await.expect("can be listed");
    let (second, end) = store.bulk_jobs(project, Page { limit: 1, cursor }).await.expect("can be listed");
    assert_eq!((first[0].id.as_str(), second[0].id.as_str(), end), ("j3", "j1", None));
    let open = store.open_bulk_jobs().await.expect("can be listed");
    assert_eq!(open.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), ["j1", "j3"]);
    let cancelled = store.change_bulk_job(project, "j1", BulkChange::Cancel, Some(audit("cancel")), NOW).await;
    let (job, changed) = cancelled.expect("works").expect("is there");
    assert_eq!((job.state, changed), (BulkState::Cancelled, true));
    let again = store.change_bulk_job(project, "j1", BulkChange::Cancel, Some(audit("cancel")), NOW).await;
    assert!(!again.expect("works").expect("is there").1);
    assert_eq!(store.open_bulk_jobs().await.expect("can be listed").len(), 1);
    let (entries, _) = store.audit(project, Page { limit: 10, cursor: None }).await.expect("can be read");
    let actions: Vec<_> = entries.iter().map(|entry| entry.what.action.as_str()).collect();
    assert_eq!(actions, ["cancel", "make", "make"], "what changes nothing is not audited");
}

/// Tasks are noted only before a job begins, each once.
pub async fn tasks_are_noted_before_a_job_begins<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let tasks = failed(&store, 3).await;
    store.create_bulk_job(new_job(project, "j"), None, audit("make")).await.expect("is recorded");
    for _ in 0..2 {
        assert!(store.add_bulk_items(project, "j", tasks.iter().map(item).collect()).await.expect("are noted"));
    }
    assert_eq!(claim(&store, "j", "c1").await.1, Vec::<String>::new(), "it has not begun");
    let begun = store.change_bulk_job(project, "j", BulkChange::Begin, None, NOW).await.expect("begins");
    assert_eq!(begun.expect("is there").0.counts.total, 3);
    assert!(!store.add_bulk_items(project, "j", tasks.iter().map(item).collect()).await.expect("is answered"));
    let page = |cursor| Page { limit: 2, cursor };
    let (first, cursor) = store.bulk_items(project, "j", None, page(None)).await.expect("can be listed");
    let (second, end) = store.bulk_items(project, "j", None, page(cursor)).await.expect("can be listed");
    let ids: Vec<_> = first.iter().chain(&second).map(|item| item.task_id.clone()).collect();
    assert_eq!((ids, end), (tasks.iter().map(id).collect(), None));
    assert_eq!((first[0].state, first[0].name.as_deref()), (BulkItemState::Waiting, Some("shop.pay")));
}

/// Each task is taken in hand once, oldest first; ends are noted once, and what was certainly not sent waits again.
pub async fn tasks_are_claimed_and_settled_once<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let tasks = failed(&store, MAX_CHUNK as usize + 4).await;
    running(&store, "j", &tasks).await;
    let (job, first) = claim(&store, "j", "c1").await;
    assert_eq!((first.len(), &first[0], job.claims.len()), (MAX_CHUNK as usize, &tasks[0].task_id, 1));
    let (_, second) = claim(&store, "j", "c2").await;
    assert_eq!(second, tasks[100..].iter().map(id).collect::<Vec<_>>());
    assert!(claim(&store, "j", "c3").await.1.is_empty());
    let end = |at: usize, end| (id(&tasks[at]), end);
    let ends = || {
        vec![
            end(100, BulkEnd::Accepted("n100".into())),
            end(101, BulkEnd::Refused("not_found".into(), Some("not there".into()))),
            end(102, BulkEnd::Again),
        ]
    };
    let job = settle(&store, "j", "c2", ends()).await;
    let counts = &job.counts;
    assert_eq!((counts.waiting, counts.claimed, counts.accepted, counts.unknown), (1, 100, 1, 1));
    assert_eq!(counts.refused.get("not_found"), Some(&1));
    assert_eq!(settle(&store, "j", "c2", ends()).await, job, "answers count once");
    assert_eq!(settle(&store, "j", "nobody's", ends()).await, job);
    let items = async |state| store.bulk_items(project, "j", Some(state), Page { limit: 500, cursor: None }).await;
    let refused = items(BulkItemState::Refused).await.expect("can be listed").0;
    assert_eq!((refused.len(), refused[0].message.as_deref()), (1, Some("not there")));
    let unknown = items(BulkItemState::Unknown).await.expect("can be listed").0;
    assert_eq!((&unknown[0].task_id, unknown[0].code.as_deref()), (&tasks[103].task_id, Some("not_answered")));
    assert_eq!(claim(&store, "j", "c4").await.1, [id(&tasks[102])]);
    drop(store);
    let store = subject.open().await;
    let again = store.bulk_job(project, "j").await.expect("can be read").expect("is there");
    assert_eq!((again.counts.claimed, again.claims.len()), (101, 2), "a restart changes nothing");
}

/// What was retried, has changed, or is in the hands of another job is refused when its turn comes.
pub async fn no_task_is_taken_twice<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let tasks = failed(&store, 6).await;
    running(&store, "first", &tasks[..2]).await;
    running(&store, "second", &tasks).await;
    let keys: Vec<i64> = tasks.iter().map(|task| task.key).collect();
    let mut found = store.in_bulk_jobs(project, keys.clone()).await.expect("can be read");
    found.sort_unstable();
    assert_eq!(found, keys, "they are in jobs that are open");
    assert_eq!(claim(&store, "first", "c1").await.1, [id(&tasks[0]), id(&tasks[1])]);
    settle(&store, "first", "c1", vec![(id(&tasks[1]), BulkEnd::Accepted("n1".into()))]).await;

    let command = |id: &str, task: &str, status| Command {
        id: id.to_owned(),
        cmd: "retry_task".into(),
        args: serde_json::json!({}),
        agent: None,
        status,
        result: None,
        error: None,
        message: None,
        created_at: NOW,
        finished_at: None,
        created_by: "tester".into(),
        task_id: Some(task.to_owned()),
    };
    store
        .create_command(project, command("c2", &tasks[2].task_id, CommandStatus::Pending), None)
        .await
        .expect("is recorded");
    let done = taskplane_model::command::CommandOutcome::failed("x", "x");
    let retried = vec![(ENGINE.to_owned(), id(&tasks[2]), "n2".to_owned())];
    store.finish_command(project, "c2", done, retried, NOW).await.expect("is ended");
    store
        .create_command(project, command("c3", &tasks[3].task_id, CommandStatus::Unknown), None)
        .await
        .expect("is recorded");
    let stream = open(&store, "a", "").await;
    let late = Told { attempt: Some(1), ..Told::new(&tasks[4].task_id, TaskEventKind::Succeeded, NOW.plus(1)) };
    store_batch(&store, batch(project, stream, stream.last_seq + 1, deltas(&[late]))).await;

    let (job, ids) = claim(&store, "second", "c4").await;
    assert_eq!(ids, [id(&tasks[5])]);
    let refused: Vec<_> = job.counts.refused.iter().map(|(code, count)| (code.as_str(), *count)).collect();
    assert_eq!(
        refused,
        [(codes::ALREADY_RETRIED, 1), (codes::IN_ANOTHER_JOB, 2), (codes::MAYBE_RETRIED, 1), (codes::STATE_CHANGED, 1)]
    );
    let page = Page { limit: 10, cursor: None };
    let (items, _) = store.bulk_items(project, "second", Some(BulkItemState::Refused), page).await.expect("is listed");
    assert_eq!(items.len(), 5);
}

/// Ends of retried tasks are found and counted once.
pub async fn ends_of_retried_tasks_count_once<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let tasks = failed(&store, 3).await;
    running(&store, "j", &tasks).await;
    claim(&store, "j", "c1").await;
    let accepted = |at: usize| (id(&tasks[at]), BulkEnd::Accepted(format!("n{at}")));
    let ends = (0..3).map(accepted).collect();
    assert_eq!(settle(&store, "j", "c1", ends).await.counts.awaited(), 3);
    let stream = open(&store, "a", "").await;
    let events = [Told::new("n0", TaskEventKind::Succeeded, NOW), Told::new("n1", TaskEventKind::Started, NOW)];
    store_batch(&store, batch(project, stream, stream.last_seq + 1, deltas(&events))).await;
    let awaited = store.awaited_bulk_items(project, "j", i64::MIN, 10).await.expect("can be read");
    let states: Vec<_> = awaited.iter().map(|item| item.state).collect();
    assert_eq!(states, [Some(TaskState::Succeeded), Some(TaskState::Started), None]);
    let rest = store.awaited_bulk_items(project, "j", awaited[1].key, 10).await.expect("can be read");
    assert_eq!(rest, awaited[2..]);
    for _ in 0..2 {
        let outcomes = vec![(awaited[0].key, BulkOutcome::Succeeded), (awaited[1].key, BulkOutcome::Failed)];
        let noted = store.note_bulk_outcomes(project, "j", outcomes, NOW.plus(3)).await.expect("works");
        let job = noted.expect("is there");
        assert_eq!((job.counts.succeeded, job.counts.failed, job.state), (1, 1, BulkState::Running));
    }
    let last = vec![(awaited[2].key, BulkOutcome::Revoked)];
    let job = store.note_bulk_outcomes(project, "j", last, NOW.plus(4)).await.expect("works").expect("is there");
    assert_eq!((job.state, job.finished_at), (BulkState::Finished, Some(NOW.plus(4))));
    assert!(store.open_bulk_jobs().await.expect("can be read").is_empty());
}

/// What a cancelled job has not sent is anybody's again, also while ends of what it has sent are waited for.
pub async fn what_a_cancelled_job_has_not_sent_is_free<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let tasks = failed(&store, MAX_CHUNK as usize + 1).await;
    running(&store, "j", &tasks).await;
    claim(&store, "j", "c1").await;
    settle(&store, "j", "c1", vec![(id(&tasks[0]), BulkEnd::Accepted("n0".into()))]).await;
    store.change_bulk_job(project, "j", BulkChange::Cancel, None, NOW).await.expect("is cancelled");
    let open = store.open_bulk_jobs().await.expect("can be read");
    assert_eq!((open.len(), open[0].state), (1, BulkState::Cancelled));
    let keys = vec![tasks[0].key, tasks[100].key];
    assert_eq!(store.in_bulk_jobs(project, keys).await.expect("can be read"), [tasks[0].key]);
    running(&store, "k", &tasks[100..]).await;
    assert_eq!(claim(&store, "k", "c2").await.1, [id(&tasks[100])]);
}

/// Jobs that have ended are dropped with what people did, and their tasks with them.
pub async fn old_jobs_are_dropped<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let tasks = failed(&store, 5).await;
    running(&store, "old", &tasks[..4]).await;
    running(&store, "open", &tasks[4..]).await;
    store.change_bulk_job(project, "old", BulkChange::Cancel, None, NOW).await.expect("is cancelled");
    while store.drop_before(Kept::Records, NOW.plus(1), 2).await.expect("drops").more {}
    assert_eq!(store.bulk_job(project, "old").await.expect("can be read"), None);
    assert!(store.bulk_job(project, "open").await.expect("can be read").is_some());
    let page = Page { limit: 10, cursor: None };
    assert_eq!(store.bulk_items(project, "open", None, page).await.expect("can be listed").0.len(), 1);
}
