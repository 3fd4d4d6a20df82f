//! The brain's edge on real sockets: TLS, certificates of agents, reverse proxies, base paths.

#![expect(clippy::expect_used, reason = "what is expected here is what the test is about")]

mod agents;
mod base_path;
mod brain;
mod https;
mod peers;
mod proxies;
