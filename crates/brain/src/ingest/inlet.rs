//! One connection's way in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where the batches of one connection come from. Cheap to clone.
///
/// When one of them is refused, so is every later one: its ack would say that the refused one is stored too, and the agent
/// would forget it. A newer connection of the same stream begins with its own first ack, and has an inlet of its own.
#[derive(Clone, Debug)]
pub struct Inlet {
    token: Arc<str>,
    is_shut: Arc<AtomicBool>,
}

impl Inlet {
    /// The inlet of a connection that came with the token `token_id`.
    pub fn new(token_id: &str) -> Self {
        Self { token: token_id.into(), is_shut: Arc::default() }
    }

    /// Whose share of the memory and whose turns are used.
    pub(super) fn token(&self) -> &Arc<str> {
        &self.token
    }

    /// Nothing of it is stored from now on. Only the loop that stores calls this and [`Inlet::is_shut`].
    pub(super) fn shut(&self) {
        self.is_shut.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_shut(&self) -> bool {
        self.is_shut.load(Ordering::Relaxed)
    }
}
