//! Databases of their own for tests, on the PostgreSQL server that `TASKPLANE_TEST_POSTGRES_URL` names.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

/// Names the server, such as `postgres://postgres@127.0.0.1:5432/postgres`; the user may make databases.
const SERVER: &str = "TASKPLANE_TEST_POSTGRES_URL";

/// A database that is dropped, with all connections to it, when this is.
#[derive(Debug)]
pub struct PostgresDatabase {
    server: String,
    name: String,
}

impl PostgresDatabase {
    /// Makes an empty database.
    ///
    /// # Errors
    /// When no server is named, or it refuses.
    pub fn create() -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let server = std::env::var(SERVER).ok().filter(|url| !url.is_empty()).with_context(|| {
            format!("{SERVER} names no PostgreSQL server; `scripts/with-postgres <command>` runs a command with one of its own")
        })?;
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("taskplane_test_{}_{nanos:x}_{number}", std::process::id());
        let database = Self { server, name };
        psql(&database.server, &format!("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'", database.name))?;
        Ok(database)
    }

    /// The database's URL.
    pub fn url(&self) -> String {
        let (base, query) = self.server.split_once('?').unwrap_or((&self.server, ""));
        let authority = base.find("://").map_or(0, |at| at + 3);
        let end = base[authority..].find('/').map_or(base.len(), |at| authority + at);
        let separator = if query.is_empty() { "" } else { "?" };
        format!("{}/{}{separator}{query}", &base[..end], self.name)
    }

    /// Runs SQL in the database; returns what it says, columns separated by `|`.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn sql(&self, sql: &str) -> Result<String> {
        psql(&self.url(), sql)
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let _ = psql(&self.server, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

fn psql(url: &str, sql: &str) -> Result<String> {
    let output = Command::new("psql")
        .args([
            url,
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--set",
            "ON_ERROR_STOP=1",
            "--command",
            sql,
        ])
        .stdin(Stdio::null())
        .output()
        .context("starting psql")?;
    ensure!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
