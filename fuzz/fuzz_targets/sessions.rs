//! Both ends of a connection, fed with any frames and happenings in any order that a driver may give them.
#![no_main]

use std::collections::VecDeque;
use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use taskplane_protocol::close::CloseCode;
use taskplane_protocol::frame::{BrainFrame, Command, CommandResult, Heartbeat, Hello};
use taskplane_protocol::limits::{WINDOW_BATCHES, WINDOW_BYTES};
use taskplane_protocol::session::{AgentInput, AgentOutput, AgentSession, GatewayInput, GatewayOutput, GatewaySession};

#[derive(Arbitrary, Debug)]
enum Connection<'a> {
    Gateway { last_seq: u64, steps: Vec<(u16, GatewayStep<'a>)> },
    Agent { steps: Vec<(u16, AgentStep<'a>)> },
}

#[derive(Arbitrary, Debug)]
enum GatewayStep<'a> {
    Frame(FromAgent<'a>),
    NotText,
    TooLarge,
    Alive,
    /// The store is done with the oldest batch that waits for it.
    Stored,
    Command(&'a str),
    Tick,
    Close,
}

#[derive(Arbitrary, Debug)]
enum FromAgent<'a> {
    Hello { protocol: Protocol<'a>, name: &'a str, instance: &'a str },
    Batch { seq: u64, task_id: &'a str },
    Heartbeat,
    Result(&'a str),
    Unknown(&'a str),
    Text(&'a str),
}

#[derive(Arbitrary, Debug)]
enum Protocol<'a> {
    Ours,
    Minor(u8),
    Any(&'a str),
}

#[derive(Arbitrary, Debug)]
enum AgentStep<'a> {
    Ack(u64),
    /// An ack of the last batch sent, less so many.
    AckSent(u8),
    Command(&'a str),
    Text(&'a str),
    Alive,
    Batches {
        count: u8,
        kilobytes: u16,
    },
    Result(&'a str),
    Tick,
}

fuzz_target!(|connection: Connection<'_>| {
    match connection {
        Connection::Gateway { last_seq, steps } => gateway(last_seq, &steps),
        Connection::Agent { steps } => agent(&steps),
    }
});

fn gateway(last_seq: u64, steps: &[(u16, GatewayStep<'_>)]) {
    let mut now = Duration::ZERO;
    let mut session = GatewaySession::new(now);
    let mut brain = Brain { stored: last_seq, ..Brain::default() };
    for (pause, step) in steps.iter().take(256) {
        now += Duration::from_millis(u64::from(*pause));
        let text = if let GatewayStep::Frame(frame) = step { frame.text() } else { String::new() };
        let args = if let GatewayStep::Command(args) = step { json!(args) } else { Value::Null };
        let command = Command { cmd_id: "c".into(), cmd: "retry_task".into(), args };
        let was_closed = session.is_closed();
        let outputs = match step {
            GatewayStep::Frame(_) => session.handle(now, GatewayInput::Text(&text)),
            GatewayStep::NotText => session.handle(now, GatewayInput::NotText),
            GatewayStep::TooLarge => session.handle(now, GatewayInput::TooLarge),
            GatewayStep::Alive => session.handle(now, GatewayInput::Alive),
            GatewayStep::Stored => match brain.store_next() {
                Some(seq) => session.handle(now, GatewayInput::Stored { seq }),
                None => continue,
            },
            GatewayStep::Command(_) => session.handle(now, GatewayInput::Command(&command)),
            GatewayStep::Tick => session.handle(now, GatewayInput::Tick),
            GatewayStep::Close => session.handle(now, GatewayInput::Close(CloseCode::GoingAway, "restarting")),
        };
        assert!(!was_closed || outputs.is_empty(), "a closed session answers nothing");
        let opens = brain.takes(&session, &outputs);
        drop(outputs);
        if opens {
            let outputs = session.handle(now, GatewayInput::Opened { last_seq });
            brain.takes(&session, &outputs);
            assert_eq!(brain.acked, Some(last_seq), "hello is answered with what is stored");
        }
    }
}

/// What a driver of the gateway's end sees.
#[derive(Default)]
struct Brain {
    opened: bool,
    /// Everything up to here is stored.
    stored: u64,
    waiting: VecDeque<u64>,
    acked: Option<u64>,
}

impl Brain {
    fn store_next(&mut self) -> Option<u64> {
        self.stored = self.stored.max(self.waiting.pop_front()?);
        Some(self.stored)
    }

    /// Checks what the session wants; true when it wants the stream to be opened.
    fn takes(&mut self, session: &GatewaySession, outputs: &[GatewayOutput<'_>]) -> bool {
        assert!(outputs.len() <= 2, "one input has few outputs");
        let mut opens = false;
        for (index, output) in outputs.iter().enumerate() {
            match output {
                GatewayOutput::Open(hello) => {
                    assert!(!self.opened, "a session opens one stream");
                    assert!(!hello.agent_name.is_empty() && hello.agent_name.len() <= 512);
                    (self.opened, opens) = (true, true);
                }
                GatewayOutput::Send(text) => self.sends(text),
                GatewayOutput::Close(_, reason) => {
                    assert!(reason.len() <= 123, "a close reason fits its frame");
                    assert!(session.is_closed() && index + 1 == outputs.len());
                }
                GatewayOutput::Ping => {}
                GatewayOutput::Ingest(batch) => {
                    assert!(self.opened, "nothing is stored before hello");
                    self.waiting.push_back(batch.seq);
                }
                _ => assert!(self.opened, "nothing counts before hello"),
            }
        }
        opens
    }

    fn sends(&mut self, text: &str) {
        assert!(self.opened, "nothing is sent before hello");
        match BrainFrame::parse(text) {
            Ok(BrainFrame::Ack { seq }) => {
                assert!(self.acked.is_none_or(|before| seq >= before), "acks never go down");
                assert!(seq <= self.stored, "no ack before its batch is stored");
                self.acked = Some(seq);
            }
            Ok(BrainFrame::Command(_)) => assert!(self.acked.is_some(), "a command comes after the first ack"),
            other => panic!("a brain does not send {other:?}"),
        }
    }
}

impl FromAgent<'_> {
    fn text(&self) -> String {
        let frame = match self {
            Self::Hello { protocol, name, instance } => {
                let protocol = match protocol {
                    Protocol::Ours => "v1".to_owned(),
                    Protocol::Minor(minor) => format!("v1.{minor}"),
                    Protocol::Any(text) => (*text).to_owned(),
                };
                json!({"type": "hello", "protocol": protocol, "agent_name": name, "instance_id": instance})
            }
            Self::Batch { seq, task_id } => {
                json!({"type": "event_batch", "seq": seq, "events": [{"event_type": "task_sent", "task_id": task_id}]})
            }
            Self::Heartbeat => json!({"type": "heartbeat"}),
            Self::Result(id) => json!({"type": "command_result", "cmd_id": id, "ok": true}),
            Self::Unknown(kind) => json!({"type": kind}),
            Self::Text(text) => return (*text).to_owned(),
        };
        frame.to_string()
    }
}

fn agent(steps: &[(u16, AgentStep<'_>)]) {
    let mut now = Duration::ZERO;
    let mut session = AgentSession::new(now);
    let outputs = session.handle(now, AgentInput::Connected(&Hello::default()));
    assert!(matches!(&outputs[..], [AgentOutput::Send(_)]), "hello comes first");
    assert!(!session.wants_batch(), "no batch is asked for before the brain said where to go on");
    let mut flight = Flight::default();
    for (pause, step) in steps.iter().take(256) {
        now += Duration::from_millis(u64::from(*pause));
        if let AgentStep::Batches { count, kilobytes } = step {
            flight.fill(&mut session, now, *count, *kilobytes);
            continue;
        }
        let was_live = session.is_live();
        let outputs = match step {
            AgentStep::Ack(seq) => session.handle(now, AgentInput::Text(&BrainFrame::ack(*seq))),
            AgentStep::AckSent(less) => {
                let seq = flight.sent.saturating_sub(u64::from(*less));
                session.handle(now, AgentInput::Text(&BrainFrame::ack(seq)))
            }
            AgentStep::Command(id) => {
                let text = json!({"type": "command", "cmd_id": id, "cmd": "retry_task"}).to_string();
                session.handle(now, AgentInput::Text(&text))
            }
            AgentStep::Text(text) => session.handle(now, AgentInput::Text(text)),
            AgentStep::Alive => session.handle(now, AgentInput::Alive),
            AgentStep::Result(id) => {
                let result = CommandResult { cmd_id: (*id).to_owned(), ok: true, ..CommandResult::default() };
                session.handle(now, AgentInput::Result(&result))
            }
            _ => session.handle(now, AgentInput::Tick(&Heartbeat::default())),
        };
        assert!(outputs.len() <= 1, "one input has one output at most");
        assert!(!was_live || session.is_live());
        for output in outputs {
            match output {
                AgentOutput::Acked(seq) => flight.acked(seq),
                AgentOutput::Send(text) => {
                    serde_json::from_str::<Value>(&text).expect("what is sent is JSON");
                }
                // The driver drops the connection.
                AgentOutput::GiveUp(_) => return,
                _ => {}
            }
        }
    }
}

/// What an agent has sent and not heard of.
#[derive(Default)]
struct Flight {
    sent: u64,
    batches: VecDeque<(u64, usize)>,
    /// The brain has said where to go on.
    welcomed: bool,
}

impl Flight {
    fn fill(&mut self, session: &mut AgentSession, now: Duration, count: u8, kilobytes: u16) {
        for _ in 0..count {
            let bytes: usize = self.batches.iter().map(|(_, bytes)| bytes).sum();
            let room = self.welcomed && self.batches.len() < WINDOW_BATCHES && bytes < WINDOW_BYTES;
            assert_eq!(session.wants_batch(), room, "{} batches of {bytes} bytes in flight", self.batches.len());
            let Some(next) = self.sent.checked_add(1).filter(|_| room) else { return };
            let frame = "x".repeat(usize::from(kilobytes % 512) << 10);
            self.sent = next;
            self.batches.push_back((next, frame.len()));
            let outputs = session.handle(now, AgentInput::Batch { seq: next, frame });
            assert!(matches!(&outputs[..], [AgentOutput::Send(_)]));
        }
    }

    fn acked(&mut self, seq: u64) {
        self.welcomed = true;
        // The driver goes on after what the brain has.
        self.sent = self.sent.max(seq);
        self.batches.retain(|(batch, _)| *batch > seq);
    }
}
