//! Whole copies of the database: made while a brain writes, and put in its place again.
//!
//! A copy is made by SQLite's own backup, from a connection that holds one snapshot: other than `VACUUM INTO`, it can say
//! between its steps how far it is, and be given up. What it costs the brain: the write-ahead log cannot begin anew as long
//! as the snapshot is held, and grows with what is written.

mod copied;
mod make;
mod restore;

pub use copied::Copied;
pub(crate) use copied::schema;
pub use make::{Progress, back_up};
pub use restore::{Restored, restore};
