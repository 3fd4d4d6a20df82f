//! Where agents come in: transports around the protocol's session.
//!
//! [`WebSocket`](upgrade) and [`LongPolls`] are two transports; the same connection around the same session drives both.

mod connection;
mod connections;
mod door;
mod faults;
mod limits;
mod longpoll;
mod mailbox;
mod websocket;
mod wire;

pub use connections::{AgentPresence, Connections, Target};
pub use door::Door;
pub use limits::GatewayLimits;
pub use longpoll::LongPolls;
pub(crate) use longpoll::poll;
pub(crate) use mailbox::Delivery;
pub use websocket::upgrade;
