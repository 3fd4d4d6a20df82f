//! The brain's process: connections, the one writer of its store, commands, and its deaths.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use taskplane_model::command::{Command, CommandOutcome};
use taskplane_protocol::close::CloseCode;
use taskplane_protocol::session::GatewayInput;
use taskplane_store::ingest::{OpenedStream, StreamToOpen, Verdict};

use crate::connection::{Connection, OUTBOX, Parts};
use crate::core::{BrainStep, Core, Step};
use crate::failure::Violation;
use crate::ingest::{FIRST_PAUSE, GATHER, Ingest, LONGEST_PAUSE, Waiting};
use crate::network::{Line, Side};
use crate::router::{self, Router, TIME_LIMIT};
use crate::sabotage::Sabotage;
use crate::store::Store;
use crate::trace::trace;
use crate::truth::Raw;

/// How long a store that cannot be written is given to register a stream …
const REGISTER_WITHIN: Duration = Duration::from_secs(5);
/// … and how long it is left alone in between.
const REGISTER_PAUSE: Duration = Duration::from_millis(250);

/// A transaction that waits for the writer, and who waits for it.
pub(crate) enum Job {
    Open { line: Line, stream: StreamToOpen },
    Record(Vec<Waiting>),
    Create { command: Box<Command>, target: Option<Line> },
    Sent { id: String, agent: String, line: Line },
    Finish { id: String, outcome: CommandOutcome, waits: Option<Line> },
}

/// What a connection is told of the batch with a number: up to where its stream is stored, unless it was refused.
type Answer = (Line, u64, Result<u64, ()>);

/// What came of a transaction; nothing where the store failed.
enum Done {
    Opened { line: Line, opened: Option<OpenedStream> },
    Recorded { answers: Vec<Answer> },
    Refused(Vec<Waiting>),
    Created { id: String, target: Option<Line>, agent: Option<String>, recorded: bool },
    Sent { id: String, line: Line, recorded: bool },
    Finished { id: String, waits: Option<Line> },
}

struct Running {
    connections: BTreeMap<Line, Connection>,
    /// The connection that a stream has now.
    by_stream: BTreeMap<u64, Line>,
    opened: u64,
    ingest: Ingest,
    router: Router,
    jobs: VecDeque<Job>,
    is_writing: bool,
}

pub(crate) struct Brain {
    pub(crate) store: Box<dyn Store>,
    pub(crate) life: u32,
    running: Option<Running>,
    /// Until then transactions fail, with that probability.
    pub(crate) fails_until: (Duration, f64),
    /// Transactions take longer until then, by a factor.
    pub(crate) slow_until: (Duration, u32),
    /// Streams, and names of their agents, by the store's number of them.
    streams: BTreeMap<u64, (usize, String)>,
}

impl Brain {
    pub(crate) fn new(store: Box<dyn Store>) -> Self {
        Self {
            store,
            life: 0,
            running: None,
            fails_until: (Duration::ZERO, 0.0),
            slow_until: (Duration::ZERO, 1),
            streams: BTreeMap::new(),
        }
    }

    pub(crate) fn step(&self, step: BrainStep) -> Step {
        Step::Brain { life: self.life, step }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// True when nothing is under way in it.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.jobs.is_empty() && running.router.is_idle())
    }

    /// The process starts. What a former run left open is ended first; without a store it does not start at all.
    pub(crate) fn start(&mut self, core: &mut Core) {
        if self.fails(core) {
            trace!(core, "brain does not start without its store");
            return core.after(Duration::from_secs(1), self.step(BrainStep::Start));
        }
        trace!(core, "brain starts");
        self.store.restart();
        self.store.abandon_open_commands(core.wall(0));
        core.truth.unrecorded.clear();
        self.running = Some(Running {
            connections: BTreeMap::new(),
            by_stream: BTreeMap::new(),
            opened: 0,
            ingest: Ingest::new(core.plan.memory),
            router: Router::default(),
            jobs: VecDeque::new(),
            is_writing: false,
        });
    }

    /// A connection comes in.
    pub(crate) fn accept(&mut self, core: &mut Core, line: Line) -> Result<(), Violation> {
        if let Some(running) = &mut self.running {
            running.connections.insert(line, Connection::new(line, core.now));
        }
        self.run(core, line)
    }

    pub(crate) fn tick(&mut self, core: &mut Core, line: Line) -> Result<(), Violation> {
        if let Some(connection) = self.running.as_mut().and_then(|running| running.connections.get_mut(&line)) {
            connection.tick_is_due = true;
        }
        self.run(core, line)
    }

    /// Drives one connection as far as it goes now.
    pub(crate) fn run(&mut self, core: &mut Core, line: Line) -> Result<(), Violation> {
        let life = self.life;
        let Some(running) = self.running.as_mut() else { return Ok(()) };
        let Some(mut connection) = running.connections.remove(&line) else { return Ok(()) };
        let (is_alive, lines) = running.drive(core, life, &mut connection)?;
        if is_alive {
            running.connections.insert(line, connection);
        } else {
            running.ended(core, &connection);
        }
        self.write_next(core);
        lines.into_iter().filter(|other| *other != line).try_for_each(|other| self.run(core, other))
    }

    /// The writer begins with the next transaction.
    fn write_next(&mut self, core: &mut Core) {
        let step = self.step(BrainStep::Written);
        let (slow_until, factor) = self.slow_until;
        let Some(running) = self.running.as_mut().filter(|r| !r.is_writing && !r.jobs.is_empty()) else { return };
        running.is_writing = true;
        let time = core.chance.time(core.plan.transaction.0, core.plan.transaction.1);
        core.after(if core.now < slow_until { time * factor } else { time }, step);
    }

    /// A transaction has come to its end.
    pub(crate) fn written(&mut self, core: &mut Core) -> Result<(), Violation> {
        let Some(running) = self.running.as_mut() else { return Ok(()) };
        running.is_writing = false;
        let Some(job) = running.jobs.pop_front() else { return Ok(()) };
        let done = self.perform(core, job)?;
        let awake = self.go_on(core, done)?;
        self.write_next(core);
        awake.into_iter().try_for_each(|line| self.run(core, line))
    }

    fn fails(&self, core: &mut Core) -> bool {
        let (until, probability) = self.fails_until;
        core.now < until && core.chance.happens(probability)
    }

    /// Commits one transaction, or fails to.
    fn perform(&mut self, core: &mut Core, job: Job) -> Result<Done, Violation> {
        let fails = self.fails(core);
        let now = core.wall(0);
        Ok(match job {
            Job::Open { line, stream } => {
                let number = (core.truth.stream(&stream.instance_id), stream.agent_name.clone());
                let opened = (!fails).then(|| self.store.open_stream(stream, now));
                if let Some(opened) = opened {
                    self.streams.insert(opened.stream, number);
                }
                Done::Opened { line, opened }
            }
            Job::Record(group) => self.record(core, group, fails)?,
            Job::Create { command, target } => {
                let (id, agent) = (command.id.clone(), command.agent.clone());
                if !fails {
                    self.store.create_command(*command);
                }
                Done::Created { id, target, agent, recorded: !fails }
            }
            Job::Sent { id, agent, line } => {
                if fails {
                    core.truth.unrecorded.insert(id.clone());
                }
                // What is not pending any more must not be sent.
                let recorded = !fails && self.store.command_sent(&id, &agent);
                Done::Sent { id, line, recorded }
            }
            Job::Finish { id, outcome, waits } => {
                trace!(core, "{id} ends as {}, recorded: {}", outcome.status.name(), !fails);
                if fails {
                    core.truth.unrecorded.insert(id.clone());
                } else {
                    self.store.finish_command(&id, outcome, now);
                }
                Done::Finished { id, waits }
            }
        })
    }

    fn record(&mut self, core: &mut Core, group: Vec<Waiting>, fails: bool) -> Result<Done, Violation> {
        if fails {
            trace!(core, "brain cannot store {} batches", group.len());
            if core.is(Sabotage::AckWhatFailed) {
                let answers = group.iter().map(|w| (w.line, w.ticket, Ok(w.batch.seq))).collect();
                self.leave_memory(&group);
                return Ok(Done::Recorded { answers });
            }
            // A database may commit and fail to say so.
            if core.chance.happens(0.2) {
                self.commit(core, &group)?;
            }
            return Ok(Done::Refused(group));
        }
        let answers = self.commit(core, &group)?;
        self.leave_memory(&group);
        Ok(Done::Recorded { answers })
    }

    fn leave_memory(&mut self, group: &[Waiting]) {
        if let Some(running) = &mut self.running {
            running.ingest.done(group);
            running.ingest.failing_since = None;
        }
    }

    fn commit(&mut self, core: &mut Core, group: &[Waiting]) -> Result<Vec<Answer>, Violation> {
        let recorded = self.store.record_batches(group.iter().map(|waiting| waiting.batch.clone()).collect());
        let mut answers = Vec::with_capacity(group.len());
        for (Waiting { line, ticket, batch, .. }, (verdict, last)) in group.iter().zip(recorded.batches) {
            let seq = batch.seq;
            trace!(core, "brain has stored batch {seq} of stream {}: {verdict:?}, now at {last}", batch.stream);
            let opened = self.streams.get(&batch.stream).cloned();
            let (stream, agent) = opened.ok_or_else(|| Violation::new("a batch of a stream that was never opened"))?;
            match verdict {
                Verdict::Stored { lost } => {
                    let (received_at, compressed) = (batch.received_at, batch.compressed.clone());
                    core.truth.stored(Raw { stream, agent, seq, received_at, compressed }, lost)?;
                }
                Verdict::Replay => core.truth.meet("a replayed batch"),
                Verdict::Conflict => {
                    return Err(Violation::new(format!("batch {seq} of stream {stream} came again with other events")));
                }
            }
            answers.push((*line, *ticket, Ok(last)));
        }
        Ok(answers)
    }

    /// Tells whoever waits for a transaction. Returns the connections that can go on.
    fn go_on(&mut self, core: &mut Core, done: Done) -> Result<Vec<Line>, Violation> {
        let life = self.life;
        let Some(running) = self.running.as_mut() else { return Ok(Vec::new()) };
        match done {
            Done::Opened { line, opened } => running.opened(core, life, line, opened),
            Done::Recorded { answers } => running.answer(core, life, answers),
            Done::Refused(group) => {
                let since = *running.ingest.failing_since.get_or_insert(core.now);
                if core.now - since >= core.plan.patience {
                    core.truth.meet("a group that was given up");
                    if core.is(Sabotage::StoresBehindRefused) {
                        running.ingest.done(&group);
                    } else {
                        running.ingest.refuse(&group);
                    }
                    let answers = group.iter().map(|w| (w.line, w.ticket, Err(()))).collect();
                    return running.answer(core, life, answers);
                }
                let pause = running.ingest.held.take().map_or(FIRST_PAUSE, |(_, pause)| LONGEST_PAUSE.min(2 * pause));
                running.ingest.held = Some((group, pause));
                core.after(pause, Step::Brain { life, step: BrainStep::Retry });
                Ok(Vec::new())
            }
            Done::Created { id, target, agent, recorded } => {
                let target = target.filter(|_| recorded);
                match target {
                    Some(line) => running.jobs.push_back(Job::Sent { id, agent: agent.unwrap_or_default(), line }),
                    None if recorded => running.fail(id, "agent_not_connected"),
                    None => {}
                }
                Ok(Vec::new())
            }
            Done::Sent { id, line, recorded } if recorded => Ok(running.deliver(core, life, id, line)),
            Done::Sent { .. } => Ok(Vec::new()),
            Done::Finished { id, waits } => {
                running.router.forget(&id);
                let waiting = waits.and_then(|line| running.connections.get_mut(&line));
                Ok(waiting.map(|connection| connection.awaits_store = false).and(waits).into_iter().collect())
            }
        }
    }

    /// A group is complete.
    pub(crate) fn gathered(&mut self, core: &mut Core) -> Result<(), Violation> {
        let life = self.life;
        let Some(running) = self.running.as_mut() else { return Ok(()) };
        let group = running.ingest.gathered();
        if group.is_empty() {
            running.ingest.done(&[]);
        } else {
            running.jobs.push_back(Job::Record(group));
        }
        let awake = running.let_in(core, life)?;
        self.write_next(core);
        awake.into_iter().try_for_each(|line| self.run(core, line))
    }

    /// A group that the store refused is tried again.
    pub(crate) fn retry(&mut self, core: &mut Core) {
        let Some(running) = self.running.as_mut() else { return };
        if let Some((group, pause)) = running.ingest.held.take() {
            running.ingest.held = Some((Vec::new(), pause));
            running.jobs.push_back(Job::Record(group));
        }
        self.write_next(core);
    }

    /// A stream whose registration failed is tried again.
    pub(crate) fn register(&mut self, core: &mut Core, line: Line) {
        let Some(running) = self.running.as_mut() else { return };
        let registering = running.connections.get(&line).and_then(|connection| connection.registering.as_ref());
        if let Some(stream) = registering.map(|registering| registering.stream.clone()) {
            running.jobs.push_back(Job::Open { line, stream });
        }
        self.write_next(core);
    }

    /// People give a command, to an agent by name or to any.
    pub(crate) fn order(&mut self, core: &mut Core, id: &str, agent: Option<String>) {
        let Some(running) = self.running.as_mut() else { return };
        let target = running
            .connections
            .values()
            .filter_map(|c| c.open.as_ref().map(|open| (open.number, c.line, open.agent_name.clone())))
            .filter(|(_, _, name)| agent.as_ref().is_none_or(|wanted| wanted == name))
            .max();
        let name = target.as_ref().map(|(_, _, name)| name.clone()).or(agent);
        trace!(core, "people give {id} for {name:?}");
        let command = Box::new(router::row(id, name, core.wall(0)));
        running.jobs.push_back(Job::Create { command, target: target.map(|(_, line, _)| line) });
        self.write_next(core);
    }

    pub(crate) fn overdue(&mut self, core: &mut Core) {
        let Some(running) = self.running.as_mut() else { return };
        for (id, outcome) in running.router.overdue(core.now) {
            running.jobs.push_back(Job::Finish { id, outcome, waits: None });
        }
        self.write_next(core);
    }

    /// The process is killed. The transaction that is being written is committed or not.
    pub(crate) fn kill(&mut self, core: &mut Core) -> Result<(), Violation> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        trace!(core, "brain is killed");
        if let Some(job) = running.jobs.pop_front().filter(|_| running.is_writing && core.chance.happens(0.5)) {
            self.perform(core, job)?;
        }
        self.gone(core, &running, 0.5);
        Ok(())
    }

    /// Stops as SIGTERM does: says good-bye to everybody, and writes what it has taken.
    pub(crate) fn stop(&mut self, core: &mut Core) -> Result<(), Violation> {
        let life = self.life;
        let Some(mut running) = self.running.take() else { return Ok(()) };
        trace!(core, "brain stops");
        let connections = std::mem::take(&mut running.connections);
        for mut connection in connections.into_values() {
            let mut parts = running.parts(life);
            if !connection.awaits_store {
                connection.feed(
                    core,
                    &mut parts,
                    GatewayInput::Close(CloseCode::GoingAway, "the brain is stopping"),
                )?;
                connection.run(core, &mut parts)?;
            }
            running.ended(core, &connection);
        }
        if let Some((group, _)) = running.ingest.held.take() {
            running.ingest.refuse(&group);
        }
        loop {
            if let Some(job) = running.jobs.pop_front() {
                // A group that fails now is not tried again, and nothing that comes behind it.
                if matches!(job, Job::Record(_)) && core.now < self.fails_until.0 {
                    break;
                }
                self.perform(core, job)?;
                continue;
            }
            let group = running.ingest.gathered();
            if group.is_empty() {
                break;
            }
            running.jobs.push_back(Job::Record(group));
        }
        self.gone(core, &running, 0.0);
        Ok(())
    }

    fn gone(&mut self, core: &mut Core, running: &Running, abruptly: f64) {
        for line in running.connections.keys() {
            let abruptly = core.chance.happens(abruptly);
            core.close(*line, Side::Brain, abruptly);
        }
        self.life += 1;
        let wait = core.chance.time(Duration::from_millis(100), Duration::from_secs(60));
        core.after(wait, self.step(BrainStep::Start));
    }
}

impl Running {
    fn parts(&mut self, life: u32) -> Parts<'_> {
        Parts { life, ingest: &mut self.ingest, router: &mut self.router, jobs: &mut self.jobs }
    }

    /// Drives a connection, which is out of the map meanwhile. Returns whether it lives, and who else can go on.
    fn drive(
        &mut self,
        core: &mut Core,
        life: u32,
        connection: &mut Connection,
    ) -> Result<(bool, Vec<Line>), Violation> {
        let mut awake = Vec::new();
        loop {
            if !connection.run(core, &mut self.parts(life))? {
                return Ok((false, awake));
            }
            if !connection.is_handing {
                return Ok((true, awake));
            }
            let admitted = self.let_in(core, life)?;
            let goes_on = admitted.contains(&connection.line);
            awake.extend(admitted);
            if !goes_on {
                return Ok((true, awake));
            }
            connection.is_handing = false;
        }
    }

    /// Lets batches into the memory, and has a group gather.
    fn let_in(&mut self, core: &mut Core, life: u32) -> Result<Vec<Line>, Violation> {
        let admitted = self.ingest.let_in(core.is(Sabotage::UnboundedMemory))?;
        for line in &admitted {
            if let Some(connection) = self.connections.get_mut(line) {
                connection.is_handing = false;
            }
        }
        if self.ingest.begins() {
            core.after(GATHER, Step::Brain { life, step: BrainStep::Gathered });
        }
        Ok(admitted)
    }

    /// Batches are stored, or given up: their connections can answer.
    fn answer(&mut self, core: &mut Core, life: u32, answers: Vec<Answer>) -> Result<Vec<Line>, Violation> {
        self.ingest.held = None;
        let mut awake = self.let_in(core, life)?;
        for (line, ticket, answer) in answers {
            let Some(connection) = self.connections.get_mut(&line) else { continue };
            connection.storing.iter_mut().filter(|(t, _)| *t == ticket).for_each(|(_, a)| *a = Some(answer));
            awake.push(line);
        }
        awake.sort_unstable();
        awake.dedup();
        Ok(awake)
    }

    fn opened(
        &mut self,
        core: &mut Core,
        life: u32,
        line: Line,
        opened: Option<OpenedStream>,
    ) -> Result<Vec<Line>, Violation> {
        let Some(mut connection) = self.connections.remove(&line) else { return Ok(Vec::new()) };
        let mut awake = vec![line];
        match opened {
            Some(opened) => {
                self.opened += 1;
                if let Some(old) = self.by_stream.insert(opened.stream, line)
                    && let Some(old) = self.connections.get_mut(&old)
                {
                    core.truth.meet("a superseded connection");
                    old.closing = Some((CloseCode::Superseded, "a newer connection of the same stream took over"));
                    awake.push(old.line);
                }
                let number = self.opened;
                connection.opened(core, &mut self.parts(life), opened, number)?;
                if core.is(Sabotage::CommandSentAgain) {
                    connection.commands.extend(self.router.take_lost().iter().map(|id| router::frame(id)));
                }
            }
            None if connection.registering.as_ref().is_some_and(|r| core.now < r.since + REGISTER_WITHIN) => {
                core.after(REGISTER_PAUSE, Step::Brain { life, step: BrainStep::Register(line) });
            }
            None => {
                connection.awaits_store = false;
                let input =
                    GatewayInput::Close(CloseCode::Overloaded, "the brain cannot register agents at the moment");
                connection.feed(core, &mut self.parts(life), input)?;
            }
        }
        self.connections.insert(line, connection);
        Ok(awake)
    }

    /// A command is recorded as sent: it goes into the connection's outbox, if that is still there.
    fn deliver(&mut self, core: &mut Core, life: u32, id: String, line: Line) -> Vec<Line> {
        let Some(connection) = self.connections.get_mut(&line) else {
            self.fail(id, "agent_not_connected");
            return Vec::new();
        };
        if connection.commands.len() >= OUTBOX {
            self.fail(id, "busy");
            return Vec::new();
        }
        connection.commands.push_back(router::frame(&id));
        self.router.opened(&id, line, core.now + TIME_LIMIT);
        let duty = core.chance.time(Duration::from_millis(1), Duration::from_millis(500));
        core.after(TIME_LIMIT + duty, Step::Brain { life, step: BrainStep::Overdue });
        vec![line]
    }

    fn fail(&mut self, id: String, error: &str) {
        let outcome = CommandOutcome::failed(error, "nothing was sent");
        self.jobs.push_back(Job::Finish { id, outcome, waits: None });
    }

    /// A connection has ended.
    fn ended(&mut self, core: &mut Core, connection: &Connection) {
        let line = connection.line;
        trace!(core, "brain has no {line:?} any more");
        core.close(line, Side::Brain, false);
        self.ingest.forget(line);
        if let Some(open) = &connection.open
            && self.by_stream.get(&open.stream) == Some(&line)
        {
            self.by_stream.remove(&open.stream);
        }
        for (id, outcome) in self.router.connection_lost(line, core.sabotage) {
            self.jobs.push_back(Job::Finish { id, outcome, waits: None });
        }
    }
}
