//! Where the brain's data is, and how it is opened.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use taskplane_store::Store;
use taskplane_store_postgres::PostgresStore;
use taskplane_store_sqlite::{Claim, SqliteStore};

use crate::arguments::StoreOptions;
use crate::output::note;
use crate::wrong_usage::WrongUsage;

/// Where the embedded database is, unless something else is said.
const DEFAULT_FOLDER: &str = "./taskplane-data";

/// Where the data is.
#[derive(Debug)]
pub(crate) enum Place {
    /// In a folder, on SQLite.
    Folder(PathBuf),
    /// On PostgreSQL. The URL may hold a password.
    Database(String),
}

impl Place {
    /// What the options mean.
    ///
    /// # Errors
    /// When they name two places: one on the command line and one in the file, for instance.
    pub(crate) fn of(options: StoreOptions) -> Result<Self> {
        match (options.data_dir, options.database_url) {
            (folder, None) => Ok(Self::Folder(folder.unwrap_or_else(|| DEFAULT_FOLDER.into()))),
            (None, Some(url)) => Ok(Self::Database(url)),
            (Some(folder), Some(_)) => bail!(WrongUsage(format!(
                "both a database URL and the data folder {} are given, by flags, environment or taskplane.toml: keep one",
                folder.display()
            ))),
        }
    }

    /// Opens the store, and makes it where there is none.
    ///
    /// # Errors
    /// When it cannot be opened; the text says what to do.
    pub(crate) async fn open(&self) -> Result<Arc<dyn Store>> {
        Ok(match self {
            Self::Folder(folder) => Arc::new(SqliteStore::open(folder)?),
            Self::Database(url) => Arc::new(PostgresStore::connect(url).await?),
        })
    }

    /// The same for a command that is mostly given to a brain that is there already: says so where it makes a new store.
    ///
    /// # Errors
    /// When it cannot be opened; the text says what to do.
    pub(crate) async fn open_for_a_brain(&self) -> Result<Arc<dyn Store>> {
        if let Self::Folder(folder) = self
            && !SqliteStore::exists(folder)
        {
            note(&format!(
                "there was no brain's data in {0}: it is made now. Start the brain with --data-dir {0}",
                folder.display()
            ));
        }
        self.open().await
    }

    /// Makes sure that a folder has one brain at a time. A database may have several.
    ///
    /// # Errors
    /// When another brain has the folder.
    pub(crate) fn claim(&self) -> Result<Option<Claim>> {
        Ok(match self {
            Self::Folder(folder) => Some(Claim::take(folder)?),
            Self::Database(_) => None,
        })
    }

    /// The options that name this place, for people; nothing secret.
    pub(crate) fn as_options(&self) -> String {
        match self {
            Self::Folder(folder) => format!("--data-dir {}", folder.display()),
            Self::Database(_) => "--public-url <this brain's> --database-url <this brain's>".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn one_place_is_named_or_none() {
        let place = |folder: Option<&str>, url: Option<&str>| {
            Place::of(StoreOptions { data_dir: folder.map(PathBuf::from), database_url: url.map(str::to_owned) })
        };
        assert!(
            matches!(place(None, None), Ok(Place::Folder(folder)) if folder.as_path() == Path::new(DEFAULT_FOLDER))
        );
        assert!(matches!(place(Some("x"), None), Ok(Place::Folder(folder)) if folder.as_path() == Path::new("x")));
        let url = "postgres://me:hunter2@h/d";
        assert!(matches!(place(None, Some(url)), Ok(Place::Database(kept)) if kept == url));
        let error = place(Some("x"), Some(url)).expect_err("is refused");
        assert!(error.is::<WrongUsage>() && !error.to_string().contains("hunter2"), "{error}");
        assert!(!place(None, Some(url)).expect("is one").as_options().contains("hunter2"));
    }
}
