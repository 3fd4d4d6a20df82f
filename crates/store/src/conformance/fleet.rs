//! Agents, workers and queues.

use std::collections::BTreeMap;

use taskplane_model::agent::BufferReport;
use taskplane_model::fleet::{Queue, Worker, WorkerFacts, WorkerSign};
use taskplane_model::schedule::Schedule;

use super::Subject;
use super::samples::{ENGINE, NOW, batch, default_project, open, store_batch};
use crate::fleet::{Heard, SchedulesTold};
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

fn told(project: u64, agent: u64, full: bool, schedules: &[(&str, &str)], removed: &[&str]) -> SchedulesTold {
    let schedule = |(id, expression): &(&str, &str)| Schedule {
        id: (*id).to_owned(),
        expression: Some((*expression).to_owned()),
        kwargs_redacted: Some(serde_json::json!({ "to": "<email>" })),
        next_run_at: Some(NOW.plus(60)),
        ..Schedule::default()
    };
    SchedulesTold {
        project,
        agent,
        scheduler: "celery-beat".into(),
        full,
        schedules: schedules.iter().map(schedule).collect(),
        removed: removed.iter().map(|id| (*id).to_owned()).collect(),
    }
}

async fn schedules<S: FleetStore>(store: &S, project: u64) -> Vec<(String, String, String)> {
    let schedules = store.schedules(project).await.expect("can be read");
    let shown = |s: crate::fleet::StoredSchedule| (s.agent, s.schedule.id, s.schedule.expression.unwrap_or_default());
    schedules.into_iter().map(shown).collect()
}

fn entry(agent: &str, id: &str, expression: &str) -> (String, String, String) {
    (agent.to_owned(), id.to_owned(), expression.to_owned())
}

/// A full word on a scheduler replaces what was told before; a change adds, changes and removes single schedules. Both may come
/// twice.
pub async fn schedules_are_replaced_whole_or_changed_one_by_one<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let agent = open(&store, "a", "").await.agent;
    let keep = async |told: SchedulesTold, at: i64| {
        store.keep_schedules(told.clone(), NOW.plus(at)).await.expect("is kept");
        store.keep_schedules(told, NOW.plus(at)).await.expect("is kept again");
    };
    keep(told(project, agent, true, &[("report", "1d"), ("clean", "5m")], &[]), 0).await;
    keep(told(project, agent, false, &[("clean", "10m"), ("ping", "30s")], &["report", "unknown"]), 1).await;
    assert_eq!(schedules(&store, project).await, [entry("a", "clean", "10m"), entry("a", "ping", "30s")]);
    let one = &store.schedules(project).await.expect("can be read")[0];
    assert_eq!((one.scheduler.as_str(), one.synced_at), ("celery-beat", NOW.plus(1)));
    assert_eq!(one.schedule, told(project, agent, true, &[("clean", "10m")], &[]).schedules[0]);
    let twice = [("once", "1h"), ("once", "2h")];
    keep(told(project, agent, true, &twice, &[]), 2).await;
    assert_eq!(schedules(&store, project).await, [entry("a", "once", "2h")]);
    keep(told(project, agent, true, &[], &[]), 3).await;
    assert!(schedules(&store, project).await.is_empty());
    assert!(store.schedules(project + 1).await.expect("can be read").is_empty());
}

/// Two agents beside two deployments may each have a scheduler of the same name.
pub async fn each_agent_tells_of_its_own_schedules<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let (b, a) = (open(&store, "b", "").await.agent, open(&store, "a", "").await.agent);
    store.keep_schedules(told(project, a, true, &[("x", "1m")], &[]), NOW).await.expect("is kept");
    store.keep_schedules(told(project, b, true, &[("x", "2m")], &[]), NOW).await.expect("is kept");
    assert_eq!(schedules(&store, project).await, [entry("a", "x", "1m"), entry("b", "x", "2m")]);
    store.keep_schedules(told(project, a, true, &[], &[]), NOW).await.expect("is kept");
    assert_eq!(schedules(&store, project).await, [entry("b", "x", "2m")]);
}
