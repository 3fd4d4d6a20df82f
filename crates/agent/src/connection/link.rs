//! One connection, from `hello` to its end: drives [`AgentSession`] over a channel.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;
use taskplane_protocol::close::CloseCode;
use taskplane_protocol::frame::{Heartbeat, Hello};
use taskplane_protocol::limits::BRAIN_TIMEOUT;
use taskplane_protocol::session::{AgentInput, AgentOutput, AgentSession};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::oversize::{Fitting, Oversize};
use super::transport::{Channel, Incoming, Refusal};
use crate::buffer::Spool;
use crate::clock::now;
use crate::dispatch::{Answer, Dispatcher};
use crate::health::HealthBoard;
use crate::schedules::{ScheduleBoard, Teller};

/// What a connection needs of the agent. It outlives connections.
pub(crate) struct Courier {
    pub(crate) hello: Hello,
    pub(crate) spool: Spool,
    pub(crate) health: HealthBoard,
    pub(crate) dispatcher: Dispatcher,
    /// Answers to commands, whichever connection they came over.
    pub(crate) answers: mpsc::Receiver<Answer>,
    pub(crate) oversize: Oversize,
    /// Whether the brain is there and has welcomed this stream.
    pub(crate) is_live: watch::Sender<bool>,
    /// A stream that a dead process left behind. The brain shows one buffer for an agent, which is not this one.
    pub(crate) is_leftover: bool,
    /// What schedulers have; not said over the connection of a stream that a dead process left behind.
    pub(crate) schedules: ScheduleBoard,
}

impl Courier {
    /// What to say first: with the schedulers that there are by now.
    fn hello(&self) -> Hello {
        let mut hello = self.hello.clone();
        for scheduler in self.schedules.present() {
            hello.schedulers.push(scheduler.name().to_owned());
            if let Value::Object(capabilities) = &mut hello.capabilities {
                capabilities.insert(scheduler.name().to_owned(), scheduler.capabilities());
            }
        }
        hello
    }
}

/// What others want of a connection.
#[derive(Clone, Copy)]
pub(super) struct Wishes<'a> {
    /// End as soon as everything is acked.
    pub(super) drain: &'a CancellationToken,
    /// End.
    pub(super) leave: &'a CancellationToken,
    /// End, because there is a better way.
    pub(super) better: &'a CancellationToken,
}

/// Why a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The brain closed it, with a code and a reason.
    Closed(Option<u16>, String),
    /// The brain did not let us in, after all.
    Refused(Refusal),
    /// It broke, or the brain is not there any more.
    Lost(String),
    /// The brain wants the agent to begin anew.
    Restart,
    /// There is nothing left to deliver.
    Drained,
    /// It was asked to end.
    Left,
}

/// Delivers batches and answers, and hands commands on, until the connection ends. Also tells whether the brain ever welcomed
/// us on it.
pub(super) async fn drive(channel: &mut dyn Channel, courier: &mut Courier, wishes: Wishes<'_>) -> (Ended, bool) {
    let began = Instant::now();
    let mut link = Link {
        channel,
        session: AgentSession::new(Duration::ZERO),
        began,
        sent: 0,
        acked: 0,
        unacked: VecDeque::new(),
        last_bytes: None,
        teller: courier.schedules.teller(),
        schedulers: 0,
        courier,
    };
    let Err(ended) = link.run(wishes).await;
    let was_live = link.session.is_live();
    courier.is_live.send_replace(false);
    (ended, was_live)
}

struct Link<'a> {
    channel: &'a mut dyn Channel,
    session: AgentSession,
    began: Instant,
    /// The last batch that was sent, or that the brain has.
    sent: u64,
    /// The last batch that the brain has.
    acked: u64,
    /// The batches between, at most as many as the window has.
    unacked: VecDeque<u64>,
    /// Bytes of the last frame that was sent, if it was a batch's.
    last_bytes: Option<usize>,
    /// What was told of schedules.
    teller: Teller,
    /// How many schedulers were named in `hello`.
    schedulers: usize,
    courier: &'a mut Courier,
}

impl Link<'_> {
    async fn run(&mut self, wishes: Wishes<'_>) -> Result<std::convert::Infallible, Ended> {
        let Wishes { drain, leave, better } = wishes;
        let hello = self.courier.hello();
        self.schedulers = hello.schedulers.len();
        self.feed(AgentInput::Connected(&hello)).await?;
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut status = self.courier.spool.watch();
        loop {
            status.mark_unchanged();
            self.fill_window().await?;
            if drain.is_cancelled() && self.is_drained() {
                self.channel.close().await;
                return Err(Ended::Drained);
            }
            tokio::select! {
                incoming = self.channel.receive() => self.take(incoming).await?,
                Some(answer) = self.courier.answers.recv() => self.answer(answer).await?,
                _ = ticks.tick() => {
                    self.tick().await?;
                    self.tell_schedules().await?;
                }
                () = self.teller.changed(), if self.session.is_live() && !self.courier.is_leftover => {
                    self.tell_schedules().await?;
                }
                _ = status.changed(), if self.session.wants_batch() => {}
                () = drain.cancelled(), if !drain.is_cancelled() => {}
                () = leave.cancelled() => return self.leave().await,
                () = better.cancelled() => return self.leave().await,
            }
        }
    }

    async fn leave(&mut self) -> Result<std::convert::Infallible, Ended> {
        // A brain that reads nothing more does not keep us.
        let _ = timeout(LAST_WORDS, self.channel.close()).await;
        Err(Ended::Left)
    }

    /// Sends sealed batches, in order, while the window has room.
    async fn fill_window(&mut self) -> Result<(), Ended> {
        while self.session.wants_batch() && self.courier.spool.status().last_sealed > self.sent {
            if self.unacked.front().is_some_and(|first| !self.courier.oversize.may_be_accompanied(*first)) {
                break;
            }
            let Some(batch) = self.courier.spool.next_after(self.sent).await else { break };
            let Fitting::Frame(frame) = self.courier.oversize.fit(&batch, &self.courier.spool).await else { continue };
            let bytes = frame.len();
            self.sent = batch.seq;
            self.unacked.push_back(batch.seq);
            self.last_bytes = Some(bytes);
            self.feed(AgentInput::Batch { seq: batch.seq, frame }).await?;
        }
        Ok(())
    }

    fn is_drained(&self) -> bool {
        self.session.is_live()
            && self.acked >= self.courier.spool.status().last_sealed
            && self.courier.answers.is_empty()
            && !self.courier.dispatcher.is_busy()
    }

    async fn take(&mut self, incoming: Incoming) -> Result<(), Ended> {
        match incoming {
            Incoming::Text(text) => self.feed(AgentInput::Text(&text)).await,
            Incoming::Alive => self.feed(AgentInput::Alive).await,
            Incoming::Closed(code, reason) => {
                self.note_refusal(code).await;
                Err(Ended::Closed(code, reason))
            }
            Incoming::Refused(refusal) => Err(Ended::Refused(refusal)),
            Incoming::Broken(reason) => Err(Ended::Lost(reason)),
        }
    }

    async fn answer(&mut self, answer: Answer) -> Result<(), Ended> {
        self.last_bytes = None;
        self.feed(AgentInput::Result(&answer.result)).await?;
        if answer.restart {
            self.channel.close().await;
            return Err(Ended::Restart);
        }
        Ok(())
    }

    async fn tick(&mut self) -> Result<(), Ended> {
        let status = self.courier.spool.status();
        let mut adapters = self.courier.health.said();
        adapters.extend(status.trouble.map(|trouble| ("buffer".to_owned(), trouble)));
        let heartbeat = Heartbeat {
            ts: Some(now().to_string()),
            buffer: Some(status.report).filter(|_| !self.courier.is_leftover),
            adapters: Some(adapters),
        };
        self.feed(AgentInput::Tick(&heartbeat)).await
    }

    /// Tells what is new of schedules. When a scheduler was found that `hello` did not name, another `hello` does.
    async fn tell_schedules(&mut self) -> Result<(), Ended> {
        if !self.session.is_live() || self.courier.is_leftover {
            return Ok(());
        }
        if self.courier.schedules.present().len() > self.schedulers {
            tracing::info!("a scheduler was found: saying hello again");
            let _ = timeout(LAST_WORDS, self.channel.close()).await;
            return Err(Ended::Left);
        }
        for frame in self.teller.frames(Instant::now()) {
            self.last_bytes = None;
            self.feed(AgentInput::Schedules(frame)).await?;
        }
        Ok(())
    }

    async fn feed(&mut self, input: AgentInput<'_>) -> Result<(), Ended> {
        for output in self.session.handle(self.began.elapsed(), input) {
            match output {
                AgentOutput::Send(frame) => self.send(frame).await?,
                AgentOutput::Acked(seq) => {
                    if self.courier.is_live.send_if_modified(|is_live| !std::mem::replace(is_live, true)) {
                        tracing::info!(stored = seq, "connected: the brain has welcomed this agent");
                    }
                    self.courier.spool.ack(seq).await;
                    self.sent = self.sent.max(seq);
                    self.acked = self.acked.max(seq);
                    while self.unacked.front().is_some_and(|first| *first <= seq) {
                        self.unacked.pop_front();
                    }
                }
                AgentOutput::Execute(command) => self.courier.dispatcher.accept(command),
                AgentOutput::UnknownFrame(kind) => tracing::debug!(kind, "a frame of an unknown type was ignored"),
                AgentOutput::GiveUp(reason) => return Err(Ended::Lost(reason.to_owned())),
            }
        }
        Ok(())
    }

    async fn send(&mut self, frame: String) -> Result<(), Ended> {
        // A brain that is slow stops reading; one that reads nothing for so long is gone.
        match timeout(BRAIN_TIMEOUT, self.channel.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(broken)) => match timeout(LAST_WORDS, self.last_words()).await {
                // A brain that closes says why; writing fails before that is read.
                Ok(Some((code, reason))) => {
                    self.note_refusal(code).await;
                    Err(Ended::Closed(code, reason))
                }
                _ => Err(Ended::Lost(broken.to_string())),
            },
            Err(_) => Err(Ended::Lost("the brain took no frame for 60 s".to_owned())),
        }
    }

    /// A close that says that a frame was wrong means one of the batches in flight, if there are any.
    async fn note_refusal(&mut self, code: Option<u16>) {
        let (Some(first), Some(last)) = (self.unacked.front().copied(), self.unacked.back().copied()) else {
            if code == Some(CloseCode::Malformed.number()) {
                tracing::error!("the brain found a frame malformed");
            }
            return;
        };
        if code == Some(CloseCode::TooLarge.number()) {
            let Courier { oversize, spool, .. } = &mut *self.courier;
            oversize.refused(first, last, self.last_bytes.unwrap_or(0), self.last_bytes.is_some(), spool).await;
        } else if code == Some(CloseCode::Malformed.number()) {
            tracing::error!(seq = first, last, "the brain found a batch malformed");
        }
    }

    async fn last_words(&mut self) -> Option<(Option<u16>, String)> {
        loop {
            match self.channel.receive().await {
                Incoming::Closed(code, reason) => return Some((code, reason)),
                Incoming::Broken(_) | Incoming::Refused(_) => return None,
                Incoming::Text(_) | Incoming::Alive => {}
            }
        }
    }
}

/// How long a close frame is looked for after a write failed.
const LAST_WORDS: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
