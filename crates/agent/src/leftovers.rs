//! Streams that dead processes have left behind are delivered by a living one.
//!
//! Each has a connection of its own, under its own stream's id, beside the agent's. The brain may choose any connection of an
//! agent for a command, so these carry out commands like the main one.

use std::sync::Arc;
use std::time::Duration;

use taskplane_protocol::frame::Hello;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::buffer::{Buffer, Leftovers, Spool};
use crate::connection::{Brain, Connection, Courier, Oversize};
use crate::dispatch::Dispatcher;
use crate::health::HealthBoard;
use crate::schedules::ScheduleBoard;

/// Most streams that are delivered at once, beside the agent's own.
const AT_ONCE: usize = 3;

/// Delivers what was left behind.
pub(crate) struct Heir {
    pub(crate) leftovers: Leftovers,
    pub(crate) brain: Arc<Brain>,
    /// The main connection's.
    pub(crate) hello: Hello,
    pub(crate) health: HealthBoard,
    pub(crate) dispatcher: Dispatcher,
    /// Named in `hello`; their state is told over the main connection.
    pub(crate) schedules: ScheduleBoard,
    /// Whether the brain is there.
    pub(crate) is_live: watch::Receiver<bool>,
    /// How often to look.
    pub(crate) every: Duration,
}

impl Heir {
    /// Looks for streams and delivers them until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut delivering = JoinSet::new();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.look_and_deliver(&mut delivering, &stop) => {}
        }
        // They see `stop` as well.
        while delivering.join_next().await.is_some() {}
    }

    async fn look_and_deliver(&mut self, delivering: &mut JoinSet<()>, stop: &CancellationToken) {
        loop {
            // While the brain is away there is no hurry.
            if self.is_live.wait_for(|is_live| *is_live).await.is_err() {
                return;
            }
            while delivering.len() < AT_ONCE {
                let Some(buffer) = self.next().await else { break };
                let rest = self.rest(Spool::new(buffer));
                let stop = stop.clone();
                delivering.spawn(async move { rest.deliver(&stop).await });
            }
            tokio::select! {
                () = sleep(self.every) => {}
                Some(_) = delivering.join_next() => {}
            }
        }
    }

    /// The next stream that has something in it. Reads the disk.
    async fn next(&mut self) -> Option<Buffer> {
        // Moved there and back, since it is the disk that it looks at.
        let mut leftovers = self.leftovers.clone();
        let looking = spawn_blocking(move || {
            let found = loop {
                match leftovers.take_over() {
                    Ok(Some(buffer)) if buffer.is_empty() => buffer.remove(),
                    found => break found,
                }
            };
            (leftovers, found)
        });
        let (leftovers, found) = looking.await.ok()?;
        self.leftovers = leftovers;
        found.unwrap_or_else(|error| {
            tracing::warn!(%error, "streams that were left behind cannot be looked for");
            None
        })
    }

    fn rest(&self, spool: Spool) -> Rest {
        let (dispatcher, answers) = self.dispatcher.sibling();
        let stream = spool.stream_id().to_string();
        let courier = Courier {
            hello: Hello { instance_id: stream.clone(), ..self.hello.clone() },
            spool: spool.clone(),
            health: self.health.clone(),
            dispatcher,
            answers,
            oversize: Oversize::default(),
            is_live: watch::Sender::new(false),
            is_leftover: true,
            schedules: self.schedules.clone(),
        };
        Rest { stream, spool, connection: Connection::new(Arc::clone(&self.brain), courier) }
    }
}

/// What a dead process left.
struct Rest {
    stream: String,
    spool: Spool,
    connection: Connection,
}

impl Rest {
    async fn deliver(self, stop: &CancellationToken) {
        let Self { stream, spool, connection } = self;
        let events = spool.status().report.events;
        tracing::info!(stream, events, "delivering what another process left behind");
        let is_delivered = connection.deliver_rest(stop).await;
        // What a full disk did not let us seal is still there, and is looked at again.
        if is_delivered && spool.status().report.events == 0 && spool.remove().await {
            tracing::info!(stream, "what another process left behind is delivered");
        }
    }
}
