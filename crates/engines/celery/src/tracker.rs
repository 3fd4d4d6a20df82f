//! What is remembered of each task, so that what one message leaves out can be filled in from another.

use std::{borrow::Cow, collections::BTreeSet, num::NonZeroUsize, sync::Arc};

use lru::LruCache;
use serde_json::{Map, Value};
use taskplane_agent::engine::TaskObservation;
use taskplane_model::{TaskEventKind, Timestamp};

use crate::{
    attempts::Attempts,
    message::{Payload, TaskMessage},
    python_literal::head,
    routes::Routes,
    verbatim::{Unread, Verbatim},
};

/// Most tasks remembered.
const MAX_TASKS: usize = 100_000;
/// So many tasks that have not ended are passed over before the one is forgotten that was not heard of for longest.
const SPARED_AT_ONCE: usize = 64;
/// Longer reprs are of no use: Celery's own end at about 1,030 bytes.
const MAX_REPR: usize = 4 << 10;

/// Queues remembered, and the longest name of one.
const MAX_QUEUES: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
const MAX_QUEUE_NAME: usize = 255;
/// Types remembered that keep results.
const MAX_TYPES: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// What is known of one task.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Known {
    pub(crate) name: Option<String>,
    pub(crate) args_repr: Option<String>,
    pub(crate) kwargs_repr: Option<String>,
    /// Its message, as a worker of this application received it. It is [read](Self::read) when it is needed, which of most tasks
    /// it never is.
    message: Option<Arc<Vec<u8>>>,
    /// The full arguments, when its message was seen in a queue.
    pub(crate) payload: Option<Arc<Payload>>,
    /// The body, when its message was seen and cannot be read.
    unread: Option<Unread>,
    /// The task's own headers, when its message was seen in a queue and they are not too large.
    pub(crate) headers: Option<Arc<Map<String, Value>>>,
    pub(crate) queue: Option<String>,
    pub(crate) worker: Option<String>,
    pub(crate) root_id: Option<String>,
    pub(crate) parent_id: Option<String>,
    pub(crate) group_id: Option<String>,
    pub(crate) chord_id: Option<String>,
    pub(crate) priority: Option<i64>,
    attempts: Attempts,
    /// When a retry was done that was told by its result alone, until its late event comes.
    retried_alone: Option<Timestamp>,
}

impl Known {
    /// How the task ended, if it did.
    pub(crate) fn end(&self) -> Option<TaskEventKind> {
        self.attempts.end()
    }

    /// When a worker received the latest attempt, if that was told.
    pub(crate) fn received_at(&self) -> Option<Timestamp> {
        self.attempts.received_at()
    }

    /// True when nothing more is expected of it.
    fn is_over(&self) -> bool {
        self.end().is_some_and(|end| end != TaskEventKind::Retry)
    }

    /// True when a worker is known to have taken the latest attempt.
    pub(crate) fn was_taken(&self) -> bool {
        self.attempts.was_taken()
    }

    /// Takes in what an event or a result tells.
    fn absorb(&mut self, seen: &TaskObservation) {
        let take = |slot: &mut Option<String>, value: &Option<String>| {
            if value.is_some() {
                slot.clone_from(value);
            }
        };
        take(&mut self.name, &seen.name);
        take(&mut self.queue, &seen.queue);
        take(&mut self.worker, &seen.worker);
        take(&mut self.root_id, &seen.root_id);
        take(&mut self.parent_id, &seen.parent_id);
        take(&mut self.group_id, &seen.group_id);
        take(&mut self.chord_id, &seen.chord_id);
        self.priority = seen.priority.or(self.priority);
    }

    /// A retry may change the arguments: those of an earlier message then no longer count.
    fn forget_other_arguments(&mut self, reprs: &(Option<String>, Option<String>)) {
        let other = |old: &Option<String>, new: &Option<String>| old.is_some() && new.is_some() && old != new;
        if other(&self.args_repr, &reprs.0) || other(&self.kwargs_repr, &reprs.1) {
            (self.payload, self.unread) = (None, None);
        }
    }

    /// The same, with what its message says.
    pub(crate) fn read(&self) -> Cow<'_, Self> {
        let Some(message) = &self.message else { return Cow::Borrowed(self) };
        let mut known = Self { message: None, ..self.clone() };
        match TaskMessage::read(message) {
            Some(message) => {
                let mut told = message.sent(known.queue.as_deref().unwrap_or(&message.routing_key));
                known.fill(&mut told);
                known.absorb(&told);
                known.headers = Some(Arc::new(message.own_headers()));
                known.unread = message.sealed.clone().map(|sealed| Unread::new(message.retries(), sealed));
                known.payload = message.payload.ok().map(Arc::new);
            }
            None => tracing::debug!("a captured message was no task message"),
        }
        Cow::Owned(known)
    }

    /// The body of its message, which cannot be read here but was received by a worker.
    pub(crate) fn verbatim(&self) -> Option<Verbatim> {
        self.unread.as_ref()?.received(&self.attempts)
    }

    fn fill(&self, seen: &mut TaskObservation) {
        let fill = |slot: &mut Option<String>, value: &Option<String>| {
            if slot.is_none() {
                slot.clone_from(value);
            }
        };
        fill(&mut seen.name, &self.name);
        fill(&mut seen.queue, &self.queue);
        if seen.kind != TaskEventKind::Sent {
            fill(&mut seen.worker, &self.worker);
        }
        fill(&mut seen.root_id, &self.root_id);
        fill(&mut seen.parent_id, &self.parent_id);
        fill(&mut seen.group_id, &self.group_id);
        fill(&mut seen.chord_id, &self.chord_id);
        seen.priority = seen.priority.or(self.priority);
    }

    fn size(&self) -> usize {
        let text = |t: &Option<String>| t.as_ref().map_or(0, String::len);
        let payload = self.payload.as_ref().map_or(0, |p| payload_size(p));
        let payload = payload + self.unread.as_ref().map_or(0, Unread::size);
        let payload = payload + self.message.as_ref().map_or(0, |message| message.len());
        let headers = self.headers.as_ref().map_or(0, |headers| headers_size(headers));
        300 + payload
            + headers
            + text(&self.name)
            + text(&self.args_repr)
            + text(&self.kwargs_repr)
            + text(&self.queue)
            + text(&self.worker)
            + text(&self.root_id)
            + text(&self.parent_id)
            + text(&self.group_id)
            + text(&self.chord_id)
    }
}

fn headers_size(headers: &Map<String, Value>) -> usize {
    headers.iter().map(|(key, value)| 48 + key.len() + value_size(value)).sum()
}

/// Roughly what a payload takes in memory.
fn payload_size(payload: &Payload) -> usize {
    let values = payload.args.iter().chain(payload.kwargs.values());
    let embed = [&payload.embed.callbacks, &payload.embed.errbacks, &payload.embed.chain, &payload.embed.chord];
    values.chain(embed).map(value_size).sum()
}

fn value_size(value: &Value) -> usize {
    32 + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(value_size).sum(),
        Value::Object(map) => map.iter().map(|(key, item)| 48 + key.len() + value_size(item)).sum(),
        _ => 0,
    }
}

/// What a tracker may take. Sizes are estimates.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Most memory for all tasks.
    bytes: usize,
    /// A payload larger than this is left where it is.
    payload: usize,
    /// Own headers larger than these together are left where they are.
    headers: usize,
    /// Tasks that have ended are forgotten first: nobody else has the originals of those that may still fail.
    spares_open: bool,
}

impl Limits {
    /// Beside the application, where the original still lies with the broker most of the time.
    pub(crate) fn beside(bytes: usize) -> Self {
        Self { bytes, payload: 16 << 10, headers: 4 << 10, spares_open: false }
    }

    /// Within the application, which hands over the original of every task once.
    pub(crate) fn inside(bytes: usize) -> Self {
        Self { bytes, payload: 192 << 10, headers: 32 << 10, spares_open: true }
    }
}

/// The tasks most recently heard of, bounded by number and memory.
pub(crate) struct Tracker {
    limits: Limits,
    tasks: LruCache<String, Known>,
    bytes: usize,
    pub(crate) routes: Routes,
    /// The queues that tasks were seen in.
    queues: LruCache<String, ()>,
    /// The types of which a result of success was seen.
    with_results: LruCache<String, ()>,
}

impl Tracker {
    pub(crate) fn within(limits: Limits) -> Self {
        let (tasks, queues) = (LruCache::unbounded(), LruCache::new(MAX_QUEUES));
        Self { limits, tasks, bytes: 0, routes: Routes::new(), queues, with_results: LruCache::new(MAX_TYPES) }
    }

    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self::within(Limits::beside(48 << 20))
    }

    /// Takes in what was seen and fills in what it lacks. False when the same was told before.
    pub(crate) fn observe(
        &mut self,
        seen: &mut TaskObservation,
        reprs: (Option<String>, Option<String>),
        ts: Timestamp,
    ) -> bool {
        let told_queue = seen.queue.clone();
        let new = self.update(&seen.task_id.clone(), |known| {
            known.forget_other_arguments(&reprs);
            known.absorb(seen);
            let bounded = |repr: String| (repr.len() <= MAX_REPR).then_some(repr);
            known.args_repr = reprs.0.and_then(bounded).or(known.args_repr.take());
            known.kwargs_repr = reprs.1.and_then(bounded).or(known.kwargs_repr.take());
            // Before the worker is filled in: which one told is what counts.
            let is_new = known.attempts.observe(seen, ts);
            known.fill(seen);
            is_new
        });
        if let Some(queue) = &told_queue {
            self.mention(queue);
        }
        if let (Some(name), Some(queue)) = (&seen.name, told_queue) {
            self.routes.learn(name, &queue);
        }
        new
    }

    /// The next attempt begins: called after a retry, done at `done`, was told from its result alone, where no event will say so.
    pub(crate) fn next_attempt(&mut self, task_id: &str, done: Timestamp) {
        self.update(task_id, |known| {
            known.attempts.retried();
            known.retried_alone = Some(done);
        });
    }

    /// The event of a retry has come, without a result that waited for it. True, once, when that result was told by itself before.
    pub(crate) fn is_late_retry(&mut self, task_id: &str, ts: Timestamp) -> bool {
        self.contains(task_id)
            && self.update(task_id, |known| known.retried_alone.take()).is_some_and(|done| done <= ts)
    }

    /// A result newer than the end that was told: the task ran again under its id, with events off.
    pub(crate) fn reopen(&mut self, task_id: &str, done: Timestamp) {
        self.update(task_id, |known| known.attempts.reopen(done));
    }

    /// Remembers a message seen in a queue. True when the task was not known.
    pub(crate) fn waiting(&mut self, message: &TaskMessage, queue: &str) -> bool {
        let new = !self.tasks.contains(&message.id);
        self.routes.learn(&message.name, queue);
        self.mention(queue);
        let seen = message.sent(queue);
        let payload = message.payload.as_ref().ok().filter(|p| payload_size(p) <= self.limits.payload);
        let headers = Some(message.own_headers()).filter(|headers| headers_size(headers) <= self.limits.headers);
        let sealed = message.sealed.as_ref().filter(|sealed| sealed.size() <= self.limits.payload);
        self.update(&message.id, |known| {
            known.attempts.exists(message.retries());
            known.absorb(&seen);
            let payload = payload.map(|payload| Arc::new(payload.clone()));
            let unread = sealed.map(|sealed| Unread::new(message.retries(), sealed.clone()));
            if payload.is_some() || unread.is_some() {
                known.message = None;
                (known.payload, known.unread) = (payload, unread);
                known.headers = headers.map(Arc::new);
            }
        });
        new
    }

    /// Remembers the message of an attempt that a worker of this application received.
    pub(crate) fn received(&mut self, task_id: &str, attempt: u32, message: Vec<u8>) {
        if message.len() > self.limits.payload {
            if let Some(message) = TaskMessage::read(&message) {
                self.waiting(&message, &message.routing_key);
            }
            return;
        }
        self.update(task_id, |known| {
            known.attempts.exists(attempt);
            (known.payload, known.unread, known.headers) = (None, None, None);
            known.message = Some(Arc::new(message));
        });
    }

    /// All that are remembered, the latest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Known)> {
        self.tasks.iter()
    }

    /// The queues that tasks were seen in, the latest of them.
    pub(crate) fn queues(&self) -> BTreeSet<String> {
        self.queues.iter().map(|(queue, ())| queue.clone()).collect()
    }

    /// The result of a task of this type that succeeded was seen.
    pub(crate) fn saw_result(&mut self, name: &str) {
        if name.len() <= MAX_QUEUE_NAME && self.with_results.get(name).is_none() {
            self.with_results.push(name.to_owned(), ());
        }
    }

    /// True when tasks of this type keep their results: one that keeps none has not ended.
    pub(crate) fn keeps_results(&self, name: &str) -> bool {
        self.with_results.contains(name)
    }

    fn mention(&mut self, queue: &str) {
        if queue.len() <= MAX_QUEUE_NAME && self.queues.get(queue).is_none() {
            self.queues.push(queue.to_owned(), ());
        }
    }

    pub(crate) fn contains(&self, task_id: &str) -> bool {
        self.tasks.contains(task_id)
    }

    pub(crate) fn get(&self, task_id: &str) -> Option<&Known> {
        self.tasks.peek(task_id)
    }

    fn update<T>(&mut self, task_id: &str, change: impl FnOnce(&mut Known) -> T) -> T {
        // Ids are foreign text: one of absurd length is remembered by its head only.
        let (key, _) = head(task_id, 200);
        if !self.tasks.contains(key) {
            self.tasks.push(key.to_owned(), Known::default());
            self.bytes += Known::default().size() + key.len();
        }
        let (before, result, after) = match self.tasks.get_mut(key) {
            Some(known) => {
                let before = known.size();
                let result = change(known);
                (before, result, known.size())
            }
            None => (0, change(&mut Known::default()), 0),
        };
        self.bytes = (self.bytes + after).saturating_sub(before);
        self.shrink();
        result
    }

    fn shrink(&mut self) {
        let mut spared = 0;
        while self.tasks.len() > MAX_TASKS || self.bytes > self.limits.bytes {
            let Some((key, known)) = self.tasks.pop_lru() else { return };
            if self.limits.spares_open && spared < SPARED_AT_ONCE && !known.is_over() {
                spared += 1;
                self.tasks.push(key, known);
                continue;
            }
            self.bytes = self.bytes.saturating_sub(known.size() + key.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(kind: TaskEventKind) -> TaskObservation {
        TaskObservation { kind, task_id: "t".into(), ..TaskObservation::default() }
    }

    /// A clock that moves on with every look.
    fn tick() -> Timestamp {
        static NOW: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(1);
        Timestamp(NOW.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }

    fn observe(tracker: &mut Tracker, mut seen: TaskObservation) -> (bool, TaskObservation) {
        let new = tracker.observe(&mut seen, (None, None), tick());
        (new, seen)
    }

    #[test]
    fn later_events_have_the_attempt_that_the_first_one_told() {
        let mut tracker = Tracker::new();
        let received = TaskObservation { retries: Some(2), name: Some("a".into()), ..seen(TaskEventKind::Received) };
        observe(&mut tracker, received);
        let (_, failed) = observe(&mut tracker, seen(TaskEventKind::Failed));
        assert_eq!((failed.retries, failed.name.as_deref()), (Some(2), Some("a")));
    }

    #[test]
    fn an_end_is_told_once_per_attempt() {
        let mut tracker = Tracker::new();
        let received = |n| TaskObservation { retries: Some(n), ..seen(TaskEventKind::Received) };
        observe(&mut tracker, received(0));
        assert!(observe(&mut tracker, seen(TaskEventKind::Retry)).0);
        assert!(!observe(&mut tracker, seen(TaskEventKind::Retry)).0);
        assert!(observe(&mut tracker, received(1)).0);
        assert!(observe(&mut tracker, seen(TaskEventKind::Retry)).0);
        assert!(observe(&mut tracker, seen(TaskEventKind::Failed)).0);
        assert!(!observe(&mut tracker, seen(TaskEventKind::Failed)).0);
        assert!(!observe(&mut tracker, seen(TaskEventKind::Started)).0, "a late start does not reopen it");
    }

    #[test]
    fn a_task_delivered_again_ends_again() {
        let mut tracker = Tracker::new();
        let received = || TaskObservation { retries: Some(0), ..seen(TaskEventKind::Received) };
        observe(&mut tracker, received());
        assert!(observe(&mut tracker, seen(TaskEventKind::Failed)).0);
        observe(&mut tracker, received());
        assert!(observe(&mut tracker, seen(TaskEventKind::Failed)).0);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go_first() {
        let mut tracker = Tracker::new();
        for i in 0..60_000 {
            let mut seen = TaskObservation { task_id: format!("task-{i}"), ..TaskObservation::default() };
            tracker.observe(&mut seen, (Some("x".repeat(1024)), Some("y".repeat(512))), tick());
        }
        assert!(tracker.bytes <= tracker.limits.bytes);
        assert!(!tracker.contains("task-0") && tracker.contains("task-59999"));
        let counted: usize = tracker.tasks.iter().map(|(key, known)| key.len() + known.size()).sum();
        assert_eq!(counted, tracker.bytes);
    }
}
