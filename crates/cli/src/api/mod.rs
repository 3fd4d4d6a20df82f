//! The API of a running brain, as the operator's commands use it.

mod client;
mod command;
mod refusal;
mod tls;

pub(crate) use client::Api;
pub(crate) use command::failure;
