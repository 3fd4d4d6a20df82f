//! Which tasks a filter means, which of them a job can retry, and why not the others.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use taskplane_model::bulk::{BulkJob, BulkLane, MAX_BULK_ITEMS};
use taskplane_model::filter::TaskFilter;
use taskplane_model::{TaskState, Timestamp};
use taskplane_store::bulk::{NewBulkItem, codes};
use taskplane_store::replicas::Vantage;
use taskplane_store::tasks::{StoredTask, TaskQuery};
use taskplane_store::{Store, StoreError};

use crate::commands::Hosts;

/// Tasks read at once.
const PAGE: usize = 1_000;
/// Most tasks that are looked at.
const MAX_LOOKED_AT: u64 = 3 * MAX_BULK_ITEMS as u64;
/// How long looking may take.
const LOOKED_FOR: Duration = Duration::from_secs(20);
/// Most lanes of a job.
const MAX_LANES: usize = 1_000;
/// Beyond so many lanes, tasks go only to the agent that has told of them last.
const MAX_WIDE_LANES: usize = 200;
/// What tasks beyond [`MAX_LANES`] are left out for.
const TOO_MANY_AGENTS: &str = "too_many_agents";

/// Which tasks are asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Project.
    pub(crate) project: u64,
    /// Which.
    pub(crate) filter: TaskFilter,
    /// States beyond those of failures whose tasks are retried, too.
    pub(crate) include: Vec<TaskState>,
    /// What comes later is not meant.
    pub(crate) now: Timestamp,
}

/// What a filter means.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolved {
    /// Tasks that can be retried, as far as the brain knows, newest first.
    pub(crate) items: Vec<NewBulkItem>,
    /// Their groups.
    pub(crate) lanes: Vec<BulkLane>,
    /// Tasks that are not retried, by why.
    pub(crate) left_out: BTreeMap<String, u64>,
    /// All that were looked at, by task type.
    pub(crate) by_name: HashMap<Option<String>, u64>,
    /// By queue.
    pub(crate) by_queue: HashMap<Option<String>, u64>,
    /// By state.
    pub(crate) by_state: BTreeMap<TaskState, u64>,
    /// There are more tasks than were looked at, or than a job may have.
    pub(crate) truncated: bool,
}

/// Looks which tasks are meant.
pub(crate) async fn resolve(store: &dyn Store, wanted: Wanted) -> Result<Resolved, StoreError> {
    let Wanted { project, mut filter, include, now } = wanted;
    let until = Instant::now() + LOOKED_FOR;
    filter.until = Some(filter.until.map_or(now, |until| until.min(now)));
    let names = include.iter().map(|state| state.name().to_owned()).collect();
    let taken = BulkJob { include: names, ..BulkJob::new(String::new(), 0, String::new(), Default::default(), now) };
    let asked = if filter.states.is_empty() { TaskState::ALL.to_vec() } else { filter.states.clone() };
    let (states, others): (Vec<_>, Vec<_>) = asked.into_iter().partition(|state| taken.takes(*state));
    let mut resolver = Resolver { capturing: Capturing::read(store, project).await?, ..Resolver::default() };
    if !others.is_empty() {
        let filter = TaskFilter { states: others, ..filter.clone() };
        let counts = store.count_tasks(TaskQuery { project, filter, ..TaskQuery::default() }).await?;
        resolver.leave_out_states(&counts.by_state);
    }
    if states.is_empty() {
        return Ok(resolver.resolved);
    }
    filter.states = states;
    let mut query = TaskQuery { project, filter, limit: PAGE, cursor: None };
    loop {
        let page = store.list_tasks(query.clone()).await?;
        let keys = page.items.iter().map(|task| task.key).collect();
        let held: HashSet<i64> = store.in_bulk_jobs(project, keys).await?.into_iter().collect();
        for task in page.items {
            resolver.add(task, &held);
        }
        query.cursor = page.next;
        if query.cursor.is_none() {
            return Ok(resolver.resolved);
        }
        let has_all = resolver.resolved.items.len() >= MAX_BULK_ITEMS || resolver.looked_at >= MAX_LOOKED_AT;
        if has_all || Instant::now() > until {
            resolver.resolved.truncated = true;
            return Ok(resolver.resolved);
        }
    }
}

#[derive(Default)]
struct Resolver {
    resolved: Resolved,
    lanes: HashMap<BulkLane, u32>,
    looked_at: u64,
    capturing: Capturing,
}

/// Agents that keep the messages which the workers of their hosts received.
#[derive(Default)]
struct Capturing {
    /// By agent: the engines.
    agents: HashMap<u64, Vec<String>>,
    hosts: Hosts,
}

impl Capturing {
    async fn read(store: &dyn Store, project: u64) -> Result<Self, StoreError> {
        let agents = store.agents(project).await?.into_iter();
        let agents: HashMap<_, _> = agents.map(|agent| (agent.id, Vantage::of(&agent.profile).captures)).collect();
        if agents.values().all(Vec::is_empty) {
            return Ok(Self::default());
        }
        let workers = store.workers(project).await?.into_iter().map(|(worker, _)| worker);
        Ok(Self { agents, hosts: Hosts::of(workers) })
    }

    fn captures(&self, agent: u64, engine: &str) -> bool {
        self.agents.get(&agent).is_some_and(|engines| engines.iter().any(|captured| captured == engine))
    }

    /// The host where the original message of a task may be.
    fn host(&self, task: &StoredTask) -> Option<String> {
        let is_captured = task.record.agents.iter().any(|agent| self.captures(*agent, &task.engine));
        is_captured.then(|| self.hosts.of_task(&task.engine, &task.record)).flatten()
    }
}

impl Resolver {
    fn leave_out_states(&mut self, counts: &[(TaskState, u64, bool)]) {
        for (state, count, more) in counts.iter().filter(|(_, count, _)| *count > 0) {
            *self.resolved.left_out.entry(format!("state_{}", state.name())).or_default() += count;
            *self.resolved.by_state.entry(*state).or_default() += count;
            self.resolved.truncated |= more;
        }
    }

    fn add(&mut self, task: StoredTask, held: &HashSet<i64>) {
        self.looked_at += 1;
        let view = task.record.task();
        *self.resolved.by_name.entry(task.record.name.clone()).or_default() += 1;
        *self.resolved.by_queue.entry(view.queue().map(str::to_owned)).or_default() += 1;
        *self.resolved.by_state.entry(view.state).or_default() += 1;
        let why_not = match () {
            () if task.record.retried_as.is_some() => Some(codes::ALREADY_RETRIED),
            () if held.contains(&task.key) => Some(codes::IN_ANOTHER_JOB),
            () if self.resolved.items.len() >= MAX_BULK_ITEMS => {
                self.resolved.truncated = true;
                return;
            }
            () => None,
        };
        match why_not.map_or_else(|| self.lane(&task).ok_or(TOO_MANY_AGENTS), Err) {
            Ok(lane) => {
                let StoredTask { key, engine, task_id, record, .. } = task;
                self.resolved.items.push(NewBulkItem { key, lane, engine, task_id, name: record.name });
            }
            Err(code) => *self.resolved.left_out.entry(code.to_owned()).or_default() += 1,
        }
    }

    fn lane(&mut self, task: &StoredTask) -> Option<u32> {
        let agents = &task.record.agents;
        let host = self.capturing.host(task);
        let wide = BulkLane { engine: task.engine.clone(), agents: sorted(agents.clone()), host };
        if let Some(lane) = self.lanes.get(&wide) {
            return Some(*lane);
        }
        let lane = if self.lanes.len() < MAX_WIDE_LANES {
            wide
        } else {
            let keeps = |agent: &&u64| self.capturing.captures(**agent, &task.engine);
            let only = agents.iter().rev().find(keeps).or(agents.last());
            BulkLane { agents: only.copied().into_iter().collect(), ..wide }
        };
        if let Some(lane) = self.lanes.get(&lane) {
            return Some(*lane);
        }
        let number = self.resolved.lanes.len();
        if number >= MAX_LANES {
            return None;
        }
        self.resolved.lanes.push(lane.clone());
        let number = u32::try_from(number).ok()?;
        self.lanes.insert(lane, number);
        Some(number)
    }
}

fn sorted(mut agents: Vec<u64>) -> Vec<u64> {
    agents.sort_unstable();
    agents
}
