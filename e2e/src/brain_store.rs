//! Where a test's brain keeps its data. With `TASKPLANE_TEST_DATABASE=postgres`, every brain that does not say otherwise keeps
//! it in a PostgreSQL database of its own.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use taskplane_testkit::PostgresDatabase;

/// A folder, or a database.
#[derive(Debug)]
pub enum BrainStore {
    /// SQLite in a folder.
    Folder(PathBuf),
    /// A database that is dropped in the end.
    Database(PostgresDatabase),
}

impl BrainStore {
    /// A new store of the kind that the environment asks for; a folder is `folder`.
    ///
    /// # Errors
    /// When the environment asks for another kind, or the database cannot be made.
    pub fn new(folder: &Path) -> Result<Self> {
        match std::env::var("TASKPLANE_TEST_DATABASE").as_deref() {
            Err(_) | Ok("" | "sqlite") => Ok(Self::Folder(folder.to_owned())),
            Ok("postgres") => Ok(Self::Database(PostgresDatabase::create()?)),
            Ok(other) => bail!("TASKPLANE_TEST_DATABASE is {other}; it must be sqlite or postgres"),
        }
    }

    /// The options that name it to the binary.
    pub fn options(&self) -> [String; 2] {
        match self {
            Self::Folder(folder) => ["--data-dir".to_owned(), folder.display().to_string()],
            Self::Database(database) => ["--database-url".to_owned(), database.url()],
        }
    }
}
