//! Celery on Redis: everything that knows how kombu lays itself out there.

mod backend;
mod bindings;
mod control;
mod events;
mod find;
mod layout;
mod link;
mod mismatch;
mod publish;
mod purge;
mod sample;
mod waiting;

use std::sync::{Arc, Mutex};

use taskplane_agent::engine::CommandError;
use taskplane_celery_address::RedisAddress;

use crate::{
    broker::{BrokerError, FoundMessages, PublishError, Purged, Search},
    control::{Call, Replies},
    message::{NewTask, Outgoing},
    shared::lock,
};

use bindings::KnownQueues;
use mismatch::Suspicion;

pub(crate) use backend::Backend;
pub(crate) use events::Subscription;
pub(crate) use link::Link;
pub(crate) use sample::Sampler;
#[cfg(feature = "fuzzing")]
pub(crate) use waiting::read_unacked;

/// What the URLs of a Redis begin with.
pub(crate) const SCHEMES: [&str; 4] = ["redis", "rediss", "sentinel", "redis-sentinel"];

/// A Redis database as a broker.
pub(crate) struct Redis {
    pub(crate) link: Arc<Link>,
    /// The queues that are sampled.
    known: Mutex<KnownQueues>,
    /// Whether workers are on other channels than the agent was told.
    suspicion: Arc<Suspicion>,
}

impl Redis {
    pub(crate) fn new(address: RedisAddress) -> Self {
        Self { link: Arc::new(Link::new(address)), known: Mutex::default(), suspicion: Arc::default() }
    }

    pub(crate) async fn call(&self, call: &Call) -> Result<Replies, BrokerError> {
        let replies = control::call(&self.link, call).await?;
        self.suspicion.after(&self.link, replies.nobody_listens);
        Ok(replies)
    }

    pub(crate) async fn publish(&self, new: &NewTask, outgoing: &Outgoing) -> Result<(), PublishError> {
        publish::publish(&self.link, new, outgoing).await
    }

    pub(crate) async fn purge(&self, queue: &str) -> Result<Purged, CommandError> {
        purge::purge(&self.link, queue).await
    }

    /// True when the queue is known, consumed, or declared: an empty list has no key.
    pub(crate) async fn has_queue(&self, queue: &str, consumed: bool) -> Result<bool, BrokerError> {
        if consumed || lock(&self.known).names.contains(queue) {
            return Ok(true);
        }
        bindings::is_declared(&self.link, queue).await
    }

    /// How the database is laid out otherwise than the agent was told, as far as that shows.
    fn mismatch(&self) -> Option<BrokerError> {
        lock(&self.known).wrong_prefix(&self.link).or_else(|| self.suspicion.confirmed())
    }

    pub(crate) async fn find_messages(&self, search: &Search) -> Result<FoundMessages, BrokerError> {
        find::find_messages(self, search).await
    }
}
