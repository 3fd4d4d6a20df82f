//! Wire protocol v1.
//!
//! * [`frame`]: every frame as a type; text is parsed here, at the edge, and nowhere else.
//! * [`understand`]: what an event means, or why it cannot be understood.
//! * [`session`]: both ends of the protocol as state machines without sockets, storage or clock. WebSocket, long-poll,
//!   simulation and fuzzing drive the same objects.
//! * [`lines`]: the frames of a long-poll body.
//! * `schema`, with the feature of that name: the published JSON Schema of every frame.
//! * [`close`]: close codes, and what each tells the agent to do next.
//! * [`limits`]: sizes, counts and times.

pub mod close;
pub mod frame;
pub mod limits;
pub mod lines;
#[cfg(feature = "schema")]
pub mod schema;
pub mod session;
pub mod text;
pub mod understand;
pub mod version;
