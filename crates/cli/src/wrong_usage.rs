//! Mistakes in how a command was given.

/// What was given makes no sense, or is not enough; ends the process with 2 instead of 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WrongUsage(pub(crate) String);
