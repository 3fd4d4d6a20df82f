//! The engine against real brokers and real Celery workers.
//!
//! Needs `redis-server`, RabbitMQ and a Python environment with Celery: `.venv` of the repository, or `TASKPLANE_TEST_VENV`.

#![expect(clippy::expect_used, reason = "a test that cannot set up its world is to fail loudly")]

mod asking;
mod cancelling;
mod conformance;
mod demo;
mod harness;
mod healing;
mod observing;
mod ordering;
mod previewing;
mod rabbitmq;
mod retrying;
