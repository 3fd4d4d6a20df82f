//! The long-poll transport, for networks that block WebSockets.
//!
//! A session is one connection whose frames come in the bodies of requests and go in the bodies of their answers. Frames of a
//! body are taken as they come: when a request breaks off, the complete lines before that count and the incomplete last one
//! does not, as with a WebSocket that breaks. An answer that was never begun to be written goes back in front of the queue;
//! one that was begun may be lost, and then acks are repeated by the next one, and commands end as timed out or unknown.
//!
//! A session lives in one brain. Its name says in which, so that any brain on the same database can pass a request on.

mod answer;
mod body;
mod forward;
mod poll;
mod session;
mod session_id;
mod sessions;
mod wire;

pub(crate) use poll::poll;
pub use sessions::LongPolls;
