//! An examination of the database that a URL names. Changes nothing, also while brains run.

use taskplane_model::Timestamp;
use taskplane_store::Result;
use taskplane_store::backend::corrupt;
use taskplane_store::checkup::{Check, Checkup, SAMPLE};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use crate::address::Address;
use crate::errors::from_postgres;
use crate::schema::SCHEMA;
use crate::{connect, schema, tls};

mod rows;

/// A brain holds about so many connections.
const CONNECTIONS_OF_A_BRAIN: i64 = 14;
/// More dead rows than this, and than a fifth of the living, are more than autovacuum leaves behind.
const MANY_DEAD: i64 = 100_000;

/// Looks at everything. With `deep`, reads every row; else samples.
pub async fn examine(url: &str, deep: bool, now: Timestamp) -> Checkup {
    let mut checkup = Checkup::default();
    if let Err(error) = look(&mut checkup, url, deep, now).await {
        checkup.unchecked(Check::Database, &error);
    }
    checkup
}

async fn look(checkup: &mut Checkup, url: &str, deep: bool, now: Timestamp) -> Result<()> {
    let address = Address::parse(url)?;
    let mut client = connect::first_connection(&address, tls::connector(&address.trust)?).await?;
    let patient = "SET default_transaction_read_only = on; SET statement_timeout = 0;
        SET idle_in_transaction_session_timeout = 0";
    client.batch_execute(patient).await.map_err(|error| from_postgres(&error))?;
    look_at_server(checkup, &client).await?;
    let database = address.database();
    let Some(version) = schema::version(&client, &address).await? else {
        let found = format!("database {database} has no tables yet");
        checkup.problem(Check::Database, found, "start a brain on it, which makes them, or name another database");
        return Ok(());
    };
    checkup.ok(Check::Database, format!("{database} is a Taskplane database"));
    if version == SCHEMA {
        checkup.ok(Check::Schema, format!("version {version}, which this program writes"));
    } else {
        let found = format!("version {version}; this program writes {SCHEMA}");
        checkup.warning(Check::Schema, found, "back it up before a brain of this version starts, which changes it");
    }
    look_at_owner(checkup, &client).await?;
    look_at_vacuum(checkup, &client).await?;
    let mut snapshot = client.transaction().await.map_err(|error| from_postgres(&error))?;
    rows::look(checkup, &mut snapshot, deep, now, version == SCHEMA).await;
    Ok(())
}

/// Version, durability and connections.
async fn look_at_server(checkup: &mut Checkup, client: &Client) -> Result<()> {
    let sql = "SELECT current_setting('server_version'), current_setting('fsync'), current_setting('full_page_writes'),
        (SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit'), current_setting('autovacuum'),
        current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint,
        (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
        (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'taskplane')";
    let row = first(client, sql, &[]).await?;
    let text = |at: usize| row.try_get::<_, &str>(at).unwrap_or("not known").to_owned();
    let number = |at: usize| row.try_get::<_, i64>(at).unwrap_or_default();
    let (version, fsync, full_pages, synchronous, autovacuum) = (text(0), text(1), text(2), text(3), text(4));
    checkup.ok(Check::Version, format!("PostgreSQL {version}"));
    let found = format!("fsync={fsync}, full_page_writes={full_pages}, synchronous_commit={synchronous}");
    if fsync == "off" {
        checkup.problem(
            Check::Durability,
            found,
            "set fsync=on: what is acknowledged can be lost, and the database damaged",
        );
    } else if full_pages == "off" {
        let advice = "set full_page_writes=on, unless the file system never leaves a page half written";
        checkup.warning(Check::Durability, found, advice);
    } else if synchronous == "off" {
        checkup.ok(Check::Durability, format!("{found} (Taskplane turns it on for its own connections)"));
    } else {
        checkup.ok(Check::Durability, found);
    }
    let (most, used, ours) = (number(5), number(6), number(7));
    let found = format!("{used} of {most} connections are in use, {ours} of them by Taskplane");
    if most - used < CONNECTIONS_OF_A_BRAIN {
        let advice = "raise max_connections, or end what holds them: another brain would not find its own";
        checkup.warning(Check::Connections, found, advice);
    } else {
        checkup.ok(Check::Connections, found);
    }
    if autovacuum == "off" {
        checkup.problem(Check::Vacuum, "autovacuum is off", "set autovacuum=on: tables grow, and plans go stale");
    }
    Ok(())
}

/// What changes tables must own them.
async fn look_at_owner(checkup: &mut Checkup, client: &Client) -> Result<()> {
    let sql =
        "SELECT count(*), count(*) FILTER (WHERE NOT pg_has_role(current_user, relowner, 'USAGE')), current_user::text
        FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'S')";
    let row = first(client, sql, &[]).await?;
    let (all, foreign): (i64, i64) = (column(&row, 0)?, column(&row, 1)?);
    let user: String = column(&row, 2)?;
    if foreign == 0 {
        checkup.ok(Check::Permissions, format!("{user} owns all {all} tables and sequences"));
    } else {
        let found = format!("{foreign} of {all} tables and sequences are not owned by {user}");
        let advice = format!("REASSIGN OWNED BY their owner TO {user}: the next version could not change them");
        checkup.problem(Check::Permissions, found, advice);
    }
    Ok(())
}

async fn look_at_vacuum(checkup: &mut Checkup, client: &Client) -> Result<()> {
    let sql = "SELECT relname::text, n_dead_tup, n_live_tup FROM pg_stat_user_tables
        WHERE schemaname = current_schema() AND n_dead_tup > $1 AND n_dead_tup > n_live_tup / 5
        ORDER BY n_dead_tup DESC LIMIT 1";
    let rows = client.query(sql, &[&MANY_DEAD]).await.map_err(|error| from_postgres(&error))?;
    let Some(row) = rows.first() else {
        checkup.ok(Check::Vacuum, "no table has many dead rows");
        return Ok(());
    };
    let (table, dead, live): (String, i64, i64) = (column(row, 0)?, column(row, 1)?, column(row, 2)?);
    let found = format!("table {table} has {dead} dead rows beside {live} living ones");
    let advice = format!(
        "look for transactions that stay open (pg_stat_activity, replication slots), or run VACUUM {table}: autovacuum does \
         not keep up"
    );
    checkup.warning(Check::Vacuum, found, advice);
    Ok(())
}

async fn first(client: &Client, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Row> {
    client.query_one(sql, values).await.map_err(|error| from_postgres(&error))
}

fn column<'r, T: tokio_postgres::types::FromSql<'r>>(row: &'r Row, at: usize) -> Result<T> {
    row.try_get(at).map_err(|error| corrupt(error.to_string()))
}
