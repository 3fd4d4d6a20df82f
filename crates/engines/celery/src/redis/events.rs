//! Events and results as Redis publishes them.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _};
use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Backend, Link, layout::glob};
use crate::broker::{BrokerError, Incoming};

/// The exchange that workers publish their events to.
pub(super) const EXCHANGE: &str = "celeryev";
/// A subscription is probed this often: nothing else tells a silent one from a broken one.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// For so long after a message, others are left to gather.
const GATHER: Duration = Duration::from_millis(5);

/// One pub/sub connection and what it subscribes to.
#[derive(Clone)]
pub(crate) struct Subscription {
    pub(crate) part: &'static str,
    link: Arc<Link>,
    patterns: Vec<String>,
    /// What the channels of results begin with, where there are any.
    results: Option<String>,
}

impl Subscription {
    /// The events of a broker; with the results, when they come from the same server: their order is then the server's.
    pub(crate) fn events(broker: Arc<Link>, results: Option<&Backend>) -> Self {
        let results = results.filter(|results| broker.address.same_server(&results.link.address));
        let mut patterns = vec![format!("{}*", glob(&broker.layout.channel(EXCHANGE)))];
        patterns.extend(results.map(Backend::pattern));
        let results = results.map(|results| results.prefix().to_owned());
        Self { part: "events", link: broker, patterns, results }
    }

    /// The results alone.
    pub(crate) fn results(backend: &Backend) -> Self {
        Self {
            part: "results",
            link: Arc::clone(&backend.link),
            patterns: vec![backend.pattern()],
            results: Some(backend.prefix().to_owned()),
        }
    }

    /// Subscribes, calls `up`, and passes on what is published until the connection ends.
    pub(crate) async fn deliver(&self, incoming: &mpsc::Sender<Incoming>, up: impl AsyncFnOnce()) -> BrokerError {
        let stop = CancellationToken::new();
        let _stops_with_us = stop.clone().drop_guard();
        let (tell_up, is_up) = oneshot::channel();
        let (tell_end, end) = oneshot::channel();
        let listening = self.clone().listen(incoming.clone(), tell_up);
        let thread = std::thread::Builder::new().name("redis-events".to_owned());
        let spawned = thread.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let ended = runtime.map(|runtime| runtime.block_on(stop.run_until_cancelled(listening)));
            // Without an end it was stopped, and nobody waits for one.
            let _ = tell_end.send(ended.ok().flatten());
        });
        if spawned.is_ok() && is_up.await.is_ok() {
            up().await;
        }
        end.await
            .ok()
            .flatten()
            .unwrap_or_else(|| self.link.failed("cannot be listened to: this host has no thread left"))
    }

    /// Runs on a thread of its own, which rests after each look. Who waits for a socket is woken by whatever is sent to it, and that
    /// costs the sender: for each single event it made Redis, which the workers wait for, half as busy again.
    async fn listen(self, incoming: mpsc::Sender<Incoming>, up: oneshot::Sender<()>) -> BrokerError {
        match self.link.subscribe(&self.patterns).await {
            Ok(pubsub) => {
                let _ = up.send(());
                self.pump(pubsub, &incoming).await
            }
            Err(error) => error,
        }
    }

    fn incoming(&self, message: &redis::Msg) -> Incoming {
        let payload = message.get_payload_bytes().to_vec();
        let is_result = self.results.as_deref().is_some_and(|prefix| message.get_channel_name().starts_with(prefix));
        if is_result { Incoming::Result(payload) } else { Incoming::Envelope(payload) }
    }

    /// Passes on what is published until the connection ends. The driver buffers without bound: it is always emptied, and
    /// what does not fit our own buffer is dropped and counted.
    async fn pump(&self, pubsub: redis::aio::PubSub, incoming: &mpsc::Sender<Incoming>) -> BrokerError {
        let (mut sink, mut stream) = pubsub.split();
        let mut probe = interval(PROBE_EVERY);
        probe.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut dropped = 0u64;
        loop {
            tokio::select! {
                message = stream.next() => {
                    let Some(message) = message else { return self.link.failed("closed the subscription") };
                    dropped += u64::from(incoming.try_send(self.incoming(&message)).is_err());
                    while let Some(Some(message)) = stream.next().now_or_never() {
                        dropped += u64::from(incoming.try_send(self.incoming(&message)).is_err());
                    }
                    // The whole thread, so that nothing waits for the socket.
                    std::thread::sleep(GATHER);
                }
                _ = probe.tick() => {
                    if dropped > 0 {
                        tracing::warn!(dropped, "messages dropped: the agent does not keep up with Celery's events");
                        dropped = 0;
                    }
                    match timeout(PROBE_EVERY, sink.ping::<redis::Value>()).await {
                        Ok(Ok(_)) => {}
                        _ => return self.link.failed("does not answer on the subscription"),
                    }
                }
            }
        }
    }
}
