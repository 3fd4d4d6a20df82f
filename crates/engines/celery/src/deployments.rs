//! Several brokers in one engine: which of them a command is for.
//!
//! Queues and workers keep their names, so that two brokers may have a queue of the same name. What cannot be told apart is
//! refused, and never done twice.

use std::{iter, path::Path, sync::Arc};

use taskplane_agent::engine::{CommandError, EnqueueRequest, RetryRequest};

use crate::{
    config::{CeleryConfig, ConfigError},
    origin, purge,
    queues::carries_tasks,
    same_names,
    shared::{Shared, lock},
};

/// The brokers of one engine.
pub(crate) struct Deployments {
    first: Arc<Shared>,
    others: Vec<Arc<Shared>>,
}

impl Deployments {
    pub(crate) fn new(first: CeleryConfig, others: Vec<CeleryConfig>) -> Result<Self, ConfigError> {
        if others.is_empty() {
            return Ok(Self { first: Arc::new(Shared::new(first)?), others: Vec::new() });
        }
        // Arguments are kept apart: those of a task are to go back to the broker that they came from.
        let samples = same_names::Place::default();
        let open = |(number, config): (usize, CeleryConfig)| {
            let folder = |dir: &Path, shown: &str| dir.join(shown.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
            let shown = Shared::shown(&config)?;
            let payload_dir = config.payload_dir.as_deref().map(|dir| folder(dir, &shown));
            let shared = Shared::new(CeleryConfig { payload_dir, ..config })?;
            Ok::<_, ConfigError>(Arc::new(Shared { samples: samples.beside(number), ..shared }))
        };
        let first = open((0, first))?;
        Ok(Self { first, others: (1..).zip(others).map(open).collect::<Result<_, _>>()? })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Shared>> {
        iter::once(&self.first).chain(&self.others)
    }

    /// The first broker.
    pub(crate) fn first(&self) -> &Shared {
        &self.first
    }

    /// The broker, when there is only one.
    pub(crate) fn only(&self) -> Option<&Shared> {
        self.others.is_empty().then_some(&*self.first)
    }

    /// The broker that a task went through.
    pub(crate) async fn of_task(&self, task_id: &str) -> Result<&Shared, CommandError> {
        if self.others.is_empty() {
            return Ok(&self.first);
        }
        let remembering: Vec<&Shared> =
            self.iter().map(Arc::as_ref).filter(|shared| lock(&shared.tracker).contains(task_id)).collect();
        match self.narrow(task_id, remembering)? {
            Some(only) => Ok(only),
            None => self.find_task(task_id).await,
        }
    }

    /// The broker for the retry of a task: of one that is forgotten here, the broker that has its queue.
    pub(crate) async fn of_retry(&self, request: &RetryRequest) -> Result<&Shared, CommandError> {
        match (self.of_task(&request.task_id).await, &request.known.queue) {
            (Err(CommandError::NotFound(_)), Some(queue)) => self.of_queue(queue).await,
            (found, _) => found,
        }
    }

    async fn find_task(&self, task_id: &str) -> Result<&Shared, CommandError> {
        let (mut found, mut failed) = (Vec::new(), None);
        for shared in self.iter() {
            match origin::find(shared, task_id).await {
                Ok(Some(_)) => found.push(shared.as_ref()),
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        match (self.narrow(task_id, found)?, failed) {
            (Some(only), _) => Ok(only),
            (None, Some(error)) => Err(error),
            (None, None) => {
                Err(CommandError::NotFound(format!("the task {task_id} was never seen on a broker of this agent")))
            }
        }
    }

    /// The only one, or the only one whose worker ran the task: brokers may share a result backend, and then each of them
    /// hears of the tasks of all.
    fn narrow<'a>(&self, task_id: &str, known: Vec<&'a Shared>) -> Result<Option<&'a Shared>, CommandError> {
        if known.len() < 2 {
            return Ok(known.first().copied());
        }
        let ran: Vec<&Shared> = known.iter().copied().filter(|shared| shared.has_worker_of(task_id)).collect();
        match ran[..] {
            [only] => Ok(Some(only)),
            _ => Err(CommandError::InvalidArgs(format!(
                "the task {task_id} is known on several brokers of this agent ({}), and which one it belongs to cannot be \
                 told: observe each broker with an agent of its own",
                list(&known)
            ))),
        }
    }

    /// The broker that has a queue.
    pub(crate) async fn of_queue(&self, queue: &str) -> Result<&Shared, CommandError> {
        if self.others.is_empty() || !carries_tasks(queue) {
            return Ok(&self.first);
        }
        let mut found: Vec<&Shared> = Vec::new();
        for shared in self.iter() {
            match purge::exists(shared, queue).await {
                Ok(true) => found.push(shared),
                Ok(false) => {}
                Err(error) => {
                    return Err(CommandError::Engine(format!(
                        "{error}. It may have the queue {queue:?} too, so nothing was done"
                    )));
                }
            }
        }
        match found[..] {
            [only] => Ok(only),
            [] => Err(CommandError::NotFound(format!("no broker of this agent has a queue {queue:?}"))),
            _ => Err(CommandError::InvalidArgs(format!(
                "several brokers of this agent have a queue {queue:?} ({}): to act on one of them, observe it with an agent \
                 of its own",
                list(&found)
            ))),
        }
    }

    /// The broker for a new task.
    pub(crate) async fn for_new(&self, request: &EnqueueRequest) -> Result<&Shared, CommandError> {
        if self.others.is_empty() {
            return Ok(&self.first);
        }
        if let Some(queue) = &request.queue {
            return self.of_queue(queue).await;
        }
        let routes = |shared: &&Arc<Shared>| lock(&shared.tracker).routes.queue(&request.name).is_some();
        let seen: Vec<&Arc<Shared>> = self.iter().filter(routes).collect();
        match seen[..] {
            [only] => Ok(only),
            _ => Err(CommandError::InvalidArgs(format!(
                "this agent observes several brokers, and which of them {:?} goes to is not known: say which queue",
                request.name
            ))),
        }
    }
}

fn list(deployments: &[&Shared]) -> String {
    deployments.iter().map(|shared| shared.broker.shown()).collect::<Vec<_>>().join(", ")
}
