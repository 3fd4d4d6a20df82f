//! The application's own database: PostgreSQL, MySQL, MariaDB or SQLite, how it is reached and asked. It is a guest's way in:
//! one connection, short waits, nothing made that is not there.
//!
//! [`Address`] says where it is, [`Database`] keeps the connection, a [`Session`] is one, and takes [`Statement`]s in the
//! words of its [`Dialect`]. What goes wrong is a [`DatabaseError`], in words for people.

mod address;
mod database;
mod error;
mod session;
mod statement;
mod tls;

pub use address::{Address, AddressError};
pub use database::{Database, EndsSession};
pub use error::DatabaseError;
pub use session::{Access, Session};
pub use statement::{Dialect, Row, Statement, Value};
