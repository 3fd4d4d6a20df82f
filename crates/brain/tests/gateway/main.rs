//! The gateway through real sockets: agents that speak the wire protocol, and people who look at what came of it.
#![expect(clippy::expect_used, reason = "in a test, what cannot be is a failure")]

mod agent;
mod brain;
mod events;

mod acks;
mod closing;
mod command_ends;
mod commands;
mod conflicts;
mod handshake;
mod heartbeats;
mod malformed;
mod pipelining;
mod poison;
mod revoking;
mod streams;
mod tolerance;
mod two_views;
