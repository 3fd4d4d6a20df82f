//! The gateway through real sockets: agents that speak the wire protocol, and people who look at what came of it.
#![expect(clippy::expect_used, reason = "in a test, what cannot be is a failure")]

mod agent;
mod brain;
mod events;
mod faulty_store;
mod poller;
mod transport;

mod acks;
mod bulk;
mod close_codes;
mod closing;
mod command_ends;
mod commands;
mod conflicts;
mod flood;
mod found_problems;
mod handshake;
mod heartbeats;
mod in_process;
mod limits;
mod longpoll;
mod lost_tasks;
mod malformed;
mod passing_on;
mod pipelining;
mod poison;
mod revoking;
mod schedules;
mod slow_store;
mod streams;
mod stuck_dashboard;
mod tolerance;
mod two_views;
mod why;
