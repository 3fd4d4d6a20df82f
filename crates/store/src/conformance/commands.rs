//! Commands: recorded once, ended once.

use taskplane_model::command::{BRAIN, Command, CommandOutcome, CommandStatus, INQUIRY};
use taskplane_model::time::MINUTE;
use taskplane_model::{TaskEventKind, TaskState};

use super::Subject;
use super::samples::{ENGINE, NOW, Told, batch, default_project, deltas, open, store_batch};
use crate::commands::CommandQuery;
use crate::stats::StatsQuery;
use crate::tasks::Page;
use crate::{AccessStore, CommandStore, StatisticsStore, TaskStore};

fn command(id: &str, task: Option<&str>) -> Command {
    Command {
        id: id.to_owned(),
        cmd: "retry_task".into(),
        args: serde_json::json!({"task_id": task}),
        agent: None,
        status: CommandStatus::Pending,
        result: None,
        error: None,
        message: None,
        created_at: NOW,
        finished_at: None,
        created_by: "tester".into(),
        task_id: task.map(str::to_owned),
    }
}

fn done() -> CommandOutcome {
    let result = Some(serde_json::json!({"new_task_id": "t2"}));
    CommandOutcome { status: CommandStatus::Succeeded, result, error: None, message: Some("done".into()) }
}

/// A command goes from pending to sent to its end; whatever comes after the end changes nothing.
pub async fn commands_begin_and_end_once<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let (made, new) = store.create_command(project, command("c1", Some("t1")), None).await.expect("is recorded");
    assert_eq!((made, new), (command("c1", Some("t1")), true));
    assert!(store.command_sent(project, "c1", "agent-1").await.expect("is noted"));
    assert!(!store.command_sent(project, "c1", "agent-2").await.expect("is answered"), "a command is sent once");
    let sent = store.command(project, "c1").await.expect("can be read").expect("is there");
    assert_eq!((sent.status, sent.agent.as_deref()), (CommandStatus::Sent, Some("agent-1")));
    let ended = store.finish_command(project, "c1", done(), Vec::new(), NOW.plus(5)).await.expect("is ended");
    let ended = ended.expect("is there");
    assert_eq!((ended.status, ended.finished_at), (CommandStatus::Succeeded, Some(NOW.plus(5))));
    assert_eq!((&ended.result, ended.message.as_deref()), (&done().result, Some("done")));
    let failed = CommandOutcome::failed("too_late", "too late");
    let again = store.finish_command(project, "c1", failed, Vec::new(), NOW.plus(9)).await.expect("is answered");
    assert_eq!(again.as_ref(), Some(&ended));
    assert!(!store.command_sent(project, "c1", "agent-2").await.expect("is answered"));
    assert_eq!(store.command(project, "c1").await.expect("can be read"), Some(ended));
    assert_eq!(store.finish_command(project, "c2", done(), Vec::new(), NOW).await.expect("is answered"), None);
    assert_eq!(store.command(project + 1, "c1").await.expect("can be read"), None);
    let (audit, _) = store.audit(project, Page { limit: 10, cursor: None }).await.expect("can be read");
    let entry = audit.iter().find(|entry| entry.command_id.as_deref() == Some("c1")).expect("is recorded");
    assert_eq!((entry.what.actor.as_str(), entry.what.action.as_str(), entry.at), ("tester", "retry_task", NOW));
    assert_eq!(entry.what.target.as_deref(), Some("t1"));
}

/// A second command with a used key is not recorded; the first comes back.
pub async fn an_idempotency_key_is_used_once<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let key = || Some("key".to_owned());
    store.create_command(project, command("c1", None), key()).await.expect("is recorded");
    let (known, new) = store.create_command(project, command("c2", None), key()).await.expect("is answered");
    assert_eq!((known.id.as_str(), new), ("c1", false));
    assert_eq!(store.command(project, "c2").await.expect("can be read"), None);
    let (_, new) = store.create_command(project, command("c3", None), None).await.expect("is recorded");
    assert!(new);
    let (audit, _) = store.audit(project, Page { limit: 10, cursor: None }).await.expect("can be read");
    assert_eq!(audit.len(), 2, "what was not recorded is not audited");
}

/// A retried task and its successor name each other, also while the successor's own events are there already.
pub async fn retries_link_both_ways<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    let events = [Told::new("t1", TaskEventKind::Failed, NOW), Told::new("t2", TaskEventKind::Started, NOW.plus(10))];
    store_batch(&store, batch(project, stream, 1, deltas(&events))).await;
    store.create_command(project, command("c1", Some("t1")), None).await.expect("is recorded");
    let retried = vec![(ENGINE.to_owned(), "t1".to_owned(), "t2".to_owned())];
    store.finish_command(project, "c1", done(), retried, NOW.plus(20)).await.expect("is ended");
    let old = store.task(project, ENGINE, "t1").await.expect("can be read").expect("is stored");
    assert_eq!(old.record.retried_as.map(|new| new.value).as_deref(), Some("t2"));
    let new = store.task(project, ENGINE, "t2").await.expect("can be read").expect("is stored");
    assert_eq!((new.record.retry_of.as_deref(), new.record.marks.len()), (Some("t1"), 1));
    for start in ["t1", "t2"] {
        let tree = store.task_tree(project, ENGINE, start, 10).await.expect("can be read").expect("is known");
        assert_eq!(tree.tasks.len(), 2, "from {start}");
    }
    // A command that has ended links nothing any more.
    let retried = vec![(ENGINE.to_owned(), "t1".to_owned(), "t3".to_owned())];
    store.finish_command(project, "c1", done(), retried, NOW.plus(30)).await.expect("is answered");
    assert_eq!(store.task(project, ENGINE, "t3").await.expect("can be read"), None);
}

/// A successor that nobody has told of yet is entered as sent; its own events merge with that.
pub async fn retried_tasks_that_are_not_known_are_entered<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    store_batch(&store, batch(project, stream, 1, deltas(&[Told::new("t1", TaskEventKind::Failed, NOW)]))).await;
    store.create_command(project, command("c1", Some("t1")), None).await.expect("is recorded");
    let pair = |old: &str, new: &str| (ENGINE.to_owned(), old.to_owned(), new.to_owned());
    let retried = vec![pair("t1", "t2"), pair("forgotten", "t9")];
    store.finish_command(project, "c1", done(), retried, NOW.plus(20)).await.expect("is ended");
    let new = store.task(project, ENGINE, "t2").await.expect("can be read").expect("is entered");
    let task = new.record.task();
    assert_eq!((task.state, task.current().sent_at), (TaskState::Pending, Some(NOW.plus(20))));
    assert_eq!(new.record.retry_of.as_deref(), Some("t1"));
    assert_eq!(store.task(project, ENGINE, "forgotten").await.expect("can be read"), None);
    let query = StatsQuery {
        project,
        since: NOW.plus(-MINUTE),
        until: NOW.plus(MINUTE),
        step_minutes: 10,
        name: None,
        queue: None,
    };
    let points = store.stats(query).await.expect("can be read");
    assert_eq!(points.iter().map(|point| point.rollup.sent).sum::<i64>(), 2);
    let own = Told::new("t2", TaskEventKind::Started, NOW.plus(40)).named("shop.pay");
    store_batch(&store, batch(project, stream, 2, deltas(&[own]))).await;
    let new = store.task(project, ENGINE, "t2").await.expect("can be read").expect("is stored");
    assert_eq!((new.record.task().state, new.record.name.as_deref()), (TaskState::Started, Some("shop.pay")));
    assert_eq!(new.record.retry_of.as_deref(), Some("t1"));
}

/// After a restart, what had not been sent has failed, and what had been sent is unknown.
pub async fn open_commands_are_abandoned<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    for id in ["pending", "sent", "ended"] {
        store.create_command(project, command(id, None), None).await.expect("is recorded");
    }
    store.command_sent(project, "sent", "a").await.expect("is noted");
    store.finish_command(project, "ended", done(), Vec::new(), NOW).await.expect("is ended");
    assert_eq!(store.abandon_open_commands(NOW.plus(7)).await.expect("works"), 2);
    assert_eq!(store.abandon_open_commands(NOW.plus(8)).await.expect("works"), 0);
    let mut seen = Vec::new();
    for id in ["pending", "sent", "ended"] {
        let command = store.command(project, id).await.expect("can be read").expect("is there");
        seen.push((command.status, command.finished_at));
    }
    let at = Some(NOW.plus(7));
    assert_eq!(
        seen,
        [(CommandStatus::Failed, at), (CommandStatus::Unknown, at), (CommandStatus::Succeeded, Some(NOW))]
    );
}

/// Commands come newest first, by page, and by task.
pub async fn commands_come_in_pages<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    for number in 0..10 {
        let task = format!("t{}", number % 2);
        store.create_command(project, command(&format!("c{number}"), Some(&task)), None).await.expect("is recorded");
    }
    for (task, expected) in [
        (None, vec!["c9", "c8", "c7", "c6", "c5", "c4", "c3", "c2", "c1", "c0"]),
        (Some("t1"), vec!["c9", "c7", "c5", "c3", "c1"]),
    ] {
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let page = Page { limit: 3, cursor };
            let query = CommandQuery { task_id: task.map(str::to_owned), inquiries: false };
            let (commands, next) = store.commands(project, query, page).await.expect("can be read");
            assert!(commands.len() <= 3 && !commands.is_empty());
            seen.extend(commands.into_iter().map(|command| command.id));
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected);
    }
}

/// What the brain asks by itself is nobody's deed: it is in no list and no audit, and is forgotten when it has been answered.
pub async fn the_brains_own_questions_stay_out_of_the_way<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let by_the_brain = |id: &str| Command { cmd: INQUIRY.into(), created_by: BRAIN.into(), ..command(id, Some("t1")) };
    let inquiry = by_the_brain("inquiry");
    let (made, is_new) = store.create_command(project, inquiry.clone(), None).await.expect("is recorded");
    assert_eq!((made, is_new), (inquiry.clone(), true));
    let asked = Command { cmd: INQUIRY.into(), ..command("asked", Some("t1")) };
    store.create_command(project, asked.clone(), None).await.expect("is recorded");
    for task_id in [None, Some("t1")] {
        let list = async |inquiries: bool| {
            let query = CommandQuery { task_id: task_id.map(str::to_owned), inquiries };
            store.commands(project, query, Page { limit: 10, cursor: None }).await.expect("can be read").0
        };
        assert_eq!(list(false).await, std::slice::from_ref(&asked));
        assert_eq!(list(true).await, [asked.clone(), inquiry.clone()]);
    }
    let (audit, _) = store.audit(project, Page { limit: 10, cursor: None }).await.expect("can be read");
    assert!(audit.iter().all(|entry| entry.command_id.as_deref() == Some("asked")), "{audit:?}");

    let is_kept = async |id: &str| store.command(project, id).await.expect("can be read").is_some();
    store.forget_inquiry(project, "inquiry").await.expect("is taken");
    assert!(is_kept("inquiry").await, "it has not been answered");
    for id in ["inquiry", "asked"] {
        store.finish_command(project, id, done(), Vec::new(), NOW).await.expect("is ended");
        store.forget_inquiry(project + 1, id).await.expect("is taken");
        assert!(is_kept(id).await, "it is of another project");
        store.forget_inquiry(project, id).await.expect("is taken");
    }
    assert_eq!((is_kept("inquiry").await, is_kept("asked").await), (false, true));
}
