//! Filters: as parameters, and as a statement about every task that comes back.

use serde_json::Value;
use taskplane_model::{TaskState, Timestamp};

use super::check::Known;
use crate::fill::manifest::{Known as Told, Manifest};

/// Which tasks. What is `None` is not asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) state: Option<TaskState>,
    /// A type, or the beginning of one and `*`.
    pub(crate) name: Option<String>,
    pub(crate) queue: Option<String>,
    pub(crate) worker: Option<String>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    /// Text of the search box.
    pub(crate) q: Option<String>,
    /// What every task that `q` finds has somewhere, in lower case.
    pub(crate) text: Option<String>,
}

impl Filter {
    /// As parameters of a call.
    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        [
            ("state", self.state.map(|state| state.name().to_owned())),
            ("name", self.name.clone()),
            ("queue", self.queue.clone()),
            ("worker", self.worker.clone()),
            ("since", time(self.since)),
            ("until", time(self.until)),
            ("q", self.q.clone()),
        ]
        .into_iter()
        .filter_map(|(key, value)| value.map(|value| (key, value)))
        .collect()
    }

    /// Whether a task that came back is one that was asked for.
    pub(crate) fn admits(&self, task: &Value) -> bool {
        let is = |field: &str, wanted: Option<&str>| wanted.is_none_or(|wanted| task[field] == wanted);
        let named = self.name.as_deref().is_none_or(|name| {
            let has = task["name"].as_str().unwrap_or_default();
            name.strip_suffix('*').map_or(has == name, |start| has.starts_with(start))
        });
        // An attempt before the last one may have failed with the text, which an item of a list does not show.
        let was_retried = task["attempt"].as_u64().is_some_and(|attempt| attempt > 0);
        // Times are all written alike, so that text sorts as time does.
        let seen = task["first_seen_at"].as_str().unwrap_or_default();
        is("state", self.state.map(TaskState::name))
            && named
            && is("queue", self.queue.as_deref())
            && is("worker", self.worker.as_deref())
            && self.since.is_none_or(|since| seen >= since.to_string().as_str())
            && self.until.is_none_or(|until| seen < until.to_string().as_str())
            && self.text.as_deref().is_none_or(|text| was_retried || task.to_string().to_lowercase().contains(text))
    }

    /// How many tasks it means, where `fill` has counted them. Only for filters that end where the fill ended: events come in.
    pub(crate) fn known(&self, manifest: &Manifest) -> Option<Known> {
        if self.until != Some(manifest.until()) || self.since.is_some() || self.q.is_some() {
            return None;
        }
        let find = |list: &[Told], name: &str| list.iter().find(|one| one.name == name).cloned();
        let told = match (&self.name, &self.queue, &self.worker) {
            (None, None, None) => return self.state.map(|state| Known(manifest.in_state(state))),
            (Some(name), None, None) => find(&manifest.names, name),
            (None, Some(queue), None) => find(&manifest.queues, queue),
            (None, None, Some(worker)) => find(&manifest.workers, worker),
            _ => None,
        }?;
        match self.state {
            None => Some(Known(told.tasks)),
            Some(TaskState::Failed) => Some(Known(told.failed)),
            Some(_) => None,
        }
    }
}
