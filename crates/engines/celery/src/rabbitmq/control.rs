//! Remote control over RabbitMQ: an exchange that every worker listens on, and replies in a queue of our own.

use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::{
    BasicProperties, Channel, Confirmation, Consumer, ExchangeKind,
    options::{
        BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
        QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Link, link::Failure, message};
use crate::{
    broker::BrokerError,
    control::{Call, EXCHANGE, MAX_REPLIES, REPLY_EXCHANGE, Replies, read_reply},
};

/// How long a reply may wait for us, and the queue for its end when we are gone.
const TTL_MS: i32 = 60_000;

/// Broadcasts and collects replies, until `expected` workers have answered or the wait is over.
pub(super) async fn call(link: &Link, call: &Call, expected: usize) -> Result<Replies, BrokerError> {
    let deadline = call.wait + Duration::from_secs(10);
    match timeout(deadline, talk(link, call, expected)).await {
        Ok(Ok(replies)) => Ok(replies),
        Ok(Err(failure)) => Err(link.error(failure)),
        Err(_elapsed) if link.is_blocked().await => Err(link.blocked()),
        Err(_elapsed) => Err(link.failed("did not answer in time while workers were asked")),
    }
}

async fn talk(link: &Link, call: &Call, expected: usize) -> Result<Replies, Failure> {
    let (oid, ticket) = (uuid::Uuid::new_v4().to_string(), uuid::Uuid::new_v4().to_string());
    let channel = with_reply_exchange(link).await?;
    let consumer = reply_queue(link, &channel, &oid).await?;
    link.within(channel.confirm_select(ConfirmSelectOptions::default())).await?;
    if !broadcast(link, &channel, call, &oid, &ticket).await? {
        return Ok(Replies { nobody_listens: true, ..Replies::default() });
    }
    collect(link, consumer, call, expected, &ticket).await
}

/// A channel on which the exchange for replies is known to exist. Every version of Celery declares it the same way, and
/// only when it first replies.
async fn with_reply_exchange(link: &Link) -> Result<Channel, Failure> {
    let declare = async |passive| {
        let channel = link.channel().await.map_err(Failure::Other)?;
        let options = ExchangeDeclareOptions { passive, ..ExchangeDeclareOptions::default() };
        let declare =
            channel.exchange_declare(REPLY_EXCHANGE.into(), ExchangeKind::Direct, options, FieldTable::default());
        link.within(declare).await.map(|()| channel)
    };
    match declare(true).await {
        Err(Failure::Absent) => declare(false).await,
        declared => declared,
    }
}

async fn reply_queue(link: &Link, channel: &Channel, oid: &str) -> Result<Consumer, Failure> {
    let name = format!("{oid}.{REPLY_EXCHANGE}");
    let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let mut bounds = FieldTable::default();
    bounds.insert("x-message-ttl".into(), AMQPValue::LongInt(TTL_MS));
    bounds.insert("x-expires".into(), AMQPValue::LongInt(TTL_MS));
    link.within(channel.queue_declare(name.as_str().into(), options, bounds)).await?;
    let bind = channel.queue_bind(
        name.as_str().into(),
        REPLY_EXCHANGE.into(),
        oid.into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    link.within(bind).await?;
    let options = BasicConsumeOptions { no_ack: true, exclusive: true, ..BasicConsumeOptions::default() };
    link.within(channel.basic_consume(name.as_str().into(), "".into(), options, FieldTable::default())).await
}

/// False when nobody listens: no worker is bound to the exchange, or none ever was.
async fn broadcast(link: &Link, channel: &Channel, call: &Call, oid: &str, ticket: &str) -> Result<bool, Failure> {
    let headers = message::table(&call.headers()).map_err(|why| Failure::Other(link.failed(&why)))?;
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(1)
        .with_headers(headers);
    let body = call.body(oid, ticket).to_string();
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let publish =
        async { channel.basic_publish(EXCHANGE.into(), "".into(), options, body.as_bytes(), properties).await?.await };
    match link.within(publish).await {
        Ok(Confirmation::Ack(returned)) => Ok(returned.is_none()),
        Ok(_) => Err(Failure::Other(link.failed("did not take a message to the workers"))),
        Err(Failure::Absent) => Ok(false),
        Err(failure) => Err(failure),
    }
}

async fn collect(
    link: &Link,
    mut consumer: Consumer,
    call: &Call,
    expected: usize,
    ticket: &str,
) -> Result<Replies, Failure> {
    let expected = call.to.as_ref().map_or(expected, Vec::len).min(MAX_REPLIES);
    let deadline = Instant::now() + call.wait;
    let mut replies = Replies::default();
    while expected == 0 || replies.by_worker.len() < expected {
        let Ok(delivery) = timeout_at(deadline, consumer.next()).await else { break };
        match delivery {
            Some(Ok(delivery)) => {
                let told = message::header(&delivery.properties, "ticket");
                let content = message::content(&delivery.properties, delivery.data);
                replies.by_worker.extend(read_reply(told.as_deref(), &content, ticket));
            }
            Some(Err(error)) => return Err(link.failure(&error)),
            None => return Err(Failure::Other(link.failed("broke off while workers were asked"))),
        }
    }
    Ok(replies)
}
