//! The engine against real Redis and real Celery workers.
//!
//! Needs `redis-server` and a Python environment with Celery: `.venv` of the repository, or `TASKPLANE_TEST_VENV`.

#![expect(clippy::expect_used, reason = "a test that cannot set up its world is to fail loudly")]

mod cancelling;
mod demo;
mod harness;
mod healing;
mod observing;
mod retrying;
