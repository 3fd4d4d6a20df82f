//! Events and results as Redis publishes them.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};

use super::Link;
use crate::{
    broker::{BrokerError, Incoming},
    results::KEY_PREFIX,
};

/// A subscription is probed this often: nothing else tells a silent one from a broken one.
const PROBE_EVERY: Duration = Duration::from_secs(10);

/// One pub/sub connection and what it subscribes to.
pub(crate) struct Subscription {
    pub(crate) part: &'static str,
    link: Arc<Link>,
    patterns: Vec<String>,
}

impl Subscription {
    /// The events of a broker; with the results, when they come from the same server: their order is then the server's.
    pub(crate) fn events(broker: Arc<Link>, results: Option<&Link>) -> Self {
        let mut patterns = vec![format!("/{}.celeryev*", broker.address.db)];
        if results.is_some_and(|results| broker.address.same_server(&results.address)) {
            patterns.push(format!("{KEY_PREFIX}*"));
        }
        Self { part: "events", link: broker, patterns }
    }

    /// The results alone.
    pub(crate) fn results(link: Arc<Link>) -> Self {
        Self { part: "results", link, patterns: vec![format!("{KEY_PREFIX}*")] }
    }

    /// Subscribes, calls `up`, and passes on what is published until the connection ends.
    pub(crate) async fn deliver(&self, incoming: &mpsc::Sender<Incoming>, up: impl AsyncFnOnce()) -> BrokerError {
        match self.link.subscribe(&self.patterns).await {
            Ok(pubsub) => {
                up().await;
                pump(pubsub, &self.link, incoming).await
            }
            Err(error) => error,
        }
    }
}

/// Passes on what is published until the connection ends. The driver buffers without bound: it is always emptied, and
/// what does not fit our own buffer is dropped and counted.
async fn pump(pubsub: redis::aio::PubSub, link: &Link, incoming: &mpsc::Sender<Incoming>) -> BrokerError {
    let (mut sink, mut stream) = pubsub.split();
    let mut probe = interval(PROBE_EVERY);
    probe.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut dropped = 0u64;
    loop {
        tokio::select! {
            message = stream.next() => {
                let Some(message) = message else { return link.failed("closed the subscription") };
                let payload = message.get_payload_bytes().to_vec();
                let result = message.get_channel_name().starts_with(KEY_PREFIX);
                let message = if result { Incoming::Result(payload) } else { Incoming::Envelope(payload) };
                dropped += u64::from(incoming.try_send(message).is_err());
            }
            _ = probe.tick() => {
                if dropped > 0 {
                    tracing::warn!(dropped, "messages dropped: the agent does not keep up with Celery's events");
                    dropped = 0;
                }
                match timeout(PROBE_EVERY, sink.ping::<redis::Value>()).await {
                    Ok(Ok(_)) => {}
                    _ => return link.failed("does not answer on the subscription"),
                }
            }
        }
    }
}
