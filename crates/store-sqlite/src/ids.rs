//! Task ids as they are stored.

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};
pub(crate) use taskplane_store::backend::ids::{first_key, hash, instant_of, least_key, parse_uuid, uuid_text};

use crate::errors::{Done, Fault};

/// A task id in the form of its column: 16 bytes for a canonical UUID, else text.
#[derive(Clone, Copy, Debug)]
pub(crate) enum IdColumn<'a> {
    /// A UUID in lower case with hyphens.
    Uuid([u8; 16]),
    /// Anything else.
    Text(&'a str),
}

impl<'a> IdColumn<'a> {
    pub(crate) fn of(task_id: &'a str) -> Self {
        parse_uuid(task_id).map_or(Self::Text(task_id), Self::Uuid)
    }

    /// True when `column` holds this id.
    pub(crate) fn is(&self, column: ValueRef<'_>) -> bool {
        match (self, column) {
            (Self::Uuid(uuid), ValueRef::Blob(bytes)) => bytes == uuid,
            (Self::Text(text), ValueRef::Text(bytes)) => bytes == text.as_bytes(),
            _ => false,
        }
    }
}

impl ToSql for IdColumn<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Uuid(uuid) => ValueRef::Blob(uuid),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// The id that a column holds.
pub(crate) fn id_text(column: ValueRef<'_>) -> Done<String> {
    match column {
        ValueRef::Blob(bytes) => Ok(uuid_text(bytes)?),
        ValueRef::Text(bytes) => {
            String::from_utf8(bytes.to_vec()).map_err(|_| Fault::corrupt("a task id is not UTF-8"))
        }
        _ => Err(Fault::corrupt("a task id is neither text nor bytes")),
    }
}
