//! Commands.

mod arguments;
pub(super) mod create;
pub(super) mod get;
pub(super) mod list;
