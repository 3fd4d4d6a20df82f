//! How long things are kept, and what should be left then.

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use taskplane_model::Timestamp;
use taskplane_model::time::MINUTE;

use crate::brain_process::now;
use crate::fill::manifest::Manifest;
use crate::verify::Api;

const HOUR: i64 = 60 * MINUTE;
/// A brain looks every minute for what has become too old, and a task of a workflow is not sent exactly when its turn is.
const ABOUT: i64 = 5 * MINUTE;

/// How long raw events, tasks and failures are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ages {
    hours: i64,
}

/// Longer than anything is old.
pub(super) const FOREVER: Ages = Ages { hours: 100_000 };

/// What was found of the tasks that were stored before.
#[derive(Debug, Serialize)]
pub(super) struct Left {
    pub(super) ok: bool,
    /// Of the tasks that were looked up: those that are older than the horizon and there all the same, and those that are younger and
    /// gone.
    looked_up: usize,
    old_and_there: usize,
    young_and_gone: usize,
    /// The same of raw events.
    old_events_there: usize,
    young_events_gone: usize,
    /// Sent, started and succeeded in the statistics, and what that must at least be; dropping takes nothing from them.
    counted: u64,
    expected_counted: u64,
}

impl Ages {
    /// Ages by which about so many tasks are too old, and at most an hour's more.
    pub(super) fn to_drop(manifest: &Manifest, tasks: u64, now: Timestamp) -> Result<Self> {
        ensure!(tasks < manifest.tasks, "there are {} tasks: drop fewer", manifest.tasks);
        let share = tasks as f64 / manifest.tasks as f64;
        let horizon = manifest.from + ((manifest.until - manifest.from) as f64 * share) as i64;
        let hours = (now.0 - horizon) / HOUR;
        ensure!(hours >= 1, "the last hour is always kept: drop fewer");
        Ok(Self { hours })
    }

    pub(super) fn hours(self) -> u64 {
        self.hours.unsigned_abs()
    }

    /// What the brain is told.
    pub(super) fn arguments(self) -> Vec<String> {
        let all = ["events", "tasks", "failures"];
        all.iter().flat_map(|what| [format!("--keep-{what}"), format!("{}h", self.hours)]).collect()
    }

    /// Looks for the tasks that are known by name.
    pub(super) async fn look(self, api: &Api, manifest: &Manifest, expected_counted: u64) -> Result<Left> {
        let (mut looked_up, mut old_and_there, mut young_and_gone) = (0, 0, 0);
        let (mut old_events_there, mut young_events_gone) = (0, 0);
        for sample in &manifest.samples {
            let at = sample.sent_at(manifest).context("an order number is not one of ours")?;
            let horizon = now().0 - self.hours * HOUR;
            let (is_old, is_young) = (at < horizon - ABOUT, at > horizon + ABOUT);
            let path = format!("tasks/celery/{}", sample.task_id);
            let is_there = api.find(&path).await?.is_some();
            let events = api.find(&format!("{path}/events")).await?;
            let has_events = events.is_some_and(|page| page["items"].as_array().is_some_and(|items| !items.is_empty()));
            looked_up += 1;
            old_and_there += usize::from(is_old && is_there);
            young_and_gone += usize::from(is_young && !is_there);
            old_events_there += usize::from(is_old && has_events);
            young_events_gone += usize::from(is_young && !has_events);
        }
        let counted = api.counted(Timestamp(manifest.from), "1d").await?;
        let wrong = old_and_there + young_and_gone + old_events_there + young_events_gone;
        Ok(Left {
            ok: wrong == 0 && looked_up > 0 && counted >= expected_counted,
            looked_up,
            old_and_there,
            young_and_gone,
            old_events_there,
            young_events_gone,
            counted,
            expected_counted,
        })
    }
}
