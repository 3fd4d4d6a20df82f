//! Redaction by task type.

use std::collections::HashMap;
use std::sync::Arc;

use taskplane_agent::redact::{RedactionConfig, Redactor, Strings};

/// Rules of one task type besides the general ones.
#[derive(Clone)]
pub(crate) struct TaskRules {
    pub(crate) extra_keys: Vec<String>,
    pub(crate) strings: Option<Strings>,
    pub(crate) shows_values: bool,
}

/// How the values of an event are shown.
pub(crate) struct Rules {
    redactor: Arc<Redactor>,
    shows_values: bool,
    process: u32,
}

impl Rules {
    pub(crate) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// The process that tells.
    pub(crate) fn process(&self) -> u32 {
        self.process
    }

    /// False when arguments, results and texts of exceptions are not even looked at.
    pub(crate) fn shows_values(&self) -> bool {
        self.shows_values
    }
}

pub(super) struct RuleBook {
    base: Option<(RedactionConfig, Arc<Redactor>)>,
    by_type: Option<HashMap<String, OwnRules>>,
}

/// Rules of one task type.
struct OwnRules {
    rules: TaskRules,
    /// Made with its first event.
    redactor: Option<Arc<Redactor>>,
}

impl RuleBook {
    pub(super) const fn new() -> Self {
        Self { base: None, by_type: None }
    }

    /// The general rules.
    pub(super) fn begin(&mut self, config: RedactionConfig, redactor: Arc<Redactor>) {
        self.base = Some((config, redactor));
        self.by_type.iter_mut().flatten().for_each(|(_, own)| own.redactor = None);
    }

    pub(super) fn set(&mut self, task_type: String, rules: TaskRules) {
        self.by_type.get_or_insert_default().insert(task_type, OwnRules { rules, redactor: None });
    }

    pub(super) fn of(&mut self, task_type: Option<&str>, process: u32) -> Option<Rules> {
        let (config, general) = self.base.as_ref()?;
        let own = task_type.and_then(|task_type| self.by_type.as_mut()?.get_mut(task_type));
        let Some(own) = own else {
            return Some(Rules { redactor: Arc::clone(general), shows_values: true, process });
        };
        let redactor = match &own.redactor {
            Some(redactor) => Arc::clone(redactor),
            None => Arc::clone(own.redactor.insert(merged(config, &own.rules)?)),
        };
        Some(Rules { redactor, shows_values: own.rules.shows_values, process })
    }
}

fn merged(general: &RedactionConfig, own: &TaskRules) -> Option<Arc<Redactor>> {
    let mut config = general.clone();
    config.extra_keys.extend(own.extra_keys.iter().cloned());
    config.strings = own.strings.unwrap_or(config.strings);
    Redactor::new(&config).ok().map(Arc::new)
}
