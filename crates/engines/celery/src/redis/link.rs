//! Connections to Redis: one for short commands, fresh ones for whatever blocks.

use std::time::{Duration, Instant};

use redis::{
    AsyncCommands as _, AsyncConnectionConfig, RedisError, RedisResult,
    aio::{MultiplexedConnection, PubSub},
};
use tokio::{sync::Mutex, time::timeout};

use super::RedisAddress;
use crate::broker::BrokerError;

/// How long a connection may take to come up.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long a short command may take. The driver's own default of half a second is too short for a busy broker.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A connection that rested for longer is tried before it is used: it may have been cut meanwhile, and a message must not be
/// given to one that is.
const TRUSTED_FOR: Duration = Duration::from_millis(100);

/// A Redis database with a shared connection for short commands, made when first needed and again after it broke.
pub(crate) struct Link {
    pub(crate) address: RedisAddress,
    connection: Mutex<Option<Shared>>,
}

/// The shared connection, and when it was last known to work.
struct Shared {
    connection: MultiplexedConnection,
    worked_at: Instant,
}

impl Link {
    pub(crate) fn new(address: RedisAddress) -> Self {
        Self { address, connection: Mutex::new(None) }
    }

    /// Runs a short command or pipeline on the shared connection.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T, BrokerError>
    where
        F: AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    {
        let mut connection = self.shared().await?;
        match timeout(ANSWER_WITHIN * 2, work(&mut connection)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                // What Redis itself says leaves the connection usable; anything else makes it suspect.
                if error.is_io_error() || error.is_unrecoverable_error() || error.is_timeout() {
                    self.connection.lock().await.take();
                }
                Err(self.error(&error))
            }
            Err(_elapsed) => {
                self.connection.lock().await.take();
                Err(self.failed("did not answer in time"))
            }
        }
    }

    async fn shared(&self) -> Result<MultiplexedConnection, BrokerError> {
        let mut slot = self.connection.lock().await;
        if let Some(shared) = slot.as_mut() {
            let works = shared.worked_at.elapsed() < TRUSTED_FOR
                || match timeout(CONNECT_WITHIN, shared.connection.ping::<()>()).await {
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
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_WITHIN))
            .set_response_timeout(answer_within);
        self.address
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(|error| self.error(&error))
    }

    /// A connection that subscribes to `patterns`.
    pub(crate) async fn subscribe(&self, patterns: &[String]) -> Result<PubSub, BrokerError> {
        let connect = async {
            let mut pubsub = self.address.client.get_async_pubsub().await?;
            for pattern in patterns {
                pubsub.psubscribe(pattern).await?;
            }
            Ok::<_, RedisError>(pubsub)
        };
        match timeout(CONNECT_WITHIN, connect).await {
            Ok(result) => result.map_err(|error| self.error(&error)),
            Err(_elapsed) => Err(self.failed("did not answer in time")),
        }
    }

    pub(crate) fn failed(&self, why: &str) -> BrokerError {
        BrokerError::new("Redis", &self.address.shown, why)
    }

    fn error(&self, error: &RedisError) -> BrokerError {
        self.failed(&explain(error))
    }
}

/// What went wrong, in words. Redis never repeats a password, but it may repeat a command's arguments: only the category
/// and the error code are shown.
fn explain(error: &RedisError) -> String {
    if error.is_connection_refusal() {
        return "refuses connections (is it running?)".to_owned();
    }
    if error.is_timeout() {
        return "did not answer in time".to_owned();
    }
    match error.code() {
        Some("NOAUTH") => return "asks for a password: put it into the URL".to_owned(),
        Some("WRONGPASS") => return "does not accept the user or password in the URL".to_owned(),
        Some("NOPERM") => return "does not permit the agent's user to do that (NOPERM): widen its ACL".to_owned(),
        Some("OOM") => return "is out of memory (OOM)".to_owned(),
        Some("LOADING") => return "is still loading its data".to_owned(),
        Some(code) => return format!("answered with the error {code}"),
        None => {}
    }
    if error.is_connection_dropped() {
        return "closed the connection".to_owned();
    }
    format!("failed: {}", error.category())
}
