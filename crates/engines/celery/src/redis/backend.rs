//! The result backend on Redis: a database, and what the keys of results begin with.

use std::sync::Arc;

use super::{Link, layout::glob};
use crate::results::KEY_PREFIX;

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
