//! A sign that this run is alive, for other brains that start on the database: they end the commands of runs that are not.
//!
//! The sign is a lock on a connection of its own. When that connection is lost the lock is taken again as soon as the server is
//! back; a brain that starts in just that moment ends this one's open commands as unknown, which is safe to say.

use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use taskplane_store::Result;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::address::Address;
use crate::locks;
use crate::session::{Tx, column};

/// How long a first command waits for the sign to be up.
const SHOW_WITHIN: Duration = Duration::from_secs(5);
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The sign of one run.
pub(crate) struct Presence {
    run: i32,
    address: Address,
    tls: MakeRustlsConnect,
    is_up: watch::Sender<bool>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl Presence {
    pub(crate) fn new(address: Address, tls: MakeRustlsConnect) -> Self {
        let random = std::hash::RandomState::new().hash_one(0);
        // Positive, so that it is the same as an unsigned number.
        let run = i32::try_from(random >> 33).unwrap_or(1).max(1);
        Self { run, address, tls, is_up: watch::Sender::new(false), keeper: Mutex::default() }
    }

    /// Puts the sign up, once, and returns the number of this run.
    pub(crate) async fn show(&self) -> i32 {
        {
            let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
            let keep = || tokio::spawn(keep(self.address.clone(), self.tls.clone(), self.run, self.is_up.clone()));
            keeper.get_or_insert_with(keep);
        }
        let mut seen = self.is_up.subscribe();
        if tokio::time::timeout(SHOW_WITHIN, seen.wait_for(|is_up| *is_up)).await.is_err() {
            tracing::warn!("other brains on this database cannot see that this one is alive; it tries on");
        }
        self.run
    }

    /// The other runs whose signs are up.
    pub(crate) async fn others(&self, tx: &Tx) -> Result<Vec<i32>> {
        let rows = tx.query(locks::RUNS_PRESENT, &[]).await?;
        let mut runs = rows.iter().map(|row| column(row, 0)).collect::<Result<Vec<i32>>>()?;
        runs.retain(|run| *run != self.run);
        Ok(runs)
    }
}

impl std::fmt::Debug for Presence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presence").field("run", &self.run).finish_non_exhaustive()
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let keeper = self.keeper.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(keeper) = keeper {
            keeper.abort();
        }
    }
}

async fn keep(address: Address, tls: MakeRustlsConnect, run: i32, is_up: watch::Sender<bool>) {
    loop {
        if let Err(error) = hold(&address, tls.clone(), run, &is_up).await {
            tracing::debug!(%error, "the sign of this run is down");
        }
        is_up.send_replace(false);
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

/// Holds the lock until the connection is lost.
async fn hold(
    address: &Address,
    tls: MakeRustlsConnect,
    run: i32,
    is_up: &watch::Sender<bool>,
) -> std::result::Result<(), tokio_postgres::Error> {
    let (client, connection) = address.config.connect(tls).await?;
    let held = async {
        client.query(locks::PRESENT, &[&run]).await?;
        is_up.send_replace(true);
        std::future::pending::<std::result::Result<(), tokio_postgres::Error>>().await
    };
    tokio::select! {
        lost = connection => lost,
        failed = held => failed,
    }
}
