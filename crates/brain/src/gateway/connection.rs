//! One agent's connection: does what its session says, whatever the transport.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, OptionFuture};
use taskplane_protocol::close::CloseCode;
use taskplane_protocol::frame::{EventBatch, Hello};
use taskplane_protocol::session::{GatewayInput, GatewayOutput, GatewaySession};
use taskplane_store::StoreError;
use taskplane_store::access::{SecretHash, TokenGrant};
use taskplane_store::ingest::{OpenedStream, StreamToOpen};
use taskplane_store::replicas::Vantage;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::{Instant, sleep_until};

use super::connections::Newcomer;
use super::door::Place;
use super::mailbox::{Inbox, Letter, Outbox, mailbox};
use super::wire::{Gone, Incoming, Wire};
use crate::auth::{self, Unauthorized};
use crate::brain::Brain;
use crate::clock;
use crate::ingest::{Answer, BatchOrigin, IngestError, Inlet, fold, keep_schedules};
use crate::live::Topic;

/// How long a store that cannot be written is given to register a stream; an agent waits 10 s …
const REGISTER_WITHIN: Duration = Duration::from_secs(5);
/// … and how long it is left alone in between.
const REGISTER_PAUSE: Duration = Duration::from_millis(250);

/// An agent whose token has been checked.
pub(super) struct Admitted {
    /// What its token opens.
    pub(super) grant: TokenGrant,
    /// Its token, to be checked again once the connection can be found by whoever revokes it.
    pub(super) token: SecretHash,
    /// Its place among those who came with that token.
    pub(super) place: Place,
}

/// Serves a connection until it ends.
pub(super) fn serve<W: Wire>(brain: Brain, admitted: Admitted, wire: W) -> impl Future<Output = ()> + Send {
    // Boxed here: a future holds what it is called with twice.
    Box::new(Connection::new(brain, admitted, wire)).serve()
}

struct Connection<W> {
    brain: Brain,
    admitted: Admitted,
    wire: W,
    session: GatewaySession,
    began: Instant,
    /// The ways to here, until the connection is registered.
    outbox: Option<Outbox>,
    inbox: Inbox,
    open: Option<Open>,
    /// A batch that waits for room in memory. Until it has some, nothing more is read.
    handing: Option<BoxFuture<'static, Answer>>,
    /// Batches handed to ingest whose answers have not come; in order, because acks are cumulative.
    storing: VecDeque<Answer>,
}

struct Open {
    id: u64,
    agent_name: String,
    origin: BatchOrigin,
    inlet: Inlet,
}

/// What woke a connection up.
enum Event {
    Came(Incoming),
    Handed(Answer),
    Stored(Result<u64, IngestError>),
    Found(Letter),
    Tick,
    Stop,
}

impl<W: Wire> Connection<W> {
    fn new(brain: Brain, admitted: Admitted, wire: W) -> Self {
        let (outbox, inbox) = mailbox();
        Self {
            brain,
            admitted,
            wire,
            session: GatewaySession::new(Duration::ZERO),
            began: Instant::now(),
            outbox: Some(outbox),
            inbox,
            open: None,
            handing: None,
            storing: VecDeque::new(),
        }
    }

    async fn serve(mut self: Box<Self>) {
        self.brain.metrics.connections.inc();
        self.run().await;
        Box::pin(self.leave()).await;
    }

    async fn run(&mut self) {
        let mut tick = std::pin::pin!(sleep_until(self.next_tick()));
        while !self.session.is_closed() {
            let is_reading = self.handing.is_none();
            let event = tokio::select! {
                // What is stored is acked before more is read, and what never stops coming cannot stop the clock.
                biased;
                () = self.brain.stop.cancelled() => Event::Stop,
                letter = self.inbox.next() => Event::Found(letter),
                Some(answer) = OptionFuture::from(self.storing.front_mut()) => {
                    self.storing.pop_front();
                    Event::Stored(latest(answer.unwrap_or(Err(IngestError)), &mut self.storing))
                }
                Some(handed) = OptionFuture::from(self.handing.as_mut()) => Event::Handed(handed),
                () = &mut tick => Event::Tick,
                incoming = self.wire.receive(), if is_reading => Event::Came(incoming),
            };
            let is_tick = matches!(event, Event::Tick);
            // Boxed: what an event needs for a moment is not carried along by every idle connection.
            if Box::pin(self.on_event(event)).await.is_err() {
                return;
            }
            if is_tick {
                tick.as_mut().reset(self.next_tick());
            }
        }
    }

    /// When the session has to be told that time has passed.
    fn next_tick(&self) -> Instant {
        self.began + self.session.next_tick()
    }

    /// What is left to do when nothing more comes.
    async fn leave(self: Box<Self>) {
        let Self { brain, open, mut wire, admitted, .. } = *self;
        if let Some(open) = open {
            brain.connections.remove(open.id);
            brain.commands.connection_lost(open.id).await;
            brain.live.note_uncounted(open.origin.project, Topic::Agents, 1);
            tracing::info!(agent = %open.agent_name, "agent disconnected");
        }
        brain.metrics.connections.dec();
        drop(admitted.place);
        wire.finish(&brain.stop).await;
    }

    async fn on_event(&mut self, event: Event) -> Result<(), Gone> {
        match event {
            Event::Came(incoming) => self.on_incoming(incoming).await,
            Event::Handed(answer) => {
                self.handing = None;
                self.storing.push_back(answer);
                // The silence until now was ours.
                self.step(GatewayInput::NotReading).await
            }
            Event::Stored(Ok(seq)) => self.step(GatewayInput::Stored { seq }).await,
            Event::Stored(Err(IngestError)) => {
                self.step(GatewayInput::Close(CloseCode::Overloaded, "the brain cannot store events at the moment"))
                    .await
            }
            Event::Found(Letter::Command(command)) => self.step(GatewayInput::Command(&command)).await,
            Event::Found(Letter::Close((code, reason))) => self.step(GatewayInput::Close(code, reason)).await,
            Event::Tick => {
                if self.handing.is_some() {
                    self.step(GatewayInput::NotReading).await?;
                }
                self.step(GatewayInput::Tick).await
            }
            Event::Stop => self.step(GatewayInput::Close(CloseCode::GoingAway, "the brain is stopping")).await,
        }
    }

    async fn on_incoming(&mut self, incoming: Incoming) -> Result<(), Gone> {
        match incoming {
            Incoming::Text(text) => {
                if let Some(open) = &self.open {
                    self.brain.connections.heard(open.id, None);
                }
                self.step(GatewayInput::Text(&text)).await
            }
            Incoming::NotText => self.step(GatewayInput::NotText).await,
            Incoming::TooLarge => self.step(GatewayInput::TooLarge).await,
            Incoming::Alive => self.step(GatewayInput::Alive).await,
            Incoming::Gone => Err(Gone),
        }
    }

    async fn step(&mut self, input: GatewayInput<'_>) -> Result<(), Gone> {
        let mut next = self.handle(input).await?;
        while let Some(input) = next {
            next = self.handle(input).await?;
        }
        Ok(())
    }

    /// Hands `input` to the session and does what it says. What comes back is to be handed to it next.
    async fn handle(&mut self, input: GatewayInput<'_>) -> Result<Option<GatewayInput<'static>>, Gone> {
        let now = self.began.elapsed();
        let mut next = None;
        for output in self.session.handle(now, input) {
            next = self.act(output).await?.or(next);
        }
        Ok(next)
    }

    async fn act(&mut self, output: GatewayOutput<'_>) -> Result<Option<GatewayInput<'static>>, Gone> {
        match output {
            GatewayOutput::Send(text) => self.wire.send(text).await?,
            GatewayOutput::Ping => self.wire.ping().await?,
            GatewayOutput::Close(code, reason) => {
                tracing::info!(agent = self.agent_name(), code = code.number(), %reason, "closing an agent's connection");
                self.wire.close(code, reason).await;
            }
            GatewayOutput::Open(hello) => return Ok(Some(self.open_stream(*hello).await)),
            GatewayOutput::Ingest(batch) => self.hand_over(&batch),
            GatewayOutput::Heartbeat(heartbeat) => {
                if let Some(open) = &self.open {
                    self.brain.connections.heard(open.id, Some(heartbeat));
                }
            }
            GatewayOutput::Result(result) => {
                if let Some(open) = &self.open {
                    self.brain.commands.answered(open.id, result).await;
                }
            }
            GatewayOutput::ScheduleSync(sync) => {
                if let Some(open) = &self.open {
                    keep_schedules(&*self.brain.store, &open.origin, sync).await;
                }
            }
            // Progress is sent only for commands that ask for it, and none does.
            GatewayOutput::Progress(_) => {}
            GatewayOutput::UnknownFrame(kind) => {
                self.brain.metrics.unknown_frames.inc();
                tracing::debug!(agent = self.agent_name(), kind, "ignored a frame of an unknown type");
            }
        }
        Ok(None)
    }

    #[expect(
        clippy::async_yields_async,
        reason = "first room in memory is waited for, then, while more is read, the disk"
    )]
    fn hand_over(&mut self, batch: &EventBatch<'_>) {
        let Some(open) = &self.open else { return };
        let folded = fold(batch, &open.origin, clock::now());
        let (ingest, inlet) = (self.brain.ingest.clone(), open.inlet.clone());
        self.handing = Some(Box::pin(async move { ingest.submit(&inlet, folded).await }));
    }

    /// Registers the stream that `hello` names. What comes back is to be handed to the session.
    async fn open_stream(&mut self, hello: Hello) -> GatewayInput<'static> {
        let grant = &self.admitted.grant;
        if grant.agent.as_ref().is_some_and(|bound| *bound != hello.agent_name) {
            tracing::warn!(agent = %hello.agent_name, "refused an agent whose token is bound to another name");
            return GatewayInput::Close(
                CloseCode::TokenRevoked,
                "this token is bound to another agent name; use that name or another token",
            );
        }
        let stream = StreamToOpen {
            project: grant.project,
            agent_name: hello.agent_name.clone(),
            instance_id: hello.instance_id.clone(),
            profile: hello.profile(),
        };
        let vantage = Vantage::of(&stream.profile);
        let opened = match register(&self.brain, stream).await {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(%error, agent = %hello.agent_name, "could not register an agent");
                return GatewayInput::Close(CloseCode::Overloaded, "the brain cannot register agents at the moment");
            }
        };
        let newcomer = Newcomer {
            project: grant.project,
            agent: opened.agent,
            agent_name: hello.agent_name.clone(),
            stream: opened.stream,
            opening: opened.opening,
            token_id: grant.token_id.clone(),
            engines: hello.engines.clone(),
            vantage,
        };
        let only_engine: Option<Arc<str>> = match &hello.engines[..] {
            [engine] => Some(engine.as_str().into()),
            _ => None,
        };
        let origin = BatchOrigin { project: grant.project, agent: opened.agent, stream: opened.stream, only_engine };
        let inlet = Inlet::new(&grant.token_id);
        self.brain.live.note_uncounted(grant.project, Topic::Agents, 1);
        let Some(outbox) = self.outbox.take() else {
            return GatewayInput::Close(CloseCode::Malformed, "a second hello on one connection");
        };
        let id = self.brain.connections.add(newcomer, outbox);
        // What was opened later at another brain may have become known before this could be found.
        self.brain.connections.supersede(opened.stream, self.brain.replicas.opening(opened.stream));
        self.open = Some(Open { id, agent_name: hello.agent_name.clone(), origin, inlet });
        // Revoking closes what is registered. The token may have been revoked before that: since the handshake.
        match auth::agent_grant(&*self.brain.store, self.admitted.token).await {
            Ok(_) => {}
            Err(Unauthorized::Store(_)) => {
                return GatewayInput::Close(CloseCode::Overloaded, "the brain cannot check tokens at the moment");
            }
            Err(_) => return GatewayInput::Close(CloseCode::TokenRevoked, "the token was revoked"),
        }
        tracing::info!(agent = %hello.agent_name, last_seq = opened.last_seq, "agent connected");
        GatewayInput::Opened { last_seq: opened.last_seq }
    }

    fn agent_name(&self) -> &str {
        self.open.as_ref().map_or("?", |open| &open.agent_name)
    }
}

/// Takes the answers that have come after `answer`: of batches that were stored together, one ack says all.
fn latest(mut answer: Result<u64, IngestError>, later: &mut VecDeque<Answer>) -> Result<u64, IngestError> {
    while answer.is_ok() {
        match later.front_mut().map(Answer::try_recv) {
            Some(Ok(next)) => answer = next,
            Some(Err(TryRecvError::Closed)) => answer = Err(IngestError),
            Some(Err(TryRecvError::Empty)) | None => break,
        }
        later.pop_front();
    }
    answer
}

/// Registers a stream. A database that restarts is waited for, but not for longer than an agent waits for its answer.
async fn register(brain: &Brain, stream: StreamToOpen) -> Result<OpenedStream, StoreError> {
    let until = Instant::now() + REGISTER_WITHIN;
    loop {
        match brain.store.open_stream(stream.clone(), clock::now()).await {
            Err(error) if error.is_retryable() && Instant::now() < until && !brain.stop.is_cancelled() => {
                brain.ingest.note_trouble(&error);
                tokio::time::sleep(REGISTER_PAUSE).await;
            }
            Ok(opened) => {
                brain.ingest.note_written();
                return Ok(opened);
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn one_ack_is_for_all_that_is_stored_up_to_the_first_that_is_not() {
        let (answers, mut later): (Vec<_>, VecDeque<_>) = (0..4).map(|_| oneshot::channel()).unzip();
        let mut answers = answers.into_iter();
        let mut answer = |what| answers.next().expect("is waited for").send(what).expect("is waited for");
        assert_eq!(latest(Ok(1), &mut later).ok(), Some(1));
        answer(Ok(2));
        answer(Ok(3));
        assert_eq!(latest(Ok(1), &mut later).ok(), Some(3));
        assert_eq!(later.len(), 2);
        answer(Err(IngestError));
        answer(Ok(9));
        assert!(latest(Ok(3), &mut later).is_err());
        assert_eq!(later.len(), 1, "nothing after it counts");
    }
}
