//! Connections to Redis: one for short commands, fresh ones for whatever blocks.

use std::time::{Duration, Instant};

use redis::{
    AsyncCommands as _, RedisError, RedisResult,
    aio::{MultiplexedConnection, PubSub},
};
use taskplane_celery_address::{RedisAddress, explain_on};
use tokio::{sync::Mutex, time::timeout};

use super::layout::Layout;
use crate::broker::BrokerError;

/// How long a connection may take to say that it works.
const PING_WITHIN: Duration = Duration::from_secs(5);
/// How long a short command may take. The driver's own default of half a second is too short for a busy broker.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A connection that rested for longer is tried before it is used: it may have been cut meanwhile.
const TRUSTED_FOR: Duration = Duration::from_millis(100);

/// A Redis database with a shared connection for short commands, made when first needed and again after it broke.
pub(crate) struct Link {
    pub(crate) address: RedisAddress,
    pub(crate) layout: Layout,
    shown: String,
    connection: Mutex<Option<Shared>>,
}

/// The shared connection, and when it was last known to work.
struct Shared {
    connection: MultiplexedConnection,
    worked_at: Instant,
}

impl Link {
    pub(crate) fn new(address: RedisAddress) -> Self {
        let layout = Layout::of(&address);
        // Two applications on one database differ in their prefix alone.
        let shown = match layout.prefix.as_str() {
            "" => address.shown().to_owned(),
            prefix => format!("{} with the key prefix {prefix}", address.shown()),
        };
        Self { address, layout, shown, connection: Mutex::new(None) }
    }

    /// Where it is, for people.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Runs a short command or pipeline on the shared connection. `right` is what an ACL says to permit its keys.
    pub(crate) async fn run<T, F>(&self, right: &str, work: F) -> Result<T, BrokerError>
    where
        F: AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    {
        self.run_on(self.shared(TRUSTED_FOR).await?, right, work).await
    }

    /// As `run`, for what must not be said twice: the connection is tried at once before, however short it rested, because
    /// who hears nothing of a message that was given to a dead one cannot know whether it arrived.
    pub(crate) async fn run_once<T, F>(&self, right: &str, work: F) -> Result<T, BrokerError>
    where
        F: AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    {
        self.run_on(self.shared(Duration::ZERO).await?, right, work).await
    }

    async fn run_on<T, F>(
        &self,
        mut connection: MultiplexedConnection,
        right: &str,
        work: F,
    ) -> Result<T, BrokerError>
    where
        F: AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    {
        match timeout(ANSWER_WITHIN * 2, work(&mut connection)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                // What Redis itself says leaves the connection usable; anything else makes it suspect. So does a server
                // that was the master when it was connected to, and is none now.
                let was_master = error.code() == Some("READONLY");
                if error.is_io_error() || error.is_unrecoverable_error() || error.is_timeout() || was_master {
                    self.connection.lock().await.take();
                }
                Err(self.error_on(&error, right))
            }
            Err(_elapsed) => {
                self.connection.lock().await.take();
                Err(self.failed("did not answer in time"))
            }
        }
    }

    async fn shared(&self, trusted_for: Duration) -> Result<MultiplexedConnection, BrokerError> {
        let mut slot = self.connection.lock().await;
        if let Some(shared) = slot.as_mut() {
            let works = shared.worked_at.elapsed() < trusted_for
                || match timeout(PING_WITHIN, shared.connection.ping::<()>()).await {
                    // Who may not ask still got an answer.
                    Ok(tried) => tried.err().is_none_or(|error| error.code().is_some()),
                    Err(_elapsed) => false,
                };
            if works {
                shared.worked_at = Instant::now();
                return Ok(shared.connection.clone());
            }
        }
        *slot = None;
        let connection = self.connect(Some(ANSWER_WITHIN)).await?;
        *slot = Some(Shared { connection: connection.clone(), worked_at: Instant::now() });
        Ok(connection)
    }

    /// A connection of its own for commands that block: they would hold up everything else on a shared one.
    pub(crate) async fn dedicated(&self) -> Result<MultiplexedConnection, BrokerError> {
        self.connect(None).await
    }

    async fn connect(&self, answer_within: Option<Duration>) -> Result<MultiplexedConnection, BrokerError> {
        self.address.connect(answer_within).await.map_err(|why| self.failed(&why))
    }

    /// A connection that subscribes to `patterns`.
    pub(crate) async fn subscribe(&self, patterns: &[String]) -> Result<PubSub, BrokerError> {
        self.address.subscribe(patterns).await.map_err(|why| {
            let told = self.failed(&why);
            if why.contains("(NOPERM)") { told.denied() } else { told }
        })
    }

    pub(crate) fn failed(&self, why: &str) -> BrokerError {
        BrokerError::new("Redis", &self.shown, why)
    }

    /// What went wrong; `right` is what an ACL says to permit what was tried.
    pub(super) fn error_on(&self, error: &RedisError, right: &str) -> BrokerError {
        let told = self.failed(&explain_on(error, right));
        if error.code() == Some("NOPERM") { told.denied() } else { told }
    }
}
