//! Celery over Redis, observed and operated from beside the application, which needs no change.
//!
//! Observing: [`observe`] runs the loops, [`prepare`] has workers send their events. Messages are read by [`envelope`], then [`events`], [`results`] or [`message`];
//! [`intake`] brings them together with what [`tracker`] and [`workers`] remember. [`waiting`] and [`queues`] look into
//! the queues. Acting: [`retry`] (which finds the arguments through [`origin`] and [`payloads`]), [`cancel`] and
//! [`purge`]; [`control`] speaks Celery's remote control.

mod attempts;
mod bindings;
mod cancel;
mod clock;
mod config;
mod control;
mod engine;
mod envelope;
mod events;
mod exception;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod intake;
mod link;
mod message;
mod observe;
mod origin;
mod payloads;
mod prepare;
mod purge;
mod python_json;
mod python_literal;
mod python_repr;
mod queues;
#[cfg(test)]
mod restarts;
mod results;
mod retry;
mod routes;
#[cfg(test)]
mod samples;
mod shared;
mod signals;
mod tracker;
mod waiting;
mod workers;

pub use config::{CeleryConfig, ConfigError, Timings};
pub use engine::CeleryEngine;

/// The engine's name on the wire.
pub(crate) const ENGINE: &str = "celery";
