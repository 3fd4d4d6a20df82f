//! Celery over Redis or RabbitMQ, observed and operated from beside the application, which needs no change.
//!
//! [`broker`] says what either broker must do; [`redis`] and [`rabbitmq`] do it, with the same file names. [`deployments`]
//! routes commands where one agent has several brokers.
//!
//! Observing: [`observe`] runs the loops, [`prepare`] has workers send their events, where [`event_switch`]
//! is not off. Messages are read by [`envelope`] and
//! [`content`], then [`events`], [`results`] or [`message`]; [`intake`] brings them together with what [`tracker`] and
//! [`workers`] remember. [`queues`] tells of the queues, [`backfill`] of results from before. [`result_backend`] says where results are kept: on Redis, or in
//! the application's [`database`]. Acting: [`retry`] (which finds
//! the arguments through [`origin`] and [`payloads`]) and its [`preview`], [`enqueue`], [`cancel`], [`purge`] and
//! [`worker_control`]; [`query_state`] asks how tasks stand. [`lookup`] looks them up, [`publish`] publishes, [`control`] is
//! Celery's remote control.

mod acceptable;
mod attempts;
mod backfill;
mod broker;
mod cancel;
mod chord;
mod chord_results;
mod clock;
mod config;
mod content;
mod control;
#[cfg(feature = "database")]
mod database;
mod deployments;
mod engine;
mod enqueue;
mod envelope;
mod event_switch;
mod events;
mod exception;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod intake;
mod lookup;
mod message;
mod observe;
mod origin;
mod payloads;
mod prepare;
mod preview;
mod publish;
mod purge;
mod python_json;
mod python_literal;
mod python_repr;
mod query_state;
mod queues;
mod rabbitmq;
mod redis;
#[cfg(test)]
mod restarts;
mod result_backend;
mod results;
mod retry;
mod routes;
mod same_names;
#[cfg(test)]
mod samples;
mod settings;
mod shared;
mod signals;
mod told;
mod tracker;
mod verbatim;
mod worker_control;
mod workers;

pub use config::{CeleryConfig, ConfigError, Timings, Watch};
pub use engine::CeleryEngine;
pub use settings::WorkerSettings;

/// The engine's name on the wire.
pub(crate) const ENGINE: &str = "celery";
