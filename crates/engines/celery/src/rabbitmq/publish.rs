//! Publishing a task on RabbitMQ: to its queue through the default exchange, confirmed by the broker.

use lapin::{
    Channel, Confirmation,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::ShortString,
};
use taskplane_agent::engine::CommandError;
use tokio::sync::Mutex;

use super::{Link, link::Failure, message};
use crate::{
    broker::{BrokerError, PublishError},
    message::{NewTask, Outgoing},
};

/// The channel that is published on, one message at a time: what the broker returns is told apart by nothing but its place.
#[derive(Default)]
pub(super) struct Publisher(Mutex<Option<Channel>>);

impl Publisher {
    pub(super) async fn publish(&self, link: &Link, new: &NewTask, outgoing: &Outgoing) -> Result<(), PublishError> {
        let (properties, body) = message::build(new, outgoing).map_err(|error| not_sent(error.to_string()))?;
        let queue = ShortString::try_new(new.queue.as_str())
            .map_err(|_| refused("the name of the queue is longer than 255 bytes".to_owned()))?;
        let unreached = |error: BrokerError| not_sent(format!("{error}. Nothing was published"));
        let mut slot = self.0.lock().await;
        // Taken out while it is used: one that fails, or that is left in the middle, is not used again.
        let channel = match slot.take() {
            // Tried at once before: of a message that was given to a dead connection nobody knows whether it arrived.
            Some(channel) if confirms(link, &channel).await.is_ok() => channel,
            _ => open(link).await.map_err(unreached)?,
        };
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let confirmed = link
            .within(async { channel.basic_publish("".into(), queue, options, &body, properties).await?.await })
            .await;
        match confirmed {
            Ok(Confirmation::Ack(None)) => {
                *slot = Some(channel);
                Ok(())
            }
            Ok(Confirmation::Ack(Some(_returned))) => {
                *slot = Some(channel);
                Err(refused(format!(
                    "RabbitMQ returned the task: there is no queue {:?} on this virtual host. Start a worker that \
                     consumes it, or name another queue",
                    new.queue
                )))
            }
            Ok(_) => Err(not_sent(format!(
                "RabbitMQ refused the task: the queue {:?} takes no more messages (is it full?). Nothing was published",
                new.queue
            ))),
            Err(failure) => Err(unknown(link, failure, &new.id).await),
        }
    }
}

async fn open(link: &Link) -> Result<Channel, BrokerError> {
    let channel = link.channel().await?;
    confirms(link, &channel).await.map_err(|failure| link.error(failure))?;
    Ok(channel)
}

/// Has the broker confirm what is published on the channel, which it may be told more than once.
async fn confirms(link: &Link, channel: &Channel) -> Result<(), Failure> {
    link.within(channel.confirm_select(ConfirmSelectOptions::default())).await
}

fn not_sent(why: String) -> PublishError {
    PublishError::NotSent(CommandError::Engine(why))
}

fn refused(why: String) -> PublishError {
    PublishError::NotSent(CommandError::InvalidArgs(why))
}

async fn unknown(link: &Link, failure: Failure, id: &str) -> PublishError {
    let error = if link.is_blocked().await { link.blocked() } else { link.error(failure) };
    PublishError::Unknown(CommandError::Engine(format!("{error}. The task may have been published, as {id}")))
}
