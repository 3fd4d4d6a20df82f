//! Samples the queues of a virtual host: how deep they are, and how many consume them.
//!
//! AMQP has no list of queues: asked for are those that workers consume or that tasks were seen to go to, and Celery's
//! default one. Messages are never looked at: taking one and putting it back marks it as redelivered, and on a quorum queue
//! counts towards the limit after which it is dropped.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use lapin::Channel;

use super::{Link, link::Failure, passive_queue};
use crate::{
    broker::{BrokerError, KnownQueues, QueueSample, Sample},
    queues::carries_tasks,
};

/// The queue of an application that names none.
const DEFAULT_QUEUE: &str = "celery";
/// More queues than this are not sampled.
const MAX_QUEUES: usize = 1_000;
/// A queue that does not exist is not asked for again for so long: each time costs a channel.
const ABSENT_FOR: Duration = Duration::from_secs(20);

/// Takes samples on a channel of its own.
#[derive(Default)]
pub(crate) struct Sampler {
    channel: Option<Channel>,
    /// When queues were found not to exist.
    absent: HashMap<String, Instant>,
}

impl Sampler {
    /// One sample of the queues that are known.
    pub(super) async fn sample(&mut self, link: &Link, known: &KnownQueues) -> Result<Sample, BrokerError> {
        let KnownQueues { consumed, mentioned } = known;
        let mut names: BTreeSet<&str> = consumed.iter().map(String::as_str).chain([DEFAULT_QUEUE]).collect();
        let room = MAX_QUEUES.saturating_sub(names.len());
        names.extend(mentioned.iter().map(String::as_str).take(room));
        self.absent.retain(|_, since| since.elapsed() < ABSENT_FOR);
        let mut sample = Sample::default();
        for name in names.into_iter().filter(|name| carries_tasks(name)).take(MAX_QUEUES) {
            if self.absent.contains_key(name) && !consumed.contains(name) {
                continue;
            }
            sample.queues.extend(self.queue(link, name).await?);
        }
        Ok(sample)
    }

    /// One queue, if it exists.
    async fn queue(&mut self, link: &Link, name: &str) -> Result<Option<QueueSample>, BrokerError> {
        let channel = match self.channel.take().filter(|channel| channel.status().connected()) {
            Some(channel) => channel,
            None => link.channel().await?,
        };
        match passive_queue(link, &channel, name).await {
            Ok(state) => {
                self.channel = Some(channel);
                Ok(Some(QueueSample {
                    queue: name.to_owned(),
                    depth: u64::from(state.message_count()),
                    unacked: None,
                    consumers: Some(u64::from(state.consumer_count())),
                    oldest: None,
                }))
            }
            Err(Failure::Absent) => {
                self.absent.insert(name.to_owned(), Instant::now());
                Ok(None)
            }
            Err(Failure::Other(error)) => Err(error),
        }
    }
}
