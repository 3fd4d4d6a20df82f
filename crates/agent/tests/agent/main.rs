//! The agent against a scripted brain, over real sockets, with a scripted engine.

#![expect(clippy::expect_used, reason = "what is expected here is what the test is about")]

mod brain;
mod capture;
mod closing;
mod commands;
mod delivery;
mod engine;
mod leftovers;
mod longpoll;
mod oversize;
mod running;
