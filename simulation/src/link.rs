//! The agent's end of one connection: the real session, driven as the agent's own driver does it.

use std::collections::VecDeque;
use std::time::Duration;

use taskplane_agent::buffer::{Buffer, SealedBatch};
use taskplane_protocol::frame::{Heartbeat, Hello};
use taskplane_protocol::limits::{BRAIN_TIMEOUT, SEAL_BYTES, WINDOW_BATCHES, WINDOW_BYTES};
use taskplane_protocol::session::{AgentInput, AgentOutput, AgentSession};

use crate::core::{AgentStep, Core, Step};
use crate::execution::Execution;
use crate::failure::{Violation, hold};
use crate::network::{Line, Message, Read, Sent, Side};
use crate::sabotage::Sabotage;
use crate::trace::trace;
use crate::truth::Stand;

/// How often the session is told that time passes.
const TICK: Duration = Duration::from_secs(1);

/// How a command's frame begins.
const COMMAND: &str = r#"{"type":"command","#;
/// How likely it is that, when something has come, a former command comes again.
const REPEATED: f64 = 0.05;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The brain closed it.
    Closed(Option<u16>),
    /// It broke, or the brain is not there any more.
    Lost,
    /// The brain wants the agent to begin anew.
    Restart,
    /// The agent stops, and everything is delivered.
    Drained,
}

/// What a connection needs of its process.
pub(crate) struct Courier<'a> {
    pub(crate) agent: usize,
    pub(crate) life: u32,
    pub(crate) stream: usize,
    pub(crate) buffer: &'a mut Buffer,
    pub(crate) execution: &'a mut Execution,
    /// Commands that came to this process; one may come again.
    pub(crate) commands_seen: &'a mut Vec<String>,
    pub(crate) is_stopping: bool,
}

pub(crate) struct Link {
    pub(crate) line: Line,
    pub(crate) began: Duration,
    session: AgentSession,
    sent: u64,
    acked: u64,
    /// What the system has not taken yet. While there is something, nothing else is done.
    outgoing: VecDeque<Message>,
    blocked_since: Option<Duration>,
    tick_is_due: bool,
    /// Batches sent and not acked, with their bytes, as someone who watches the wire counts them.
    watched: VecDeque<(u64, usize)>,
}

impl Link {
    pub(crate) fn new(line: Line, now: Duration) -> Self {
        Self {
            line,
            began: now,
            session: AgentSession::new(Duration::ZERO),
            sent: 0,
            acked: 0,
            outgoing: VecDeque::new(),
            blocked_since: None,
            tick_is_due: true,
            watched: VecDeque::new(),
        }
    }

    pub(crate) fn say_hello(
        &mut self,
        core: &mut Core,
        courier: &mut Courier<'_>,
        hello: &Hello,
    ) -> Result<(), Violation> {
        self.feed(core, courier, AgentInput::Connected(hello)).map(drop)
    }

    pub(crate) fn tick(&mut self) {
        self.tick_is_due = true;
    }

    /// Does everything that can be done now. `Some` when the connection has ended.
    pub(crate) fn run(&mut self, core: &mut Core, courier: &mut Courier<'_>) -> Result<Option<Ended>, Violation> {
        loop {
            if let Some(ended) = self.flush(core, courier) {
                return Ok(Some(ended));
            }
            if !self.outgoing.is_empty() {
                return Ok(None);
            }
            if let Some(batch) = self.next_batch(core, courier) {
                core.truth.sent(courier.stream, &batch)?;
                self.send_batch(core, courier, &batch)?;
                continue;
            }
            if courier.is_stopping && self.is_drained(courier) {
                return Ok(Some(Ended::Drained));
            }
            match self.ready(core, courier) {
                Some(Ready::Incoming) => {
                    if let Some(ended) = self.take(core, courier)? {
                        return Ok(Some(ended));
                    }
                }
                Some(Ready::Answer) => {
                    let Some(answer) = courier.execution.take_answer() else { continue };
                    trace!(core, "agent {} answers {} {}", courier.agent, answer.result.cmd_id, answer.result.ok);
                    self.feed(core, courier, AgentInput::Result(&answer.result))?;
                    if answer.restart {
                        self.flush(core, courier);
                        return Ok(Some(Ended::Restart));
                    }
                }
                Some(Ready::Tick) => {
                    self.tick_is_due = false;
                    let step = AgentStep::Tick(self.line);
                    core.after(TICK, Step::Agent { agent: courier.agent, life: courier.life, step });
                    let heartbeat = Heartbeat { buffer: Some(courier.buffer.report()), ..Heartbeat::default() };
                    if let Some(ended) = self.feed(core, courier, AgentInput::Tick(&heartbeat))? {
                        return Ok(Some(ended));
                    }
                }
                None => return Ok(None),
            }
        }
    }

    /// One of the things that wait, as `select!` would choose.
    fn ready(&self, core: &mut Core, courier: &mut Courier<'_>) -> Option<Ready> {
        let mut ready = Vec::with_capacity(3);
        ready.extend(core.has_news(self.line, Side::Agent).then_some(Ready::Incoming));
        ready.extend(courier.execution.has_answer().then_some(Ready::Answer));
        ready.extend(self.tick_is_due.then_some(Ready::Tick));
        core.chance.pick(&ready)
    }

    fn next_batch(&mut self, core: &Core, courier: &mut Courier<'_>) -> Option<SealedBatch> {
        let wants = self.session.wants_batch() || (core.is(Sabotage::NoWindow) && self.session.is_live());
        if wants && courier.buffer.last_sealed() > self.sent { courier.buffer.next_after(self.sent) } else { None }
    }

    fn send_batch(&mut self, core: &mut Core, courier: &mut Courier<'_>, batch: &SealedBatch) -> Result<(), Violation> {
        self.sent = batch.seq;
        let mut frame = format!(r#"{{"type":"event_batch","seq":{},"events":["#, batch.seq);
        for (index, event) in batch.events().enumerate() {
            if index > 0 {
                frame.push(',');
            }
            frame.push_str(&String::from_utf8_lossy(event));
        }
        frame.push_str("]}");
        trace!(
            core,
            "agent {} sends batch {} of {} events on {:?}",
            courier.agent,
            batch.seq,
            batch.events().len(),
            self.line
        );
        self.watched.push_back((batch.seq, frame.len()));
        let bytes: usize = self.watched.iter().map(|(_, bytes)| bytes).sum();
        let batches = self.watched.len();
        hold!(
            batches <= WINDOW_BATCHES && bytes < WINDOW_BYTES + 2 * SEAL_BYTES,
            "agent {} has {batches} batches of {bytes} bytes in flight",
            courier.agent
        );
        self.feed(core, courier, AgentInput::Batch { seq: batch.seq, frame })?;
        if core.is(Sabotage::ForgetWhatWasSent) {
            courier.buffer.ack(batch.seq);
        }
        Ok(())
    }

    fn is_drained(&self, courier: &mut Courier<'_>) -> bool {
        self.session.is_live()
            && self.acked >= courier.buffer.last_sealed()
            && !courier.execution.has_answer()
            && !courier.execution.is_busy()
    }

    fn take(&mut self, core: &mut Core, courier: &mut Courier<'_>) -> Result<Option<Ended>, Violation> {
        match core.read(self.line, Side::Agent) {
            Read::Nothing => Ok(None),
            Read::End => Ok(Some(Ended::Lost)),
            Read::Message(Message::Close(code)) => Ok(Some(Ended::Closed(code))),
            Read::Message(Message::Text(text)) => {
                let ended = self.feed(core, courier, AgentInput::Text(&text))?;
                if text.starts_with(COMMAND) {
                    courier.commands_seen.push(text);
                }
                if ended.is_none() && core.chance.happens(REPEATED) {
                    return self.repeat_command(core, courier);
                }
                Ok(ended)
            }
            Read::Message(Message::Ping) => {
                // The library answers by itself, and leaves it out when there is no room.
                let _ = core.send(self.line, Side::Agent, &Message::Pong);
                self.feed(core, courier, AgentInput::Alive)
            }
            Read::Message(Message::Pong) => self.feed(core, courier, AgentInput::Alive),
        }
    }

    /// A command comes again, over whichever connection there is now.
    fn repeat_command(&mut self, core: &mut Core, courier: &mut Courier<'_>) -> Result<Option<Ended>, Violation> {
        match core.chance.pick(courier.commands_seen) {
            Some(command) => {
                core.truth.meet("a command that comes again");
                self.feed(core, courier, AgentInput::Text(&command))
            }
            None => Ok(None),
        }
    }

    fn feed(
        &mut self,
        core: &mut Core,
        courier: &mut Courier<'_>,
        input: AgentInput<'_>,
    ) -> Result<Option<Ended>, Violation> {
        for output in self.session.handle(core.now - self.began, input) {
            match output {
                AgentOutput::Send(frame) => self.outgoing.push_back(Message::Text(frame)),
                AgentOutput::Acked(seq) => self.acked(core, courier, seq)?,
                AgentOutput::Execute(command) => {
                    trace!(core, "agent {} is given {}", courier.agent, command.cmd_id);
                    if core.is(Sabotage::CommandsForgotten) {
                        *courier.execution = Execution::new()?;
                    }
                    let begun = courier.execution.accept(command);
                    for (number, task) in begun {
                        core.truth.executed(&task)?;
                        let wait = core.chance.time(Duration::from_millis(1), Duration::from_secs(50));
                        let step = AgentStep::Executed(number);
                        core.after(wait, Step::Agent { agent: courier.agent, life: courier.life, step });
                    }
                }
                AgentOutput::UnknownFrame(kind) => return Err(Violation::new(format!("an unknown frame: {kind}"))),
                AgentOutput::GiveUp(reason) => {
                    trace!(core, "agent {} gives up: {reason}", courier.agent);
                    core.truth.meet("an agent that gives a silent brain up");
                    return Ok(Some(Ended::Lost));
                }
            }
        }
        Ok(None)
    }

    fn acked(&mut self, core: &mut Core, courier: &mut Courier<'_>, seq: u64) -> Result<(), Violation> {
        trace!(core, "agent {} has {seq} acked", courier.agent);
        core.truth.acked(courier.stream, seq)?;
        let before = Stand::of(courier.buffer);
        courier.buffer.ack(seq);
        core.truth.forgot(courier.stream, before, courier.buffer)?;
        self.sent = self.sent.max(seq);
        self.acked = self.acked.max(seq);
        if core.is(Sabotage::NoReplay) {
            self.sent = courier.buffer.last_sealed();
        }
        while self.watched.front().is_some_and(|(first, _)| *first <= seq) {
            self.watched.pop_front();
        }
        Ok(())
    }

    /// Hands over to the system what it takes.
    fn flush(&mut self, core: &mut Core, courier: &Courier<'_>) -> Option<Ended> {
        while let Some(message) = self.outgoing.front() {
            match core.send(self.line, Side::Agent, message) {
                Sent::Arrives(_) => {
                    self.repeat(core);
                    self.outgoing.pop_front();
                    self.blocked_since = None;
                }
                Sent::Broken => return Some(self.last_words(core)),
                Sent::NoRoom => {
                    let since = *self.blocked_since.get_or_insert(core.now);
                    if core.now - since >= BRAIN_TIMEOUT {
                        return Some(Ended::Lost);
                    }
                    if since == core.now {
                        core.truth.meet("an agent that waits for its brain to read");
                        let step = AgentStep::Blocked(self.line);
                        core.after(BRAIN_TIMEOUT, Step::Agent { agent: courier.agent, life: courier.life, step });
                    }
                    return None;
                }
            }
        }
        None
    }

    /// A frame may be delivered twice on its way.
    fn repeat(&self, core: &mut Core) {
        let Some(Message::Text(text)) = self.outgoing.front() else { return };
        if !text.starts_with(r#"{"type":"hello""#) && core.chance.happens(core.plan.duplicates) {
            core.truth.meet("a frame that is delivered twice");
            let again = Message::Text(text.clone());
            let _ = core.send(self.line, Side::Agent, &again);
        }
    }

    /// A brain that closes says why; writing fails before that is read.
    fn last_words(&self, core: &mut Core) -> Ended {
        loop {
            match core.read(self.line, Side::Agent) {
                Read::Message(Message::Close(code)) => return Ended::Closed(code),
                Read::Message(_) => {}
                Read::Nothing | Read::End => return Ended::Lost,
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Ready {
    Incoming,
    Answer,
    Tick,
}
