//! Workers that listen and tell on other channels than the agent was told: looked for when nobody listens where they should.
//!
//! Their heartbeats say which channels those are; Redis itself does not.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use redis::AsyncCommands as _;
use tokio::time::{Instant, timeout_at};

use super::{Link, bindings::SEPARATOR, events::EXCHANGE, layout::glob};
use crate::{
    broker::BrokerError,
    clock,
    control::EXCHANGE as CONTROL,
    events::{self, Event},
    shared::lock,
};

/// Longer than a worker waits between two heartbeats.
const LISTEN_FOR: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// The other channels of a server may be busy.
const MAX_MESSAGES: usize = 2_000;

/// Whether workers are elsewhere.
#[derive(Default)]
pub(crate) struct Suspicion {
    /// Somebody looks, or may not.
    is_looking: AtomicBool,
    looked_at: Mutex<Option<Instant>>,
    confirmed: Mutex<Option<BrokerError>>,
}

impl Suspicion {
    /// What was found.
    pub(crate) fn confirmed(&self) -> Option<BrokerError> {
        lock(&self.confirmed).clone()
    }

    /// Takes note of whether anybody listened; where nobody did, looks into it, beside what happens.
    pub(crate) fn after(self: &Arc<Self>, link: &Arc<Link>, nobody_listens: bool) {
        if !nobody_listens {
            *lock(&self.confirmed) = None;
            return;
        }
        let is_early = lock(&self.looked_at).is_some_and(|at| at.elapsed() < LOOK_EVERY);
        if is_early || self.is_looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let (suspicion, link) = (Arc::clone(self), Arc::clone(link));
        tokio::spawn(async move {
            match look(&link).await {
                Ok(found) => *lock(&suspicion.confirmed) = found,
                // Who may not listen to all channels does not try again: the server takes note of each time.
                Err(error) if error.is_denied() => return,
                Err(_) => {}
            }
            *lock(&suspicion.looked_at) = Some(Instant::now());
            suspicion.is_looking.store(false, Ordering::Release);
        });
    }
}

/// Listens to the events of the whole server for a while. Those of a worker that belongs to this database, on another channel,
/// are what is looked for.
async fn look(link: &Link) -> Result<Option<BrokerError>, BrokerError> {
    let pubsub = link.subscribe(&[format!("*{}*", glob(EXCHANGE))]).await?;
    let mut messages = pubsub.into_on_message().take(MAX_MESSAGES);
    let ours = link.layout.channel(EXCHANGE);
    let end = Instant::now() + LISTEN_FOR;
    while let Ok(Some(message)) = timeout_at(end, messages.next()).await {
        let channel = message.get_channel_name();
        let Some(fanout) = elsewhere(channel, &ours, &link.layout.prefix) else { continue };
        let Some(worker) = sender(message.get_payload_bytes()) else { continue };
        if is_bound(link, &worker).await? {
            return Ok(Some(link.failed(&told(fanout, channel, &ours))));
        }
    }
    Ok(None)
}

/// What stands before the exchange's name in a channel that is not ours.
fn elsewhere<'c>(channel: &'c str, ours: &str, prefix: &str) -> Option<&'c str> {
    if channel.starts_with(ours) {
        return None;
    }
    channel.strip_prefix(prefix)?.split_once(EXCHANGE).map(|(fanout, _)| fanout)
}

fn sender(raw: &[u8]) -> Option<String> {
    events::parse(raw, clock::now()).ok()?.into_iter().find_map(|event| match event {
        Event::Worker(event) => Some(event.worker),
        Event::Task(event) => event.seen.worker,
    })
}

/// True when the worker listens to the remote control of this database.
async fn is_bound(link: &Link, worker: &str) -> Result<bool, BrokerError> {
    let table = link.layout.key(&format!("_kombu.binding.{CONTROL}"));
    let member = format!("{SEPARATOR}{SEPARATOR}{worker}.{CONTROL}");
    link.run(&format!("%R~{}", glob(&table)), async |c| c.sismember(&table, member).await).await
}

fn told(fanout: &str, channel: &str, ours: &str) -> String {
    let option = match fanout {
        "" => "false".to_owned(),
        fanout => fanout.replace('{', "{{").replace('}', "}}"),
    };
    format!(
        "has workers that send their events on {channel}, not on {ours}: put ?fanout_prefix={option} at the end of the URL, \
         as in the application's broker_transport_options"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channel_tells_the_prefix_that_the_url_lacks() {
        let of = |channel| elsewhere(channel, "app:/0.celeryev", "app:");
        assert_eq!(of("app:/0.celeryev/worker.heartbeat"), None);
        assert_eq!(of("app:celeryev/worker.heartbeat"), Some(""));
        assert_eq!(of("app:/{db}.celeryev"), Some("/{db}."));
        assert_eq!(of("other:/0.celeryev"), None);
        assert!(told("/{db}.", "c", "o").contains("fanout_prefix=/{{db}}. "));
        assert!(told("", "c", "o").contains("fanout_prefix=false "));
    }
}
