//! One seed from its beginning to its end.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::agent::Agent;
use crate::brain::Brain;
use crate::chance::Chance;
use crate::core::{AgentStep, BrainStep, Core, Step, WakeSide};
use crate::failure::{Violation, hold};
use crate::faults;
use crate::home::Home;
use crate::plan::Plan;
use crate::sabotage::Sabotage;
use crate::store::{Contents, Store};
use crate::trace::Trace;
use crate::truth::Fate;
use crate::verify::verify;

/// How long everything has to come to rest when the faults have stopped: several of the longest waits, one after the other.
const REST: Duration = Duration::from_secs(1_800);
/// Most steps of one seed; more means that something turns in circles.
const MOST_STEPS: u64 = 2_000_000;

pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) agents: Vec<Agent>,
    pub(crate) homes: Vec<Home>,
    pub(crate) brain: Brain,
    /// Nobody reaches the brain before.
    pub(crate) unreachable_until: Duration,
    orders: u32,
}

/// What came of a seed in which every promise was kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// A number that is the same when all steps were; meaningless when no trace was kept.
    pub trace: u64,
    /// Virtual time until everything had come to rest.
    pub took: Duration,
    /// Steps.
    pub steps: u64,
    /// Events that agents wrote into their buffers.
    pub captured: usize,
    /// Those that were stored.
    pub stored: usize,
    /// Those that a full buffer dropped and counted; some of them had been stored before.
    pub dropped: usize,
    /// Those that were not yet sealed when the power failed.
    pub lost_with_power: usize,
    /// Batches that the brain counted as lost.
    pub lost_batches: u64,
    /// Commands that were recorded.
    pub commands: usize,
    /// Commands that were executed.
    pub executed: usize,
    /// How often what makes a world interesting was met.
    pub met: BTreeMap<&'static str, u64>,
    /// Everything that is stored.
    pub contents: Contents,
}

impl World {
    pub(crate) fn new(seed: u64, trace: Trace, sabotage: Option<Sabotage>, store: Box<dyn Store>, dir: &Path) -> Self {
        let mut chance = Chance::new(seed);
        let plan = Plan::draw(&mut chance);
        let homes = plan.agents.iter().map(|agent| agent.home + 1).max().unwrap_or(0);
        let homes = (0..homes).map(|home| Home::new(dir.join(home.to_string()))).collect();
        let agents = plan.agents.iter().enumerate().map(|(at, agent)| {
            let skew = chance.number(0, 2 * plan.skew) as i64 - plan.skew as i64;
            Agent::new(at, *agent, skew)
        });
        let agents = agents.collect();
        let core = Core::new(plan, chance, trace, sabotage);
        Self { core, agents, homes, brain: Brain::new(store), unreachable_until: Duration::ZERO, orders: 0 }
    }

    pub(crate) fn run(&mut self) -> Result<Outcome, Violation> {
        self.begin();
        let mut steps = 0;
        let mut looked = Duration::ZERO;
        while let Some(step) = self.core.next_step() {
            steps += 1;
            hold!(steps < MOST_STEPS, "there is no end of steps");
            self.take(step)?;
            // At rest for a moment is not at rest: something may be under way.
            if self.core.now >= looked + Duration::from_secs(5) {
                looked = self.core.now;
                if self.is_at_rest() {
                    return self.end(steps);
                }
                let late = self.core.now > self.core.plan.faults_until + REST;
                hold!(!late, "it does not come to rest: {}", self.stands());
            }
        }
        Err(Violation::new(format!("nothing more happens, and it is not at rest: {}", self.stands())))
    }

    fn begin(&mut self) {
        let core = &mut self.core;
        core.at(Duration::ZERO, self.brain.step(BrainStep::Start));
        for agent in &self.agents {
            let wait = core.chance.time(Duration::from_micros(1), Duration::from_secs(2));
            core.after(wait, agent.step(AgentStep::Start));
        }
        for _ in 0..core.plan.commands {
            let at = core.plan.faults_until.mul_f64(core.chance.dice());
            core.at(at, Step::Order);
        }
        let first_fault = core.plan.fault_every.mul_f64(core.chance.dice());
        core.after(first_fault, Step::Fault);
    }

    fn take(&mut self, step: Step) -> Result<(), Violation> {
        let core = &mut self.core;
        match step {
            Step::Agent { agent, life, step } => {
                if self.agents[agent].life == life {
                    self.agent_step(agent, step)?;
                }
                Ok(())
            }
            Step::Brain { life, step } if self.brain.life == life => match step {
                BrainStep::Start => {
                    self.brain.start(core);
                    Ok(())
                }
                BrainStep::Written => self.brain.written(core),
                BrainStep::Gathered => self.brain.gathered(core),
                BrainStep::Retry => {
                    self.brain.retry(core);
                    Ok(())
                }
                BrainStep::Register(line) => {
                    self.brain.register(core, line);
                    Ok(())
                }
                BrainStep::Tick(line) => self.brain.tick(core, line),
                BrainStep::Blocked(line) => self.brain.run(core, line),
                BrainStep::Overdue => {
                    self.brain.overdue(core);
                    Ok(())
                }
            },
            Step::Brain { .. } => Ok(()),
            Step::Wake(line, WakeSide::Agent) => self.agents.iter_mut().try_for_each(|agent| agent.look_at(core, line)),
            Step::Wake(line, WakeSide::Brain) => self.brain.run(core, line),
            Step::Order => {
                self.order();
                Ok(())
            }
            Step::Fault => faults::strike(self),
        }
    }

    fn agent_step(&mut self, at: usize, step: AgentStep) -> Result<(), Violation> {
        let is_there = self.brain.is_running() && self.core.now >= self.unreachable_until;
        let (core, agent) = (&mut self.core, &mut self.agents[at]);
        match step {
            AgentStep::Start => agent.start(core, &mut self.homes[agent.plan.home]),
            AgentStep::Capture => agent.capture(core),
            AgentStep::Seal(number) => agent.seal(core, number),
            AgentStep::Connect => {
                agent.connect(core, is_there);
                Ok(())
            }
            AgentStep::Upgraded(line) => {
                if is_there {
                    self.brain.accept(core, line)?;
                }
                agent.upgraded(core, line, is_there)
            }
            AgentStep::Tick(line) => agent.tick(core, line),
            AgentStep::Blocked(line) => agent.look_at(core, line),
            AgentStep::Executed(number) => agent.executed(core, number),
            AgentStep::StopBy => agent.end(core, true),
        }
    }

    fn order(&mut self) {
        self.orders += 1;
        let core = &mut self.core;
        let kind = if core.chance.happens(0.15) { "restart" } else { "cancel" };
        let id = format!("{kind}-{}", self.orders);
        let names: Vec<String> = self.agents.iter().map(|agent| agent.name.clone()).collect();
        let agent = core.chance.pick(&names).filter(|_| core.chance.happens(0.6));
        self.brain.order(core, &id, agent);
    }

    fn is_at_rest(&self) -> bool {
        self.core.now > self.core.plan.faults_until
            && self.brain.is_idle()
            && self.agents.iter().all(|agent| agent.is_done(&self.core.truth))
    }

    fn stands(&self) -> String {
        let agents: Vec<String> = self.agents.iter().map(Agent::stand).collect();
        format!("agents: {agents:?}, brain up: {}, idle: {}", self.brain.is_running(), self.brain.is_idle())
    }

    fn end(&mut self, steps: u64) -> Result<Outcome, Violation> {
        let contents = self.brain.store.contents();
        let truth = &self.core.truth;
        verify(truth, &contents, &mut self.core.chance)?;
        let with = |fate| truth.events.iter().filter(|event| event.fate == fate).count();
        let stored = truth.streams.iter().flat_map(|s| s.batches.values()).filter(|b| b.stored);
        Ok(Outcome {
            trace: self.core.trace.hash(),
            took: self.core.now,
            steps,
            captured: truth.events.len(),
            stored: stored.map(|batch| batch.events.len()).sum(),
            dropped: with(Fate::Dropped),
            lost_with_power: with(Fate::LostWithPower),
            lost_batches: contents.agents.values().map(|(lost, _)| lost).sum(),
            commands: contents.commands.len(),
            executed: truth.executed.len(),
            met: truth.met.clone(),
            contents,
        })
    }

    pub(crate) fn into_trace(self) -> Vec<String> {
        self.core.trace.into_lines()
    }
}
