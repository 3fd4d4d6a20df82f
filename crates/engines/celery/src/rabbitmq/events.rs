//! Events as RabbitMQ delivers them: through a queue of our own, bound to the exchange of events.
//!
//! Celery's own event queues drop what waits for more than five seconds. Ours keeps a minute of it, within bounds: an agent
//! that stalls loses the oldest events, and never fills the broker.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use lapin::{
    Acker, Channel, Consumer, ExchangeKind,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions, QueueBindOptions,
        QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use super::{Link, link::Failure, message, passive_queue};
use crate::broker::{BrokerError, Incoming};

/// The exchange that workers publish their events to.
const EXCHANGE: &str = "celeryev";
/// How long an event may wait for us.
const TTL_MS: i32 = 60_000;
/// Most messages that wait for us, and their bytes. Beyond either, the oldest are dropped.
const MAX_WAITING: i32 = 50_000;
const MAX_WAITING_BYTES: i32 = 64 << 20;
/// Messages that the broker sends ahead of our acknowledgements.
const PREFETCH: u16 = 1_000;
/// Messages acknowledged together.
const ACK_EVERY: usize = 250;
/// What was received is acknowledged after this long at the latest.
const ACK_WITHIN: Duration = Duration::from_millis(500);
/// The queue is looked at this often: whether it is still there, and whether it overflows.
const PROBE_EVERY: Duration = Duration::from_secs(10);

/// The events of one virtual host.
pub(crate) struct Subscription {
    link: Arc<Link>,
}

/// Our queue, while it lives.
struct Queue {
    channel: Channel,
    consumer: Consumer,
    name: String,
}

impl Subscription {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self { link }
    }

    /// Binds a queue, calls `up`, and passes on what arrives until the connection ends.
    pub(crate) async fn deliver(&self, incoming: &mpsc::Sender<Incoming>, up: impl AsyncFnOnce()) -> BrokerError {
        match self.bind().await {
            Ok(queue) => {
                up().await;
                self.pump(queue, incoming).await
            }
            Err(error) => error,
        }
    }

    async fn bind(&self) -> Result<Queue, BrokerError> {
        let link = &self.link;
        let channel = link.channel().await?;
        // Declared by whoever uses it first, and with other properties for ever after: never by us.
        let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let declare = channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, passive, FieldTable::default());
        match link.within(declare).await {
            Err(Failure::Absent) => {
                return Err(link
                    .failed(
                        "has no events yet: no worker ever came up on this virtual host. Start one, or correct the \
                         virtual host at the end of the URL",
                    )
                    .not_yet());
            }
            declared => declared.map_err(|failure| link.error(failure))?,
        }
        // Named as Celery names them, so that the permissions of a worker's user are enough.
        let name = format!("celeryev.taskplane-{}", uuid::Uuid::new_v4());
        let failed = |failure| link.error(failure);
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let declare = channel.queue_declare(name.as_str().into(), options, bounds());
        link.within(declare).await.map_err(failed)?;
        let bind = channel.queue_bind(
            name.as_str().into(),
            EXCHANGE.into(),
            "#".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        link.within(bind).await.map_err(failed)?;
        link.within(channel.basic_qos(PREFETCH, BasicQosOptions::default())).await.map_err(failed)?;
        let options = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
        let consume = channel.basic_consume(name.as_str().into(), "".into(), options, FieldTable::default());
        let consumer = link.within(consume).await.map_err(failed)?;
        Ok(Queue { channel, consumer, name })
    }

    /// Passes on what arrives. While the agent is behind, nothing is taken, and the queue holds it.
    async fn pump(&self, mut queue: Queue, incoming: &mpsc::Sender<Incoming>) -> BrokerError {
        let mut probe = interval(PROBE_EVERY);
        probe.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut acknowledge = interval(ACK_WITHIN);
        acknowledge.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut last, mut taken): (Option<Acker>, usize) = (None, 0);
        loop {
            tokio::select! {
                delivery = queue.consumer.next() => {
                    let delivery = match delivery {
                        Some(Ok(delivery)) => delivery,
                        Some(Err(error)) => return self.link.error(self.link.failure(&error)),
                        None => return self.link.failed("ended the subscription: its queue was deleted"),
                    };
                    let Delivery { properties, data, acker, .. } = delivery;
                    if incoming.send(Incoming::Content(message::content(&properties, data))).await.is_err() {
                        return self.link.failed("is no longer listened to");
                    }
                    (last, taken) = (Some(acker), taken + 1);
                    if taken < ACK_EVERY {
                        continue;
                    }
                }
                _ = acknowledge.tick() => {}
                _ = probe.tick() => {
                    if let Err(error) = self.probe(&queue).await {
                        return error;
                    }
                    continue;
                }
            }
            taken = 0;
            if let Some(acker) = last.take()
                && let Err(failure) = self.link.within(acker.ack(BasicAckOptions { multiple: true })).await
            {
                return self.link.error(failure);
            }
        }
    }

    /// Nothing else tells a silent queue from one that is gone.
    async fn probe(&self, queue: &Queue) -> Result<(), BrokerError> {
        let state = passive_queue(&self.link, &queue.channel, &queue.name).await;
        let state = state.map_err(|failure| self.link.error(failure))?;
        if state.message_count() >= MAX_WAITING.unsigned_abs() {
            tracing::warn!("events are dropped by RabbitMQ: the agent does not keep up with Celery's events");
        }
        Ok(())
    }
}

fn bounds() -> FieldTable {
    let mut bounds = FieldTable::default();
    for (name, value) in
        [("x-message-ttl", TTL_MS), ("x-max-length", MAX_WAITING), ("x-max-length-bytes", MAX_WAITING_BYTES)]
    {
        bounds.insert(name.into(), AMQPValue::LongInt(value));
    }
    bounds
}
