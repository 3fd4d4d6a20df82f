//! What the brain does by itself, one file each.

mod command_timeouts;
mod heard;
mod live_tick;
mod revoked_tokens;

use crate::brain::Brain;

/// Starts all duties; they end with the brain.
pub(crate) fn start(brain: &Brain) {
    brain.tasks.spawn(live_tick::run(brain.clone()));
    brain.tasks.spawn(command_timeouts::run(brain.clone()));
    brain.tasks.spawn(heard::run(brain.clone()));
    brain.tasks.spawn(revoked_tokens::run(brain.clone()));
}
