//! Celery on RabbitMQ: everything that knows how kombu lays itself out there.
//!
//! What Celery owns is only ever declared passively: declared with other properties, it would lock out the workers.

mod address;
mod control;
mod events;
mod link;
mod message;
mod publish;
mod purge;
mod sample;

use std::sync::Arc;

use lapin::{
    Channel, Queue,
    options::QueueDeclareOptions,
    types::{FieldTable, ShortString},
};
use taskplane_agent::engine::CommandError;
use taskplane_celery_address::Url;

use crate::{
    broker::{BrokerError, KnownQueues, PublishError, Purged, Sample},
    config::ConfigError,
    control::{Call, Replies},
    message::{NewTask, Outgoing},
};

use address::RabbitAddress;
use link::{Failure, Link};
use publish::Publisher;

pub(crate) use events::Subscription;
pub(crate) use sample::Sampler;

/// A virtual host as a broker.
pub(crate) struct RabbitMq {
    /// For all that only looks.
    watch: Arc<Link>,
    /// For all that publishes or purges.
    act: Link,
    publisher: Publisher,
}

impl RabbitMq {
    /// Takes one URL, or several separated by semicolons, which name servers of one cluster.
    pub(crate) fn new(what: &'static str, urls: &str) -> Result<Self, ConfigError> {
        let read = |text: &str| {
            let url = Url::parse(text).map_err(|why| ConfigError::BadUrl { what, why: why.to_owned() })?;
            RabbitAddress::new(what, &url)
        };
        let addresses: Vec<RabbitAddress> =
            urls.split(';').filter(|url| !url.trim().is_empty()).map(read).collect::<Result<_, _>>()?;
        Ok(Self {
            watch: Arc::new(Link::new(addresses.clone(), "taskplane-agent: observes")),
            act: Link::new(addresses, "taskplane-agent: acts"),
            publisher: Publisher::default(),
        })
    }

    /// Where it is, for people.
    pub(crate) fn shown(&self) -> &str {
        self.watch.shown()
    }

    pub(crate) fn events(&self) -> Subscription {
        Subscription::new(Arc::clone(&self.watch))
    }

    /// Broadcasts to workers, of which `live` are known to be up.
    pub(crate) async fn call(&self, call: &Call, live: usize) -> Result<Replies, BrokerError> {
        control::call(&self.act, call, live).await
    }

    pub(crate) async fn publish(&self, new: &NewTask, outgoing: &Outgoing) -> Result<(), PublishError> {
        self.publisher.publish(&self.act, new, outgoing).await
    }

    pub(crate) async fn purge(&self, queue: &str) -> Result<Purged, CommandError> {
        purge::purge(&self.act, queue).await
    }

    pub(crate) async fn has_queue(&self, queue: &str) -> Result<bool, BrokerError> {
        let channel = self.watch.channel().await?;
        match passive_queue(&self.watch, &channel, queue).await {
            Ok(_) => Ok(true),
            Err(Failure::Absent) => Ok(false),
            Err(Failure::Other(error)) => Err(error),
        }
    }

    pub(crate) async fn sample(&self, sampler: &mut Sampler, known: &KnownQueues) -> Result<Sample, BrokerError> {
        sampler.sample(&self.watch, known).await
    }
}

/// The state of a queue, which is left as it is. Its channel is closed when it does not exist.
async fn passive_queue(link: &Link, channel: &Channel, name: &str) -> Result<Queue, Failure> {
    // No queue of RabbitMQ has a longer name.
    let Ok(name) = ShortString::try_new(name) else { return Err(Failure::Absent) };
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    link.within(channel.queue_declare(name, options, FieldTable::default())).await
}
