//! Agents, workers and queues.

use std::collections::BTreeMap;

use taskplane_model::agent::BufferReport;
use taskplane_model::fleet::{Queue, Worker, WorkerFacts, WorkerSign};

use super::Subject;
use super::samples::{ENGINE, NOW, batch, default_project, open, store_batch};
use crate::fleet::Heard;
use crate::{FleetStore, IngestStore};

/// An agent shows what it said last, and when it was heard.
pub async fn agents_show_their_latest_word<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let (b, a) = (open(&store, "b", "").await, open(&store, "a", "").await);
    let buffer = BufferReport { events: 5, bytes: 900, oldest_ts: Some(NOW), dropped: 1 };
    let adapters = BTreeMap::from([("celery".to_owned(), "ok".to_owned())]);
    let heard = |agent, after, told: bool| Heard {
        agent,
        at: NOW.plus(after),
        buffer: told.then(|| buffer.clone()),
        adapters: told.then(|| adapters.clone()),
    };
    // A silent heartbeat does not take back what was said, and a late one does not set the clock back.
    let all = vec![heard(a.agent, 10, true), heard(a.agent, 30, false), heard(a.agent, 20, false)];
    store.note_heard(all).await.expect("is noted");
    let agents = store.agents(project).await.expect("can be read");
    let names: Vec<_> = agents.iter().map(|agent| agent.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let shown = &agents[0];
    assert_eq!((shown.id, shown.last_seen_at, shown.first_seen_at), (a.agent, NOW.plus(30), NOW));
    assert_eq!((shown.buffer.as_ref(), &shown.adapters), (Some(&buffer), &adapters));
    assert_eq!(
        (shown.profile.framework.as_deref(), shown.profile.engines.as_slice()),
        (Some("django"), &[ENGINE.to_owned()][..])
    );
    assert_eq!((agents[1].id, agents[1].buffer.as_ref()), (b.agent, None));
    assert!(store.agents(project + 1).await.expect("can be read").is_empty());
}

/// Words on one worker and samples of one queue merge, in one batch and in several, whoever told.
pub async fn workers_and_queues_merge<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let (a, b) = (open(&store, "a", "").await, open(&store, "b", "").await);
    let worker = |name: &str, sign, at, active, agent| Worker {
        name: name.to_owned(),
        engine: ENGINE.to_owned(),
        sign,
        last_seen_at: NOW.plus(at),
        facts: WorkerFacts { active, ..WorkerFacts::default() },
        agent,
    };
    let queue = |depth, at, agent| Queue {
        name: "q".into(),
        engine: ENGINE.to_owned(),
        depth: Some(depth),
        sampled_at: NOW.plus(at),
        agent,
        ..Queue::default()
    };
    let mut one = batch(project, a, 1, Vec::new());
    one.workers = vec![
        worker("w2", WorkerSign::Online, 0, None, a.agent),
        worker("w1", WorkerSign::Online, 5, Some(1), a.agent),
        worker("w1", WorkerSign::Heartbeat, 3, Some(9), a.agent),
    ];
    one.queues = vec![queue(7, 5, a.agent), queue(3, 1, a.agent)];
    store_batch(&store, one).await;
    let mut two = batch(project, b, 1, Vec::new());
    two.workers = vec![worker("w1", WorkerSign::Offline, 9, None, b.agent)];
    two.queues = vec![queue(4, 4, b.agent)];
    store_batch(&store, two).await;
    let workers = store.workers(project).await.expect("can be read");
    let seen: Vec<_> = workers
        .iter()
        .map(|(w, agent)| (w.name.as_str(), w.sign, w.last_seen_at, w.facts.active, agent.as_str()))
        .collect();
    assert_eq!(
        seen,
        [("w1", WorkerSign::Offline, NOW.plus(9), Some(1), "b"), ("w2", WorkerSign::Online, NOW, None, "a"),]
    );
    let queues = store.queues(project).await.expect("can be read");
    let seen: Vec<_> = queues.iter().map(|(q, agent)| (q.name.as_str(), q.depth, agent.as_str())).collect();
    assert_eq!(seen, [("q", Some(7), "a")]);
}
