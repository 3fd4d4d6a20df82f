//! Copies of the database, made and put back by PostgreSQL's own `pg_dump` and `pg_restore`.

use std::io::Read;
use std::path::Path;

use taskplane_store::backend::part_file::{PartFile, refuse_existing};
use taskplane_store::{Result, StoreError};
use tokio_postgres::Client;

use crate::address::Address;
use crate::client_programs::Program;
use crate::errors::from_postgres;
use crate::schema::SCHEMA;
use crate::{connect, schema, tls};

/// How a file begins that `pg_dump` has written in its custom format.
const MAGIC: &[u8] = b"PGDMP";

/// What is in a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dumped {
    /// Size of the file.
    pub bytes: u64,
    /// How many tasks it has.
    pub tasks: u64,
}

/// Copies the tables in the database of `url` to the file `to`, as they are at one instant, whoever writes to them. The copy is
/// on disk when this returns; only its owner can read it. Given up when `stop` comes.
///
/// # Errors
/// When the database cannot be opened or is not ours, `to` exists (unless `overwrite`), or `pg_dump` is not there, is older
/// than the server, or fails. The text never holds the password.
pub async fn back_up(url: &str, to: &Path, overwrite: bool, stop: impl Future<Output = ()>) -> Result<Dumped> {
    unless_stopped(stop, "the backup", async {
        refuse_existing(to, overwrite)?;
        let (address, client) = open(url).await?;
        if schema::version(&client, &address).await?.is_none() {
            let database = address.database();
            return Err(StoreError::CannotOpen(format!(
                "database {database} has no tables of Taskplane: nothing to copy"
            )));
        }
        let program = Program::find("pg_dump", server_version(&client).await?).await?;
        // One state for the copy and for the number of tasks that is told.
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        client.batch_execute(begin).await.map_err(|error| from_postgres(&error))?;
        let snapshot: String = ask(&client, "SELECT pg_export_snapshot()").await?;
        let ours = format!("--schema={}", pattern(&current_schema(&client).await?));
        let part = PartFile::create(to)?;
        let file = format!("--file={}", utf8(part.path())?);
        let snapshot = format!("--snapshot={snapshot}");
        let args = ["--format=custom", "--no-owner", "--no-privileges", "--no-password", &snapshot, &ours, &file];
        program.run(&address, &args).await?;
        let tasks = count_tasks(&client).await?;
        part.sync()?;
        let bytes = std::fs::metadata(part.path()).map_or(0, |metadata| metadata.len());
        refuse_existing(to, overwrite)?;
        part.put_at(to)?;
        Ok(Dumped { bytes, tasks })
    })
    .await
}

/// Puts the copy `from` into the database of `url`, which has no tables yet. All of it or nothing. Returns how many tasks there
/// are. Given up when `stop` comes.
///
/// # Errors
/// When the database cannot be opened or has tables, `from` is no copy of ours or of a newer version, or `pg_restore` is not
/// there, is older than the server, or fails.
pub async fn restore(url: &str, from: &Path, stop: impl Future<Output = ()>) -> Result<u64> {
    unless_stopped(stop, "restoring", async {
        recognise(from)?;
        let (address, client) = open(url).await?;
        let (database, user) = (address.database(), address.user());
        if schema::version(&client, &address).await?.is_some() {
            return Err(StoreError::CannotOpen(format!(
                "database {database} has data already: make an empty one, for instance with `createdb --owner {user} NAME`, and \
                 name that one"
            )));
        }
        let program = Program::find("pg_restore", server_version(&client).await?).await?;
        refuse_newer(&program, &address, from).await?;
        let schema_name = current_schema(&client).await?;
        let (ours, into) = (format!("--schema={schema_name}"), format!("--dbname=dbname='{}'", escaped(database)));
        let args =
            ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", "--no-password", &ours, &into];
        program.run(&address, &[&args[..], &[utf8(from)?]].concat()).await?;
        if schema::version(&client, &address).await?.is_none() {
            return Err(StoreError::CannotOpen(format!(
                "{} has no tables for the schema {schema_name}: set search_path to the schema that it was made from",
                from.display()
            )));
        }
        client.batch_execute("ANALYZE").await.map_err(|error| from_postgres(&error))?;
        count_tasks(&client).await
    })
    .await
}

async fn unless_stopped<T>(
    stop: impl Future<Output = ()>,
    what: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        done = work => done,
        () = stop => Err(StoreError::Unavailable(format!("{what} was given up"))),
    }
}

/// A connection that may wait for as long as it takes.
async fn open(url: &str) -> Result<(Address, Client)> {
    let address = Address::parse(url)?;
    let client = connect::first_connection(&address, tls::connector(&address.trust)?).await?;
    let patient = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";
    client.batch_execute(patient).await.map_err(|error| from_postgres(&error))?;
    Ok((address, client))
}

async fn ask<T: for<'a> tokio_postgres::types::FromSql<'a>>(client: &Client, sql: &str) -> Result<T> {
    let row = client.query_one(sql, &[]).await.map_err(|error| from_postgres(&error))?;
    row.try_get(0).map_err(|error| StoreError::Internal(error.to_string()))
}

async fn server_version(client: &Client) -> Result<u32> {
    let number: i32 = ask(client, "SELECT current_setting('server_version_num')::int4").await?;
    Ok(number.unsigned_abs() / 10_000)
}

async fn current_schema(client: &Client) -> Result<String> {
    ask(client, "SELECT current_schema()::text").await
}

async fn count_tasks(client: &Client) -> Result<u64> {
    Ok(ask::<i64>(client, "SELECT count(*) FROM tasks").await?.unsigned_abs())
}

/// Makes sure that the file was written by `pg_dump` in its custom format.
fn recognise(from: &Path) -> Result<()> {
    let mut begin = Vec::new();
    let read = std::fs::File::open(from).and_then(|file| file.take(16).read_to_end(&mut begin));
    read.map_err(|error| StoreError::CannotOpen(format!("{} cannot be read ({error})", from.display())))?;
    if begin.starts_with(MAGIC) {
        return Ok(());
    }
    let from = from.display();
    Err(StoreError::CannotOpen(if begin.starts_with(b"SQLite format 3") {
        format!(
            "{from} is a backup of an embedded database: restore it with --data-dir; there is no way from one to the other"
        )
    } else {
        format!("{from} is not a backup that `taskplane backup` has made of a PostgreSQL database")
    }))
}

/// Reads the versions of the tables out of a copy.
async fn refuse_newer(program: &Program, address: &Address, from: &Path) -> Result<()> {
    let args = ["--data-only", "--table=refinery_schema_history", "--file=-", utf8(from)?];
    let output = program.run(address, &args).await?;
    let script = String::from_utf8_lossy(&output.stdout);
    let rows = script.lines().skip_while(|line| !line.starts_with("COPY ")).skip(1);
    let versions = rows.take_while(|line| *line != "\\.").filter_map(|row| row.split('\t').next()?.parse::<i32>().ok());
    match versions.max() {
        None => Err(StoreError::CannotOpen(format!("{} is not a backup of a Taskplane database", from.display()))),
        Some(version) if version > SCHEMA => Err(StoreError::NewerSchema(format!(
            "{} was made of a newer Taskplane's database (schema {version}, this program knows {SCHEMA}); use that version",
            from.display()
        ))),
        Some(_) => Ok(()),
    }
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| StoreError::CannotOpen(format!("{} is not UTF-8: choose another name", path.display())))
}

/// A name as a pattern that means only itself.
fn pattern(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Text inside the quotes of a connection string.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}
