//! Counting: is everything that was published in the brain, exactly once?

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::api::Api;
use crate::dice::Dice;
use crate::feed::{Epoch, Step, life, of_task_id, task_id};

/// Tasks whose raw events are compared one by one.
const SAMPLES: u64 = 40;

/// What was found to be so.
#[derive(Clone, Copy, Debug, Default)]
pub struct Account {
    /// Tasks.
    pub tasks: usize,
    /// Their events.
    pub events: usize,
    /// Events that no agent took in, because it was killed.
    pub unheard: usize,
}

/// Compares all that the feeds of `epochs` published with all that the brain has: every task with its state, its attempt
/// and its times; the statistics with the tasks counted one by one; the raw events of a sample; and what the agents are said
/// to have lost, which must be nothing.
///
/// # Errors
/// When there is any difference; the text says which.
pub async fn account(api: &Api, epochs: &[Epoch], dice: &mut Dice) -> Result<Account> {
    let mut known: BTreeMap<u32, BTreeMap<u64, usize>> = BTreeMap::new();
    for task in all_tasks(api).await? {
        let id = task["task_id"].as_str().context("a task id")?;
        let (epoch, number) = of_task_id(id).with_context(|| format!("task {id} was never published"))?;
        let events = events_told(number, &task)?;
        let twice = known.entry(epoch).or_default().insert(number, events);
        ensure!(twice.is_none(), "task {id} is there twice");
    }
    let mut account = Account::default();
    let mut steps: BTreeMap<&str, u64> = BTreeMap::new();
    for epoch in epochs {
        let known = known.remove(&epoch.number).unwrap_or_default();
        let events = check_epoch(epoch, &known)?;
        account.tasks += known.len();
        account.events += events;
        account.unheard += epoch.events.len() - events;
        for (task, step) in &epoch.events[..events] {
            *steps.entry(statistic(life(*task)[*step])).or_default() += 1;
        }
    }
    ensure!(known.is_empty(), "tasks of epochs that never were: {known:?}");
    check_statistics(api, &steps).await?;
    check_raw_events(api, epochs, dice).await?;
    check_agents(api).await?;
    Ok(account)
}

/// The brain has the first so many events of the epoch, and no others. Returns how many.
fn check_epoch(epoch: &Epoch, known: &BTreeMap<u64, usize>) -> Result<usize> {
    let told: usize = known.values().sum();
    let name = epoch.number;
    ensure!(told <= epoch.events.len(), "epoch {name}: {told} events, {} were published", epoch.events.len());
    let mut expected: BTreeMap<u64, usize> = BTreeMap::new();
    for (task, step) in &epoch.events[..told] {
        expected.insert(*task, step + 1);
    }
    for task in expected.keys().chain(known.keys()) {
        let (expected, known) = (expected.get(task), known.get(task));
        ensure!(
            expected == known,
            "epoch {name} has {told} events, so task {task} ({}) should have {expected:?} of them and has {known:?}: some \
             event between was lost",
            task_id(name, *task)
        );
    }
    ensure!(told >= epoch.at_least, "epoch {name}: {told} events, but {} had been taken in", epoch.at_least);
    Ok(told)
}

/// How many of its events a task shows to have come.
fn events_told(number: u64, task: &Value) -> Result<usize> {
    let life = life(number);
    let told = (1..=life.len()).find(|count| {
        let attempt = life[..count - 1].iter().filter(|step| **step == Step::Retried).count();
        let state = match life[count - 1] {
            Step::Sent => "pending",
            Step::Received if attempt == 0 => "received",
            Step::Received | Step::Retried => "retrying",
            Step::Started => "started",
            Step::Succeeded => "succeeded",
            Step::Failed => "failed",
        };
        task["state"] == state && task["attempt"] == attempt
    });
    let told = told.with_context(|| format!("no part of its life brings a task to {task}"))?;
    // The times of the current attempt, where each of its events must have left one. It is sent only once.
    let attempt = life[..told].iter().rposition(|step| *step == Step::Retried).filter(|at| at + 1 < told);
    let current = &life[attempt.map_or(0, |at| at + 1)..told];
    for (step, time) in [(Step::Sent, "sent_at"), (Step::Received, "received_at"), (Step::Started, "started_at")] {
        let is_expected = current.contains(&step);
        ensure!(!is_expected || !task[time].is_null(), "an event was lost: {time} of {task}");
    }
    Ok(told)
}

fn statistic(step: Step) -> &'static str {
    match step {
        Step::Sent => "sent",
        Step::Received => "received",
        Step::Started => "started",
        Step::Retried => "retried",
        Step::Succeeded => "succeeded",
        Step::Failed => "failed",
    }
}

async fn check_statistics(api: &Api, steps: &BTreeMap<&str, u64>) -> Result<()> {
    for name in ["sent", "started", "retried", "succeeded", "failed", "revoked"] {
        let (counted, told) = (steps.get(name).copied().unwrap_or(0), statistics(api, name).await?);
        ensure!(told == counted, "the statistics have {told} as {name}; counted one by one they are {counted}");
    }
    Ok(())
}

/// The sum of one statistic over the last hours.
///
/// # Errors
/// When the call fails.
pub async fn statistics(api: &Api, name: &str) -> Result<u64> {
    let stats = api.get("stats?since=3h").await?;
    Ok(stats["items"].as_array().into_iter().flatten().filter_map(|item| item[name].as_u64()).sum())
}

/// The numbers of all raw events of an epoch that are stored, each as often as it is.
///
/// # Errors
/// When a call fails.
pub async fn stored_events(api: &Api, epoch: u32) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for task in all_tasks(api).await? {
        let id = task["task_id"].as_str().context("a task id")?;
        if of_task_id(id).is_some_and(|(of, _)| of == epoch) {
            numbers.extend(raw_events(api, id).await?);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The numbers of the raw events of a task, ascending.
async fn raw_events(api: &Api, task_id: &str) -> Result<Vec<u64>> {
    let answer = api.get(&format!("tasks/celery/{task_id}/events")).await?;
    let items = answer["items"].as_array().into_iter().flatten();
    let mut numbers: Vec<u64> = items.filter_map(|item| item["event"]["pid"].as_u64()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The raw events of some tasks are those that were published, each once.
async fn check_raw_events(api: &Api, epochs: &[Epoch], dice: &mut Dice) -> Result<()> {
    for _ in 0..SAMPLES {
        let epoch = &epochs[dice.below(epochs.len() as u64) as usize];
        let Some((task, _)) = epoch.events.get(dice.below(epoch.at_least as u64) as usize) else { continue };
        let numbers =
            epoch.events.iter().enumerate().filter(|(_, (of, _))| of == task).map(|(number, _)| number as u64);
        let published: Vec<u64> = numbers.collect();
        let id = task_id(epoch.number, *task);
        let stored = raw_events(api, &id).await?;
        let is_prefix = published.starts_with(&stored);
        ensure!(is_prefix, "task {id}: the raw events {stored:?} are stored, {published:?} were published");
        let at_least = published.iter().filter(|number| **number < epoch.at_least as u64).count();
        ensure!(stored.len() >= at_least, "task {id}: only the raw events {stored:?} of {published:?} are stored");
    }
    Ok(())
}

/// No agent is said to have lost anything.
///
/// # Errors
/// When one is.
pub async fn check_agents(api: &Api) -> Result<()> {
    let agents = api.get("agents").await?;
    for agent in agents["items"].as_array().into_iter().flatten() {
        ensure!(agent["lost_batches"] == 0, "batches never came: {agent}");
        ensure!(agent["quarantined_events"] == 0, "events were not understood: {agent}");
        ensure!(agent["problem"].is_null(), "there is a problem: {agent}");
        ensure!(agent["buffer"]["dropped"].as_u64().unwrap_or(0) == 0, "events were dropped: {agent}");
    }
    Ok(())
}

/// All tasks that the brain lists, over all pages.
///
/// # Errors
/// When a call fails.
pub async fn all_tasks(api: &Api) -> Result<Vec<Value>> {
    let mut tasks = Vec::new();
    let mut cursor = String::new();
    loop {
        let mut page = api.get(&format!("tasks?limit=200{cursor}")).await?;
        if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
            tasks.extend(items);
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(tasks),
        }
    }
}
