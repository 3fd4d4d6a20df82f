//! From a command to an engine or a scheduler, and back to its answer.
//!
//! At most once: a command that was seen is never executed again; its answer is repeated. Executions are bounded in number
//! and in time, and a panic in an engine is an answer like any other.

mod args;
mod inquiries;
mod memory;
mod schedules;
mod workers;

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::{Value, json};
use taskplane_protocol::frame::{Command, CommandResult, commands};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout};

use crate::engine::{CommandError, Engine};
use crate::redact::Redactor;
use crate::scheduler::Scheduler;
use args::Args;
use memory::{Memory, Seen};

/// Most commands in progress; more are refused with `busy`.
pub const MAX_IN_PROGRESS: usize = 16;
/// How long an engine has for one task or queue, and a scheduler for one schedule.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a whole `bulk_retry` has.
const BULK_TIMEOUT: Duration = Duration::from_secs(300);
/// Pause between the tasks of a `bulk_retry`, so that a broker serves others as well.
const BULK_PAUSE: Duration = Duration::from_millis(1);

/// An answer to send.
#[derive(Debug)]
pub struct Answer {
    /// What to send.
    pub result: CommandResult,
    /// When it was sent, the agent begins anew.
    pub restart: bool,
}

/// Executes commands. Cheap to clone.
#[derive(Clone)]
pub struct Dispatcher {
    engines: Arc<[Arc<dyn Engine>]>,
    schedulers: Arc<[Arc<dyn Scheduler>]>,
    redactor: Arc<Redactor>,
    memory: Arc<Mutex<Memory>>,
    slots: Arc<Semaphore>,
    answers: mpsc::Sender<Answer>,
    /// Commands in progress whose answers come out of there.
    owed: Arc<AtomicUsize>,
}

/// Counts an answer that is owed, whatever becomes of it.
struct Owed(Arc<AtomicUsize>);

impl Owed {
    fn one_more(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What came of a command: the result and a message, or why not.
type Outcome = Result<(Value, Option<String>), CommandError>;

impl Dispatcher {
    /// A dispatcher to `engines`, and where its answers come out.
    pub fn new(engines: Arc<[Arc<dyn Engine>]>, redactor: Arc<Redactor>) -> (Self, mpsc::Receiver<Answer>) {
        // An answer a slot, and room for refusals and repetitions, which nobody waits for.
        let (answers, receiver) = mpsc::channel(4 * MAX_IN_PROGRESS);
        let slots = Arc::new(Semaphore::new(MAX_IN_PROGRESS));
        let schedulers = Arc::new([]);
        (Self { engines, schedulers, redactor, memory: Arc::default(), slots, answers, owed: Arc::default() }, receiver)
    }

    /// The same, and to `schedulers`.
    pub fn with_schedulers(self, schedulers: Arc<[Arc<dyn Scheduler>]>) -> Self {
        Self { schedulers, ..self }
    }

    /// Another one for another connection: what was seen by one was seen by both, and each answer comes out where its command
    /// came in.
    pub fn sibling(&self) -> (Self, mpsc::Receiver<Answer>) {
        let (answers, receiver) = mpsc::channel(4 * MAX_IN_PROGRESS);
        (Self { answers, owed: Arc::default(), ..self.clone() }, receiver)
    }

    /// True while answers will still come out.
    pub fn is_busy(&self) -> bool {
        self.owed.load(Ordering::Acquire) > 0
    }

    /// Takes a command. Returns at once; the answer comes out of the receiver.
    pub fn accept(&self, command: Command) {
        match self.memory().seen(&command.cmd_id) {
            Seen::Never => {}
            Seen::InProgress => return,
            Seen::Answered(result) => return self.offer(Answer { result, restart: false }),
        }
        if command.cmd == commands::RESTART_AGENT {
            let result = self.result(command.cmd_id, Ok((json!({}), None)));
            self.memory().answer(&result);
            return self.offer(Answer { result, restart: true });
        }
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            let busy = CommandError::Busy(format!("the agent already executes {MAX_IN_PROGRESS} commands"));
            let result = self.result(command.cmd_id, Err(busy));
            self.memory().answer(&result);
            return self.offer(Answer { result, restart: false });
        };
        self.memory().begin(&command.cmd_id);
        let this = self.clone();
        let owed = Owed::one_more(&self.owed);
        tokio::spawn(async move {
            let (cmd_id, cmd) = (command.cmd_id.clone(), command.cmd.clone());
            let outcome = this.execute(&command).await;
            tracing::info!(cmd, cmd_id, ok = outcome.is_ok(), "command executed");
            let result = this.result(cmd_id, outcome);
            this.memory().answer(&result);
            drop(slot);
            let _ = this.answers.send(Answer { result, restart: false }).await;
            drop(owed);
        });
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers without waiting. When answers are not taken, one more refusal is not missed: the brain's own time-out tells.
    fn offer(&self, answer: Answer) {
        if self.answers.try_send(answer).is_err() {
            tracing::debug!("an answer found no room and was left out");
        }
    }

    fn result(&self, cmd_id: String, outcome: Outcome) -> CommandResult {
        match outcome {
            Ok((result, message)) => CommandResult {
                cmd_id,
                ok: true,
                result: Some(result),
                message: message.map(|text| self.redactor.message(&text)),
                ..CommandResult::default()
            },
            Err(error) => CommandResult {
                cmd_id,
                ok: false,
                error: Some(error.code().to_owned()),
                message: Some(self.redactor.message(&error.to_string())),
                ..CommandResult::default()
            },
        }
    }

    async fn execute(&self, command: &Command) -> Outcome {
        let known = [
            commands::RETRY_TASK,
            commands::CANCEL_TASK,
            commands::BULK_RETRY,
            commands::PURGE_QUEUE,
            commands::ENQUEUE_TASK,
            commands::PREVIEW_RETRY,
            commands::QUERY_STATE,
            commands::WORKER_CONTROL,
        ];
        let is_schedules = schedules::COMMANDS.contains(&command.cmd.as_str());
        if !is_schedules && !known.contains(&command.cmd.as_str()) {
            return Err(CommandError::Unsupported("this agent does not know that command; a newer one may".into()));
        }
        let args = Args::new(&command.cmd, &command.args)?;
        if is_schedules {
            return self.change_schedules(&args).await;
        }
        let engine = self.engine(args.engine()?)?;
        match command.cmd.as_str() {
            commands::RETRY_TASK => {
                let retried = in_time(engine.retry_task(&args.retry()?)).await?;
                Ok((json!({ "new_task_id": retried.new_task_id }), retried.message))
            }
            commands::CANCEL_TASK => {
                let cancelled = in_time(engine.cancel_task(&args.cancel()?)).await?;
                Ok((json!({ "state": cancelled.state }), cancelled.message))
            }
            commands::PURGE_QUEUE => {
                let purged = in_time(engine.purge_queue(args.queue()?)).await?;
                Ok((json!({ "purged": purged }), None))
            }
            commands::ENQUEUE_TASK => {
                let enqueued = in_time(engine.enqueue_task(&args.enqueue()?)).await?;
                Ok((json!({ "new_task_id": enqueued.new_task_id }), enqueued.message))
            }
            commands::PREVIEW_RETRY => self.preview_retry(engine, &args).await,
            commands::QUERY_STATE => self.query_state(engine, &args).await,
            commands::WORKER_CONTROL => self.worker_control(engine, &args).await,
            _ => Ok((self.bulk_retry(engine, &args, args.task_ids()?).await, None)),
        }
    }

    fn engine(&self, name: Option<&str>) -> Result<&dyn Engine, CommandError> {
        let names = || self.engines.iter().map(|engine| engine.name()).collect::<Vec<_>>().join(", ");
        let found = match (name, &*self.engines) {
            (None, [only]) => Some(only),
            (None, _) => return Err(CommandError::InvalidArgs(format!("name the engine: this agent has {}", names()))),
            (Some(name), engines) => engines.iter().find(|engine| engine.name() == name),
        };
        let missing = || CommandError::InvalidArgs(format!("this agent has no such engine; it has {}", names()));
        found.map(|engine| &**engine).ok_or_else(missing)
    }

    /// One after the other. A task that cannot be retried does not stop the rest.
    async fn bulk_retry(&self, engine: &dyn Engine, args: &Args<'_>, task_ids: Vec<String>) -> Value {
        let until = Instant::now() + BULK_TIMEOUT;
        let (mut retried, mut failed, mut codes) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for task_id in task_ids {
            // Named twice it would run twice.
            if retried.contains_key(&task_id) || failed.contains_key(&task_id) {
                continue;
            }
            if Instant::now() >= until {
                codes.insert(task_id.clone(), "not_tried");
                failed.insert(task_id, "not tried: the command took too long".to_owned());
                continue;
            }
            let known = args.known(&task_id);
            let request = crate::engine::RetryRequest { task_id: task_id.clone(), known, ..Default::default() };
            match in_time(engine.retry_task(&request)).await {
                Ok(task) => drop(retried.insert(task_id, task.new_task_id)),
                Err(error) => {
                    codes.insert(task_id.clone(), error.code());
                    failed.insert(task_id, self.redactor.message(&error.to_string()));
                }
            }
            sleep(BULK_PAUSE).await;
        }
        json!({ "retried": retried, "failed": failed, "codes": codes })
    }
}

/// Bounds the time of a call to an engine or a scheduler, and makes its panic an error like any other.
async fn in_time<T>(work: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    match timeout(ENGINE_TIMEOUT, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => {
            tracing::error!("an adapter panicked while it executed a command");
            Err(CommandError::Engine("the agent's adapter failed unexpectedly; the agent's log has more".into()))
        }
        Err(_) => Err(CommandError::Engine("there was no answer within 60 s; it may have been done".into())),
    }
}

#[cfg(test)]
mod tests;
