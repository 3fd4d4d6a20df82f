//! The brain's end of one connection.

use std::time::Duration;

use crate::close::CloseCode;
use crate::frame::{
    AgentFrame, BrainFrame, Command, CommandProgress, CommandResult, EventBatch, Heartbeat, Hello, ScheduleSync, encode,
};
use crate::limits::{HEARTBEAT_TIMEOUT, HELLO_TIMEOUT, MAX_HEARTBEAT_BYTES, MAX_HELLO_BYTES, PING_EVERY};
use crate::version;

/// What happens to the brain's end.
#[derive(Debug)]
pub enum GatewayInput<'a> {
    /// A text frame came.
    Text(&'a str),
    /// A frame came that is not UTF-8 text.
    NotText,
    /// A frame over the limit came.
    TooLarge,
    /// A WebSocket pong, or whatever else proves that the peer's host is there.
    Alive,
    /// The stream that `hello` named is registered; everything up to `last_seq` is stored.
    Opened {
        /// Last persisted batch, 0 if none.
        last_seq: u64,
    },
    /// Everything up to `seq` is stored.
    Stored {
        /// Last persisted batch.
        seq: u64,
    },
    /// Something for the agent to do.
    Command(&'a Command),
    /// The driver does not read at the moment, because storage is slow: silence is not the peer's.
    NotReading,
    /// Time passes. Call it once a second, or when [`GatewaySession::next_tick`] says so.
    Tick,
    /// The connection must end.
    Close(CloseCode, &'static str),
}

/// What the driver must do.
#[derive(Debug)]
pub enum GatewayOutput<'a> {
    /// Register the stream, then answer with [`GatewayInput::Opened`]; read no further frame before that.
    Open(Box<Hello>),
    /// Store the batch, then answer with [`GatewayInput::Stored`]. Waiting here is what slows a fast agent down.
    Ingest(EventBatch<'a>),
    /// Note a sign of life.
    Heartbeat(Heartbeat),
    /// Hand on the answer to a command.
    Result(CommandResult),
    /// Hand on how far a command has come.
    Progress(CommandProgress),
    /// Keep the state of a scheduler.
    ScheduleSync(ScheduleSync),
    /// Count a frame of a type that is not known.
    UnknownFrame(String),
    /// Send a text frame.
    Send(String),
    /// Send a WebSocket ping.
    Ping,
    /// Close with a code and a reason, and forget the session.
    Close(CloseCode, String),
}

/// The brain's end of one connection.
#[derive(Debug)]
pub struct GatewaySession {
    phase: Phase,
    began: Duration,
    last_frame: Duration,
    last_ping: Duration,
    acked: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    AwaitingHello,
    Opening,
    Open,
    Closed,
}

impl GatewaySession {
    /// A session for a connection that was accepted at `now`.
    pub fn new(now: Duration) -> Self {
        Self { phase: Phase::AwaitingHello, began: now, last_frame: now, last_ping: now, acked: 0 }
    }

    /// True when nothing more may be done with the connection.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Until when no [`GatewayInput::Tick`] is needed. Whatever comes before may move it on, and never back.
    pub fn next_tick(&self) -> Duration {
        let next = (self.last_frame + HEARTBEAT_TIMEOUT).min(self.last_ping + PING_EVERY);
        if self.phase == Phase::AwaitingHello { next.min(self.began + HELLO_TIMEOUT) } else { next }
    }

    /// Takes in one input. A closed session answers nothing.
    pub fn handle<'a>(&mut self, now: Duration, input: GatewayInput<'a>) -> Vec<GatewayOutput<'a>> {
        if self.is_closed() {
            return Vec::new();
        }
        match input {
            GatewayInput::Text(text) => {
                self.last_frame = now;
                self.text(text)
            }
            GatewayInput::NotText => self.close(CloseCode::Malformed, "frames are JSON objects in UTF-8 text"),
            GatewayInput::TooLarge => self.close(CloseCode::TooLarge, "the frame is over the limit"),
            // Only frames count against the heartbeat timeout: a frozen agent's kernel still answers pings.
            GatewayInput::Alive => Vec::new(),
            GatewayInput::Opened { last_seq } => {
                self.phase = Phase::Open;
                self.acked = last_seq;
                vec![GatewayOutput::Send(BrainFrame::ack(last_seq))]
            }
            GatewayInput::Stored { seq } => {
                // Acks are cumulative, and a replay is acked again.
                self.acked = self.acked.max(seq);
                vec![GatewayOutput::Send(BrainFrame::ack(self.acked))]
            }
            GatewayInput::Command(command) => match self.phase {
                Phase::Open => vec![GatewayOutput::Send(encode("command", command))],
                _ => Vec::new(),
            },
            GatewayInput::NotReading => {
                self.last_frame = now;
                Vec::new()
            }
            GatewayInput::Tick => self.tick(now),
            GatewayInput::Close(code, reason) => self.close(code, reason),
        }
    }

    fn text<'a>(&mut self, text: &'a str) -> Vec<GatewayOutput<'a>> {
        // What it says is kept as long as the connection lasts, and longer.
        if self.phase == Phase::AwaitingHello && text.len() > MAX_HELLO_BYTES {
            return self.close(CloseCode::TooLarge, format!("a hello has at most {MAX_HELLO_BYTES} bytes"));
        }
        let frame = match AgentFrame::parse(text) {
            Ok(frame) => frame,
            Err(_)
                if self.phase == Phase::AwaitingHello
                    && let Some(protocol) = other_version(text) =>
            {
                return self.version_mismatch(&protocol);
            }
            Err(error) if self.phase == Phase::AwaitingHello && is_object(text) => {
                return self.close(CloseCode::NoHello, format!("expected hello: {error}"));
            }
            Err(error) => return self.close(CloseCode::Malformed, error.to_string()),
        };
        match (self.phase, frame) {
            (Phase::AwaitingHello, AgentFrame::Hello(hello)) => self.hello(hello),
            (Phase::AwaitingHello, _) => self.close(CloseCode::NoHello, "the first frame must be hello"),
            (_, AgentFrame::Hello(_)) => self.close(CloseCode::Malformed, "a second hello on one connection"),
            (_, AgentFrame::EventBatch(batch)) => vec![GatewayOutput::Ingest(batch)],
            (_, AgentFrame::Heartbeat(_)) if text.len() > MAX_HEARTBEAT_BYTES => {
                vec![GatewayOutput::Heartbeat(Heartbeat::default())]
            }
            (_, AgentFrame::Heartbeat(heartbeat)) => vec![GatewayOutput::Heartbeat(heartbeat)],
            (_, AgentFrame::CommandResult(result)) => vec![GatewayOutput::Result(result)],
            (_, AgentFrame::CommandProgress(progress)) => vec![GatewayOutput::Progress(progress)],
            (_, AgentFrame::ScheduleSync(sync)) => vec![GatewayOutput::ScheduleSync(sync)],
            (_, AgentFrame::Unknown(kind)) => vec![GatewayOutput::UnknownFrame(kind)],
        }
    }

    fn hello<'a>(&mut self, hello: Box<Hello>) -> Vec<GatewayOutput<'a>> {
        if version::major(&hello.protocol) != Some(version::MAJOR) {
            return self.version_mismatch(&hello.protocol);
        }
        let mut hello = hello;
        hello.agent_name = hello.agent_name.trim().to_owned();
        let name = &hello.agent_name;
        if name.is_empty() || name.len() > crate::limits::MAX_NAME_BYTES || name.contains(char::is_control) {
            return self.close(CloseCode::Malformed, "agent_name must have 1 to 512 bytes and no control characters");
        }
        if hello.instance_id.len() > crate::limits::MAX_NAME_BYTES {
            return self.close(CloseCode::Malformed, "instance_id is longer than 512 bytes");
        }
        self.phase = Phase::Opening;
        vec![GatewayOutput::Open(hello)]
    }

    fn version_mismatch<'a>(&mut self, protocol: &str) -> Vec<GatewayOutput<'a>> {
        let reason = format!("this brain speaks protocol {}, the agent {protocol}", version::CURRENT);
        self.close(CloseCode::VersionMismatch, reason)
    }

    fn tick<'a>(&mut self, now: Duration) -> Vec<GatewayOutput<'a>> {
        if self.phase == Phase::AwaitingHello && now.saturating_sub(self.began) >= HELLO_TIMEOUT {
            return self.close(CloseCode::NoHello, "no hello within 10 s");
        }
        if now.saturating_sub(self.last_frame) >= HEARTBEAT_TIMEOUT {
            return self.close(CloseCode::HeartbeatTimeout, "nothing was heard for 90 s");
        }
        if now.saturating_sub(self.last_ping) >= PING_EVERY {
            self.last_ping = now;
            return vec![GatewayOutput::Ping];
        }
        Vec::new()
    }

    fn close<'a>(&mut self, code: CloseCode, reason: impl Into<String>) -> Vec<GatewayOutput<'a>> {
        self.phase = Phase::Closed;
        let mut reason: String = reason.into();
        // A WebSocket close frame has room for 123 bytes of reason.
        let mut end = reason.len().min(120);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        reason.truncate(end);
        vec![GatewayOutput::Close(code, reason)]
    }
}

/// The version of a `hello` of another major one, whose other fields may be anything.
fn other_version(text: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        r#type: String,
        protocol: String,
    }
    let hello: Versioned = serde_json::from_str(text).ok()?;
    let is_other = version::major(&hello.protocol).is_some_and(|major| major != version::MAJOR);
    (hello.r#type == "hello" && is_other).then_some(hello.protocol)
}

/// A JSON object that is no frame we can read is still "not hello"; anything else is malformed.
fn is_object(text: &str) -> bool {
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_ok()
}

#[cfg(test)]
mod tests;
