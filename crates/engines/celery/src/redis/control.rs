//! Remote control over Redis: a channel that workers listen on, and replies in a list of our own.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use redis::{AsyncCommands as _, RedisResult, aio::MultiplexedConnection};

use super::Link;
use crate::{
    broker::BrokerError,
    control::{Call, EXCHANGE, MAX_REPLIES, Replies, reply},
    envelope::{DeliveryInfo, Envelope, Properties},
};

/// Where replies are routed.
const REPLY_BINDINGS: &str = "_kombu.binding.reply.celery.pidbox";

/// Broadcasts and collects replies, until all that listen have answered or the wait is over.
pub(super) async fn call(link: &Link, call: &Call) -> Result<Replies, BrokerError> {
    // The replies are awaited by a blocking command: not on a connection that others share.
    let mut connection = link.dedicated().await?;
    let exchange = Exchange::new(call, link.address.db);
    let deadline = call.wait + Duration::from_secs(5);
    let talk = async {
        let result = exchange.talk(call, &mut connection).await;
        let _: RedisResult<()> = exchange.clean_up(&mut connection).await;
        result
    };
    match tokio::time::timeout(deadline, talk).await {
        Ok(Ok(replies)) => Ok(replies),
        Ok(Err(_)) => Err(link.failed("broke off while workers were asked")),
        Err(_elapsed) => Err(link.failed("did not answer in time while workers were asked")),
    }
}

/// One broadcast and the place for its replies.
struct Exchange {
    channel: String,
    ticket: String,
    binding: String,
    reply_key: String,
    message: Vec<u8>,
}

impl Exchange {
    fn new(call: &Call, db: i64) -> Self {
        let (oid, ticket) = (uuid::Uuid::new_v4().to_string(), uuid::Uuid::new_v4().to_string());
        let reply_key = format!("{oid}.reply.celery.pidbox");
        Self {
            channel: format!("/{db}.celery.pidbox"),
            binding: format!("{oid}\x06\x16\x06\x16{reply_key}"),
            message: message(call, &oid, &ticket),
            reply_key,
            ticket,
        }
    }

    async fn talk(&self, call: &Call, connection: &mut MultiplexedConnection) -> RedisResult<Replies> {
        let _: () = connection.sadd(REPLY_BINDINGS, &self.binding).await?;
        let listening: usize = connection.publish(&self.channel, &self.message).await?;
        let mut replies = Replies { nobody_listens: listening == 0, ..Replies::default() };
        let expected = call.to.as_ref().map_or(listening, Vec::len).min(MAX_REPLIES);
        let deadline = Instant::now() + call.wait;
        while listening > 0 && replies.by_worker.len() < expected && Instant::now() < deadline {
            // Whole seconds: Redis before 6.0 knows no others.
            let popped: Option<(String, Vec<u8>)> = connection.brpop(&self.reply_key, 1.0).await?;
            if let Some((_, raw)) = popped {
                replies.by_worker.extend(reply(&raw, &self.ticket));
            }
        }
        Ok(replies)
    }

    async fn clean_up(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        redis::pipe()
            .srem(REPLY_BINDINGS, &self.binding)
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
