//! The brain's end of one connection: the real session, driven as the gateway drives it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use taskplane_brain::ingest::{BatchOrigin, fold};
use taskplane_protocol::close::CloseCode;
use taskplane_protocol::frame::Command;
use taskplane_protocol::session::{GatewayInput, GatewayOutput, GatewaySession};
use taskplane_store::ingest::StreamToOpen;

use crate::brain::Job;
use crate::core::{BrainStep, Core, Step};
use crate::failure::Violation;
use crate::ingest::Ingest;
use crate::network::{Line, Message, Read, Sent, Side};
use crate::router::Router;
use crate::sabotage::Sabotage;
use crate::store::PROJECT;
use crate::trace::trace;

/// How often a session is told that time passes.
const TICK: Duration = Duration::from_secs(2);
/// How long a peer may take to accept a frame.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);
/// Commands waiting for one connection.
pub(crate) const OUTBOX: usize = 64;

/// A stream that is open.
pub(crate) struct Open {
    /// Position in the order of connections.
    pub(crate) number: u64,
    pub(crate) agent_name: String,
    pub(crate) stream: u64,
    pub(crate) origin: BatchOrigin,
}

/// A stream that is being registered.
pub(crate) struct Registering {
    pub(crate) stream: StreamToOpen,
    pub(crate) since: Duration,
    engines: Vec<String>,
}

/// What of the brain a connection works with.
pub(crate) struct Parts<'a> {
    pub(crate) life: u32,
    pub(crate) ingest: &'a mut Ingest,
    pub(crate) router: &'a mut Router,
    pub(crate) jobs: &'a mut VecDeque<Job>,
}

pub(crate) struct Connection {
    pub(crate) line: Line,
    began: Duration,
    session: GatewaySession,
    pub(crate) open: Option<Open>,
    pub(crate) registering: Option<Registering>,
    /// It waits for the store before it does anything else.
    pub(crate) awaits_store: bool,
    /// A batch waits for room in memory. Until it has some, nothing more is read.
    pub(crate) is_handing: bool,
    /// Batches handed over, in order, with their answers as they come.
    pub(crate) storing: VecDeque<(u64, Option<Result<u64, ()>>)>,
    pub(crate) commands: VecDeque<Command>,
    pub(crate) closing: Option<(CloseCode, &'static str)>,
    outgoing: VecDeque<Message>,
    blocked_since: Option<Duration>,
    pub(crate) tick_is_due: bool,
}

impl Connection {
    pub(crate) fn new(line: Line, now: Duration) -> Self {
        Self {
            line,
            began: now,
            session: GatewaySession::new(Duration::ZERO),
            open: None,
            registering: None,
            awaits_store: false,
            is_handing: false,
            storing: VecDeque::new(),
            commands: VecDeque::new(),
            closing: None,
            outgoing: VecDeque::new(),
            blocked_since: None,
            tick_is_due: true,
        }
    }

    /// Does everything that can be done now. False when the connection has ended.
    pub(crate) fn run(&mut self, core: &mut Core, parts: &mut Parts<'_>) -> Result<bool, Violation> {
        loop {
            if !self.flush(core, parts.life) {
                return Ok(false);
            }
            if !self.outgoing.is_empty() || self.awaits_store {
                return Ok(true);
            }
            if self.session.is_closed() {
                return Ok(false);
            }
            // In this order: what is stored is acked before more is read.
            if let Some((code, reason)) = self.closing.take() {
                self.feed(core, parts, GatewayInput::Close(code, reason))?;
            } else if let Some((_, Some(answer))) = self.storing.front() {
                let answer = *answer;
                self.storing.pop_front();
                self.answer(core, parts, answer)?;
            } else if let Some(command) = self.commands.pop_front() {
                trace!(core, "brain sends {} on {:?}", command.cmd_id, self.line);
                self.feed(core, parts, GatewayInput::Command(&command))?;
            } else if self.tick_is_due {
                self.tick_is_due = false;
                core.after(TICK, Step::Brain { life: parts.life, step: BrainStep::Tick(self.line) });
                if self.is_handing {
                    core.truth.meet("a brain without memory for two seconds");
                    self.feed(core, parts, GatewayInput::NotReading)?;
                }
                self.feed(core, parts, GatewayInput::Tick)?;
            } else if !self.is_handing && core.has_news(self.line, Side::Brain) {
                if !self.take(core, parts)? {
                    return Ok(false);
                }
            } else {
                return Ok(true);
            }
        }
    }

    fn answer(&mut self, core: &mut Core, parts: &mut Parts<'_>, answer: Result<u64, ()>) -> Result<(), Violation> {
        match answer {
            Ok(seq) => {
                trace!(core, "brain acks {seq} on {:?}", self.line);
                self.feed(core, parts, GatewayInput::Stored { seq })
            }
            Err(()) => self.feed(
                core,
                parts,
                GatewayInput::Close(CloseCode::Overloaded, "the brain cannot store events at the moment"),
            ),
        }
    }

    fn take(&mut self, core: &mut Core, parts: &mut Parts<'_>) -> Result<bool, Violation> {
        match core.read(self.line, Side::Brain) {
            Read::Nothing => {}
            Read::End | Read::Message(Message::Close(_)) => return Ok(false),
            Read::Message(Message::Text(text)) => self.feed(core, parts, GatewayInput::Text(&text))?,
            Read::Message(Message::Ping | Message::Pong) => self.feed(core, parts, GatewayInput::Alive)?,
        }
        Ok(true)
    }

    pub(crate) fn feed(
        &mut self,
        core: &mut Core,
        parts: &mut Parts<'_>,
        input: GatewayInput<'_>,
    ) -> Result<(), Violation> {
        for output in self.session.handle(core.now - self.began, input) {
            match output {
                GatewayOutput::Send(text) => self.outgoing.push_back(Message::Text(text)),
                GatewayOutput::Ping => self.outgoing.push_back(Message::Ping),
                GatewayOutput::Close(code, reason) => {
                    trace!(core, "brain closes {:?} with {}: {reason}", self.line, code.number());
                    if matches!(code, CloseCode::Malformed | CloseCode::TooLarge | CloseCode::VersionMismatch) {
                        return Err(Violation::new(format!("the brain could not read what an agent said: {reason}")));
                    }
                    core.truth.meet(match code {
                        CloseCode::HeartbeatTimeout => "a brain that gives a silent agent up",
                        CloseCode::Overloaded => "a brain that is overloaded",
                        _ => "a connection that the brain closes",
                    });
                    self.outgoing.push_back(Message::Close(Some(code.number())));
                }
                GatewayOutput::Open(hello) => {
                    let hello = *hello;
                    let stream = StreamToOpen {
                        project: PROJECT,
                        agent_name: hello.agent_name.clone(),
                        instance_id: hello.instance_id.clone(),
                        profile: hello.profile(),
                    };
                    parts.jobs.push_back(Job::Open { line: self.line, stream: stream.clone() });
                    self.registering = Some(Registering { stream, since: core.now, engines: hello.engines });
                    self.awaits_store = true;
                }
                GatewayOutput::Ingest(batch) => {
                    let Some(open) = &self.open else { continue };
                    trace!(core, "brain gets batch {} of stream {} on {:?}", batch.seq, open.stream, self.line);
                    let folded = fold(&batch, &open.origin, core.wall(0));
                    if core.is(Sabotage::AckBeforeStored) {
                        let ack = taskplane_protocol::frame::BrainFrame::ack(batch.seq);
                        self.outgoing.push_back(Message::Text(ack));
                    }
                    let ticket = parts.ingest.bring(self.line, folded);
                    self.storing.push_back((ticket, None));
                    self.is_handing = true;
                }
                GatewayOutput::Result(result) => {
                    if let Some((id, outcome)) = parts.router.answered(self.line, result) {
                        self.awaits_store = true;
                        parts.jobs.push_back(Job::Finish { id, outcome, waits: Some(self.line) });
                    }
                }
                // Signs of life are not simulated, and agents here say nothing else.
                _ => {}
            }
        }
        Ok(())
    }

    /// The stream is registered.
    pub(crate) fn opened(
        &mut self,
        core: &mut Core,
        parts: &mut Parts<'_>,
        opened: taskplane_store::ingest::OpenedStream,
        number: u64,
    ) -> Result<(), Violation> {
        self.awaits_store = false;
        let Some(Registering { stream, engines, .. }) = self.registering.take() else { return Ok(()) };
        let only_engine: Option<Arc<str>> = match &engines[..] {
            [engine] => Some(engine.as_str().into()),
            _ => None,
        };
        let origin = BatchOrigin { project: PROJECT, agent: opened.agent, stream: opened.stream, only_engine };
        self.open = Some(Open { number, agent_name: stream.agent_name, stream: opened.stream, origin });
        trace!(core, "brain opens stream {} at {} on {:?}", opened.stream, opened.last_seq, self.line);
        self.feed(core, parts, GatewayInput::Opened { last_seq: opened.last_seq })
    }

    /// Hands over to the system what it takes. False when the peer is gone, or takes nothing for too long.
    fn flush(&mut self, core: &mut Core, life: u32) -> bool {
        while let Some(message) = self.outgoing.front() {
            match core.send(self.line, Side::Brain, message) {
                Sent::Arrives(_) => {
                    self.outgoing.pop_front();
                    self.blocked_since = None;
                }
                Sent::Broken => return false,
                Sent::NoRoom => {
                    let since = *self.blocked_since.get_or_insert(core.now);
                    if since == core.now {
                        core.truth.meet("a brain that waits for its agent to read");
                        core.after(SEND_TIMEOUT, Step::Brain { life, step: BrainStep::Blocked(self.line) });
                    }
                    return core.now - since < SEND_TIMEOUT;
                }
            }
        }
        true
    }
}
