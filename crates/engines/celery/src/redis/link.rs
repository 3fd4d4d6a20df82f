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

    /// Looks something up with a short command or pipeline on the shared connection, and once more on a fresh one when that was
    /// found closed: asking twice harms nobody. `right` is what an ACL says to permit its keys.
    pub(crate) async fn run<T, F>(&self, right: &str, look: F) -> Result<T, BrokerError>
    where
        F: AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T> + Clone,
    {
        let mut connection = self.shared(TRUSTED_FOR).await?;
        match self.answer(look.clone()(&mut connection)).await? {
            Err(error) if is_closed(&error) => {
                let mut fresh = self.shared(TRUSTED_FOR).await?;
                self.answer(look(&mut fresh)).await?
            }
            told => told,
        }
        .map_err(|error| self.error_on(&error, right))
    }

    /// Does what must not be done twice. The connection is tried at once before, however short it rested, because who hears
    /// nothing of a message that was given to a dead one cannot know whether it arrived.
    pub(crate) async fn run_once<T, F>(&self, right: &str, work: F) -> Result<T, BrokerError>
    where
        F: AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    {
        let mut connection = self.shared(Duration::ZERO).await?;
        self.answer(work(&mut connection)).await?.map_err(|error| self.error_on(&error, right))
    }

    /// What Redis said. A connection that is no longer good for anything is not used again.
    async fn answer<T>(&self, work: impl Future<Output = RedisResult<T>>) -> Result<RedisResult<T>, BrokerError> {
        let Ok(told) = timeout(ANSWER_WITHIN * 2, work).await else {
            self.connection.lock().await.take();
            return Err(self.failed("did not answer in time"));
        };
        if let Err(error) = &told {
            // What Redis itself says leaves the connection usable; anything else makes it suspect. So does a server that
            // was the master when it was connected to, and is none now.
            let was_master = error.code() == Some("READONLY");
            if is_closed(error) || error.is_timeout() || was_master {
                self.connection.lock().await.take();
            }
        }
        Ok(told)
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

/// True when nothing can be said over the connection any more. Of an answer that is late nobody knows.
fn is_closed(error: &RedisError) -> bool {
    (error.is_io_error() || error.is_unrecoverable_error()) && !error.is_timeout()
}
