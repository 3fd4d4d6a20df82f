//! The engine against real brokers and real Celery workers.
//!
//! Needs `redis-server`, RabbitMQ and a Python environment with Celery: `.venv` of the repository, or `TASKPLANE_TEST_VENV`.

#![expect(clippy::expect_used, reason = "a test that cannot set up its world is to fail loudly")]

mod asking;
mod cancelling;
mod chords;
mod conformance;
mod database_results;
mod demo;
mod event_switch;
mod guarded_redis;
mod harness;
mod healing;
mod inside;
mod never_rejected;
mod observing;
mod ordering;
mod previewing;
mod rabbitmq;
mod redis_layout;
mod redis_tls;
mod retrying;
mod sentinel;
mod several_brokers;
mod verbatim;
