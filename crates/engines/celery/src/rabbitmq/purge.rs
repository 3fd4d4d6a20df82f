//! Purging a queue on RabbitMQ: its ready messages, counted by the broker. What was in them is not told.

use lapin::{options::QueuePurgeOptions, types::ShortString};
use taskplane_agent::engine::CommandError;

use super::{Link, link::Failure};
use crate::broker::{BrokerError, Purged};

pub(super) async fn purge(link: &Link, queue: &str) -> Result<Purged, CommandError> {
    let failed = |error: BrokerError| CommandError::Engine(error.to_string());
    let name = ShortString::try_new(queue)
        .map_err(|_| CommandError::InvalidArgs("the name of the queue is longer than 255 bytes".to_owned()))?;
    let channel = link.channel().await.map_err(failed)?;
    match link.within(channel.queue_purge(name, QueuePurgeOptions::default())).await {
        Ok(count) => Ok(Purged { count: u64::from(count), messages: Vec::new() }),
        Err(Failure::Absent) => {
            Err(CommandError::NotFound(format!("there is no queue {queue:?} on this virtual host any more")))
        }
        Err(Failure::Other(error)) => Err(failed(error)),
    }
}
