//! What the API's handlers share beside the brain.

use std::sync::Arc;

use axum::extract::FromRef;
use tokio::sync::Semaphore;

use crate::auth::FailedAttempts;
use crate::brain::Brain;

/// Most open live streams.
const MAX_STREAMS: usize = 1_000;

/// The API's state. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ApiState {
    /// The brain.
    pub(crate) brain: Brain,
    /// Wrong credentials, counted per peer.
    pub(crate) attempts: Arc<FailedAttempts>,
    /// One permit per open live stream.
    pub(crate) streams: Arc<Semaphore>,
}

impl ApiState {
    pub(crate) fn new(brain: Brain) -> Self {
        Self { brain, attempts: Arc::default(), streams: Arc::new(Semaphore::new(MAX_STREAMS)) }
    }
}

impl FromRef<ApiState> for Brain {
    fn from_ref(state: &ApiState) -> Self {
        state.brain.clone()
    }
}
