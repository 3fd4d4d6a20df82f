//! What this process is: its settings, its captures, its collector.
//!
//! Only touched under the GIL, which is never released while it is locked: a fork never finds it locked, and no hook ever
//! waits for it. The collector's thread does not touch it.

mod captures;
mod memory;
mod rules;

use std::collections::BTreeMap;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, TryLockError};
use std::time::Duration;

use taskplane_agent::engine::Observation;

use crate::collector::Collecting;
use crate::settings::Settings;
use captures::Captures;
use memory::Memory;
pub(crate) use memory::Publishing;
use rules::RuleBook;
pub(crate) use rules::{Rules, TaskRules};

static STATE: Mutex<State> = Mutex::new(State::new());
/// Hooks that failed, by our own mistake.
static FAILED_HOOKS: AtomicU64 = AtomicU64::new(0);

struct State {
    settings: Option<Arc<Settings>>,
    rules: RuleBook,
    captures: Captures,
    collecting: Option<Collecting>,
    /// This process neither collects nor stands by: its parent does, or it was told to stop.
    leaves_collecting: bool,
    memory: Memory,
    /// The process that all this is of; 0 before there is anything.
    process: u32,
}

impl State {
    const fn new() -> Self {
        Self {
            settings: None,
            rules: RuleBook::new(),
            captures: Captures::new(),
            collecting: None,
            leaves_collecting: false,
            memory: Memory::new(),
            process: 0,
        }
    }

    /// Of a parent, nothing counts here: its file is closed, its threads do not exist.
    fn forget_parent(&mut self) {
        self.captures = Captures::new();
        self.memory = Memory::new();
        self.leaves_collecting = false;
        // Nothing of the parent's thread is left that could be ended here.
        mem::forget(self.collecting.take());
    }

    /// Sees to it that this process collects or stands by, if it is to.
    fn see_to_collecting(&mut self) {
        if self.collecting.is_none()
            && !self.leaves_collecting
            && let Some(settings) = &self.settings
        {
            self.collecting = Collecting::begin(Arc::clone(settings));
        }
    }
}

/// The state; `None` if it is locked after all: then the event is lost, and the application goes on.
fn lock() -> Option<MutexGuard<'static, State>> {
    match STATE.try_lock() {
        Ok(state) => Some(state),
        Err(TryLockError::Poisoned(state)) => Some(state.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// The state of this very process. Not all who fork say so to Python: uWSGI does not.
fn lock_own() -> Option<MutexGuard<'static, State>> {
    let mut state = lock()?;
    let process = std::process::id();
    if state.process != process {
        if state.process != 0 {
            taskplane_agent::forget_inherited_locks();
            state.forget_parent();
        }
        state.process = process;
    }
    Some(state)
}

/// Begins with `settings`, or goes on with those that there are.
pub(crate) fn begin(settings: Settings) {
    let Some(mut state) = lock_own() else { return };
    if state.settings.is_none() {
        state.rules.begin(settings.agent.redaction.clone(), Arc::clone(&settings.redactor));
        state.settings = Some(Arc::new(settings));
    }
    state.see_to_collecting();
}

pub(crate) fn leave_collecting() {
    if let Some(mut state) = lock_own() {
        state.leaves_collecting = true;
    }
}

/// In a forked child, at once where Python hears of the fork.
pub(crate) fn forget_parent() {
    drop(lock_own());
}

/// Ends collecting here for good, and gives what is to be awaited for it.
pub(crate) fn end_collecting() -> Option<Collecting> {
    let mut state = lock_own()?;
    state.leaves_collecting = true;
    state.collecting.take()
}

pub(crate) fn is_collecting() -> bool {
    lock().is_some_and(|state| state.collecting.as_ref().is_some_and(Collecting::is_leading))
}

pub(crate) fn counts() -> BTreeMap<&'static str, u64> {
    let (captured, dropped) = lock().map_or((0, 0), |state| state.captures.counts());
    BTreeMap::from([("captured", captured), ("dropped", dropped), ("failed_hooks", FAILED_HOOKS.load(Relaxed))])
}

pub(crate) fn set_task_rules(task_type: String, rules: TaskRules) {
    if let Some(mut state) = lock() {
        state.rules.set(task_type, rules);
    }
}

pub(crate) fn count_failed_hook() {
    FAILED_HOOKS.fetch_add(1, Relaxed);
}

/// True when hooks have anybody to tell.
pub(crate) fn is_capturing() -> bool {
    lock_own().is_some_and(|state| state.settings.is_some())
}

/// How values of a task type are shown. `None` while nobody wants to know anything. Every hook asks for it before it tells.
pub(crate) fn rules(task_type: Option<&str>) -> Option<Rules> {
    let mut state = lock_own()?;
    state.settings.as_ref()?;
    let process = state.process;
    state.rules.of(task_type, process)
}

/// Redacts the event and writes it, after the message of its task, which stays on this host.
pub(crate) fn tell(rules: &Rules, original: Option<&[u8]>, observation: &Observation) {
    let event = rules.redactor().encode(observation);
    // This process's own: that was seen to with the rules.
    let Some(mut state) = lock() else { return count_failed_hook() };
    let state = &mut *state;
    state.see_to_collecting();
    if let Some(settings) = &state.settings {
        state.captures.event(settings, original, observation.ts, &event);
    }
}

pub(crate) fn remember_publishing(publishing: Publishing) {
    if let Some(mut state) = lock() {
        state.memory.remember_publishing(publishing);
    }
}

pub(crate) fn take_publishing(task_id: &str) -> Option<Publishing> {
    lock()?.memory.take_publishing(task_id)
}

/// A worker has a message of the task: so many attempts were before.
pub(crate) fn came(task_id: &str, retries: Option<u32>) {
    let Some(mut state) = lock() else { return };
    state.memory.forget_failure(task_id);
    if let Some(retries) = retries.filter(|retries| *retries > 0) {
        state.memory.remember_attempt(task_id, retries);
    }
}

pub(crate) fn may_tell_failure(task_id: &str) -> bool {
    lock().is_some_and(|mut state| state.memory.may_tell_failure(task_id))
}

pub(crate) fn remember_worker(name: &str) {
    if let Some(mut state) = lock() {
        state.memory.remember_worker(name);
    }
}

/// Name of the worker that this process is.
pub(crate) fn worker() -> Option<String> {
    lock()?.memory.worker()
}

pub(crate) fn attempt_of(task_id: &str) -> Option<u32> {
    lock()?.memory.attempt_of(task_id)
}

pub(crate) fn began(task_id: &str) {
    if let Some(mut state) = lock() {
        state.memory.began(task_id);
    }
}

pub(crate) fn ran_for(task_id: &str) -> Option<Duration> {
    lock()?.memory.ran_for(task_id)
}

pub(crate) fn may_tell_progress(task_id: &str, is_last: bool) -> bool {
    lock().is_some_and(|mut state| state.memory.may_tell_progress(task_id, is_last))
}

pub(crate) fn may_tell_heartbeat(active: u64, processed: u64, every: Duration, when_changed: Duration) -> bool {
    lock().is_some_and(|mut state| state.memory.may_tell_heartbeat((active, processed), every, when_changed))
}

/// Name of this host.
pub(crate) fn hostname() -> Option<String> {
    static HOSTNAME: OnceLock<Option<String>> = OnceLock::new();
    let read = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    HOSTNAME.get_or_init(|| read().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())).clone()
}
