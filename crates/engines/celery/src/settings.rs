//! What the workers tell of their application's settings.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Value, json};

use crate::{
    control::Call,
    deployments::Deployments,
    shared::{Shared, lock},
};

/// The settings of the applications whose workers the engine sees. Cheap to clone.
#[derive(Clone)]
pub struct WorkerSettings {
    deployments: Arc<Deployments>,
}

impl WorkerSettings {
    pub(crate) fn new(deployments: Arc<Deployments>) -> Self {
        Self { deployments }
    }

    /// The workers that are up.
    pub fn workers(&self) -> BTreeSet<String> {
        self.deployments.iter().flat_map(|shared| lock(&shared.workers).live_names()).collect()
    }

    /// The settings that these workers tell, by the worker's name: what differs from Celery's defaults, with stars for what looks secret.
    /// Workers that do not answer are left out.
    ///
    /// # Errors
    /// In words, why workers cannot be asked.
    pub async fn read(&self, workers: &BTreeSet<String>) -> Result<BTreeMap<String, Value>, String> {
        let mut told = BTreeMap::new();
        for shared in self.deployments.iter() {
            told.extend(of_one(shared, workers).await?);
        }
        Ok(told)
    }
}

async fn of_one(shared: &Shared, workers: &BTreeSet<String>) -> Result<BTreeMap<String, Value>, String> {
    let asked: Vec<String> = lock(&shared.workers).live_names().intersection(workers).cloned().collect();
    if asked.is_empty() {
        return Ok(BTreeMap::new());
    }
    let wait = shared.timings.control_wait;
    let call = Call { method: "conf", arguments: json!({"with_defaults": false}), to: Some(asked), wait };
    Ok(shared.call(&call).await.map_err(|error| error.to_string())?.by_worker)
}
