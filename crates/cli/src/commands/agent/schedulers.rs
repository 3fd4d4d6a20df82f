//! Which schedulers the agent looks after.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use serde_json::Value;
use taskplane_agent::scheduler::Scheduler;
use taskplane_engine_celery::{CeleryEngine, WorkerSettings};
use taskplane_scheduler_celery_beat::{BeatSettings, DjangoBeat, RedBeat, WorkerSettings as SettingsSource};

use crate::arguments::AgentOptions;
use crate::wrong_usage::WrongUsage;

/// Those that are named, and those that may be there besides.
pub(super) fn of(options: &AgentOptions, engine: &CeleryEngine) -> Result<Vec<Arc<dyn Scheduler>>> {
    let mut schedulers: Vec<Arc<dyn Scheduler>> = Vec::new();
    if let Some(url) = &options.celery_beat_db {
        let beat = DjangoBeat::new(url).map_err(|error| WrongUsage(error.to_string()))?;
        schedulers.push(Arc::new(beat));
    }
    let redbeat = redbeat(options)?.map(Arc::new);
    schedulers.extend(redbeat.clone().map(|redbeat| redbeat as Arc<dyn Scheduler>));
    if options.celery_beat_db.is_none() && options.redbeat.is_none() {
        schedulers.push(Arc::new(BeatSettings::new(ToldSettings { settings: engine.worker_settings(), redbeat })));
    }
    Ok(schedulers)
}

fn redbeat(options: &AgentOptions) -> Result<Option<RedBeat>> {
    let prefix = &options.redbeat_prefix;
    if let Some(url) = &options.redbeat {
        return Ok(Some(RedBeat::new(url, prefix, true).map_err(|error| WrongUsage(error.to_string()))?));
    }
    // RedBeat is on the broker unless the application says otherwise. Whether there is one shows when it is looked for.
    let [broker] = &options.celery[..] else { return Ok(None) };
    let is_redis = ["redis", "sentinel"].iter().any(|kind| broker.starts_with(kind));
    Ok(if is_redis { RedBeat::new(broker, prefix, false).ok() } else { None })
}

/// What the workers of the engine tell.
struct ToldSettings {
    settings: WorkerSettings,
    redbeat: Option<Arc<RedBeat>>,
}

#[async_trait]
impl SettingsSource for ToldSettings {
    fn workers(&self) -> BTreeSet<String> {
        self.settings.workers()
    }

    async fn read(&self, workers: &BTreeSet<String>) -> Result<BTreeMap<String, Value>, String> {
        self.settings.read(workers).await
    }

    fn are_kept_elsewhere(&self) -> bool {
        self.redbeat.as_ref().is_some_and(|redbeat| redbeat.is_found())
    }
}
