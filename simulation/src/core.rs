//! What everything in a simulated world shares: time, chance, the network, and the truth that promises are held against.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use taskplane_model::Timestamp;

use crate::chance::Chance;
use crate::network::{Line, Message, Network, Read, Sent, Side};
use crate::plan::Plan;
use crate::sabotage::Sabotage;
use crate::trace::Trace;
use crate::truth::Truth;

/// The wall clock of a host without skew at the beginning.
const BEGINNING: Timestamp = Timestamp(1_795_000_000_000_000);

/// Something that will happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// To an agent's process, unless that has ended meanwhile; `life` says which one is meant.
    Agent { agent: usize, life: u32, step: AgentStep },
    /// To the brain's process.
    Brain { life: u32, step: BrainStep },
    /// Something may have come to a side of a connection, or there is room for what it wants to send.
    Wake(Line, WakeSide),
    /// People give a command.
    Order,
    /// Something goes wrong.
    Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WakeSide {
    Agent,
    Brain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AgentStep {
    Start,
    Capture,
    Seal(u32),
    Connect,
    Upgraded(Line),
    Tick(Line),
    Blocked(Line),
    Executed(usize),
    StopBy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum BrainStep {
    Start,
    Written,
    Gathered,
    Retry,
    Register(Line),
    Tick(Line),
    Blocked(Line),
    Overdue,
}

pub(crate) struct Core {
    pub(crate) now: Duration,
    pub(crate) chance: Chance,
    pub(crate) trace: Trace,
    pub(crate) network: Network,
    pub(crate) truth: Truth,
    pub(crate) plan: Plan,
    pub(crate) sabotage: Option<Sabotage>,
    steps: BinaryHeap<Reverse<(Duration, u64, Step)>>,
    count: u64,
}

impl Core {
    pub(crate) fn new(plan: Plan, chance: Chance, trace: Trace, sabotage: Option<Sabotage>) -> Self {
        let network = Network::new(plan.latency, plan.room);
        Self {
            now: Duration::ZERO,
            chance,
            trace,
            network,
            truth: Truth::default(),
            plan,
            sabotage,
            steps: BinaryHeap::new(),
            count: 0,
        }
    }

    /// The wall clock of a host whose clock is wrong by `skew` microseconds.
    pub(crate) fn wall(&self, skew: i64) -> Timestamp {
        BEGINNING.plus(i64::try_from(self.now.as_micros()).unwrap_or(i64::MAX)).plus(skew)
    }

    pub(crate) fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == Some(sabotage)
    }

    /// Has `step` happen after `wait`.
    pub(crate) fn after(&mut self, wait: Duration, step: Step) {
        self.at(self.now + wait, step);
    }

    pub(crate) fn at(&mut self, at: Duration, step: Step) {
        self.count += 1;
        self.steps.push(Reverse((at.max(self.now), self.count, step)));
    }

    /// The next step; time has moved to it.
    pub(crate) fn next_step(&mut self) -> Option<Step> {
        let Reverse((at, _, step)) = self.steps.pop()?;
        self.now = at;
        Some(step)
    }

    pub(crate) fn send(&mut self, line: Line, side: Side, message: &Message) -> Sent {
        if side == Side::Brain && self.now < self.plan.faults_until && self.chance.happens(self.plan.lost_responses) {
            self.lose_response(line);
        }
        let sent = self.network.send(line, side, message, self.now, &mut self.chance);
        if let Sent::Arrives(at) = sent {
            self.at(at, wake(line, side.other()));
        }
        sent
    }

    /// What comes next from the brain is lost. The agent soon knows, the brain only after a while.
    fn lose_response(&mut self, line: Line) {
        let soon = self.now + self.network.latency(&mut self.chance);
        let late = self.now + Duration::from_secs(60);
        self.network.cut(line, self.now, (Some(soon), Some(late)), &mut self.chance);
        self.at(soon, wake(line, Side::Agent));
        self.at(late, wake(line, Side::Brain));
    }

    pub(crate) fn read(&mut self, line: Line, side: Side) -> Read {
        let read = self.network.read(line, side, self.now);
        if matches!(read, Read::Message(_)) && self.network.made_room(line, side) {
            self.at(self.now, wake(line, side.other()));
        }
        read
    }

    pub(crate) fn has_news(&self, line: Line, side: Side) -> bool {
        self.network.has_news(line, side, self.now)
    }

    pub(crate) fn close(&mut self, line: Line, side: Side, abruptly: bool) {
        if let Some(at) = self.network.close(line, side, abruptly, self.now, &mut self.chance) {
            self.at(at, wake(line, side.other()));
        }
    }
}

/// The step that has `side` look at a connection.
pub(crate) fn wake(line: Line, side: Side) -> Step {
    Step::Wake(line, if side == Side::Agent { WakeSide::Agent } else { WakeSide::Brain })
}
