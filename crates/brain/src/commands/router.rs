use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taskplane_model::command::{Command, CommandOutcome, CommandStatus};
use taskplane_protocol::frame::{self, CommandResult, commands};
use taskplane_store::{Store, StoreError};
use tokio::sync::Notify;

use super::endings::{Ending, WaitingEndings};
use super::schedules::ScheduleChange;
use super::{known, target};
use crate::api::types;
use crate::clock;
use crate::gateway::{Connections, Delivery, Target};
use crate::live::{LiveHub, Topic};
use crate::replicas::{Message, Replicas};

/// Most commands that wait for an answer.
const MAX_OPEN: usize = 10_000;
/// How often the store is asked for the end of a command that another brain has sent.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// What stands in a kept command where a person's own values were.
const NOT_KEPT: &str = "<not kept>";

/// A command as it is asked for; its arguments have been checked.
#[derive(Clone, Debug)]
pub struct CommandRequest {
    /// Project.
    pub project: u64,
    /// Wire name.
    pub cmd: String,
    /// Arguments.
    pub args: Value,
    /// The agent it must go to.
    pub agent: Option<String>,
    /// Two requests with one key are one command.
    pub idempotency_key: Option<String>,
    /// Who asks.
    pub created_by: String,
}

/// Why a command was not even recorded.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Too many commands are waiting for answers.
    #[error("too many commands are waiting for answers; try again later")]
    Busy,
    /// Another command has this idempotency key.
    #[error("another command was given with this idempotency key; use a new key for a new command")]
    KeyInUse,
    /// Agents that see different schedulers of one name are connected.
    #[error(
        "{} see different schedulers that are all called {scheduler}; name one of them as \"agent\"",
        agents.join(" and ")
    )]
    WhichAgent {
        /// The schedulers' name.
        scheduler: String,
        /// Names of the agents.
        agents: Vec<String>,
    },
    /// The store could not record it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Records commands, sends them, and ends them. Cheap to clone.
#[derive(Clone)]
pub struct CommandRouter {
    pub(super) store: Arc<dyn Store>,
    pub(super) connections: Connections,
    pub(super) replicas: Replicas,
    live: LiveHub,
    open: Arc<Mutex<HashMap<String, OpenCommand>>>,
    waiting: WaitingEndings,
}

/// A command that was recorded and whose end is not.
#[derive(Clone)]
pub(super) struct OpenCommand {
    pub(super) project: u64,
    engine: String,
    task_id: Option<String>,
    schedule: Option<ScheduleChange>,
    pub(super) way: Way,
    pub(super) deadline: Instant,
    /// The brain that it was given to, and that has to know of its end, if not this one.
    pub(super) origin: Option<u32>,
    /// Its end is being recorded: it cannot end another way, and who waits for it still waits.
    ending: bool,
    ended: Arc<Notify>,
}

/// Where a command was handed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A connection of this brain.
    Connection(u64),
    /// Another brain, which has the agent.
    Replica(u32),
}

impl OpenCommand {
    pub(super) fn new(request: &CommandRequest, way: Way, time: Duration, origin: Option<u32>) -> Self {
        let text = |key: &str| request.args.get(key).and_then(Value::as_str).map(str::to_owned);
        Self {
            project: request.project,
            engine: text("engine").unwrap_or_default(),
            task_id: text("task_id"),
            schedule: ScheduleChange::of(request),
            way,
            deadline: Instant::now() + time,
            origin,
            ending: false,
            ended: Arc::new(Notify::new()),
        }
    }
}

impl CommandRouter {
    pub(crate) fn new(store: Arc<dyn Store>, connections: Connections, replicas: Replicas, live: LiveHub) -> Self {
        Self { store, connections, replicas, live, open: Arc::default(), waiting: WaitingEndings::default() }
    }

    /// Records a command and sends it. What comes back may have failed already, for instance because no agent is there.
    ///
    /// # Errors
    /// When nothing was recorded.
    pub async fn submit(&self, request: CommandRequest) -> Result<Command, SubmitError> {
        self.submit_as(uuid::Uuid::now_v7().to_string(), request).await
    }

    /// As [`Self::submit`], under an id that was noted elsewhere before. When a command with that id was recorded already, this is
    /// an error of the store, and nothing is sent.
    ///
    /// # Errors
    /// When nothing was recorded.
    pub(crate) async fn submit_as(&self, id: String, request: CommandRequest) -> Result<Command, SubmitError> {
        if self.is_busy() {
            return Err(SubmitError::Busy);
        }
        let target = target::choose(&*self.store, &self.connections, &self.replicas, &request).await?;
        let command = Command {
            id,
            cmd: request.cmd.clone(),
            args: kept_args(&request.args),
            agent: target.as_ref().map(|t| t.agent_name.clone()).or_else(|| request.agent.clone()),
            status: CommandStatus::Pending,
            result: None,
            error: None,
            message: None,
            created_at: clock::now(),
            finished_at: None,
            created_by: request.created_by.clone(),
            task_id: request.args.get("task_id").and_then(Value::as_str).map(str::to_owned),
        };
        let key = request.idempotency_key.clone();
        let id = command.id.clone();
        let created = self.store.create_command(request.project, command, key).await;
        // When the store fails, it may have recorded the command all the same.
        let (command, is_new) = created.inspect_err(|error| self.not_sent(request.project, &id, error))?;
        if !is_new {
            let is_same = command.cmd == request.cmd && command.args == kept_args(&request.args);
            return if is_same { Ok(command) } else { Err(SubmitError::KeyInUse) };
        }
        self.tell(request.project, &command);
        let args = known::with_known(&*self.store, &request).await;
        let request = CommandRequest { args, ..request };
        match target {
            Some(target) => match target.replica {
                None => self.send(request, command, target).await,
                Some(replica) => self.forward(request, command, target, replica).await,
            },
            None => {
                let outcome = CommandOutcome::failed("agent_not_connected", not_connected(&request));
                self.end(request.project, command, outcome).await
            }
        }
    }

    /// Waits until a command has ended, at most `at_most`; returns it as it then stands, or `None` when there is no such
    /// command.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn wait(&self, project: u64, id: &str, at_most: Duration) -> Result<Option<Command>, StoreError> {
        let until = Instant::now() + at_most;
        loop {
            let ended = self.lock().get(id).map(|open| Arc::clone(&open.ended));
            if let Some(ended) = ended {
                let notified = ended.notified();
                // It may have ended before we began to listen.
                if self.lock().contains_key(id) {
                    let _ = tokio::time::timeout_at(until.into(), notified).await;
                }
            }
            let command = self.store.command(project, id).await?;
            let is_open = command.as_ref().is_some_and(|command| !command.status.is_final());
            if !is_open || Instant::now() >= until {
                return Ok(command);
            }
            // Another brain on this database has it.
            let pause = ASK_AGAIN.min(until.saturating_duration_since(Instant::now()));
            tokio::time::sleep(pause).await;
        }
    }

    /// Takes in an agent's answer.
    pub(crate) async fn answered(&self, connection: u64, result: CommandResult) {
        let known = self.lock().get(&result.cmd_id).is_some_and(|open| open.way == Way::Connection(connection));
        if !known {
            tracing::debug!(cmd_id = %result.cmd_id, "an answer to no open command was ignored");
            return;
        }
        let Some(open) = self.claim(&result.cmd_id) else { return };
        if let Some(change) = open.schedule.as_ref().filter(|_| result.ok) {
            // Whoever looks when the command has ended sees what it has done.
            let agent = self.connections.targets(open.project, |target| target.connection == connection).pop();
            change.keep(&*self.store, open.project, agent, result.result.as_ref()).await;
        }
        let retried = if result.ok { retried_tasks(&open, result.result.as_ref()) } else { Vec::new() };
        let outcome = if result.ok {
            CommandOutcome {
                status: CommandStatus::Succeeded,
                result: Some(result.result.unwrap_or(Value::Null)),
                error: None,
                message: result.message,
            }
        } else {
            CommandOutcome {
                status: CommandStatus::Failed,
                result: result.result,
                error: Some(result.error.unwrap_or_else(|| "engine_error".into())),
                message: result.message,
            }
        };
        self.finish(Ending { project: open.project, id: result.cmd_id, outcome, retried }).await;
    }

    /// Ends what was sent over a connection that is gone: nobody knows what became of it.
    pub(crate) async fn connection_lost(&self, connection: u64) {
        let ids = self.ids_where(|open| open.way == Way::Connection(connection));
        for id in ids {
            let Some(open) = self.claim(&id) else { continue };
            let message = "the agent went away before it answered; the command may have been executed";
            let outcome = CommandOutcome::uncertain(CommandStatus::Unknown, message);
            self.finish(Ending { project: open.project, id, outcome, retried: Vec::new() }).await;
        }
    }

    /// Ends commands whose time is up.
    pub(crate) async fn end_overdue(&self) {
        let now = Instant::now();
        let ids = self.ids_where(|open| open.deadline <= now);
        for id in ids {
            let Some(open) = self.claim(&id) else { continue };
            if let Way::Replica(_) = open.way {
                self.withdraw(open.project, &id).await;
                continue;
            }
            let message = "the agent did not answer in time; the command may have been executed";
            let outcome = CommandOutcome::uncertain(CommandStatus::TimedOut, message);
            self.finish(Ending { project: open.project, id, outcome, retried: Vec::new() }).await;
        }
    }

    /// Records the ends that the store could not take before, as far as it takes them now.
    pub(crate) async fn record_waiting_ends(&self) {
        while let Some(ending) = self.waiting.pop() {
            if let Err((ending, _)) = self.record(ending).await {
                return self.waiting.put_back(ending);
            }
        }
    }

    async fn send(&self, request: CommandRequest, command: Command, target: Target) -> Result<Command, SubmitError> {
        // Recorded as sent before it is: should the brain die in between, the outcome is unknown, and it is not sent again.
        let recorded = self.store.command_sent(request.project, &command.id, &target.agent_name).await;
        if !recorded.inspect_err(|error| self.not_sent(request.project, &command.id, error))? {
            // This brain was slow, and the others took it for gone.
            return Ok(self.store.command(request.project, &command.id).await?.unwrap_or(command));
        }
        self.deliver(request, command, target, None).await
    }

    /// Hands a command that is recorded as sent to its connection.
    pub(super) async fn deliver(
        &self,
        request: CommandRequest,
        command: Command,
        target: Target,
        origin: Option<u32>,
    ) -> Result<Command, SubmitError> {
        let way = Way::Connection(target.connection);
        self.opened(&command.id, OpenCommand::new(&request, way, time_limit(&request), origin));
        let frame = frame::Command { cmd_id: command.id.clone(), cmd: request.cmd, args: request.args };
        let failure = match self.connections.deliver(target.connection, frame) {
            Delivery::Done => {
                let sent = Command { status: CommandStatus::Sent, ..command };
                self.tell(request.project, &sent);
                return Ok(sent);
            }
            Delivery::Gone => {
                CommandOutcome::failed("agent_not_connected", "the agent has just gone away; nothing was sent")
            }
            Delivery::Full => {
                CommandOutcome::failed("busy", "too many commands are waiting for this agent; nothing was sent")
            }
        };
        let id = command.id.clone();
        self.claim(&id);
        let ended = self.end(request.project, command, failure).await;
        self.forget(&id);
        ended
    }

    pub(super) async fn end(
        &self,
        project: u64,
        command: Command,
        outcome: CommandOutcome,
    ) -> Result<Command, SubmitError> {
        let ended = self.store.finish_command(project, &command.id, outcome.clone(), Vec::new(), clock::now()).await;
        let ended = ended.inspect_err(|error| {
            if error.is_retryable() {
                self.waiting.push(Ending { project, id: command.id.clone(), outcome, retried: Vec::new() });
            }
        })?;
        let command = ended.unwrap_or(command);
        self.tell(project, &command);
        Ok(command)
    }

    /// Ends a command that was sent. While the store cannot take it the command stays open, and who waits for it waits.
    async fn finish(&self, ending: Ending) {
        if let Err((ending, error)) = self.record(ending).await {
            tracing::warn!(%error, id = ending.id, "the end of a command is recorded when the store can be written again");
            self.waiting.push(ending);
        }
    }

    /// Records an end. Gives it back when the store may take it later.
    async fn record(&self, ending: Ending) -> Result<(), (Ending, StoreError)> {
        let Ending { project, id, outcome, retried } = ending.clone();
        match self.store.finish_command(project, &id, outcome, retried, clock::now()).await {
            Ok(Some(command)) => self.tell(project, &command),
            Ok(None) => {}
            Err(error) if error.is_retryable() => return Err((ending, error)),
            // The row stays open; the next start of the brain ends it as unknown.
            Err(error) => tracing::error!(%error, id, "the end of a command was not recorded"),
        }
        self.forget(&id);
        Ok(())
    }

    /// The store failed before a command was sent: its row, if there is one, must not stay open.
    pub(super) fn not_sent(&self, project: u64, id: &str, error: &StoreError) {
        if error.is_retryable() {
            self.waiting.push(Ending::not_sent(project, id));
        }
    }

    pub(super) fn tell(&self, project: u64, command: &Command) {
        if command.is_inquiry() {
            return;
        }
        if self.live.has_readers() {
            let item = serde_json::to_value(types::Command::from(command.clone())).unwrap_or_default();
            self.live.note(project, Topic::Commands, command.id.clone(), item);
        } else {
            self.live.note_untold();
        }
    }

    /// True when too many commands wait for their ends.
    pub(super) fn is_busy(&self) -> bool {
        self.lock().len() + self.waiting.len() >= MAX_OPEN
    }

    /// A command was handed to somebody, or is about to be.
    pub(super) fn opened(&self, id: &str, command: OpenCommand) {
        self.lock().insert(id.to_owned(), command);
    }

    /// Takes it upon the caller to end a command; `None` when that is done or being done.
    pub(super) fn claim(&self, id: &str) -> Option<OpenCommand> {
        let mut open = self.lock();
        let command = open.get_mut(id).filter(|command| !command.ending)?;
        command.ending = true;
        Some(command.clone())
    }

    /// The end of a command could not be recorded: it is tried again after a while.
    pub(super) fn unclaim(&self, id: &str, pause: Duration) {
        if let Some(command) = self.lock().get_mut(id) {
            command.ending = false;
            command.deadline = Instant::now() + pause;
        }
    }

    /// The end of a command is recorded, or cannot be.
    pub(super) fn forget(&self, id: &str) {
        let open = self.lock().remove(id);
        let Some(open) = open else { return };
        open.ended.notify_waiters();
        if let Some(origin) = open.origin {
            self.replicas.tell(Some(origin), Message::CommandEnded { id: id.to_owned() });
        }
    }

    fn ids_where(&self, wanted: impl Fn(&OpenCommand) -> bool) -> Vec<String> {
        self.lock().iter().filter(|(_, open)| wanted(open)).map(|(id, _)| id.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, OpenCommand>> {
        // Single map operations only: a panic elsewhere cannot leave it half changed.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long an agent has for a command.
fn time_limit(request: &CommandRequest) -> Duration {
    match request.cmd.as_str() {
        commands::PURGE_QUEUE => Duration::from_secs(120),
        // Our agent gives itself 300 s, and then says what it has not tried.
        commands::BULK_RETRY => Duration::from_secs(310),
        _ => Duration::from_secs(30),
    }
}

fn not_connected(request: &CommandRequest) -> String {
    if let (None, Some(scheduler)) = (&request.agent, request.args.get("scheduler").and_then(Value::as_str)) {
        let what = request.args.get("id").and_then(Value::as_str).map(|id| format!("the schedule {id} of "));
        return format!(
            "no agent that tells of {}{scheduler} is connected; nothing was sent",
            what.unwrap_or_default()
        );
    }
    match (&request.agent, request.args.get("engine").and_then(Value::as_str)) {
        (Some(name), _) => format!("the agent {name} is not connected; nothing was sent"),
        (None, Some(engine)) => format!("no agent that observes {engine} is connected; nothing was sent"),
        (None, None) => "no agent was named; nothing was sent".to_owned(),
    }
}

/// The arguments as they may be kept: what a person put in instead of the original values stays between them and the agent.
fn kept_args(args: &Value) -> Value {
    let mut kept = args.clone();
    for supplied in ["override", "schedule"] {
        let Some(overrides) = kept.get_mut(supplied).and_then(Value::as_object_mut) else { continue };
        for key in ["args", "kwargs"] {
            if let Some(value) = overrides.get_mut(key) {
                *value = json!(NOT_KEPT);
            }
        }
    }
    kept
}

/// Which tasks were published again as which, from an agent's result.
fn retried_tasks(open: &OpenCommand, result: Option<&Value>) -> Vec<(String, String, String)> {
    let Some(result) = result else { return Vec::new() };
    let link = |old: &str, new: &str| (open.engine.clone(), old.to_owned(), new.to_owned());
    let one =
        open.task_id.as_deref().zip(result.get("new_task_id").and_then(Value::as_str).filter(|id| !id.is_empty()));
    let many = result.get("retried").and_then(Value::as_object).into_iter().flatten();
    one.map(|(old, new)| link(old, new))
        .into_iter()
        .chain(many.filter_map(|(old, new)| new.as_str().map(|new| link(old, new))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(task_id: Option<&str>) -> OpenCommand {
        OpenCommand {
            project: 1,
            engine: "celery".into(),
            task_id: task_id.map(str::to_owned),
            schedule: None,
            way: Way::Connection(1),
            deadline: Instant::now(),
            origin: None,
            ending: false,
            ended: Arc::new(Notify::new()),
        }
    }

    #[test]
    fn values_that_people_supply_are_not_kept() {
        let args =
            json!({"task_id": "t", "override": {"args": ["secret"], "kwargs": {"card": "4111"}, "queue": "emails"}});
        let kept = kept_args(&args);
        assert_eq!(kept["override"], json!({"args": NOT_KEPT, "kwargs": NOT_KEPT, "queue": "emails"}));
        let kept =
            kept_args(&json!({"scheduler": "celery-beat", "schedule": {"name": "n", "kwargs": {"card": "4111"}}}));
        assert_eq!(kept["schedule"], json!({"name": "n", "kwargs": NOT_KEPT}));
    }

    #[test]
    fn retried_tasks_are_read_from_single_and_bulk_results() {
        let single = retried_tasks(&open(Some("old")), Some(&json!({"new_task_id": "new"})));
        assert_eq!(single, [("celery".to_owned(), "old".to_owned(), "new".to_owned())]);
        let bulk =
            retried_tasks(&open(None), Some(&json!({"retried": {"a": "b"}, "failed": {"c": "no_original_payload"}})));
        assert_eq!(bulk, [("celery".to_owned(), "a".to_owned(), "b".to_owned())]);
        assert!(retried_tasks(&open(Some("old")), Some(&json!({"new_task_id": ""}))).is_empty());
    }
}
