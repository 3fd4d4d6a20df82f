//! The agent's end of one connection.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::frame::{BrainFrame, Command, CommandResult, Heartbeat, Hello, encode};
use crate::limits::{BRAIN_TIMEOUT, HEARTBEAT_EVERY, HELLO_TIMEOUT, WINDOW_BATCHES, WINDOW_BYTES};

type Adapters = Option<BTreeMap<String, String>>;

/// What happens to the agent's end.
#[derive(Debug)]
pub enum AgentInput<'a> {
    /// The connection is there.
    Connected(&'a Hello),
    /// A text frame came.
    Text(&'a str),
    /// A ping or pong came.
    Alive,
    /// A sealed batch, the next in order: its sequence number and its whole frame. Only while
    /// [`AgentSession::wants_batch`].
    Batch {
        /// Its sequence number.
        seq: u64,
        /// Its frame.
        frame: String,
    },
    /// The answer to a command.
    Result(&'a CommandResult),
    /// A part of what schedulers have: its whole frame, a `schedule_sync`. Only while [`AgentSession::is_live`].
    Schedules(String),
    /// Time passes; `heartbeat` is what to say if one is due. Call it once a second.
    Tick(&'a Heartbeat),
}

/// What the driver must do.
#[derive(Debug, PartialEq)]
pub enum AgentOutput {
    /// Send a text frame.
    Send(String),
    /// Everything up to `seq` is stored: forget it. The first one of a connection also says where to replay from.
    Acked(u64),
    /// Do this.
    Execute(Command),
    /// Count a frame of a type that is not known.
    UnknownFrame(String),
    /// The brain is not there any more, for this reason: drop the connection and try again.
    GiveUp(&'static str),
}

/// The agent's end of one connection.
#[derive(Debug)]
pub struct AgentSession {
    began: Duration,
    last_heard: Duration,
    /// When the last heartbeat went out, and what its adapters said.
    last_heartbeat: Option<(Duration, Adapters)>,
    welcomed: bool,
    /// Batches sent and not acked: sequence number and bytes.
    in_flight: VecDeque<(u64, usize)>,
    bytes_in_flight: usize,
}

impl AgentSession {
    /// A session for a connection that came up at `now`.
    pub fn new(now: Duration) -> Self {
        Self {
            began: now,
            last_heard: now,
            last_heartbeat: None,
            welcomed: false,
            in_flight: VecDeque::new(),
            bytes_in_flight: 0,
        }
    }

    /// True once the brain has said where to replay from.
    pub fn is_live(&self) -> bool {
        self.welcomed
    }

    /// True while another batch may be sent.
    pub fn wants_batch(&self) -> bool {
        self.welcomed && self.in_flight.len() < WINDOW_BATCHES && self.bytes_in_flight < WINDOW_BYTES
    }

    /// Takes in one input.
    pub fn handle(&mut self, now: Duration, input: AgentInput<'_>) -> Vec<AgentOutput> {
        match input {
            AgentInput::Connected(hello) => vec![AgentOutput::Send(encode("hello", hello))],
            AgentInput::Alive => {
                self.last_heard = now;
                Vec::new()
            }
            AgentInput::Text(text) => {
                self.last_heard = now;
                self.text(text)
            }
            AgentInput::Batch { seq, frame } => {
                self.in_flight.push_back((seq, frame.len()));
                self.bytes_in_flight += frame.len();
                vec![AgentOutput::Send(frame)]
            }
            AgentInput::Result(result) => vec![AgentOutput::Send(encode("command_result", result))],
            AgentInput::Schedules(frame) => vec![AgentOutput::Send(frame)],
            AgentInput::Tick(heartbeat) => self.tick(now, heartbeat),
        }
    }

    fn text(&mut self, text: &str) -> Vec<AgentOutput> {
        match BrainFrame::parse(text) {
            Ok(BrainFrame::Ack { seq }) => {
                self.welcomed = true;
                while let Some((first, bytes)) = self.in_flight.front().copied()
                    && first <= seq
                {
                    self.in_flight.pop_front();
                    self.bytes_in_flight -= bytes;
                }
                vec![AgentOutput::Acked(seq)]
            }
            Ok(BrainFrame::Command(command)) => vec![AgentOutput::Execute(command)],
            Ok(BrainFrame::Unknown(kind)) => vec![AgentOutput::UnknownFrame(kind)],
            Err(_) => vec![AgentOutput::GiveUp("the brain sent something that is not a frame")],
        }
    }

    fn tick(&mut self, now: Duration, heartbeat: &Heartbeat) -> Vec<AgentOutput> {
        if !self.welcomed && now.saturating_sub(self.began) >= HELLO_TIMEOUT {
            return vec![AgentOutput::GiveUp("the brain did not answer hello within 10 s")];
        }
        if now.saturating_sub(self.last_heard) >= BRAIN_TIMEOUT {
            return vec![AgentOutput::GiveUp("nothing was heard from the brain for 60 s")];
        }
        let is_due = match &self.last_heartbeat {
            // The first one at once, and one as soon as an adapter says something else: people wait for both.
            None => self.welcomed,
            Some((at, adapters)) => now.saturating_sub(*at) >= HEARTBEAT_EVERY || *adapters != heartbeat.adapters,
        };
        if is_due {
            self.last_heartbeat = Some((now, heartbeat.adapters.clone()));
            return vec![AgentOutput::Send(encode("heartbeat", heartbeat))];
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
