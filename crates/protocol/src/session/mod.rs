//! Both ends of the protocol as state machines: `(now, input) → outputs`. No sockets, no storage, no clock.
//!
//! The driver owns the socket and does what the outputs say, in order. Time is a [`Duration`](std::time::Duration) since any
//! fixed point, the same for all calls of one session.

mod agent;
mod gateway;

pub use agent::{AgentInput, AgentOutput, AgentSession};
pub use gateway::{GatewayInput, GatewayOutput, GatewaySession};
