//! Durable state in PostgreSQL 14 or newer.
