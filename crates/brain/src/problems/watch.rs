//! What this brain remembers of the workers and queues of each project, and how it comes to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use taskplane_model::filter::{Pattern, TaskFilter};
use taskplane_model::fleet::{Queue, Worker};
use taskplane_model::{TaskState, Timestamp};
use taskplane_store::StoreError;
use taskplane_store::tasks::{StoredTask, TaskQuery};

use super::consumption::is_online;
use super::far_etas::{self, FarEtas, visibility_timeout};
use super::idle::{Counted, Idle, Key, Memory};
use super::unheard;
use crate::brain::Brain;
use crate::live::Topic;

/// Tasks with a worker that are looked at for far ETAs, newest first …
const PAGE: usize = 500;
/// … in so many pages.
const PAGES: usize = 4;
/// Workers whose events are looked for at once.
const LOOKED_FOR: usize = 10;
/// Tasks of each of them that are looked at.
const TASKS: usize = 50;

/// What is remembered of all projects.
#[derive(Default)]
pub(crate) struct Watches(Mutex<BTreeMap<u64, Watch>>);

/// What is remembered of a project.
#[derive(Default)]
pub(super) struct Watch {
    memory: Memory,
    idle: BTreeSet<Key>,
    unheard: BTreeSet<Key>,
    far_etas: BTreeMap<Key, FarEtas>,
}

impl Watch {
    pub(super) fn idle(&self, worker: &Worker, now: Timestamp) -> Option<Idle> {
        self.memory.idle(worker, now)
    }

    /// How many tasks a worker has begun of which nothing was heard.
    pub(super) fn unheard(&self, worker: &Worker, now: Timestamp) -> Option<Counted> {
        self.memory.counted(worker, now).filter(|_| self.unheard.contains(&key(worker)))
    }

    pub(super) fn far_etas(&self, worker: &Worker) -> Option<&FarEtas> {
        self.far_etas.get(&key(worker))
    }
}

impl Watches {
    /// What shows that a worker begins nothing though messages wait for it.
    pub(crate) fn idle(&self, project: u64, worker: &Worker, now: Timestamp) -> Option<Idle> {
        self.lock().get(&project)?.idle(worker, now)
    }

    /// Asks something of what is remembered of a project.
    pub(super) fn with<T>(&self, project: u64, ask: impl FnOnce(&Watch) -> T) -> T {
        match self.lock().get(&project) {
            Some(watch) => ask(watch),
            None => ask(&Watch::default()),
        }
    }

    /// Forgets projects that are not among these.
    pub(crate) fn keep(&self, projects: &BTreeSet<u64>) {
        self.lock().retain(|project, _| projects.contains(project));
    }

    /// Takes in what is known now. True when other workers begin nothing than before.
    fn see(&self, project: u64, workers: &[Worker], queues: &[Queue], now: Timestamp) -> bool {
        let mut all = self.lock();
        let watch = all.entry(project).or_default();
        watch.memory.see(workers, queues, now);
        let idle = workers.iter().filter(|worker| watch.memory.idle(worker, now).is_some()).map(key).collect();
        let is_news = watch.idle != idle;
        watch.idle = idle;
        is_news
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Watch>> {
        // What is lost by a panic elsewhere is seen again.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(worker: &Worker) -> Key {
    (worker.engine.clone(), worker.name.clone())
}

/// One look at the workers and queues of a project.
///
/// # Errors
/// When the store cannot be read; what was not seen is not held against anybody.
pub async fn look_on(brain: &Brain, project: u64, now: Timestamp) -> Result<(), StoreError> {
    let workers: Vec<Worker> = brain.store.workers(project).await?.into_iter().map(|(worker, _)| worker).collect();
    let queues: Vec<Queue> = brain.store.queues(project).await?.into_iter().map(|(queue, _)| queue).collect();
    if brain.watches.see(project, &workers, &queues, now) {
        brain.live.note_uncounted(project, Topic::Workers, 1);
    }
    Ok(())
}

/// Looks for what has to be searched for among tasks.
///
/// # Errors
/// When the store cannot be read; the next look makes up for it.
pub async fn look_closer(brain: &Brain, project: u64, now: Timestamp) -> Result<(), StoreError> {
    let workers: Vec<Worker> = brain.store.workers(project).await?.into_iter().map(|(worker, _)| worker).collect();
    let far_etas = find_far_etas(brain, project, &workers, now).await?;
    let mut unheard = BTreeSet::new();
    for (worker, counted) in silent_workers(brain, project, &workers, now) {
        let tasks = tasks_of(brain, project, worker).await?;
        if unheard::was_heard(&tasks, &worker.name, counted.since) {
            brain.watches.lock().entry(project).or_default().memory.count_anew(&key(worker), now);
        } else {
            unheard.insert(key(worker));
        }
    }
    let mut all = brain.watches.lock();
    let watch = all.entry(project).or_default();
    (watch.far_etas, watch.unheard) = (far_etas, unheard);
    Ok(())
}

/// Workers that run tasks of which something should have been heard.
fn silent_workers<'w>(
    brain: &Brain,
    project: u64,
    workers: &'w [Worker],
    now: Timestamp,
) -> Vec<(&'w Worker, Counted)> {
    brain.watches.with(project, |watch| {
        let counted = workers.iter().filter_map(|worker| Some((worker, watch.memory.counted(worker, now)?)));
        // A star would mean other workers as well.
        let meant = counted
            .filter(|(worker, counted)| !worker.name.contains('*') && unheard::is_worth_a_look(worker, counted, now));
        meant.take(LOOKED_FOR).collect()
    })
}

/// The newest tasks that were with a worker, and the newest of those that have not ended: what runs again and again is old.
async fn tasks_of(brain: &Brain, project: u64, worker: &Worker) -> Result<Vec<StoredTask>, StoreError> {
    let open = vec![TaskState::Received, TaskState::Started, TaskState::Retrying];
    let mut tasks = Vec::new();
    for states in [Vec::new(), open] {
        let filter = TaskFilter {
            states,
            workers: vec![Pattern(worker.name.clone())],
            engines: vec![worker.engine.clone()],
            ..TaskFilter::default()
        };
        tasks.extend(brain.store.list_tasks(TaskQuery { project, filter, limit: TASKS, cursor: None }).await?.items);
    }
    Ok(tasks)
}

async fn find_far_etas(
    brain: &Brain,
    project: u64,
    workers: &[Worker],
    now: Timestamp,
) -> Result<BTreeMap<Key, FarEtas>, StoreError> {
    // What a worker held that is gone is delivered again anyway.
    let here = workers.iter().filter(|worker| is_online(worker, now));
    let timeouts: BTreeMap<Key, i64> =
        here.filter_map(|worker| Some((key(worker), visibility_timeout(worker)?))).collect();
    if timeouts.is_empty() {
        return Ok(BTreeMap::new());
    }
    let states = vec![TaskState::Received, TaskState::Retrying];
    let filter = TaskFilter { states, ..TaskFilter::default() };
    let mut query = TaskQuery { project, filter, limit: PAGE, cursor: None };
    let mut tasks = Vec::new();
    for _ in 0..PAGES {
        let page = brain.store.list_tasks(query.clone()).await?;
        tasks.extend(page.items);
        query.cursor = page.next;
        if query.cursor.is_none() {
            break;
        }
    }
    Ok(far_etas::find(&tasks, query.cursor.is_some(), &timeouts, now))
}
