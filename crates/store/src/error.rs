use thiserror::Error;

/// Why the store could not do what was asked. The texts are for operators: what, where, what to do.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// Not now: the disk is full or read-only, or the database is away. Nothing was changed; try again.
    #[error("the database cannot be written or read now: {0}")]
    Unavailable(String),
    /// The database was written by a newer version.
    #[error("{0}")]
    NewerSchema(String),
    /// The database cannot be opened.
    #[error("{0}")]
    CannotOpen(String),
    /// What was read makes no sense.
    #[error("the database holds something unexpected: {0}")]
    Corrupt(String),
    /// A fault in this program.
    #[error("internal fault of the store: {0}")]
    Internal(String),
}

impl StoreError {
    /// True when the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
