//! What goes wrong, from the world's point of view.

use std::time::Duration;

use crate::core::{Core, Step, WakeSide, wake};
use crate::failure::Violation;
use crate::network::Side;
use crate::plan::Fault;
use crate::sabotage::Sabotage;
use crate::trace::trace;
use crate::world::World;

/// One of the seed's faults happens now, and the next one is set.
pub(crate) fn strike(world: &mut World) -> Result<(), Violation> {
    let core = &mut world.core;
    let wait = core.chance.time(Duration::from_millis(100), core.plan.fault_every);
    if core.now + wait < core.plan.faults_until {
        core.after(wait, Step::Fault);
    }
    let faults = core.plan.faults.clone();
    let Some(fault) = core.chance.pick(&faults) else { return Ok(()) };
    trace!(core, "fault: {fault:?}");
    let agent = core.chance.index(world.agents.len());
    match fault {
        Fault::KillAgent => world.agents[agent].end(core, true),
        Fault::StopAgent => world.agents[agent].stop(core),
        Fault::LosePower => {
            let home = world.agents[agent].plan.home;
            for agent in world.agents.iter_mut().filter(|agent| agent.plan.home == home) {
                agent.lose_power(core)?;
            }
            let disk_lies = core.is(Sabotage::LyingDisk);
            world.homes[home].lose_power(&mut core.chance, disk_lies)
        }
        Fault::KillBrain => world.brain.kill(core),
        Fault::StopBrain => world.brain.stop(core),
        Fault::CutLine => {
            cut(core);
            Ok(())
        }
        Fault::StallLine => {
            stall(core);
            Ok(())
        }
        Fault::Partition => {
            world.unreachable_until = core.now + core.chance.time(Duration::from_secs(1), Duration::from_secs(60));
            for _ in 0..core.network.lines().len() {
                cut(core);
            }
            Ok(())
        }
        Fault::SlowDisk => {
            let until = core.now + core.chance.time(Duration::from_secs(1), Duration::from_secs(60));
            world.brain.slow_until = (until, core.chance.number(2, 50) as u32);
            Ok(())
        }
        Fault::FailingDisk => {
            let until = core.now + core.chance.time(Duration::from_millis(500), Duration::from_secs(30));
            world.brain.fails_until = (until, if core.chance.happens(0.5) { 1.0 } else { 0.4 });
            Ok(())
        }
        Fault::ClockJump => {
            let by = core.chance.number(0, 1_200_000_000) as i64 - 600_000_000;
            world.agents[agent].shift_clock(by);
            Ok(())
        }
    }
}

/// Some connection breaks. Each side notices soon, late, or not before its own time-outs.
fn cut(core: &mut Core) {
    let Some(line) = core.chance.pick(&core.network.lines()) else { return };
    let mut notice = || match core.chance.index(4) {
        0 | 1 => Some(core.now + core.chance.time(Duration::from_micros(100), Duration::from_secs(2))),
        2 => Some(core.now + core.chance.time(Duration::from_secs(1), Duration::from_secs(120))),
        _ => None,
    };
    let notices = (notice(), notice());
    core.network.cut(line, core.now, notices, &mut core.chance);
    for (at, side) in [(notices.0, WakeSide::Agent), (notices.1, WakeSide::Brain)] {
        if let Some(at) = at {
            core.at(at, Step::Wake(line, side));
        }
    }
}

/// Nothing comes through one direction of some connection for a while.
fn stall(core: &mut Core) {
    let Some(line) = core.chance.pick(&core.network.lines()) else { return };
    let side = if core.chance.happens(0.5) { Side::Agent } else { Side::Brain };
    let until = core.now + core.chance.time(Duration::from_millis(100), Duration::from_secs(70));
    core.network.stall(line, side, core.now, until);
    core.at(until, wake(line, side));
}
