//! The REST API, its live stream, and the document that describes both.
//!
//! One directory per resource, one file per action; [`router()`] is the table of them. Wire types are in [`types`], made from
//! what the store and the model know; nothing else goes over the wire. Every error is a problem document (RFC 9457).

mod agent_tokens;
mod audit;
mod bulk;
mod commands;
mod cursor;
mod docs;
mod extract;
mod fleet;
mod openapi;
mod problem;
mod problems;
mod router;
mod schedules;
mod session;
mod state;
mod stats;
mod storage;
mod stream;
mod task_types;
mod tasks;
pub mod types;
mod window;

pub use openapi::openapi;
pub(crate) use problem::Problem;
pub use router::router;
pub(crate) use state::ApiState;
