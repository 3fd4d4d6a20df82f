//! The store on PostgreSQL 14 or newer. Several brains may share one database: [`locks`] says why they never block one another
//! for good.
//!
//! Writes are transactions on connections of their own pool, reads run beside them. Whatever fails on a connection closes it;
//! the next call opens another, so a server that was away is used again as soon as it is back.

use std::sync::Arc;

use deadpool_postgres::Pool;
use taskplane_store::{Result, StoreError};

mod access;
mod address;
pub mod backup;
mod bulk;
mod census;
pub mod checkup;
mod client_programs;
mod commands;
mod connect;
mod errors;
mod fleet;
mod ingest;
mod locks;
mod names;
mod replicas;
mod retention;
mod rollups;
mod schedules;
mod schema;
mod search;
mod session;
mod tasks;
mod text;
mod tls;

use address::Address;
use names::Names;
use replicas::Membership;
use session::{Session, Tx};

/// Most connections that write. More would only wait for one another's locks.
const WRITERS: usize = 4;
/// Most connections that read.
const READERS: usize = 8;

/// A store in a database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PostgresStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    writers: Pool,
    readers: Pool,
    names: Names,
    membership: Membership,
}

impl PostgresStore {
    /// Connects to the database that `url` names, such as `postgres://user:password@host:5432/database`, and makes the tables
    /// where there are none. Parameters behind a `?` are those of libpq's URLs that tokio-postgres knows, and `sslmode` and
    /// `sslrootcert`: `disable`, `prefer` (the default) and `require` do not look at the server's certificate; `verify-full`
    /// does, against the system's authorities or those in the file `sslrootcert`.
    ///
    /// # Errors
    /// When the URL makes no sense, the server cannot be reached, is too old or refuses, or the database is not ours or newer
    /// than we are. The text says what to do, and never holds the password.
    pub async fn connect(url: &str) -> Result<Self> {
        let address = Address::parse(url)?;
        let tls = tls::connector(&address.trust)?;
        let mut client = connect::first_connection(&address, tls.clone()).await?;
        schema::prepare(&mut client, &address).await?;
        let sql = "SELECT value FROM settings WHERE name = 'task_id_seed'";
        let row = client.query_one(sql, &[]).await.map_err(|error| errors::from_postgres(&error))?;
        let seed: i64 = session::column(&row, 0)?;
        Ok(Self(Arc::new(Inner {
            writers: connect::pool(&address, tls.clone(), WRITERS)?,
            readers: connect::pool(&address, tls.clone(), READERS)?,
            names: Names::new(seed.cast_unsigned()),
            membership: Membership::new(address, tls),
        })))
    }

    /// Does `work` to its end, also when the caller stops waiting.
    pub(crate) async fn to_the_end<T, W>(&self, work: impl FnOnce(Self) -> W) -> Result<T>
    where
        T: Send + 'static,
        W: Future<Output = Result<T>> + Send + 'static,
    {
        let ended = tokio::spawn(work(self.clone())).await;
        ended.map_err(|_| StoreError::Internal("a write panicked; see the log above".into()))?
    }

    /// Begins a transaction.
    pub(crate) async fn begin(&self) -> Result<Tx> {
        Tx::begin(self.writing().await?).await
    }

    /// Begins a transaction that holds the lock of a project.
    pub(crate) async fn begin_in(&self, project: u64) -> Result<Tx> {
        let tx = self.begin().await?;
        tx.query(locks::PROJECTS, &[&vec![locks::project_number(project)]]).await?;
        Ok(tx)
    }

    /// A connection that may write.
    pub(crate) async fn writing(&self) -> Result<Session> {
        connect::session(&self.0.writers).await
    }

    /// A connection for reading.
    pub(crate) async fn reading(&self) -> Result<Session> {
        connect::session(&self.0.readers).await
    }

    pub(crate) fn names(&self) -> &Names {
        &self.0.names
    }

    pub(crate) fn membership(&self) -> &Membership {
        &self.0.membership
    }
}
