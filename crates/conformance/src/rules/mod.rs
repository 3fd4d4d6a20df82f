//! The rules, a file for each part of the protocol.

mod acks;
mod batches;
mod commands;
mod events;
mod frames;
mod handshake;
mod hello;
mod liveness;
mod longpoll;
mod streams;

use crate::rule::Rule;

/// All rules, in the order of the document.
pub(crate) fn all() -> Vec<Rule> {
    [
        handshake::rules(),
        hello::rules(),
        frames::rules(),
        acks::rules(),
        streams::rules(),
        batches::rules(),
        events::rules(),
        liveness::rules(),
        commands::rules(),
        longpoll::rules(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
