//! The WebSocket transport: moves frames between a socket and a session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{FuturesOrdered, StreamExt};
use taskplane_protocol::close::CloseCode;
use taskplane_protocol::frame::{Command, Hello};
use taskplane_protocol::limits::MAX_FRAME_BYTES;
use taskplane_protocol::session::{GatewayInput, GatewayOutput, GatewaySession};
use taskplane_store::access::TokenGrant;
use taskplane_store::ingest::StreamToOpen;
use tokio::sync::mpsc;

use super::connections::{Closing, Newcomer, Outbox};
use super::faults::{is_not_utf8, is_too_large};
use crate::auth::{self, Unauthorized};
use crate::brain::Brain;
use crate::clock;
use crate::ingest::{Answer, BatchOrigin, IngestError, fold};
use crate::live::Topic;

/// Memory that a socket's read buffer takes; the library's default of 128 KiB costs 1.3 GB for 10,000 idle agents.
const READ_BUFFER_BYTES: usize = 8 << 10;
/// Commands and the like waiting for one connection.
const OUTBOX: usize = 64;
/// How often a session is told that time passes. Its shortest time-out is 10 s.
const TICK: Duration = Duration::from_secs(2);
/// How long a peer may take to accept a frame.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);

/// `GET /ws`: authenticates, then upgrades.
pub async fn upgrade(
    State(brain): State<Brain>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let authorization = headers.get(header::AUTHORIZATION).cloned();
    let grant = match auth::agent_grant(&*brain.store, authorization.as_ref()).await {
        Ok(grant) => grant,
        Err(refusal) => return refusal.into_response(),
    };
    match upgrade {
        Ok(upgrade) => upgrade
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(READ_BUFFER_BYTES)
            .max_frame_size(MAX_FRAME_BYTES)
            .max_message_size(MAX_FRAME_BYTES)
            .on_upgrade(move |socket| {
                let tasks = brain.tasks.clone();
                tasks.track_future(Box::pin(serve(brain, grant, authorization, socket)))
            }),
        Err(rejection) => rejection.into_response(),
    }
}

async fn serve(brain: Brain, grant: TokenGrant, authorization: Option<HeaderValue>, socket: WebSocket) {
    brain.metrics.connections.inc();
    let mut connection = Connection::new(brain.clone(), grant, authorization, socket);
    connection.run().await;
    if let Some(open) = connection.open {
        brain.connections.remove(open.id);
        brain.commands.connection_lost(open.id).await;
        brain.live.note_uncounted(open.origin.project, Topic::Agents, 1);
        tracing::info!(agent = %open.agent_name, "agent disconnected");
    }
    brain.metrics.connections.dec();
}

struct Connection {
    brain: Brain,
    grant: TokenGrant,
    /// Until the stream is open.
    authorization: Option<HeaderValue>,
    socket: WebSocket,
    session: GatewaySession,
    began: Instant,
    outbox: Outbox,
    commands: mpsc::Receiver<Command>,
    closes: mpsc::Receiver<Closing>,
    open: Option<Open>,
    /// Batches handed to ingest whose answers have not come; in order, because acks are cumulative.
    storing: FuturesOrdered<Answer>,
}

struct Open {
    id: u64,
    agent_name: String,
    origin: BatchOrigin,
}

/// What woke a connection up.
enum Event {
    Socket(Option<Result<Message, axum::Error>>),
    Stored(Result<u64, IngestError>),
    Command(Command),
    Close(Closing),
    Tick,
    Stop,
}

impl Connection {
    fn new(brain: Brain, grant: TokenGrant, authorization: Option<HeaderValue>, socket: WebSocket) -> Self {
        let (command_outbox, commands) = mpsc::channel(OUTBOX);
        let (close_outbox, closes) = mpsc::channel(1);
        Self {
            brain,
            grant,
            authorization,
            socket,
            session: GatewaySession::new(Duration::ZERO),
            began: Instant::now(),
            outbox: Outbox { commands: command_outbox, close: close_outbox },
            commands,
            closes,
            open: None,
            storing: FuturesOrdered::new(),
        }
    }

    async fn run(&mut self) {
        let mut ticker = tokio::time::interval(TICK);
        ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.session.is_closed() {
            let event = tokio::select! {
                // What is stored is acked before more is read.
                biased;
                () = self.brain.stop.cancelled() => Event::Stop,
                Some(closing) = self.closes.recv() => Event::Close(closing),
                Some(answer) = self.storing.next() => Event::Stored(answer.unwrap_or(Err(IngestError))),
                Some(command) = self.commands.recv() => Event::Command(command),
                message = self.socket.recv() => Event::Socket(message),
                _ = ticker.tick() => Event::Tick,
            };
            if self.on_event(event).await.is_err() {
                return;
            }
        }
    }

    async fn on_event(&mut self, event: Event) -> Result<(), Gone> {
        match event {
            Event::Socket(Some(Ok(message))) => self.on_message(message).await,
            Event::Socket(Some(Err(error))) => {
                if is_too_large(&error) {
                    return self.step(GatewayInput::TooLarge).await;
                }
                if is_not_utf8(&error) {
                    return self.step(GatewayInput::NotText).await;
                }
                Err(Gone)
            }
            Event::Socket(None) => Err(Gone),
            Event::Stored(Ok(seq)) => self.step(GatewayInput::Stored { seq }).await,
            Event::Stored(Err(IngestError)) => {
                self.step(GatewayInput::Close(CloseCode::Overloaded, "the brain cannot store events at the moment"))
                    .await
            }
            Event::Command(command) => self.step(GatewayInput::Command(&command)).await,
            Event::Close((code, reason)) => self.step(GatewayInput::Close(code, reason)).await,
            Event::Tick => self.step(GatewayInput::Tick).await,
            Event::Stop => self.step(GatewayInput::Close(CloseCode::GoingAway, "the brain is stopping")).await,
        }
    }

    async fn on_message(&mut self, message: Message) -> Result<(), Gone> {
        match message {
            Message::Text(text) => {
                self.heard();
                self.step(GatewayInput::Text(&text)).await
            }
            Message::Binary(_) => self.step(GatewayInput::NotText).await,
            Message::Ping(_) | Message::Pong(_) => self.step(GatewayInput::Alive).await,
            Message::Close(_) => Err(Gone),
        }
    }

    fn heard(&self) {
        if let Some(open) = &self.open {
            self.brain.connections.heard(open.id, None);
        }
    }

    async fn step(&mut self, input: GatewayInput<'_>) -> Result<(), Gone> {
        let now = self.began.elapsed();
        for output in self.session.handle(now, input) {
            self.act(output).await?;
        }
        Ok(())
    }

    async fn act(&mut self, output: GatewayOutput<'_>) -> Result<(), Gone> {
        match output {
            GatewayOutput::Send(text) => self.send(Message::Text(text.into())).await,
            GatewayOutput::Ping => self.send(Message::Ping(bytes::Bytes::new())).await,
            GatewayOutput::Close(code, reason) => {
                tracing::info!(agent = self.agent_name(), code = code.number(), %reason, "closing an agent's connection");
                let frame = CloseFrame { code: code.number(), reason: reason.into() };
                self.send(Message::Close(Some(frame))).await
            }
            GatewayOutput::Open(hello) => self.open_stream(*hello).await,
            GatewayOutput::Ingest(batch) => {
                let Some(open) = &self.open else { return Ok(()) };
                let folded = fold(&batch, &open.origin, clock::now());
                match self.brain.ingest.submit(folded).await {
                    Ok(answer) => {
                        self.storing.push_back(answer);
                        Ok(())
                    }
                    Err(IngestError) => Err(Gone),
                }
            }
            GatewayOutput::Heartbeat(heartbeat) => {
                if let Some(open) = &self.open {
                    self.brain.connections.heard(open.id, Some(heartbeat));
                }
                Ok(())
            }
            GatewayOutput::Result(result) => {
                if let Some(open) = &self.open {
                    self.brain.commands.answered(open.id, result).await;
                }
                Ok(())
            }
            // Progress is sent only for commands that ask for it, and schedules are not kept yet: both are ignored, as
            // the protocol allows for every optional frame.
            GatewayOutput::Progress(_) | GatewayOutput::ScheduleSync(_) => Ok(()),
            GatewayOutput::UnknownFrame(kind) => {
                self.brain.metrics.unknown_frames.inc();
                tracing::debug!(agent = self.agent_name(), kind, "ignored a frame of an unknown type");
                Ok(())
            }
        }
    }

    async fn open_stream(&mut self, hello: Hello) -> Result<(), Gone> {
        if let Some(bound) = &self.grant.agent
            && *bound != hello.agent_name
        {
            tracing::warn!(agent = %hello.agent_name, "refused an agent whose token is bound to another name");
            return Box::pin(self.step(GatewayInput::Close(
                CloseCode::TokenRevoked,
                "this token is bound to another agent name; use that name or another token",
            )))
            .await;
        }
        let stream = StreamToOpen {
            project: self.grant.project,
            agent_name: hello.agent_name.clone(),
            instance_id: hello.instance_id.clone(),
            profile: hello.profile(),
        };
        let opened = match self.brain.store.open_stream(stream, clock::now()).await {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(%error, agent = %hello.agent_name, "could not register an agent");
                let overloaded =
                    GatewayInput::Close(CloseCode::Overloaded, "the brain cannot register agents at the moment");
                return Box::pin(self.step(overloaded)).await;
            }
        };
        let newcomer = Newcomer {
            project: self.grant.project,
            agent: opened.agent,
            agent_name: hello.agent_name.clone(),
            stream: opened.stream,
            token_id: self.grant.token_id.clone(),
            engines: hello.engines.clone(),
        };
        let only_engine: Option<Arc<str>> = match &hello.engines[..] {
            [engine] => Some(engine.as_str().into()),
            _ => None,
        };
        let origin =
            BatchOrigin { project: self.grant.project, agent: opened.agent, stream: opened.stream, only_engine };
        let id = self.brain.connections.add(newcomer, self.outbox.clone());
        self.open = Some(Open { id, agent_name: hello.agent_name.clone(), origin });
        self.brain.live.note_uncounted(self.grant.project, Topic::Agents, 1);
        // Revoking closes what is registered. The token may have been revoked before that: since the handshake.
        let authorization = self.authorization.take();
        let refusal = match auth::agent_grant(&*self.brain.store, authorization.as_ref()).await {
            Ok(_) => None,
            Err(Unauthorized::Store(_)) => Some((CloseCode::Overloaded, "the brain cannot check tokens at the moment")),
            Err(_) => Some((CloseCode::TokenRevoked, "the token was revoked")),
        };
        if let Some((code, reason)) = refusal {
            return Box::pin(self.step(GatewayInput::Close(code, reason))).await;
        }
        tracing::info!(agent = %hello.agent_name, last_seq = opened.last_seq, "agent connected");
        Box::pin(self.step(GatewayInput::Opened { last_seq: opened.last_seq })).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        match tokio::time::timeout(SEND_TIMEOUT, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }

    fn agent_name(&self) -> &str {
        self.open.as_ref().map_or("?", |open| &open.agent_name)
    }
}

/// The socket is of no more use.
struct Gone;
