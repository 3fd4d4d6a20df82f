//! The brain: what agents connect to, what people look at.
//!
//! An event's way: [`gateway`] → [`ingest`] → one transaction → ack, and only then [`live`]. A command's way: [`api`] →
//! authorise → audit → command row → [`commands`] → the one right agent → result → command row, live.

pub mod api;
pub mod auth;
pub mod brain;
mod bulk;
pub mod client_address;
pub mod clock;
pub mod commands;
pub mod dashboard;
mod duties;
pub mod gateway;
pub mod ingest;
pub mod live;
mod lost;
pub mod metrics;
pub mod peers;
pub mod problems;
pub mod public_url;
pub mod replicas;
pub mod retention;
pub mod schedules;
pub mod server;
mod why;
mod wording;
