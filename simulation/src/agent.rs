//! An agent's host: its process, which sees events, dies and starts again, and its clock.

use std::time::Duration;

use taskplane_agent::buffer::Buffer;
use taskplane_agent::connection::ReconnectTimes;
use taskplane_protocol::close::{Reconnect, reconnect};
use taskplane_protocol::frame::Hello;
use taskplane_protocol::limits::SEAL_AFTER;
use taskplane_protocol::version;

use crate::core::{AgentStep, Core, Step};
use crate::events::event;
use crate::execution::Execution;
use crate::failure::Violation;
use crate::home::Home;
use crate::link::{Courier, Ended, Link};
use crate::network::{Line, Side};
use crate::plan::AgentPlan;
use crate::trace::trace;
use crate::truth::{Stand, Truth};

/// How long an agent that stops tries to deliver what is left.
const DRAIN: Duration = Duration::from_secs(2);

pub(crate) struct Agent {
    at: usize,
    pub(crate) name: String,
    pub(crate) plan: AgentPlan,
    /// By how much its clock is wrong, in microseconds.
    skew: i64,
    /// Events that it will still see.
    left: u32,
    pub(crate) life: u32,
    /// The power has failed since the last process.
    power_failed: bool,
    process: Option<Process>,
}

struct Process {
    buffer: Buffer,
    stream: usize,
    execution: Execution,
    commands_seen: Vec<String>,
    /// Upper bound of the next wait before connecting.
    bound: Duration,
    link: Option<Link>,
    /// A connection that is being made.
    dialing: Option<Line>,
    is_stopping: bool,
    seals: u32,
    seal_is_set: bool,
}

impl Agent {
    pub(crate) fn new(at: usize, plan: AgentPlan, skew: i64) -> Self {
        let name = format!("agent-{}", plan.name);
        Self { at, name, plan, skew, left: plan.events, life: 0, power_failed: false, process: None }
    }

    pub(crate) fn step(&self, step: AgentStep) -> Step {
        Step::Agent { agent: self.at, life: self.life, step }
    }

    pub(crate) fn shift_clock(&mut self, by: i64) {
        self.skew = by;
    }

    /// True when everything that it saw has left it.
    pub(crate) fn is_done(&self, truth: &Truth) -> bool {
        self.left == 0
            && self.process.as_ref().is_some_and(|process| {
                let last = truth.streams[process.stream].last_to_deliver();
                !process.is_stopping && !process.buffer.has_pending() && process.buffer.acked() >= last
            })
    }

    pub(crate) fn stand(&self) -> String {
        match &self.process {
            None => "down".to_owned(),
            Some(process) => format!(
                "{} of {} acked, {:?}, {} events to come, connected: {}",
                process.buffer.acked(),
                process.buffer.last_sealed(),
                process.buffer.report(),
                self.left,
                process.link.is_some()
            ),
        }
    }

    /// A process starts.
    pub(crate) fn start(&mut self, core: &mut Core, home: &mut Home) -> Result<(), Violation> {
        let mut buffer = home.open(&self.name, &core.plan.buffer.clone(), &mut core.chance)?;
        let stream = core.truth.stream(&buffer.stream_id().to_string());
        core.truth.opened(stream, self.power_failed, &mut buffer)?;
        trace!(core, "agent {} starts with stream {stream}, sealed to {}", self.at, buffer.last_sealed());
        self.power_failed = false;
        self.process = Some(Process {
            buffer,
            stream,
            execution: Execution::new()?,
            commands_seen: Vec::new(),
            bound: ReconnectTimes::default().min,
            link: None,
            dialing: None,
            is_stopping: false,
            seals: 0,
            seal_is_set: false,
        });
        core.after(Duration::ZERO, self.step(AgentStep::Connect));
        self.await_event(core);
        Ok(())
    }

    fn await_event(&self, core: &mut Core) {
        if self.left > 0 {
            let wait = core.chance.time(Duration::from_millis(1), core.plan.pace);
            core.after(wait, self.step(AgentStep::Capture));
        }
    }

    /// Its engine sees something.
    pub(crate) fn capture(&mut self, core: &mut Core) -> Result<(), Violation> {
        let Some(process) = self.process.as_mut().filter(|process| !process.is_stopping) else { return Ok(()) };
        let events = core.chance.number(1, 5).min(u64::from(self.left)) as u32;
        for _ in 0..events {
            self.left -= 1;
            let ts = core.wall(self.skew);
            let text = event(core.truth.events.len(), core.plan.tasks, ts, &mut core.chance);
            let number = core.truth.captured(text.clone());
            let before = Stand::of(&process.buffer);
            process.buffer.append(ts, text.as_bytes());
            core.truth.written(process.stream, Some(number), before, &process.buffer)?;
        }
        let stand = (process.buffer.last_sealed(), process.buffer.report());
        trace!(core, "agent {} sees {events} events: {stand:?}", self.at);
        if !process.buffer.has_pending() {
            process.seal_is_set = false;
        } else if !process.seal_is_set {
            process.seal_is_set = true;
            process.seals += 1;
            let step = AgentStep::Seal(process.seals);
            core.after(SEAL_AFTER, Step::Agent { agent: self.at, life: self.life, step });
        }
        self.await_event(core);
        self.run(core)
    }

    pub(crate) fn seal(&mut self, core: &mut Core, number: u32) -> Result<(), Violation> {
        let Some(process) = self.process.as_mut().filter(|p| p.seal_is_set && p.seals == number) else { return Ok(()) };
        process.seal_is_set = false;
        process.seal(core)?;
        self.run(core)
    }

    /// Tries to connect; `is_there` says whether anybody listens.
    pub(crate) fn connect(&mut self, core: &mut Core, is_there: bool) {
        let step = |step| Step::Agent { agent: self.at, life: self.life, step };
        let Some(process) = self.process.as_mut().filter(|p| p.link.is_none() && p.dialing.is_none()) else { return };
        if !is_there {
            trace!(core, "agent {} finds no brain", self.at);
            let wait = process.backoff(core);
            return core.after(wait, step(AgentStep::Connect));
        }
        let line = core.network.connect();
        process.dialing = Some(line);
        let wait = core.network.latency(&mut core.chance);
        core.after(wait, step(AgentStep::Upgraded(line)));
    }

    /// The connection is there, if the brain still is.
    pub(crate) fn upgraded(&mut self, core: &mut Core, line: Line, is_there: bool) -> Result<(), Violation> {
        let step = self.step(AgentStep::Connect);
        let Some(process) = self.process.as_mut().filter(|process| process.dialing == Some(line)) else {
            return Ok(());
        };
        process.dialing = None;
        if !is_there {
            let wait = process.backoff(core);
            core.after(wait, step);
            return Ok(());
        }
        trace!(core, "agent {} is connected by {line:?}", self.at);
        let hello = Hello {
            protocol: version::CURRENT.into(),
            agent_name: self.name.clone(),
            instance_id: process.buffer.stream_id().to_string(),
            engines: vec!["celery".into()],
            ..Hello::default()
        };
        process.link = Some(Link::new(line, core.now));
        self.with_link(core, |link, core, courier| link.say_hello(core, courier, &hello))?;
        self.run(core)
    }

    pub(crate) fn tick(&mut self, core: &mut Core, line: Line) -> Result<(), Violation> {
        if let Some(link) = self.process.as_mut().and_then(|process| process.link.as_mut()).filter(|l| l.line == line) {
            link.tick();
            self.run(core)?;
        }
        Ok(())
    }

    /// Something may have come over a connection, or there is room again.
    pub(crate) fn look_at(&mut self, core: &mut Core, line: Line) -> Result<(), Violation> {
        if self.line() == Some(line) { self.run(core) } else { Ok(()) }
    }

    pub(crate) fn line(&self) -> Option<Line> {
        self.process.as_ref().and_then(|process| process.link.as_ref()).map(|link| link.line)
    }

    /// Its engine has finished the work of a command.
    pub(crate) fn executed(&mut self, core: &mut Core, number: usize) -> Result<(), Violation> {
        let well = core.chance.happens(0.8);
        let Some(process) = self.process.as_mut() else { return Ok(()) };
        process.execution.end(number, well);
        self.run(core)
    }

    /// Drives the connection as far as it goes now.
    fn run(&mut self, core: &mut Core) -> Result<(), Violation> {
        let Some(ended) = self.with_link(core, Link::run)?.flatten() else { return Ok(()) };
        trace!(core, "agent {}: the connection has ended: {ended:?}", self.at);
        if ended == Ended::Drained {
            core.truth.meet("an agent that stops with everything delivered");
        }
        let Some(process) = self.process.as_mut() else { return Ok(()) };
        let Some(link) = process.link.take() else { return Ok(()) };
        core.close(link.line, Side::Agent, false);
        if ended == Ended::Drained {
            return self.end(core, false);
        }
        let times = ReconnectTimes::default();
        if core.now - link.began >= times.healthy_after {
            process.bound = times.min;
        }
        let wait = match ended {
            Ended::Restart => Duration::ZERO,
            Ended::Closed(code) => match reconnect(code) {
                Reconnect::Backoff => process.backoff(core),
                Reconnect::LongBackoff => times.max.mul_f64(1.0 + core.chance.dice() / 2.0),
                stop => return Err(Violation::new(format!("agent {} was told to stop: {stop:?} {code:?}", self.at))),
            },
            Ended::Lost | Ended::Drained => process.backoff(core),
        };
        core.after(wait, self.step(AgentStep::Connect));
        Ok(())
    }

    fn with_link<T>(
        &mut self,
        core: &mut Core,
        act: impl FnOnce(&mut Link, &mut Core, &mut Courier<'_>) -> Result<T, Violation>,
    ) -> Result<Option<T>, Violation> {
        let Some(process) = self.process.as_mut() else { return Ok(None) };
        let Some(link) = process.link.as_mut() else { return Ok(None) };
        let mut courier = Courier {
            agent: self.at,
            life: self.life,
            stream: process.stream,
            buffer: &mut process.buffer,
            execution: &mut process.execution,
            commands_seen: &mut process.commands_seen,
            is_stopping: process.is_stopping,
        };
        act(link, core, &mut courier).map(Some)
    }

    /// Stops as SIGTERM does: seals, delivers for a while what is left, ends.
    pub(crate) fn stop(&mut self, core: &mut Core) -> Result<(), Violation> {
        let step = self.step(AgentStep::StopBy);
        let Some(process) = self.process.as_mut().filter(|process| !process.is_stopping) else { return Ok(()) };
        trace!(core, "agent {} stops", self.at);
        process.is_stopping = true;
        process.seal(core)?;
        core.after(DRAIN, step);
        self.run(core)
    }

    /// The process ends at once and starts again some time later. `killed` says that its connection may lose what was under
    /// way.
    pub(crate) fn end(&mut self, core: &mut Core, killed: bool) -> Result<(), Violation> {
        let Some(process) = self.process.take() else { return Ok(()) };
        trace!(core, "agent {} is gone", self.at);
        if let Some(link) = &process.link {
            let abruptly = killed && core.chance.happens(0.5);
            core.close(link.line, Side::Agent, abruptly);
        }
        self.life += 1;
        let wait = core.chance.time(Duration::from_millis(100), Duration::from_secs(60));
        core.after(wait, self.step(AgentStep::Start));
        Ok(())
    }

    /// The host is without power.
    pub(crate) fn lose_power(&mut self, core: &mut Core) -> Result<(), Violation> {
        self.power_failed = true;
        self.end(core, true)
    }
}

impl Process {
    fn seal(&mut self, core: &mut Core) -> Result<(), Violation> {
        let before = Stand::of(&self.buffer);
        self.buffer.seal();
        core.truth.written(self.stream, None, before, &self.buffer)
    }

    /// The next wait: anything from nothing to a bound that doubles.
    fn backoff(&mut self, core: &mut Core) -> Duration {
        let wait = self.bound.mul_f64(core.chance.dice());
        self.bound = (self.bound * 2).min(ReconnectTimes::default().max);
        wait
    }
}
