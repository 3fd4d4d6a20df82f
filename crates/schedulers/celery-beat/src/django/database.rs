//! What goes wrong with django-celery-beat's database, in its words.

use std::fmt;

use taskplane_agent::engine::CommandError;
use taskplane_application_database as application;
use thiserror::Error;

/// Why the URL of the database cannot be used. Never shows it: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the URL of django-celery-beat's database is not usable: {0}. Write it as sqlite:///absolute/path.db, \
     postgres://user:password@host:5432/database or mysql://user:password@host:3306/database"
)]
pub struct AddressError(#[from] application::AddressError);

/// What went wrong; the text is for people, without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DatabaseError(application::DatabaseError);

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use application::DatabaseError::{Denied, NoColumn, NoTable, Taken};
        match &self.0 {
            NoTable(shown) | NoColumn(shown) => write!(
                f,
                "{shown} does not have django-celery-beat's tables (version 2.1 or newer): run the application's migrations, or \
                 name the database that it uses"
            ),
            Denied(shown) => {
                write!(f, "the agent may only read {shown}: allow its user to write, to change schedules")
            }
            Taken(_) => f.write_str("there is a schedule of that name already: choose another name"),
            other => other.fmt(f),
        }
    }
}

impl std::error::Error for DatabaseError {}

impl From<application::DatabaseError> for DatabaseError {
    fn from(error: application::DatabaseError) -> Self {
        Self(error)
    }
}

impl application::EndsSession for DatabaseError {
    fn ends_session(&self) -> bool {
        self.0.ends_session()
    }
}

impl From<DatabaseError> for CommandError {
    fn from(error: DatabaseError) -> Self {
        let text = error.to_string();
        match error.0 {
            application::DatabaseError::Denied(_) => Self::ReadOnly(text),
            application::DatabaseError::Taken(_) => Self::InvalidArgs(text),
            application::DatabaseError::Locked(_) => Self::Busy(text),
            _ => Self::Engine(text),
        }
    }
}

/// Why a change was not made, and whether the connection is of any more use.
pub(super) struct NotChanged(pub(super) CommandError);

impl<E: Into<DatabaseError>> From<E> for NotChanged {
    fn from(error: E) -> Self {
        Self(CommandError::from(error.into()))
    }
}

impl application::EndsSession for NotChanged {
    fn ends_session(&self) -> bool {
        matches!(self.0, CommandError::Engine(_))
    }
}
