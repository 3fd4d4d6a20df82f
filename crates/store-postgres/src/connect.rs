//! Ways to the server: the first one, which looks whom it has found, and the pools.

use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, TimeoutType,
};
use taskplane_store::{Result, StoreError};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::address::Address;
use crate::errors::{from_postgres, with_cause};
use crate::session::{STATEMENT_TIMEOUT, Session};

/// Oldest server, as `server_version_num` counts.
const MIN_SERVER: i32 = 140_000;
/// How long a caller waits for a connection that another one uses.
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long opening a connection may take.
pub(crate) const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens a connection outside the pools and looks at the server: its version, and whether it keeps what it acknowledges.
pub(crate) async fn first_connection(address: &Address, tls: MakeRustlsConnect) -> Result<Client> {
    let opened = tokio::time::timeout(OPEN_TIMEOUT, address.config.connect(tls)).await;
    let opened = opened.map_err(|_| unreachable(address, &format!("no answer within {} s", OPEN_TIMEOUT.as_secs())))?;
    let (client, connection) = opened.map_err(|error| refusal(address, &error))?;
    // Ends when the client is dropped.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection that opens the store ended");
        }
    });
    let unfit = |error: &tokio_postgres::Error| from_postgres(error);
    let sql = "SELECT current_setting('server_version_num')::int4, current_setting('server_version'), current_setting('fsync')";
    let row = client.query_one(sql, &[]).await.map_err(|error| unfit(&error))?;
    let (number, version, fsync): (i32, &str, &str) = (row.get(0), row.get(1), row.get(2));
    if number < MIN_SERVER {
        let server = address.server();
        return Err(StoreError::CannotOpen(format!(
            "the server at {server} is PostgreSQL {version}; Taskplane needs 14 or newer: upgrade it, or name another one"
        )));
    }
    if fsync == "off" {
        tracing::warn!(
            "the PostgreSQL server runs with fsync=off: what it acknowledges can be lost when the machine stops"
        );
    }
    client.batch_execute(&settings()).await.map_err(|error| unfit(&error))?;
    Ok(client)
}

/// A pool of at most `size` connections, opened when they are first needed.
pub(crate) fn pool(address: &Address, tls: MakeRustlsConnect, size: usize) -> Result<Pool> {
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(address.config.clone(), tls, recycling);
    let prepare = Hook::async_fn(|client: &mut deadpool_postgres::ClientWrapper, _| {
        Box::pin(async move { client.batch_execute(&settings()).await.map_err(HookError::Backend) })
    });
    let pool = Pool::builder(manager)
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(WAIT_TIMEOUT))
        .create_timeout(Some(OPEN_TIMEOUT))
        .post_create(prepare);
    pool.build().map_err(|error| StoreError::Internal(error.to_string()))
}

/// A connection of `pool`.
pub(crate) async fn session(pool: &Pool) -> Result<Session> {
    let away =
        |text: String| StoreError::Unavailable(format!("no connection to PostgreSQL: {text}; work goes on by itself"));
    let client: std::result::Result<Object, PoolError> = pool.get().await;
    client.map(Session::new).map_err(|error| match error {
        PoolError::Timeout(TimeoutType::Wait) => away("all are in use".into()),
        PoolError::Timeout(_) => away("the server does not answer".into()),
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => away(with_cause(&error)),
        other => StoreError::Internal(other.to_string()),
    })
}

/// What every connection is told first.
pub(crate) fn settings() -> String {
    let timeout = STATEMENT_TIMEOUT.as_millis();
    // An operator may want more than `on` (a standby, too), or just the local disk; never less. The plans of our statements are
    // known: each reads a bounded piece of an index. So plans that were made while a table was small stay right.
    format!(
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
         SET statement_timeout = {timeout}; SET idle_in_transaction_session_timeout = {timeout};
         SET client_min_messages = warning; SET jit = off;
         SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"
    )
}

fn unreachable(address: &Address, why: &str) -> StoreError {
    let server = address.server();
    StoreError::CannotOpen(format!(
        "PostgreSQL at {server} cannot be reached ({why}): start it, or correct host and port in --database-url"
    ))
}

/// Why the server was not opened, and what to do.
fn refusal(address: &Address, error: &tokio_postgres::Error) -> StoreError {
    let (server, user, database) = (address.server(), address.user(), address.database());
    let Some(db) = error.as_db_error() else {
        let why = with_cause(error);
        return if why.contains("TLS") {
            StoreError::CannotOpen(format!(
                "PostgreSQL at {server} cannot be used with TLS ({why}): name the authority of its certificate with sslrootcert in \
                 --database-url, give the server a certificate, or choose another sslmode"
            ))
        } else {
            unreachable(address, &why)
        };
    };
    let said = db.message();
    StoreError::CannotOpen(match db.code() {
        code if *code == SqlState::INVALID_PASSWORD || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            format!(
                "PostgreSQL at {server} refuses the user {user} ({said}): correct user and password in --database-url, or the \
             server's pg_hba.conf"
            )
        }
        code if *code == SqlState::UNDEFINED_DATABASE => format!(
            "PostgreSQL at {server} has no database {database}: make it, for instance with `createdb --owner {user} {database}`"
        ),
        _ => format!("PostgreSQL at {server} cannot be opened ({said})"),
    })
}
