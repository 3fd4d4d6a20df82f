//! The agent: observes through engines, redacts, buffers on disk, delivers to the brain, executes commands.
//!
//! An event's way: [`engine`] → [`redact`] → [`buffer`] (on disk) → sealed batch → [`connection`]. A command's way:
//! connection → dispatch → [`engine`] or [`scheduler`] → result. [`agent`] wires them together. The agent knows no engine and no
//! scheduler by name; they are handed to it. Where several processes of a host observe, [`capture`] brings what they see to
//! the one that runs the agent.

pub mod agent;
pub mod buffer;
pub mod capture;
mod clock;
pub mod connection;
pub mod dispatch;
pub mod engine;
mod health;
pub mod json;
mod leftovers;
mod lock_file;
mod observers;
mod recorder;
pub mod redact;
pub mod scheduler;
mod schedules;

pub use agent::{Agent, AgentConfig, AgentError};
pub use lock_file::forget_inherited_locks;
