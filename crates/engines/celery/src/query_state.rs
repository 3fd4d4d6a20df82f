//! How tasks stand, asked of everything that could know: the result backend, the workers, and the queues.
//!
//! What is found that no event told is told as well, marked with how it is known.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::Value;
use taskplane_agent::engine::{CommandError, FoundIn, FoundState, FoundTask, FoundTasks, Observation};
use taskplane_model::TaskEventKind;

use crate::{
    broker::{BrokerError, FoundMessage, Incoming},
    clock,
    config::Watch,
    deployments::Deployments,
    lookup::{self, Held, Holding, Messages},
    prepare::running,
    results::Meta,
    shared::{Shared, lock},
};

/// Asks how the tasks stand.
pub(crate) async fn query_state(deployments: &Deployments, task_ids: &[String]) -> Result<FoundTasks, CommandError> {
    let mut all = FoundTasks::default();
    let mut settled = HashSet::new();
    for shared in deployments.iter() {
        let found = on_one(shared, task_ids).await?;
        let had = |id: &String| lock(&shared.tracker).get(id).is_some_and(|known| known.worker.is_some());
        let its_own = found.tasks.keys().filter(|id| had(id)).cloned().collect();
        all = merged(all, found, &mut settled, its_own);
    }
    Ok(all)
}

/// What was found on two brokers: of each task, what tells more. Where neither found it, what was looked at on the broker whose worker
/// had it is all that counts.
fn merged(
    mut all: FoundTasks,
    other: FoundTasks,
    settled: &mut HashSet<String>,
    its_own: HashSet<String>,
) -> FoundTasks {
    all.workers_answered += other.workers_answered;
    all.workers_silent.extend(other.workers_silent);
    for (id, task) in other.tasks {
        match all.tasks.get_mut(&id) {
            Some(known) if known.found_in.is_some() => {}
            Some(known) if task.found_in.is_none() && settled.contains(&id) == its_own.contains(&id) => {
                // It may be where nobody could look on either.
                both(&mut known.unseen, task.unseen);
                both(&mut known.evidence, task.evidence);
            }
            Some(_) if task.found_in.is_none() && settled.contains(&id) => {}
            _ => {
                all.tasks.insert(id, task);
            }
        }
    }
    settled.extend(its_own);
    all
}

fn both<T: PartialEq>(known: &mut Vec<T>, other: Vec<T>) {
    for one in other {
        if !known.contains(&one) {
            known.push(one);
        }
    }
}

async fn on_one(shared: &Shared, task_ids: &[String]) -> Result<FoundTasks, CommandError> {
    let failed = |error: BrokerError| CommandError::Engine(error.to_string());
    let ids: Vec<&str> = task_ids.iter().map(String::as_str).collect();
    let raws = lookup::results(shared, &ids).await.map_err(failed)?;
    let metas: HashMap<&str, Meta> =
        ids.iter().filter_map(|id| Some((*id, lookup::meta(id, raws.get(*id)?)?))).collect();
    let open: Vec<&str> = ids.iter().copied().filter(|id| !metas.get(id).is_some_and(has_ended)).collect();
    let live = expected(shared, &open);
    let held = lookup::held(shared, &open).await.map_err(failed)?;
    let unheld: Vec<&str> = open.iter().copied().filter(|id| !held.by_task.contains_key(*id)).collect();
    let messages = lookup::messages(shared, &unheld).await.map_err(failed)?;
    // One that ended, or was taken, between two looks was seen by neither.
    let missed: Vec<&str> = unheld.iter().copied().filter(|id| !messages.by_task.contains_key(*id)).collect();
    let late = lookup::results(shared, &missed).await.map_err(failed)?;
    let metas = with_late(metas, &missed, &late);
    let asked = !open.is_empty();
    let mut silent: Vec<String> = live.iter().filter(|name| asked && !held.answered.contains(*name)).cloned().collect();
    silent.extend(strangers(shared, &held, silent.len()));
    let looks = Looks { shared, metas: &metas, held: &held, messages: &messages, live: &live, silent: &silent };
    let tasks = task_ids.iter().map(|id| (id.clone(), looks.task(id))).collect();
    tell(shared, &held, raws.into_values().chain(late.into_values())).await;
    Ok(FoundTasks { tasks, workers_answered: held.answered.len(), workers_silent: silent })
}

/// The workers that have to answer before it can be said that nobody has the tasks.
fn expected(shared: &Shared, open: &[&str]) -> BTreeSet<String> {
    let workers = lock(&shared.workers);
    let mut live = workers.live_names();
    if shared.watch == Watch::Queues {
        // Workers of other hosts tell nothing here: one is up until it is known to be gone.
        let tracker = lock(&shared.tracker);
        let had = open.iter().filter_map(|id| tracker.get(id)?.worker.as_ref());
        live.extend(had.filter(|worker| !workers.is_gone(worker)).cloned());
    }
    live
}

/// Workers of other hosts that were asked and did not answer: what they are called is not known here.
fn strangers(shared: &Shared, held: &Held, silent: usize) -> Option<String> {
    let asked = held.asked.filter(|_| shared.watch == Watch::Queues)?;
    let count = asked.saturating_sub(held.answered.len() + silent);
    (count > 0).then(|| format!("of another host ({count})"))
}

fn with_late<'i>(
    mut metas: HashMap<&'i str, Meta>,
    missed: &[&'i str],
    late: &HashMap<String, Vec<u8>>,
) -> HashMap<&'i str, Meta> {
    for id in missed {
        if let Some(meta) = late.get(*id).and_then(|raw| lookup::meta(id, raw)) {
            metas.insert(id, meta);
        }
    }
    metas
}

fn has_ended(meta: &Meta) -> bool {
    matches!(meta.kind, TaskEventKind::Succeeded | TaskEventKind::Failed | TaskEventKind::Revoked)
}

/// Everything that was looked at.
struct Looks<'a> {
    shared: &'a Shared,
    metas: &'a HashMap<&'a str, Meta>,
    held: &'a Held,
    messages: &'a Messages,
    live: &'a BTreeSet<String>,
    silent: &'a [String],
}

impl Looks<'_> {
    fn task(&self, id: &str) -> FoundTask {
        let meta = self.metas.get(id);
        if let Some(meta) = meta.filter(|meta| has_ended(meta)) {
            return ended(meta);
        }
        let mut found = FoundTask { evidence: vec![self.result_clause(meta)], ..FoundTask::default() };
        if let Some(holding) = self.held.by_task.get(id) {
            hold(&mut found, holding);
            return found;
        }
        found.evidence.extend(self.worker_clauses());
        if let Some(message) = self.messages.by_task.get(id) {
            wait(&mut found, message);
        } else {
            found.evidence.push(self.no_message_clause().to_owned());
            found.unseen = self.unseen(id);
        }
        match meta.map(|meta| meta.kind) {
            Some(TaskEventKind::Retry) => {
                (found.state, found.found_in) = (FoundState::Retrying, Some(FoundIn::ResultBackend))
            }
            // Stored as begun, and nobody holds it: only who did not answer may still run it.
            Some(TaskEventKind::Started) if !self.silent.is_empty() => {
                (found.state, found.found_in) = (FoundState::Started, Some(FoundIn::ResultBackend));
            }
            _ => {}
        }
        if found.state == FoundState::Unknown {
            found.evidence.extend(self.last_worker_clause(id));
            if !self.shared.task_events && self.keeps_results(id) {
                found.evidence.push("other tasks of its type keep their results".to_owned());
            }
        }
        if let Some(meta) = meta {
            let seen = meta.seen();
            found.worker = found.worker.or(seen.worker);
            (found.exception, found.exception_message) = (seen.exception, seen.exception_message);
        }
        found
    }

    fn result_clause(&self, meta: Option<&Meta>) -> String {
        match meta.map(|meta| meta.kind) {
            None if self.shared.results.is_none() => "results cannot be read from this backend".to_owned(),
            None => "no result is stored".to_owned(),
            Some(TaskEventKind::Retry) => "its result says that it will run again".to_owned(),
            Some(_) => "its result says only that it began".to_owned(),
        }
    }

    fn worker_clauses(&self) -> Vec<String> {
        let mut clauses = vec![match self.held.answered.len() {
            0 => "no worker answered".to_owned(),
            1 => "not held by the only worker that answered".to_owned(),
            count => format!("not held by any of the {count} workers that answered"),
        }];
        clauses.extend(self.silent.iter().take(5).map(|name| format!("the worker {name} does not answer")));
        if self.silent.len() > 5 {
            clauses.push(format!("{} more workers do not answer", self.silent.len() - 5));
        }
        clauses
    }

    fn keeps_results(&self, id: &str) -> bool {
        let tracker = lock(&self.shared.tracker);
        tracker.get(id).and_then(|known| known.name.as_deref()).is_some_and(|name| tracker.keeps_results(name))
    }

    /// Where a task could be that was not found.
    fn unseen(&self, id: &str) -> Vec<FoundIn> {
        // Where no event tells of an end, a task that keeps no result ends unseen.
        let ends_unseen = !self.shared.task_events && !self.keeps_results(id);
        let places = [
            (self.shared.results.is_none() || ends_unseen, FoundIn::ResultBackend),
            (self.messages.waiting_left, FoundIn::Queue),
            (self.messages.delivered_left, FoundIn::Unacked),
        ];
        places.into_iter().filter_map(|(is_unseen, place)| is_unseen.then_some(place)).collect()
    }

    fn no_message_clause(&self) -> &'static str {
        let too_many = self.messages.waiting_left || self.messages.delivered_left;
        if too_many && self.shared.broker.can_peek() {
            "too many messages are there to look at them all"
        } else if self.shared.broker.can_peek() {
            "its message neither waits in a known queue nor is with a worker"
        } else {
            "messages that wait cannot be looked at on this broker"
        }
    }

    /// What became of the worker that was last heard to have it.
    fn last_worker_clause(&self, id: &str) -> Option<String> {
        let worker = lock(&self.shared.tracker).get(id)?.worker.clone()?;
        if self.held.answered.contains(&worker) {
            Some(format!("the worker {worker}, which had it, answers and does not hold it"))
        } else if self.live.contains(&worker) {
            None
        } else {
            Some(format!("the worker {worker}, which had it, is gone"))
        }
    }
}

fn ended(meta: &Meta) -> FoundTask {
    let seen = meta.seen();
    let state = match meta.kind {
        TaskEventKind::Succeeded => FoundState::Succeeded,
        TaskEventKind::Failed => FoundState::Failed,
        _ => FoundState::Revoked,
    };
    FoundTask {
        state,
        found_in: Some(FoundIn::ResultBackend),
        worker: seen.worker,
        queue: seen.queue,
        finished_at: meta.date_done,
        result: seen.result,
        exception: seen.exception,
        exception_message: seen.exception_message,
        evidence: vec!["its result is stored".to_owned()],
        unseen: Vec::new(),
    }
}

fn hold(found: &mut FoundTask, holding: &Holding) {
    let worker = &holding.worker;
    let (state, clause) = match holding.is_active {
        true => (FoundState::Started, format!("{worker} runs it")),
        false => (FoundState::Received, format!("{worker} holds it and has not begun it")),
    };
    found.state = state;
    found.found_in = Some(FoundIn::Worker);
    found.worker = Some(worker.clone());
    found.queue = holding.request.pointer("/delivery_info/routing_key").and_then(Value::as_str).map(str::to_owned);
    found.evidence.push(clause);
}

fn wait(found: &mut FoundTask, message: &FoundMessage) {
    let (state, place, clause) = if message.is_delivered {
        let clause = "its message was delivered and is not acknowledged: it is delivered again if its worker is gone";
        (FoundState::Received, FoundIn::Unacked, clause.to_owned())
    } else {
        (FoundState::Pending, FoundIn::Queue, format!("its message waits in the queue {}", message.queue))
    };
    (found.state, found.found_in, found.queue) = (state, Some(place), Some(message.queue.clone()));
    found.evidence.push(clause);
}

/// Tells what no event told, by the way that events take.
async fn tell(shared: &Shared, held: &Held, results: impl Iterator<Item = Vec<u8>>) {
    let incoming = lock(&shared.incoming).clone();
    if let Some(incoming) = incoming {
        for raw in results {
            // Behind, the events themselves are worth more.
            if incoming.try_send(Incoming::StoredResult(raw)).is_err() {
                break;
            }
        }
    }
    let now = clock::now();
    let told: Vec<Observation> = held
        .by_task
        .values()
        .filter(|holding| holding.is_active)
        .filter_map(|holding| running(shared, &holding.worker, &holding.request, now))
        .collect();
    let observer = lock(&shared.observer).clone();
    if let Some(observer) = observer {
        for observation in told {
            observer.record(observation).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(clause: &str, unseen: &[FoundIn]) -> FoundTasks {
        let task = FoundTask { evidence: vec![clause.to_owned()], unseen: unseen.to_vec(), ..FoundTask::default() };
        FoundTasks { tasks: [("t".to_owned(), task)].into(), workers_answered: 1, ..FoundTasks::default() }
    }

    /// What two brokers together say; `own` says for each whether its worker had the task.
    fn together(own: [bool; 2]) -> (Vec<String>, Vec<FoundIn>) {
        let mut settled = HashSet::new();
        let mut all = FoundTasks::default();
        let said = [nothing("looked at here", &[]), nothing("cannot be looked at", &[FoundIn::Queue])];
        for (said, own) in said.into_iter().zip(own) {
            let its_own = own.then(|| "t".to_owned()).into_iter().collect();
            all = merged(all, said, &mut settled, its_own);
        }
        assert_eq!(all.workers_answered, 2);
        all.tasks.remove("t").map(|task| (task.evidence, task.unseen)).expect("an answer")
    }

    #[test]
    fn of_a_task_that_is_nowhere_the_broker_counts_whose_worker_had_it() {
        let (here, there) = ("looked at here".to_owned(), "cannot be looked at".to_owned());
        assert_eq!(together([true, false]), (vec![here.clone()], vec![]));
        assert_eq!(together([false, true]), (vec![there.clone()], vec![FoundIn::Queue]));
        for unsure in [[false, false], [true, true]] {
            assert_eq!(together(unsure), (vec![here.clone(), there.clone()], vec![FoundIn::Queue]));
        }
    }
}
