//! Remote control over Redis: a channel that workers listen on, and replies in a list of our own.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use redis::{AsyncCommands as _, RedisError, RedisResult, aio::MultiplexedConnection};

use super::{Link, layout::glob};
use crate::{
    broker::BrokerError,
    control::{Call, EXCHANGE, MAX_REPLIES, Replies, reply},
    envelope::{DeliveryInfo, Envelope, Properties},
};

/// Where replies are routed, and what the queues for them end with.
const REPLY_BINDINGS: &str = "_kombu.binding.reply.celery.pidbox";
const REPLY_QUEUE: &str = "reply.celery.pidbox";

/// Broadcasts and collects replies, until all that listen have answered or the wait is over.
pub(super) async fn call(link: &Link, call: &Call) -> Result<Replies, BrokerError> {
    // The replies are awaited by a blocking command: not on a connection that others share.
    let mut connection = link.dedicated().await?;
    let exchange = Exchange::new(call, link);
    let deadline = call.wait + Duration::from_secs(5);
    let talk = async {
        let result = exchange.talk(call, &mut connection).await;
        let _: RedisResult<()> = exchange.clean_up(&mut connection).await;
        result
    };
    match tokio::time::timeout(deadline, talk).await {
        Ok(Ok(replies)) => Ok(replies),
        Ok(Err(error)) => Err(error),
        Err(_elapsed) => Err(link.failed("did not answer in time while workers were asked")),
    }
}

/// One broadcast and the place for its replies.
struct Exchange<'l> {
    link: &'l Link,
    channel: String,
    ticket: String,
    bindings: String,
    binding: String,
    reply_key: String,
    message: Vec<u8>,
}

impl<'l> Exchange<'l> {
    fn new(call: &Call, link: &'l Link) -> Self {
        let (oid, ticket) = (uuid::Uuid::new_v4().to_string(), uuid::Uuid::new_v4().to_string());
        let reply_queue = format!("{oid}.{REPLY_QUEUE}");
        Self {
            link,
            channel: link.layout.channel(EXCHANGE),
            bindings: link.layout.key(REPLY_BINDINGS),
            binding: format!("{oid}\x06\x16\x06\x16{reply_queue}"),
            reply_key: link.layout.key(&reply_queue),
            message: message(call, &oid, &ticket),
            ticket,
        }
    }

    async fn talk(&self, call: &Call, connection: &mut MultiplexedConnection) -> Result<Replies, BrokerError> {
        let bound: RedisResult<()> = connection.sadd(&self.bindings, &self.binding).await;
        bound.map_err(|error| self.failed(&error, &format!("~{}", self.bindings)))?;
        let listening: RedisResult<usize> = connection.publish(&self.channel, &self.message).await;
        let listening = listening.map_err(|error| self.failed(&error, &format!("&{}", self.channel)))?;
        let mut replies = Replies { nobody_listens: listening == 0, listening: Some(listening), ..Replies::default() };
        let expected = call.to.as_ref().map_or(listening, Vec::len).min(MAX_REPLIES);
        let deadline = Instant::now() + call.wait;
        while listening > 0 && replies.by_worker.len() < expected && Instant::now() < deadline {
            // Whole seconds: Redis before 6.0 knows no others.
            let popped: RedisResult<Option<(String, Vec<u8>)>> = connection.brpop(&self.reply_key, 1.0).await;
            let right = || format!("~{}*.{REPLY_QUEUE}", glob(&self.link.layout.prefix));
            let popped = popped.map_err(|error| self.failed(&error, &right()))?;
            if let Some((_, raw)) = popped {
                replies.by_worker.extend(reply(&raw, &self.ticket));
            }
        }
        Ok(replies)
    }

    /// What Redis refused, or that the connection is gone.
    fn failed(&self, error: &RedisError, right: &str) -> BrokerError {
        match error.code() {
            Some(_) => self.link.error_on(error, right),
            None => self.link.failed("broke off while workers were asked"),
        }
    }

    async fn clean_up(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        redis::pipe()
            .srem(&self.bindings, &self.binding)
            .ignore()
            .del(&self.reply_key)
            .ignore()
            .query_async(connection)
            .await
    }
}

fn message(call: &Call, oid: &str, ticket: &str) -> Vec<u8> {
    let envelope = Envelope {
        body: STANDARD.encode(call.body(oid, ticket).to_string()),
        content_encoding: Some("utf-8".to_owned()),
        content_type: Some("application/json".to_owned()),
        headers: call.headers(),
        properties: Properties {
            delivery_mode: Some(2),
            delivery_info: DeliveryInfo { exchange: EXCHANGE.to_owned(), routing_key: String::new() },
            priority: Some(0),
            body_encoding: Some("base64".to_owned()),
            delivery_tag: uuid::Uuid::new_v4().to_string(),
            ..Properties::default()
        },
    };
    serde_json::to_vec(&envelope).unwrap_or_default()
}
