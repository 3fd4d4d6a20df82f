//! Tables: made, changed, and checked to be ours and not newer than we are.

use taskplane_store::{Result, StoreError};
use tokio_postgres::Client;

use crate::address::Address;
use crate::errors::{from_postgres, with_cause};
use crate::locks;

/// The schema that this program writes; equals the number of the last migration, here and for SQLite.
pub(crate) const SCHEMA: i32 = 7;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Makes or changes the tables as far as that is needed. Of several programs that start at once, one does it, and the others
/// wait. What is not ours, or newer than we are, is left alone.
pub(crate) async fn prepare(client: &mut Client, address: &Address) -> Result<()> {
    if version(client, address).await? == Some(SCHEMA) {
        return Ok(());
    }
    // An index of millions of tasks takes longer than other statements may, and so does waiting for it. Both the settings and the
    // lock are this connection's, which is used for nothing else.
    let patient = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";
    for statement in [patient, locks::MIGRATE] {
        client.batch_execute(statement).await.map_err(|error| from_postgres(&error))?;
    }
    match version(client, address).await? {
        Some(SCHEMA) => return Ok(()),
        Some(from) => tracing::info!(
            from,
            to = SCHEMA,
            "changing the database's tables; with millions of tasks this takes minutes"
        ),
        None => {}
    }
    let runner = embedded::migrations::runner().set_grouped(true);
    runner.run_async(client).await.map(|_| ()).map_err(|error| {
        StoreError::CannotOpen(format!(
            "the tables in database {} could not be made or changed ({}); grant the user {} what docs/postgresql.md lists",
            address.database(),
            with_cause(&error),
            address.user(),
        ))
    })
}

/// The version of the tables; `None` when there are none.
pub(crate) async fn version(client: &Client, address: &Address) -> Result<Option<i32>> {
    let database = address.database();
    let sql =
        "SELECT current_schema(), to_regclass('refinery_schema_history') IS NOT NULL, (SELECT count(*) FROM pg_class c
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e'))";
    let row = client.query_one(sql, &[]).await.map_err(|error| from_postgres(&error))?;
    let (schema, has_history, relations): (Option<&str>, bool, i64) = (row.get(0), row.get(1), row.get(2));
    if schema.is_none() {
        let text =
            format!("database {database} has no schema in its search_path: make one, or set search_path for this user");
        return Err(StoreError::CannotOpen(text));
    }
    if !has_history {
        return if relations == 0 {
            Ok(None)
        } else {
            Err(StoreError::CannotOpen(format!(
                "database {database} is not a Taskplane database, but has tables of something else; give Taskplane a database \
                 of its own"
            )))
        };
    }
    let sql = "SELECT max(version)::int4 FROM refinery_schema_history";
    let row = client.query_one(sql, &[]).await.map_err(|error| from_postgres(&error))?;
    let version: Option<i32> = row.get(0);
    match version {
        Some(version) if version > SCHEMA => Err(StoreError::NewerSchema(format!(
            "database {database} was written by a newer Taskplane (schema {version}, this program knows {SCHEMA}); start that \
             version, or restore a backup from before the upgrade"
        ))),
        version => Ok(version),
    }
}
