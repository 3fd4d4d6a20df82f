//! Connections: an ordered stream of messages each way, with latency, a bounded room, stalls, and ends that lose the tail
//! of what was under way and that either side may notice late or never.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::chance::Chance;

/// Number of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Line(pub(crate) u32);

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Agent,
    Brain,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Agent => Self::Brain,
            Self::Brain => Self::Agent,
        }
    }
}

/// What is carried.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Message {
    Text(String),
    Ping,
    Pong,
    Close(Option<u16>),
}

impl Message {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len() + 8,
            _ => 8,
        }
    }
}

/// What reading gives.
#[derive(Debug, PartialEq)]
pub(crate) enum Read {
    Nothing,
    Message(Message),
    /// The other side has closed, or the connection is known to be broken.
    End,
}

/// What became of sending.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It is under way; it arrives then, unless it is lost.
    Arrives(Duration),
    /// There is no room now.
    NoRoom,
    /// The connection is known to be broken.
    Broken,
}

/// What travels to one side.
#[derive(Default)]
struct Way {
    queue: VecDeque<(Duration, Message)>,
    bytes: usize,
    latest: Duration,
    /// From then on the reader reads that this is the end.
    ends_at: Option<Duration>,
    /// Nobody reads any more.
    deaf: bool,
    /// A sender waits for room.
    awaited: bool,
}

struct Wire {
    to_agent: Way,
    to_brain: Way,
    /// What is sent from now on vanishes.
    cut: bool,
}

impl Wire {
    fn to(&mut self, side: Side) -> &mut Way {
        match side {
            Side::Agent => &mut self.to_agent,
            Side::Brain => &mut self.to_brain,
        }
    }
}

/// All connections.
pub(crate) struct Network {
    wires: BTreeMap<Line, Wire>,
    next: u32,
    latency: (Duration, Duration),
    /// Bytes that fit into one direction of a connection.
    room: usize,
}

impl Network {
    pub(crate) fn new(latency: (Duration, Duration), room: usize) -> Self {
        Self { wires: BTreeMap::new(), next: 0, latency, room }
    }

    pub(crate) fn latency(&self, chance: &mut Chance) -> Duration {
        chance.time(self.latency.0, self.latency.1)
    }

    pub(crate) fn connect(&mut self) -> Line {
        self.next += 1;
        let line = Line(self.next);
        self.wires.insert(line, Wire { to_agent: Way::default(), to_brain: Way::default(), cut: false });
        line
    }

    /// Connections that have not ended on both sides.
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.wires.keys().copied().collect()
    }

    /// Sends from `side`.
    pub(crate) fn send(
        &mut self,
        line: Line,
        side: Side,
        message: &Message,
        now: Duration,
        chance: &mut Chance,
    ) -> Sent {
        let latency = self.latency(chance);
        let room = self.room;
        let Some(wire) = self.wires.get_mut(&line) else { return Sent::Broken };
        if wire.to(side).ends_at.is_some_and(|at| at <= now) {
            return Sent::Broken;
        }
        let cut = wire.cut;
        let way = wire.to(side.other());
        let bytes = message.bytes();
        if way.bytes > 0 && way.bytes + bytes > room {
            way.awaited = true;
            return Sent::NoRoom;
        }
        let arrives = way.latest.max(now + latency);
        if way.deaf {
            return Sent::Arrives(arrives);
        }
        way.bytes += bytes;
        if !cut {
            way.latest = arrives;
            way.queue.push_back((arrives, message.clone()));
        }
        Sent::Arrives(arrives)
    }

    /// Reads what has come to `side`.
    pub(crate) fn read(&mut self, line: Line, side: Side, now: Duration) -> Read {
        let Some(way) = self.wires.get_mut(&line).map(|wire| wire.to(side)) else { return Read::End };
        match way.queue.front() {
            Some((arrives, _)) if *arrives <= now => {
                let Some((_, message)) = way.queue.pop_front() else { return Read::Nothing };
                way.bytes = way.bytes.saturating_sub(message.bytes());
                Read::Message(message)
            }
            None if way.ends_at.is_some_and(|at| at <= now) => Read::End,
            Some(_) | None => Read::Nothing,
        }
    }

    /// True when `side` would read something.
    pub(crate) fn has_news(&self, line: Line, side: Side, now: Duration) -> bool {
        let Some(wire) = self.wires.get(&line) else { return true };
        let way = match side {
            Side::Agent => &wire.to_agent,
            Side::Brain => &wire.to_brain,
        };
        match way.queue.front() {
            Some((arrives, _)) => *arrives <= now,
            None => way.ends_at.is_some_and(|at| at <= now),
        }
    }

    /// True, once, when there is room again for what the other side wants to send to `side`.
    pub(crate) fn made_room(&mut self, line: Line, side: Side) -> bool {
        self.wires.get_mut(&line).is_some_and(|wire| std::mem::take(&mut wire.to(side).awaited))
    }

    /// `side` has closed its end. What it sent before still arrives, then the end; returns when. With `abruptly` a part of
    /// what was under way is lost.
    pub(crate) fn close(
        &mut self,
        line: Line,
        side: Side,
        abruptly: bool,
        now: Duration,
        chance: &mut Chance,
    ) -> Option<Duration> {
        let latency = self.latency(chance);
        let wire = self.wires.get_mut(&line)?;
        let cut = wire.cut;
        let mine = wire.to(side);
        mine.deaf = true;
        mine.queue.clear();
        mine.bytes = 0;
        let is_last = wire.to(side.other()).deaf;
        if is_last {
            self.wires.remove(&line);
            return None;
        }
        let theirs = wire.to(side.other());
        if abruptly {
            lose_tail(theirs, now, chance);
        }
        if cut {
            return None;
        }
        let at = theirs.latest.max(now + latency);
        theirs.ends_at = Some(theirs.ends_at.map_or(at, |already| already.min(at)));
        Some(at)
    }

    /// Breaks a connection. Each side learns of it at some time, or never.
    pub(crate) fn cut(
        &mut self,
        line: Line,
        now: Duration,
        notice: (Option<Duration>, Option<Duration>),
        chance: &mut Chance,
    ) {
        let Some(wire) = self.wires.get_mut(&line) else { return };
        wire.cut = true;
        for (way, noticed) in [(&mut wire.to_agent, notice.0), (&mut wire.to_brain, notice.1)] {
            lose_tail(way, now, chance);
            if let Some(at) = noticed {
                let at = at.max(way.queue.back().map_or(at, |(arrives, _)| *arrives));
                way.ends_at = Some(way.ends_at.map_or(at, |already| already.min(at)));
            }
        }
    }

    /// Nothing more comes to `side` before `until`.
    pub(crate) fn stall(&mut self, line: Line, side: Side, now: Duration, until: Duration) {
        let Some(way) = self.wires.get_mut(&line).map(|wire| wire.to(side)) else { return };
        for (arrives, _) in way.queue.iter_mut().filter(|(arrives, _)| *arrives > now) {
            *arrives = (*arrives).max(until);
        }
        way.latest = way.latest.max(until);
        way.ends_at = way.ends_at.map(|at| if at > now { at.max(until) } else { at });
    }
}

/// What has not arrived yet is lost from some point on.
fn lose_tail(way: &mut Way, now: Duration, chance: &mut Chance) {
    let arrived = way.queue.iter().take_while(|(arrives, _)| *arrives <= now).count();
    let kept = arrived + chance.index(way.queue.len() - arrived + 1);
    way.queue.truncate(kept);
    way.bytes = way.queue.iter().map(|(_, message)| message.bytes()).sum();
}
