//! Asks the brain for what it has, and compares with what it acked.

use anyhow::{Context, Result, ensure};
use reqwest::{Client, StatusCode};
use serde::Serialize;
use serde_json::Value;
use taskplane_model::Timestamp;

use crate::brain_process::BrainProcess;
use crate::fill::manifest::Manifest;
use crate::load::Load;

/// Tasks that are looked up one by one.
const SAMPLES: usize = 200;

/// The API of a brain.
pub(crate) struct Api {
    client: Client,
    base: String,
    key: String,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Verified {
    /// Everything is as it must be.
    pub(crate) ok: bool,
    /// Sent, started and succeeded that came to the statistics; three of the four events of a task are counted there.
    pub(crate) counted: u64,
    /// What that must at least be: acked events less those that are counted nowhere.
    pub(crate) expected_counted: u64,
    /// Tasks looked up.
    pub(crate) tasks_looked_up: usize,
    /// Of them, those that are there, succeeded, with all four events.
    pub(crate) tasks_whole: usize,
    /// Of the tasks that were stored before, those looked up, and those that are there.
    pub(crate) old_tasks_looked_up: usize,
    pub(crate) old_tasks_there: usize,
}

impl Api {
    pub(crate) fn of(brain: &BrainProcess, key: &str) -> Self {
        Self { client: Client::new(), base: brain.api_url(), key: key.to_owned() }
    }

    /// Calls `path` below the project; `None` when there is no such thing.
    pub(crate) async fn find(&self, path: &str) -> Result<Option<Value>> {
        let url = format!("{}/api/v1/projects/default/{path}", self.base);
        let response = self.client.get(url).bearer_auth(&self.key).send().await?;
        let status = response.status();
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let text = response.text().await?;
        ensure!(status.is_success(), "{path}: {status}: {text}");
        Ok(Some(serde_json::from_str(&text)?))
    }

    /// Calls `path` below the project.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.find(path).await?.with_context(|| format!("{path}: not found"))
    }

    /// What the brain counts about itself.
    pub(crate) async fn metrics(&self) -> Result<String> {
        let response = self.client.get(format!("{}/metrics", self.base)).send().await?;
        Ok(response.error_for_status()?.text().await?)
    }

    /// Sent, started and succeeded in the statistics since `since`, in steps of `step`.
    pub(crate) async fn counted(&self, since: Timestamp, step: &str) -> Result<u64> {
        let stats = self.get(&format!("stats?since={since}&step={step}")).await.context("reading statistics")?;
        let items = stats["items"].as_array().map_or(&[][..], Vec::as_slice);
        let sum = |field: &str| items.iter().filter_map(|item| item[field].as_u64()).sum::<u64>();
        Ok(sum("sent") + sum("started") + sum("succeeded"))
    }

    /// True when the task is there, succeeded, with all four events.
    async fn is_whole(&self, id: &str) -> Result<bool> {
        let Some(task) = self.find(&format!("tasks/celery/{id}")).await? else { return Ok(false) };
        let events = self.get(&format!("tasks/celery/{id}/events")).await?;
        Ok(task["state"] == "succeeded" && events["items"].as_array().is_some_and(|events| events.len() == 4))
    }
}

/// Looks for what `load` acked since `since`, when so many were `counted_before` since then, and for what was there before it.
pub(crate) async fn run(
    api: &Api,
    since: Timestamp,
    counted_before: u64,
    load: &Load,
    before: Option<&Manifest>,
) -> Result<Verified> {
    let counted = api.counted(since, "60s").await?.saturating_sub(counted_before);
    let (mut tasks_looked_up, mut tasks_whole) = (0, 0);
    for id in load.sample_ids.iter().take(SAMPLES) {
        tasks_looked_up += 1;
        tasks_whole += usize::from(api.is_whole(id).await?);
    }
    let (mut old_tasks_looked_up, mut old_tasks_there) = (0, 0);
    let old = before.map_or(&[][..], |manifest| manifest.samples.as_slice());
    for sample in old.iter().step_by(old.len().div_ceil(SAMPLES).max(1)) {
        old_tasks_looked_up += 1;
        old_tasks_there += usize::from(api.find(&format!("tasks/celery/{}", sample.task_id)).await?.is_some());
    }
    let expected_counted = load.events_acked / 4 * 3;
    // Each agent is killed in mid-stream: batches that were stored and whose ack was on its way may be there as well.
    let ok = counted >= expected_counted && tasks_whole == tasks_looked_up && old_tasks_there == old_tasks_looked_up;
    Ok(Verified { ok, counted, expected_counted, tasks_looked_up, tasks_whole, old_tasks_looked_up, old_tasks_there })
}
