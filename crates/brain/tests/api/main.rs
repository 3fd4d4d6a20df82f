//! The REST API through the real router, on a real store.
#![expect(clippy::expect_used, reason = "in a test, what cannot be is a failure")]

mod brain;

mod access;
mod commands;
mod cross_origin;
mod dashboard;
mod fleet;
mod problems;
mod roles;
mod signin;
mod statistics;
mod storage;
mod stream;
mod tasks;
mod tokens;
