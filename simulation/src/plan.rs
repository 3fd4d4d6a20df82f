//! What a seed is about. Each one turns some dangers on and others off, so that together they meet every mixture.

use std::time::Duration;

use taskplane_agent::buffer::BufferOptions;

use crate::chance::Chance;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    KillAgent,
    StopAgent,
    LosePower,
    KillBrain,
    StopBrain,
    CutLine,
    StallLine,
    Partition,
    SlowDisk,
    FailingDisk,
    ClockJump,
}

const FAULTS: [Fault; 11] = [
    Fault::KillAgent,
    Fault::StopAgent,
    Fault::LosePower,
    Fault::KillBrain,
    Fault::StopBrain,
    Fault::CutLine,
    Fault::StallLine,
    Fault::Partition,
    Fault::SlowDisk,
    Fault::FailingDisk,
    Fault::ClockJump,
];

/// One agent process and its host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AgentPlan {
    /// Which name it has; agents of one name are the processes of one service.
    pub(crate) name: usize,
    /// Whose data folder it has.
    pub(crate) home: usize,
    /// Events it sees.
    pub(crate) events: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) agents: Vec<AgentPlan>,
    /// Most time between two events.
    pub(crate) pace: Duration,
    /// Different tasks.
    pub(crate) tasks: u64,
    /// Commands that people give.
    pub(crate) commands: u32,
    /// What may go wrong.
    pub(crate) faults: Vec<Fault>,
    /// Until when.
    pub(crate) faults_until: Duration,
    /// Most time between two faults.
    pub(crate) fault_every: Duration,
    pub(crate) latency: (Duration, Duration),
    /// Bytes under way in one direction of a connection.
    pub(crate) room: usize,
    pub(crate) buffer: BufferOptions,
    /// Time of one transaction.
    pub(crate) transaction: (Duration, Duration),
    /// Bytes of batches that the brain holds in memory.
    pub(crate) memory: usize,
    /// How long the brain holds batches that its store refuses.
    pub(crate) patience: Duration,
    /// How likely a frame is delivered twice, as by a repeated request of the long-poll fallback.
    pub(crate) duplicates: f64,
    /// How likely something from the brain is lost together with its connection, as a lost response of the fallback is.
    pub(crate) lost_responses: f64,
    /// How wrong clocks are at first, at most, in microseconds.
    pub(crate) skew: u64,
}

impl Plan {
    pub(crate) fn draw(chance: &mut Chance) -> Self {
        let names = chance.number(1, 3);
        let shares_homes = chance.happens(0.3);
        let agents: Vec<AgentPlan> = (0..chance.number(1, 4) as usize)
            .map(|at| AgentPlan {
                name: chance.index(names as usize),
                home: if shares_homes { at / 2 } else { at },
                events: chance.number(5, 60) as u32,
            })
            .collect();
        let tiny = chance.happens(0.25);
        let long_poll = chance.happens(0.25);
        let mut faults = FAULTS.to_vec();
        chance.shuffle(&mut faults);
        faults.truncate(chance.number(0, 6) as usize);
        Self {
            agents,
            pace: chance.time(Duration::from_millis(5), Duration::from_secs(3)),
            tasks: chance.number(1, 30),
            commands: if chance.happens(0.6) { chance.number(1, 12) as u32 } else { 0 },
            faults,
            faults_until: chance.time(Duration::from_secs(5), Duration::from_secs(150)),
            fault_every: chance.time(Duration::from_millis(300), Duration::from_secs(20)),
            latency: (Duration::from_micros(50), chance.time(Duration::from_micros(100), Duration::from_secs(2))),
            room: if chance.happens(0.5) { 256 << 10 } else { chance.number(300, 6_000) as usize },
            buffer: buffer(tiny, chance),
            transaction: (Duration::from_micros(100), chance.time(Duration::from_millis(1), Duration::from_secs(3))),
            memory: if chance.happens(0.3) { chance.number(2 << 10, 16 << 10) as usize } else { 48 << 20 },
            patience: Duration::from_secs(chance.pick(&[0, 1, 30]).unwrap_or(30)),
            duplicates: if long_poll { 0.1 } else { 0.0 },
            lost_responses: if long_poll { 0.02 } else { 0.0 },
            skew: if chance.happens(0.5) { 600_000_000 } else { 0 },
        }
    }
}

/// The buffer's real bounds, or some that are soon reached.
fn buffer(tiny: bool, chance: &mut Chance) -> BufferOptions {
    let seal_events = chance.number(1, 12) as usize;
    if tiny {
        let seal_bytes = chance.number(300, 1_500) as usize;
        return BufferOptions { max_bytes: chance.number(5 << 10, 12 << 10), seal_events, seal_bytes };
    }
    // Short segments, so that several are there.
    let max_bytes = if chance.happens(0.5) { 256 << 10 } else { BufferOptions::default().max_bytes };
    BufferOptions { max_bytes, seal_events, ..BufferOptions::default() }
}
