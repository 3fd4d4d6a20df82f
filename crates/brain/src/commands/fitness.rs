//! Which of several connections can do a command best.
//!
//! Who keeps the messages that workers received repeats a task without loss, and nobody else on its host can; so a retry goes to
//! the host that ran the task. Who only listens beside the broker hears all workers.

use std::cmp::Reverse;
use std::collections::HashMap;

use taskplane_model::TaskRecord;
use taskplane_model::bulk::BulkLane;
use taskplane_model::fleet::Worker;
use taskplane_protocol::frame::commands;

use crate::gateway::Target;

/// What a process does that runs tasks.
const WORKER: &str = "worker";

/// Which hosts the workers run on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosts {
    /// By engine and name of the worker.
    known: HashMap<(String, String), String>,
}

impl Hosts {
    /// As the workers of a project are known.
    pub(crate) fn of(workers: impl IntoIterator<Item = Worker>) -> Self {
        let known = workers.into_iter().filter_map(|worker| {
            let host = worker.facts.hostname.filter(|host| !host.is_empty())?;
            Some(((worker.engine, worker.name), host))
        });
        Self { known: known.collect() }
    }

    /// The host of the worker that had a task last.
    pub(crate) fn of_task(&self, engine: &str, record: &TaskRecord) -> Option<String> {
        let worker = record.task().worker()?.to_owned();
        // Workers that are not known any more are mostly called by their hosts.
        let named = || worker.split_once('@').map(|(_, host)| host.to_owned());
        self.known.get(&(engine.to_owned(), worker.clone())).cloned().or_else(named).filter(|host| !host.is_empty())
    }
}

/// True for commands that need the original message of a task.
pub(crate) fn repeats(cmd: &str) -> bool {
    matches!(cmd, commands::RETRY_TASK | commands::BULK_RETRY | commands::PREVIEW_RETRY)
}

/// True when it makes a difference on which host a task ran.
pub(super) fn depends_on_host(targets: &[Target], engine: &str) -> bool {
    targets.len() > 1 && targets.iter().any(|target| captures(target, engine))
}

/// The best of several connections for a command; of equal ones the first.
pub(super) fn best(targets: Vec<Target>, cmd: &str, engine: &str, host: Option<&str>) -> Option<Target> {
    let fitness = |target: &Target| {
        let captures = captures(target, engine);
        let is_there = captures && host.is_some_and(|host| target.vantage.host == host);
        let runs_tasks = captures && target.vantage.role == WORKER;
        (if repeats(cmd) { captures } else { !captures }, is_there, runs_tasks)
    };
    targets
        .into_iter()
        .enumerate()
        .max_by_key(|(place, target)| (fitness(target), Reverse(*place)))
        .map(|(_, best)| best)
}

fn captures(target: &Target, engine: &str) -> bool {
    target.vantage.captures.iter().any(|captured| captured == engine)
}

/// The connection that retries of the tasks of a lane go to.
pub(crate) fn for_lane(targets: Vec<Target>, lane: &BulkLane) -> Option<Target> {
    best(targets, commands::BULK_RETRY, &lane.engine, lane.host.as_deref())
}

#[cfg(test)]
mod tests {
    use taskplane_store::replicas::Vantage;

    use super::*;

    fn target(agent: u64, captures: bool, host: &str, role: &str) -> Target {
        let captures = if captures { vec!["celery".to_owned()] } else { Vec::new() };
        Target {
            replica: None,
            connection: agent,
            opening: agent,
            agent,
            agent_name: format!("agent-{agent}"),
            engines: vec!["celery".into()],
            vantage: Vantage { captures, host: host.into(), role: role.into() },
        }
    }

    fn chosen(targets: &[Target], cmd: &str, host: Option<&str>) -> Option<u64> {
        best(targets.to_vec(), cmd, "celery", host).map(|target| target.agent)
    }

    #[test]
    fn a_retry_goes_to_the_host_that_has_the_original() {
        let targets = [
            target(5, false, "beside", ""),
            target(4, true, "b", "web"),
            target(3, true, "a", "web"),
            target(2, true, "a", "worker"),
            target(1, true, "b", "worker"),
        ];
        assert_eq!(chosen(&targets, commands::RETRY_TASK, Some("a")), Some(2));
        assert_eq!(chosen(&targets, commands::BULK_RETRY, Some("b")), Some(1));
        assert_eq!(chosen(&targets, commands::PREVIEW_RETRY, None), Some(2), "one that runs tasks, the newest");
        assert_eq!(chosen(&targets[..2], commands::RETRY_TASK, Some("gone")), Some(4), "any that keeps originals");
        assert_eq!(chosen(&targets[..1], commands::RETRY_TASK, Some("a")), Some(5), "any");
    }

    #[test]
    fn other_commands_go_to_who_hears_all_workers() {
        let targets = [target(3, true, "a", "worker"), target(2, false, "b", ""), target(1, false, "a", "")];
        assert_eq!(chosen(&targets, commands::CANCEL_TASK, Some("a")), Some(2));
        assert_eq!(chosen(&targets[..1], commands::QUERY_STATE, Some("a")), Some(3));
        assert_eq!(chosen(&[], commands::QUERY_STATE, None), None);
    }
}
