//! Text from outside, whatever it has in it.

use std::collections::BTreeSet;

use taskplane_model::TaskEventKind;
use taskplane_model::command::{Command, CommandStatus};
use taskplane_model::filter::{Pattern, TaskFilter};
use taskplane_model::fleet::{Queue, Worker, WorkerFacts, WorkerSign};

use super::Subject;
use super::samples::{ENGINE, NOW, Told, batch, default_project, deltas, open, store_batch};
use crate::commands::CommandQuery;
use crate::ingest::Quarantined;
use crate::tasks::{Page, TaskQuery};
use crate::{AccessStore, CommandStore, FleetStore, TaskStore};

/// Texts that databases and their drivers are known to trip over.
const ODD: [&str; 6] = ["a\0b", "\0", "\u{F0000}0", "'; DROP TABLE tasks; --", "100%_\\", "🦀\u{202e}ü"];

/// Every text comes back as it was, and no two texts are taken for one.
pub async fn every_text_comes_back_as_it_was<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let mut streams = Vec::new();
    for (seq, odd) in (1..).zip(ODD) {
        let stream = open(&store, &format!("agent {odd}"), odd).await;
        streams.push(stream.stream);
        let text = Some(odd.to_owned());
        let told = Told {
            queue: text.clone(),
            worker: text.clone(),
            kwargs: text.clone(),
            exception: text.clone(),
            root: text.clone(),
            ..Told::new(odd, TaskEventKind::Failed, NOW.plus(seq)).named(odd)
        };
        let mut one = batch(project, stream, 1, deltas(&[told]));
        let (last_seen_at, agent) = (NOW, stream.agent);
        let sign = WorkerSign::Online;
        let facts = WorkerFacts::default();
        one.workers = vec![Worker { name: odd.into(), engine: ENGINE.into(), sign, last_seen_at, facts, agent }];
        one.queues =
            vec![Queue { name: odd.into(), engine: ENGINE.into(), sampled_at: NOW, agent, ..Queue::default() }];
        one.quarantined = vec![Quarantined { raw: odd.into(), reason: odd.into() }];
        store_batch(&store, one).await;
        let command = Command {
            id: format!("c{seq}"),
            cmd: odd.into(),
            args: serde_json::json!({ "text": odd }),
            agent: text.clone(),
            status: CommandStatus::Failed,
            result: Some(serde_json::json!([odd])),
            error: text.clone(),
            message: text.clone(),
            created_at: NOW,
            finished_at: Some(NOW),
            created_by: odd.into(),
            task_id: text.clone(),
        };
        let (made, _) = store.create_command(project, command.clone(), text).await.expect("is recorded");
        assert_eq!(store.command(project, &made.id).await.expect("can be read"), Some(command.clone()));
        let page = Page { limit: 10, cursor: None };
        let query = CommandQuery { task_id: Some(odd.into()), inquiries: false };
        assert_eq!(store.commands(project, query, page).await.expect("can be read").0, [command]);
    }
    streams.sort_unstable();
    streams.dedup();
    assert_eq!(streams.len(), ODD.len());
    for odd in ODD {
        let task = store.task(project, ENGINE, odd).await.expect("can be read").expect("is stored");
        let record = &task.record;
        assert_eq!(
            (task.task_id.as_str(), record.name.as_deref(), record.kwargs.as_deref()),
            (odd, Some(odd), Some(odd))
        );
        assert_eq!((record.task().queue(), record.task().worker()), (Some(odd), Some(odd)));
        assert_eq!(task.agent, Some(format!("agent {odd}")));
        let filter = TaskFilter { names: vec![Pattern(odd.to_owned())], ..TaskFilter::default() };
        let query = TaskQuery { project, filter, limit: 10, cursor: None };
        assert_eq!(store.list_tasks(query).await.expect("can be read").items, [task], "{odd:?}");
    }
    let odd: BTreeSet<&str> = ODD.into();
    let workers = store.workers(project).await.expect("can be read");
    assert_eq!(workers.iter().map(|(worker, _)| worker.name.as_str()).collect::<BTreeSet<_>>(), odd);
    let queues = store.queues(project).await.expect("can be read");
    assert_eq!(queues.iter().map(|(queue, _)| queue.name.as_str()).collect::<BTreeSet<_>>(), odd);
    let (events, _) = store.quarantine(project, Page { limit: 10, cursor: None }).await.expect("can be read");
    let seen: Vec<_> = events.iter().rev().map(|event| (event.raw.as_str(), event.reason.as_str())).collect();
    assert_eq!(seen, ODD.map(|odd| (odd, odd)));
    let (audit, _) = store.audit(project, Page { limit: 10, cursor: None }).await.expect("can be read");
    let seen: Vec<_> =
        audit.iter().rev().map(|entry| (entry.what.actor.as_str(), entry.what.target.as_deref())).collect();
    assert_eq!(seen, ODD.map(|odd| (odd, Some(odd))));
}

/// What is listed by name is sorted by the bytes of the names, whatever language the database speaks.
pub async fn names_are_sorted_by_their_bytes<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    for name in ["b", "a-2", "Z", "ä", "a_1", "B", "a1"] {
        open(&store, name, "").await;
    }
    let agents = store.agents(project).await.expect("can be read");
    let names: Vec<_> = agents.iter().map(|agent| agent.name.as_str()).collect();
    assert_eq!(names, ["B", "Z", "a-2", "a1", "a_1", "b", "ä"]);
}
