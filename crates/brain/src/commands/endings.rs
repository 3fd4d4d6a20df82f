//! Ends of commands that the store could not take at once: a full disk, a database that restarts.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taskplane_model::command::CommandOutcome;

/// How a command ends.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    /// Project.
    pub(super) project: u64,
    /// The command.
    pub(super) id: String,
    /// What came of it.
    pub(super) outcome: CommandOutcome,
    /// Tasks that were published again: engine, old id, new id.
    pub(super) retried: Vec<(String, String, String)>,
}

impl Ending {
    /// The end of a command that never left: the store failed before.
    pub(super) fn not_sent(project: u64, id: &str) -> Self {
        let message = "the brain's database could not be written, so nothing was sent; give the command again";
        let outcome = CommandOutcome::failed("store_unavailable", message);
        Self { project, id: id.to_owned(), outcome, retried: Vec::new() }
    }
}

/// Ends that wait for the store, oldest first. As long as commands are refused while there are many, it is bounded.
#[derive(Clone, Default)]
pub(super) struct WaitingEndings(Arc<Mutex<VecDeque<Ending>>>);

impl WaitingEndings {
    pub(super) fn push(&self, ending: Ending) {
        self.lock().push_back(ending);
    }

    pub(super) fn put_back(&self, ending: Ending) {
        self.lock().push_front(ending);
    }

    pub(super) fn pop(&self) -> Option<Ending> {
        self.lock().pop_front()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Ending>> {
        // Single operations only.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
