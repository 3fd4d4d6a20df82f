//! Several brains on one PostgreSQL: agents may come to any of them, and people may look at any of them.
#![expect(clippy::expect_used, reason = "in a test, what cannot be is a failure")]

#[path = "../gateway/agent.rs"]
#[expect(dead_code, reason = "the gateway's tests use more of it")]
mod agent;
mod brain;
#[path = "../gateway/events.rs"]
#[expect(dead_code, reason = "the gateway's tests use more of it")]
mod events;

mod commands;
mod deaths;
mod live;
mod streams;
