//! Where results are kept, whichever it is, and which of them can be read.

use std::{collections::HashMap, sync::Arc};

use taskplane_celery_address::RedisAddress;

#[cfg(feature = "database")]
use crate::database;
use crate::{
    broker::{Broker, BrokerError},
    config::{ConfigError, unsupported, unusable},
    redis,
};

/// A result backend that is read.
pub(crate) enum ResultBackend {
    /// On Redis, with the link of the broker when it is the same database.
    Redis(Arc<redis::Backend>),
    /// In a table of the application's database.
    #[cfg(feature = "database")]
    Database(Arc<database::Backend>),
}

/// Result backends of Celery that cannot be read from beside the application, or not without the address of a database.
const UNREADABLE: [&str; 22] = [
    "db",
    "database",
    "rpc",
    "amqp",
    "django-db",
    "django-cache",
    "disabled",
    "file",
    "filesystem",
    "mongodb",
    "memcache",
    "memcached",
    "cache",
    "elasticsearch",
    "cassandra",
    "couchbase",
    "couchdb",
    "arangodb",
    "dynamodb",
    "s3",
    "gs",
    "azureblockblob",
];

impl ResultBackend {
    /// Where results are read, if they can be: what the URL names, or the broker itself when that is on Redis.
    pub(crate) fn new(broker: &Broker, url: Option<&str>) -> Result<Option<Self>, ConfigError> {
        let own = match broker {
            Broker::Redis(redis) => Some(&redis.link),
            Broker::RabbitMq(_) => None,
        };
        let on_redis = |link, prefix: Option<&str>| Some(Self::Redis(Arc::new(redis::Backend::new(link, prefix))));
        let Some(text) = url else { return Ok(own.cloned().and_then(|link| on_redis(link, None))) };
        #[cfg(feature = "database")]
        if let Some(backend) = database::Backend::named(text)? {
            return Ok(Some(Self::Database(Arc::new(backend))));
        }
        let what = "result backend";
        let scheme = text.split_once(':').map_or(text, |(scheme, _)| scheme);
        let family = scheme.split_once('+').map_or(scheme, |(family, _)| family);
        if UNREADABLE.contains(&family) {
            tracing::info!(
                backend = family,
                "results are not read from this backend: they are known from events alone"
            );
            return Ok(None);
        }
        if !redis::SCHEMES.contains(&scheme) {
            return Err(unsupported(what, scheme));
        }
        let address = RedisAddress::parse(text).map_err(|error| unusable(what, error))?;
        let prefix = address.option("global_keyprefix").map(str::to_owned);
        let same = |own: &&Arc<redis::Link>| address.same_server(&own.address) && address.db() == own.address.db();
        let link = own.filter(same).cloned().unwrap_or_else(|| Arc::new(redis::Link::new(address)));
        Ok(on_redis(link, prefix.as_deref()))
    }

    /// The one on Redis.
    pub(crate) fn redis(&self) -> Option<&Arc<redis::Backend>> {
        match self {
            Self::Redis(backend) => Some(backend),
            #[cfg(feature = "database")]
            Self::Database(_) => None,
        }
    }

    /// What of the engine's health tells whether results are seen, where nobody publishes them.
    pub(crate) fn polled(&self) -> Option<&'static str> {
        match self {
            Self::Redis(_) => None,
            #[cfg(feature = "database")]
            Self::Database(_) => Some(database::PART),
        }
    }

    /// The stored results of tasks, as JSON.
    pub(crate) async fn read(&self, ids: &[&str]) -> Result<HashMap<String, Vec<u8>>, BrokerError> {
        match self {
            Self::Redis(backend) => backend.read(ids).await,
            #[cfg(feature = "database")]
            Self::Database(backend) => backend.read(ids).await,
        }
    }
}
