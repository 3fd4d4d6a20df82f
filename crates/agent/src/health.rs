//! What the engines say of their connections to their brokers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::Health;
use crate::redact::Redactor;

/// What a heartbeat says of each engine. Cheap to clone.
#[derive(Clone)]
pub(crate) struct HealthBoard {
    said: Arc<Mutex<BTreeMap<String, String>>>,
    redactor: Arc<Redactor>,
}

impl HealthBoard {
    /// Nobody has said anything yet.
    pub(crate) fn new(engines: impl Iterator<Item = &'static str>, redactor: Arc<Redactor>) -> Self {
        let said = engines.map(|engine| (engine.to_owned(), "connecting".to_owned())).collect();
        Self { said: Arc::new(Mutex::new(said)), redactor }
    }

    /// Takes note of what `engine` says. Errors of brokers may quote a URL with its password.
    pub(crate) fn note(&self, engine: &'static str, health: &Health) {
        let text = match health {
            Health::Ok => "ok".to_owned(),
            Health::Down(why) => self.redactor.message(why),
        };
        let before = self.said.lock().unwrap_or_else(PoisonError::into_inner).insert(engine.to_owned(), text.clone());
        if before.as_ref() != Some(&text) {
            match health {
                Health::Ok => tracing::info!(engine, "observing"),
                Health::Down(_) => tracing::warn!(engine, reason = text, "not observing"),
            }
        }
    }

    /// `ok` or why not, by engine.
    pub(crate) fn said(&self) -> BTreeMap<String, String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_engines_say_is_told_without_secrets() {
        let redactor = Arc::new(Redactor::new(&Default::default()).expect("built-in rules"));
        let board = HealthBoard::new(["celery"].into_iter(), redactor);
        assert_eq!(board.said()["celery"], "connecting");
        board.note("celery", &Health::Down("cannot reach redis://:secret@host:6379".into()));
        assert_eq!(board.said()["celery"], "cannot reach redis://<url-credentials>@host:6379");
        board.note("celery", &Health::Ok);
        assert_eq!(board.said()["celery"], "ok");
    }
}
