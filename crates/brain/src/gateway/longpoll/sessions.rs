//! The long-poll sessions there are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taskplane_store::access::SecretHash;
use tokio::sync::mpsc;

use super::super::wire::Incoming;
use super::session::Session;
use super::session_id;

/// Sessions by id. Cheap to clone.
#[derive(Clone)]
pub struct LongPolls {
    run: Option<u32>,
    sessions: Arc<Mutex<HashMap<String, Arc<Session>>>>,
}

impl LongPolls {
    /// None yet, of the brain whose run has this number, or of one that has its database alone.
    pub(crate) fn of_run(run: Option<u32>) -> Self {
        Self { run, sessions: Arc::default() }
    }

    /// Opens a session, unless there are `most` already.
    pub(super) fn open(&self, owner: SecretHash, most: usize) -> Option<(Arc<Session>, mpsc::Receiver<Incoming>)> {
        let mut sessions = self.lock();
        if sessions.len() >= most {
            return None;
        }
        let id = session_id::generate(self.run);
        let (session, arrivals) = Session::new(id.clone(), owner);
        sessions.insert(id, Arc::clone(&session));
        Some((session, arrivals))
    }

    /// The session with an id.
    pub(super) fn find(&self, id: &str) -> Option<Arc<Session>> {
        self.lock().get(id).cloned()
    }

    /// Forgets a session.
    pub(super) fn remove(&self, id: &str) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        // Single map operations only.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
