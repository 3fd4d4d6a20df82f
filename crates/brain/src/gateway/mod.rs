//! Where agents come in: transports around the protocol's session.
//!
//! WebSocket ([`upgrade`]) is one transport; long-poll will be another beside it, driving the same session.

mod connections;
mod faults;
mod websocket;

pub(crate) use connections::Delivery;
pub use connections::{AgentPresence, Connections, Target};
pub use websocket::upgrade;
