//! The long-poll sessions there are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taskplane_store::access::SecretHash;
use tokio::sync::mpsc;

use super::super::wire::Incoming;
use super::session::Session;

/// Sessions by id. Cheap to clone.
#[derive(Clone, Default)]
pub struct LongPolls {
    sessions: Arc<Mutex<HashMap<String, Arc<Session>>>>,
}

impl LongPolls {
    /// Opens a session, unless there are `most` already.
    pub(super) fn open(&self, owner: SecretHash, most: usize) -> Option<(Arc<Session>, mpsc::Receiver<Incoming>)> {
        let mut sessions = self.lock();
        if sessions.len() >= most {
            return None;
        }
        let id = uuid::Uuid::new_v4().simple().to_string();
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
