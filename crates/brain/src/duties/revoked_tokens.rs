//! Notices tokens that were revoked by somebody else: another brain on the same database, or a command of the operator's.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::brain::Brain;

/// Revoked agents are closed within a second.
const EVERY: Duration = Duration::from_millis(500);

pub(super) async fn run(brain: Brain) {
    let mut ticker = tokio::time::interval(EVERY);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = brain.stop.cancelled() => return,
            _ = ticker.tick() => close_revoked(&brain).await,
        }
    }
}

async fn close_revoked(brain: &Brain) {
    let tokens = brain.connections.token_ids();
    if tokens.is_empty() {
        return;
    }
    match brain.store.revoked_agent_tokens(tokens).await {
        Ok(revoked) => revoked.iter().for_each(|token| brain.connections.revoke_token(token)),
        // While the store is away nothing can be stored either; who is connected stays.
        Err(error) => tracing::debug!(%error, "could not ask which tokens are revoked"),
    }
}
