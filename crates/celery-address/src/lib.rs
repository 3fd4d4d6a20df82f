//! Addresses as Celery writes them, and how the Redis behind one is reached. The engine and RedBeat's scheduler share it.
//!
//! [`Url`] reads the text. [`RedisAddress`] makes connections of it: plain or over TLS ([`tls`]), to one server or to the
//! master that [`sentinel`] names. [`explain`] says in words what went wrong.

mod explain;
mod redis;
mod sentinel;
mod tls;
mod url;

pub use explain::{explain, explain_on};
pub use redis::{AddressError, RedisAddress};
pub use url::{Url, percent_decode};
