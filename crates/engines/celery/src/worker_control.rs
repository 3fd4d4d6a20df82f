//! Orders to workers, by remote control.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use taskplane_agent::engine::{CommandError, WorkerAction, WorkerControlRequest, WorkerReplies};

use crate::{
    control::{Call, Replies},
    deployments::Deployments,
    queues::carries_tasks,
    shared::{Shared, lock},
};

/// Workers say yes first and change afterwards: they are asked what they are now only after this long.
const SETTLES_WITHIN: Duration = Duration::from_millis(500);
/// A prefork pool that was told to grow looks every 5 s whether processes are missing (celery/concurrency/asynpool.py).
const GROWS_WITHIN: Duration = Duration::from_secs(6);
/// Longest reply that is passed on, in characters.
const MAX_REPLY: usize = 500;

/// Gives the order and collects the replies.
pub(crate) async fn worker_control(
    deployments: &Deployments,
    request: &WorkerControlRequest,
) -> Result<WorkerReplies, CommandError> {
    if let Some(only) = deployments.only() {
        return on_one(only, request).await;
    }
    // All is checked before anything is ordered.
    let mut orders = Vec::new();
    let mut silent: BTreeSet<String> = request.workers.iter().cloned().collect();
    for shared in deployments.iter() {
        let known = lock(&shared.workers).live_names();
        let workers: Vec<String> = request.workers.iter().filter(|name| known.contains(*name)).cloned().collect();
        if let Some(twice) = workers.iter().find(|name| !silent.remove(*name)) {
            return Err(CommandError::InvalidArgs(format!(
                "{twice} is the name of workers on several brokers of this agent: to order one of them, observe its broker \
                 with an agent of its own"
            )));
        }
        if request.workers.is_empty() || !workers.is_empty() {
            orders.push((shared, WorkerControlRequest { workers, action: request.action.clone() }));
        }
    }
    let mut told = WorkerReplies { silent: silent.into_iter().collect(), ..WorkerReplies::default() };
    for (shared, order) in &orders {
        check(shared, order)?;
    }
    for (shared, order) in orders {
        let replies = on_one(shared, &order).await?;
        told.replies.extend(replies.replies);
        told.silent.extend(replies.silent);
    }
    Ok(told)
}

async fn on_one(shared: &Shared, request: &WorkerControlRequest) -> Result<WorkerReplies, CommandError> {
    check(shared, request)?;
    let to = (!request.workers.is_empty()).then(|| request.workers.clone());
    let (method, arguments) = order(&request.action);
    if request.action == WorkerAction::Shutdown {
        return shut_down(shared, request.workers.clone()).await;
    }
    let replies = call(shared, method, arguments, to).await?;
    if request.action != WorkerAction::Ping {
        tracing::info!(method, workers = ?replies.by_worker.keys().collect::<Vec<_>>(), "workers were given an order");
        learn_again(shared, &replies, &request.action).await;
    }
    let expected = match request.workers.is_empty() {
        true => lock(&shared.workers).live_names(),
        false => request.workers.iter().cloned().collect(),
    };
    Ok(read(replies, expected))
}

/// Refuses what would do harm or cannot mean anything.
fn check(shared: &Shared, request: &WorkerControlRequest) -> Result<(), CommandError> {
    let invalid = |text: String| Err(CommandError::InvalidArgs(text));
    if request.workers.iter().any(|name| name.chars().any(char::is_control)) {
        return invalid("the name of a worker has a control character in it".to_owned());
    }
    match &request.action {
        WorkerAction::Shutdown | WorkerAction::PoolGrow(_) | WorkerAction::PoolShrink(_)
            if request.workers.is_empty() =>
        {
            invalid("name the workers: this is never ordered of all of them".to_owned())
        }
        WorkerAction::PoolShrink(n) => {
            let workers = lock(&shared.workers);
            let emptied = request.workers.iter().find_map(|name| {
                let size = workers.concurrency(name)?;
                (u64::from(*n) >= size).then_some((name, size))
            });
            match emptied {
                Some((name, size)) => invalid(format!(
                    "{name} runs {size} at once: with {n} fewer it would run nothing and still take tasks. Cancel its \
                     consumers or shut it down instead"
                )),
                None => Ok(()),
            }
        }
        WorkerAction::RateLimit { rate, .. } if !is_rate(rate) => {
            invalid(format!("{:?} is no rate: write 10/s, 100/m or 1000/h, or 0 for no limit", short(rate)))
        }
        WorkerAction::AddConsumer { queue } | WorkerAction::CancelConsumer { queue } if !carries_tasks(queue) => {
            invalid(format!("{:?} is not the name of a task queue", short(queue)))
        }
        _ => Ok(()),
    }
}

/// A number, and of what time.
fn is_rate(rate: &str) -> bool {
    let (count, unit) = rate.split_once('/').unwrap_or((rate, "s"));
    let digits = |text: &str| (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let (whole, part) = count.split_once('.').unwrap_or((count, "0"));
    matches!(unit, "s" | "m" | "h") && digits(whole) && digits(part)
}

fn order(action: &WorkerAction) -> (&'static str, Value) {
    match action {
        WorkerAction::Ping => ("ping", json!({})),
        WorkerAction::Shutdown => ("shutdown", json!({})),
        WorkerAction::PoolGrow(n) => ("pool_grow", json!({"n": n})),
        WorkerAction::PoolShrink(n) => ("pool_shrink", json!({"n": n})),
        WorkerAction::RateLimit { task_name, rate } => {
            ("rate_limit", json!({"task_name": task_name, "rate_limit": rate}))
        }
        WorkerAction::AddConsumer { queue } => ("add_consumer", json!({"queue": queue})),
        WorkerAction::CancelConsumer { queue } => ("cancel_consumer", json!({"queue": queue})),
    }
}

/// A worker never replies to a shutdown: those that answer a ping just before are told.
async fn shut_down(shared: &Shared, workers: Vec<String>) -> Result<WorkerReplies, CommandError> {
    let there = call(shared, "ping", json!({}), Some(workers.clone())).await?;
    let names: Vec<String> = there.by_worker.into_keys().filter(|name| workers.contains(name)).collect();
    let mut told = WorkerReplies::default();
    if !names.is_empty() {
        let (method, arguments) = order(&WorkerAction::Shutdown);
        let order = Call { method, arguments, to: Some(names.clone()), wait: Duration::ZERO };
        shared.call(&order).await.map_err(|error| CommandError::Engine(error.to_string()))?;
        tracing::info!(workers = ?names, "workers were told to shut down");
    }
    let reply = "told to shut down: it finishes what it runs, and puts back what it has not begun";
    told.silent = workers.into_iter().filter(|name| !names.contains(name)).collect();
    told.replies = names.into_iter().map(|name| (name, Ok(reply.to_owned()))).collect();
    Ok(told)
}

async fn call(
    shared: &Shared,
    method: &'static str,
    arguments: Value,
    to: Option<Vec<String>>,
) -> Result<Replies, CommandError> {
    let call = Call { method, arguments, to, wait: shared.timings.control_wait };
    shared.call(&call).await.map_err(|error| CommandError::Engine(error.to_string()))
}

/// What these workers are has changed.
async fn learn_again(shared: &Shared, replies: &Replies, action: &WorkerAction) {
    tokio::time::sleep(SETTLES_WITHIN).await;
    let settles = if matches!(action, WorkerAction::PoolGrow(_)) { GROWS_WITHIN } else { Duration::ZERO };
    lock(&shared.workers).ask_again(replies.by_worker.keys(), Instant::now() + settles);
    shared.fresh_worker.notify_one();
}

fn read(replies: Replies, mut expected: BTreeSet<String>) -> WorkerReplies {
    let mut told = WorkerReplies::default();
    for (worker, reply) in replies.by_worker {
        expected.remove(&worker);
        told.replies.insert(worker, answer(&reply));
    }
    told.silent = expected.into_iter().collect();
    told
}

fn answer(reply: &Value) -> Result<String, String> {
    let text = |value: &Value| short(value.as_str().map_or_else(|| value.to_string(), str::to_owned).as_str());
    match (reply.get("ok"), reply.get("error")) {
        (_, Some(error)) => Err(text(error)),
        (Some(ok), None) => Ok(text(ok)),
        (None, None) => Ok(text(reply)),
    }
}

fn short(text: &str) -> String {
    text.chars().take(MAX_REPLY).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn replies_are_shown_as_they_are_and_silence_is_named() {
        let replies = samples::control_replies();
        let by_worker = [
            ("a@h".to_owned(), replies["pool_grow"]["reply"]["w1@host"].clone()),
            ("b@h".to_owned(), replies["rate_limit:bad"]["reply"]["w1@host"].clone()),
        ];
        let replies = Replies { by_worker: by_worker.into(), ..Replies::default() };
        let told = read(replies, ["a@h".to_owned(), "c@h".to_owned()].into());
        assert_eq!(told.replies["a@h"], Ok("pool will grow".to_owned()));
        assert_eq!(told.replies["b@h"], Err("unknown task".to_owned()));
        assert_eq!(told.silent, ["c@h"]);
    }

    #[test]
    fn rates_are_what_celery_reads() {
        for rate in ["0", "10", "10/s", "1.5/m", "1000/h"] {
            assert!(is_rate(rate), "{rate}");
        }
        for rate in ["", "/", "/m", "10/d", "ten", "10/", "-1/s", "1e9", "1./s", ".5/s", "10/s/s", "99999999999"] {
            assert!(!is_rate(rate), "{rate}");
        }
    }
}
