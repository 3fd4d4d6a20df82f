//! Asks the brain for what it has, and compares with what it acked.

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use taskplane_model::Timestamp;

use crate::load::Load;

/// Tasks that are looked up one by one.
const SAMPLES: usize = 200;

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Verified {
    /// Everything is as it must be.
    pub(crate) ok: bool,
    /// Sent, started and succeeded in the statistics; three of the four events of a task are counted there.
    pub(crate) counted: u64,
    /// What that must at least be: acked events less those that are counted nowhere.
    pub(crate) expected_counted: u64,
    /// Tasks looked up.
    pub(crate) tasks_looked_up: usize,
    /// Of them, those that are there, succeeded, with all four events.
    pub(crate) tasks_whole: usize,
}

pub(crate) async fn run(api_url: &str, api_key: &str, since: Timestamp, load: &Load) -> Result<Verified> {
    let client = reqwest::Client::new();
    let get = async |path: String| -> Result<Value> {
        let response =
            client.get(format!("{api_url}/api/v1/projects/default/{path}")).bearer_auth(api_key).send().await?;
        let status = response.status();
        let text = response.text().await?;
        anyhow::ensure!(status.is_success(), "{path}: {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    };
    let stats = get(format!("stats?since={since}&step=60s")).await.context("reading statistics")?;
    let sum = |field: &str| -> u64 {
        stats["items"].as_array().into_iter().flatten().filter_map(|item| item[field].as_u64()).sum()
    };
    let counted = sum("sent") + sum("started") + sum("succeeded");
    let mut tasks_whole = 0;
    let samples: Vec<&String> = load.sample_ids.iter().take(SAMPLES).collect();
    for id in &samples {
        let task = get(format!("tasks/celery/{id}")).await?;
        let events = get(format!("tasks/celery/{id}/events")).await?;
        let whole = task["state"] == "succeeded" && events["items"].as_array().is_some_and(|e| e.len() == 4);
        tasks_whole += usize::from(whole);
    }
    let expected_counted = load.events_acked / 4 * 3;
    // Each agent is killed in mid-stream: batches that were stored and whose ack was on its way may be there as well.
    Ok(Verified {
        ok: counted >= expected_counted && tasks_whole == samples.len(),
        counted,
        expected_counted,
        tasks_looked_up: samples.len(),
        tasks_whole,
    })
}
