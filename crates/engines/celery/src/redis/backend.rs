//! The result backend on Redis: a database, and what the keys of results begin with.

use std::{collections::HashMap, sync::Arc};

use redis::AsyncCommands as _;

use super::{Link, layout::glob};
use crate::{broker::BrokerError, results::KEY_PREFIX};

/// Results read in one step: each may be large.
const RESULTS_AT_ONCE: usize = 50;

/// Key prefix of what is kept of groups, chords among them.
const GROUP_PREFIX: &str = "celery-taskset-meta-";

/// Where results are kept.
pub(crate) struct Backend {
    pub(crate) link: Arc<Link>,
    /// What comes before a task's id; the channel of a result has the name of its key.
    prefix: String,
    /// What comes before a group's id.
    groups: String,
}

impl Backend {
    /// With the `global_keyprefix` of `result_backend_transport_options`, which is none of the broker's.
    pub(crate) fn new(link: Arc<Link>, global: Option<&str>) -> Self {
        let global = match global {
            // Celery separates it, where its end does not look like a separator.
            Some(global) if !global.is_empty() && !global.ends_with([':', '_', '-', '.']) => format!("{global}_"),
            global => global.unwrap_or_default().to_owned(),
        };
        Self { link, prefix: format!("{global}{KEY_PREFIX}"), groups: format!("{global}{GROUP_PREFIX}") }
    }

    /// The key of a task's result.
    pub(crate) fn key(&self, task_id: &str) -> String {
        format!("{}{task_id}", self.prefix)
    }

    /// The key of what is kept of a group.
    pub(crate) fn group_key(&self, group_id: &str, suffix: &str) -> String {
        format!("{}{group_id}{suffix}", self.groups)
    }

    /// The right to read what is kept of groups, as an ACL has it.
    pub(crate) fn groups_right(&self) -> String {
        format!("%R~{}*", glob(&self.groups))
    }

    /// The stored results of tasks.
    pub(crate) async fn read(&self, ids: &[&str]) -> Result<HashMap<String, Vec<u8>>, BrokerError> {
        let mut found = HashMap::new();
        for ids in ids.chunks(RESULTS_AT_ONCE) {
            let keys: Vec<String> = ids.iter().map(|id| self.key(id)).collect();
            let raws: Vec<Option<Vec<u8>>> = self.link.run(&self.right(), async |c| c.mget(&keys).await).await?;
            found.extend(ids.iter().zip(raws).filter_map(|(id, raw)| Some(((*id).to_owned(), raw?))));
        }
        Ok(found)
    }

    /// The task of a key, or of a channel.
    pub(crate) fn task<'k>(&self, key: &'k str) -> Option<&'k str> {
        key.strip_prefix(self.prefix.as_str())
    }

    /// What matches all keys of results.
    pub(crate) fn pattern(&self) -> String {
        format!("{}*", glob(&self.prefix))
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The right to read results, as an ACL has it.
    pub(crate) fn right(&self) -> String {
        format!("%R~{}", self.pattern())
    }
}
