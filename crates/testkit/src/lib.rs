//! What the tests of several crates share.

mod port;

pub use port::free_port;
