//! The one connection to a database, opened when it is needed.

use tokio::sync::Mutex;

use crate::{Access, Address, DatabaseError, Dialect, Session};

/// A database, with the connection to it where there is one.
pub struct Database {
    address: Address,
    access: Access,
    session: Mutex<Option<Session>>,
}

/// An error after which a connection may be of no more use.
pub trait EndsSession: From<DatabaseError> {
    /// True when it is of no more use.
    fn ends_session(&self) -> bool;
}

impl EndsSession for DatabaseError {
    fn ends_session(&self) -> bool {
        self.ends_session()
    }
}

impl Database {
    /// Nothing is contacted yet.
    pub fn new(address: Address, access: Access) -> Self {
        Self { address, access, session: Mutex::new(None) }
    }

    /// What it understands.
    pub fn dialect(&self) -> Dialect {
        self.address.dialect()
    }

    /// Works with the connection, which is opened where there is none, and given up when it failed. Others wait meanwhile.
    ///
    /// # Errors
    /// What `work` says, or why there is no connection.
    pub async fn with<T, E: EndsSession>(&self, work: impl AsyncFnOnce(&mut Session) -> Result<T, E>) -> Result<T, E> {
        let mut slot = self.session.lock().await;
        // While it works it is not in its slot: one that is cut off in the middle is never used again.
        let mut session = match slot.take().filter(Session::is_usable) {
            Some(session) => session,
            None => Session::open(&self.address, self.access).await?,
        };
        let outcome = work(&mut session).await;
        let is_usable = match &outcome {
            Ok(_) => true,
            Err(error) => !error.ends_session() && session.run("ROLLBACK").await.is_ok(),
        };
        *slot = Some(session).filter(|_| is_usable);
        outcome
    }
}
