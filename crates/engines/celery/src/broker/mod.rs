//! What the engine needs of a broker, whichever it is.

use std::{collections::BTreeSet, fmt, sync::Arc};

use taskplane_agent::engine::CommandError;
use taskplane_celery_address::RedisAddress;
use taskplane_model::Timestamp;
use tokio::sync::mpsc;

use crate::{
    config::{ConfigError, Watch, unsupported, unusable},
    content::Content,
    control::{Call, Replies},
    message::{NewTask, Outgoing, TaskMessage},
    rabbitmq::{self, RabbitMq},
    redis::{self, Redis},
};

/// The broker, or the result backend, could not be reached, or refused. The text is for people and holds no secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BrokerError {
    text: String,
    not_yet: bool,
    denied: bool,
}

impl BrokerError {
    /// `at` is where the broker is, without credentials.
    pub(crate) fn new(broker: &'static str, at: &str, why: &str) -> Self {
        Self { text: format!("{broker} at {at} {why}"), not_yet: false, denied: false }
    }

    /// The database that holds results, in words that say which.
    #[cfg(feature = "database")]
    pub(crate) fn of_database(text: String) -> Self {
        Self { text, not_yet: false, denied: false }
    }

    /// Nothing is wrong with the broker: what is waited for has not come up yet, and may at any moment.
    pub(crate) fn not_yet(self) -> Self {
        Self { not_yet: true, ..self }
    }

    pub(crate) fn is_not_yet(&self) -> bool {
        self.not_yet
    }

    /// The agent's user lacks a right: that does not pass by itself.
    pub(crate) fn denied(self) -> Self {
        Self { denied: true, ..self }
    }

    pub(crate) fn is_denied(&self) -> bool {
        self.denied
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for BrokerError {}

/// Why a message was not published, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PublishError {
    /// It certainly was not.
    NotSent(CommandError),
    /// Nobody can tell.
    Unknown(CommandError),
}

impl From<PublishError> for CommandError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::NotSent(error) | PublishError::Unknown(error) => error,
        }
    }
}

/// A message as it arrived.
pub(crate) enum Incoming {
    /// Events in a kombu envelope.
    Envelope(Vec<u8>),
    /// Events as they are.
    Content(Content),
    /// A result, published as it was stored.
    Result(Vec<u8>),
    /// A result that was read from the backend.
    StoredResult(Vec<u8>),
}

/// A sample of one queue. What the broker cannot tell is `None`.
pub(crate) struct QueueSample {
    pub(crate) queue: String,
    /// Messages ready.
    pub(crate) depth: u64,
    pub(crate) unacked: Option<u64>,
    pub(crate) consumers: Option<u64>,
    /// When the oldest message was first seen.
    pub(crate) oldest: Option<Timestamp>,
}

/// A sample of all queues.
#[derive(Default)]
pub(crate) struct Sample {
    pub(crate) queues: Vec<QueueSample>,
    /// Waiting messages that were not looked at before, with their queues.
    pub(crate) waiting: Vec<(String, TaskMessage)>,
    /// The broker can be read, but is not laid out as the agent was told.
    pub(crate) mismatch: Option<BrokerError>,
}

/// Tasks whose messages are looked for.
pub(crate) struct Search {
    pub(crate) ids: BTreeSet<String>,
    /// Queues that they were seen in.
    pub(crate) queues: BTreeSet<String>,
    /// All of them are known from elsewhere.
    pub(crate) heard_of: bool,
}

/// What a search has found.
#[derive(Default)]
pub(crate) struct FoundMessages {
    pub(crate) messages: Vec<FoundMessage>,
    /// Not all that wait were looked at: there are too many, or the broker does not show them.
    pub(crate) waiting_left: bool,
    /// Not all that are delivered and not acknowledged were looked at.
    pub(crate) delivered_left: bool,
}

/// The message of a task that was looked for.
pub(crate) struct FoundMessage {
    pub(crate) queue: String,
    pub(crate) message: TaskMessage,
    /// A worker took it and has not acknowledged it.
    pub(crate) is_delivered: bool,
}

/// What a purge dropped.
pub(crate) struct Purged {
    pub(crate) count: u64,
    /// Those messages that could be read.
    pub(crate) messages: Vec<TaskMessage>,
}

/// A broker of Celery.
pub(crate) enum Broker {
    Redis(Redis),
    RabbitMq(RabbitMq),
}

impl Broker {
    /// Reads the URL of a broker. Nothing is contacted yet.
    pub(crate) fn new(text: &str) -> Result<Self, ConfigError> {
        let what = "broker";
        let no_scheme = || ConfigError::BadUrl { what, why: "it has no scheme".to_owned() };
        let (scheme, _) = text.trim().split_once("://").ok_or_else(no_scheme)?;
        match scheme {
            "amqp" | "amqps" | "pyamqp" => Ok(Self::RabbitMq(RabbitMq::new(what, text)?)),
            scheme if redis::SCHEMES.contains(&scheme) => {
                Ok(Self::Redis(Redis::new(RedisAddress::parse(text).map_err(|error| unusable(what, error))?)))
            }
            scheme => Err(unsupported(what, scheme)),
        }
    }

    /// Where it is, for people: without credentials.
    pub(crate) fn shown(&self) -> &str {
        match self {
            Self::Redis(redis) => redis.link.shown(),
            Self::RabbitMq(rabbit) => rabbit.shown(),
        }
    }

    /// What delivers events; with results, where the broker's own server has those of the backend.
    pub(crate) fn events(&self, results: Option<&redis::Backend>) -> Subscription {
        match self {
            Self::Redis(redis) => Subscription::Redis(redis::Subscription::events(Arc::clone(&redis.link), results)),
            Self::RabbitMq(rabbit) => Subscription::RabbitMq(rabbit.events()),
        }
    }

    /// True when [`Self::events`] delivers the results of this backend too.
    pub(crate) fn publishes_results_of(&self, results: &redis::Backend) -> bool {
        match self {
            Self::Redis(redis) => redis.link.address.same_server(&results.link.address),
            Self::RabbitMq(_) => false,
        }
    }

    /// Broadcasts to workers and collects replies, until all are there or the wait is over. `live` is how many workers are
    /// known to be up; zero when that is not known.
    pub(crate) async fn call(&self, call: &Call, live: usize) -> Result<Replies, BrokerError> {
        match self {
            Self::Redis(redis) => redis.call(call).await,
            Self::RabbitMq(rabbit) => rabbit.call(call, live).await,
        }
    }

    /// Puts a message into its queue.
    pub(crate) async fn publish(&self, new: &NewTask, outgoing: &Outgoing) -> Result<(), PublishError> {
        match self {
            Self::Redis(redis) => redis.publish(new, outgoing).await,
            Self::RabbitMq(rabbit) => rabbit.publish(new, outgoing).await,
        }
    }

    /// Drops all ready messages of a queue.
    pub(crate) async fn purge(&self, queue: &str) -> Result<Purged, CommandError> {
        match self {
            Self::Redis(redis) => redis.purge(queue).await,
            Self::RabbitMq(rabbit) => rabbit.purge(queue).await,
        }
    }

    /// True when the queue exists. `consumed` says that a worker is known to consume it.
    pub(crate) async fn has_queue(&self, queue: &str, consumed: bool) -> Result<bool, BrokerError> {
        match self {
            Self::Redis(redis) => redis.has_queue(queue, consumed).await,
            Self::RabbitMq(rabbit) => rabbit.has_queue(queue).await,
        }
    }

    /// The messages of tasks that wait or are delivered, where the broker lets them be looked at.
    pub(crate) async fn find_messages(&self, search: &Search) -> Result<FoundMessages, BrokerError> {
        match self {
            Self::Redis(redis) => redis.find_messages(search).await,
            // A message that is taken and put back is marked for ever, or even dropped: they are left alone.
            // What was delivered to a worker that is gone is back in its queue.
            Self::RabbitMq(_) => Ok(FoundMessages { waiting_left: true, ..FoundMessages::default() }),
        }
    }

    /// True when messages that wait can be looked at.
    pub(crate) fn can_peek(&self) -> bool {
        matches!(self, Self::Redis(_))
    }

    /// What samples its queues, for an engine that learns of tasks as `watch` says.
    pub(crate) fn sampler(&self, watch: Watch) -> Sampler {
        match self {
            Self::Redis(_) => Sampler::Redis(redis::Sampler::new(watch)),
            Self::RabbitMq(_) => Sampler::RabbitMq(rabbitmq::Sampler::default()),
        }
    }
}

/// One connection that delivers what is published.
pub(crate) enum Subscription {
    Redis(redis::Subscription),
    RabbitMq(rabbitmq::Subscription),
}

impl Subscription {
    /// Its name on the health board.
    pub(crate) fn part(&self) -> &'static str {
        match self {
            Self::Redis(subscription) => subscription.part,
            Self::RabbitMq(_) => "events",
        }
    }

    /// Connects, calls `up`, and delivers until the connection ends; says why it ended.
    pub(crate) async fn deliver(&self, incoming: &mpsc::Sender<Incoming>, up: impl AsyncFnOnce()) -> BrokerError {
        match self {
            Self::Redis(subscription) => subscription.deliver(incoming, up).await,
            Self::RabbitMq(subscription) => subscription.deliver(incoming, up).await,
        }
    }
}

/// What samples the queues of one broker.
pub(crate) enum Sampler {
    Redis(redis::Sampler),
    RabbitMq(rabbitmq::Sampler),
}

/// The queues that are known from elsewhere.
pub(crate) struct KnownQueues {
    /// Those that workers are known to consume.
    pub(crate) consumed: BTreeSet<String>,
    /// Those that tasks were seen to go to, or that settings name; some may be no queues.
    pub(crate) mentioned: BTreeSet<String>,
}

impl Broker {
    /// One sample, by the sampler that this broker gave.
    pub(crate) async fn sample(
        &self,
        sampler: &mut Sampler,
        known: &KnownQueues,
        now: Timestamp,
    ) -> Result<Sample, BrokerError> {
        match (self, sampler) {
            (Self::Redis(redis), Sampler::Redis(sampler)) => sampler.sample(redis, &known.consumed, now).await,
            (Self::RabbitMq(rabbit), Sampler::RabbitMq(sampler)) => rabbit.sample(sampler, known).await,
            // Never: a sampler stays with the broker that gave it.
            _ => Ok(Sample::default()),
        }
    }
}
