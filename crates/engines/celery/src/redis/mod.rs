//! Celery on Redis: everything that knows how kombu lays itself out there.

mod address;
mod bindings;
mod control;
mod events;
mod find;
mod link;
mod publish;
mod purge;
mod sample;
mod waiting;

use std::sync::{Arc, Mutex};

use taskplane_agent::engine::CommandError;

use crate::{
    broker::{BrokerError, FoundMessage, Purged, Search},
    control::{Call, Replies},
    message::{NewTask, Outgoing},
    shared::lock,
};

use bindings::KnownQueues;

pub(crate) use address::RedisAddress;
pub(crate) use events::Subscription;
pub(crate) use link::Link;
pub(crate) use sample::Sampler;
#[cfg(feature = "fuzzing")]
pub(crate) use waiting::read_unacked;

/// A Redis database as a broker.
pub(crate) struct Redis {
    pub(crate) link: Arc<Link>,
    /// The queues that are sampled.
    known: Mutex<KnownQueues>,
}

impl Redis {
    pub(crate) fn new(address: RedisAddress) -> Self {
        Self { link: Arc::new(Link::new(address)), known: Mutex::default() }
    }

    pub(crate) async fn call(&self, call: &Call) -> Result<Replies, BrokerError> {
        control::call(&self.link, call).await
    }

    pub(crate) async fn publish(&self, new: &NewTask, outgoing: &Outgoing) -> Result<(), CommandError> {
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

    pub(crate) async fn find_messages(&self, search: &Search) -> Result<Vec<FoundMessage>, BrokerError> {
        find::find_messages(self, search).await
    }
}
