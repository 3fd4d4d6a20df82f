//! What happens to the tasks of one agent, in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use fastrand::Rng;

use super::plan::Span;
use super::vocabulary::{QUEUES, RARE_QUEUE_ONE_IN, RARE_WORKER_ONE_IN, Vocabulary};

/// Of 1,000 tasks.
const FAILED: u64 = 20;
const RETRIED: u64 = 10;
const REVOKED: u64 = 3;
const REJECTED: u64 = 1;
/// One task in so many is never finished.
const STUCK_ONE_IN: u64 = 20_000;
/// One task in so many begins a workflow; six tasks a workflow make about one task in twenty a part of one.
const WORKFLOW_ONE_IN: u64 = 120;
/// Of the workflows, one in so many is large.
const LARGE_ONE_IN: u64 = 1_000;
/// Children of a workflow, and of a large one.
const CHILDREN: u64 = 4;
const LARGE_CHILDREN: u64 = 300;

/// A task.
pub(crate) struct Task {
    /// Its number among all tasks of the fill.
    pub(crate) number: u64,
    pub(crate) id: String,
    /// Rank of its type.
    pub(crate) name: usize,
    pub(crate) queue: usize,
    /// Number of its worker; one beyond the list is the rare one.
    pub(crate) worker: usize,
    /// Kind of its failure.
    pub(crate) failure: usize,
    pub(crate) root: Option<Rc<str>>,
    pub(crate) parent: Option<Rc<str>>,
    pub(crate) group: Option<Rc<str>>,
    pub(crate) chord: Option<Rc<str>>,
    pub(crate) marked: bool,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    Sent,
    Received { attempt: u32 },
    Started { attempt: u32 },
    Retry,
    Succeeded { attempt: u32, runtime_us: i64 },
    Failed { runtime_us: i64 },
    Revoked,
    Rejected,
}

/// Something that happened to a task.
pub(crate) struct Event {
    pub(crate) at: i64,
    pub(crate) what: What,
    pub(crate) task: Rc<Task>,
}

/// The events of one agent's tasks.
pub(crate) struct Lives<'a> {
    vocabulary: &'a Vocabulary,
    span: Span,
    random: Rng,
    /// Number of the next task to begin.
    next: u64,
    /// Begun, and not yet told.
    ahead: BinaryHeap<Reverse<(i64, u64)>>,
    waiting: Slots,
    /// Workflows begun: root and size.
    pub(crate) workflows: Vec<(String, u64)>,
}

/// Events by number; numbers are used again.
#[derive(Default)]
struct Slots {
    events: Vec<Option<Event>>,
    free: Vec<u64>,
}

impl<'a> Lives<'a> {
    /// The tasks whose numbers leave `span.first` when divided by the number of agents.
    pub(crate) fn new(vocabulary: &'a Vocabulary, span: Span) -> Self {
        let random = Rng::with_seed(span.seed.wrapping_add(span.agent.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let next = span.agent;
        Self { vocabulary, span, random, next, ahead: BinaryHeap::new(), waiting: Slots::default(), workflows: vec![] }
    }

    /// What happens next; `None` when the rest lies behind the end of the span.
    pub(crate) fn next(&mut self) -> Option<Event> {
        while self.next < self.span.tasks {
            let begins = self.span.at(self.next);
            if self.ahead.peek().is_some_and(|Reverse((at, _))| *at <= begins) {
                break;
            }
            self.begin(begins);
        }
        let Reverse((at, slot)) = self.ahead.pop()?;
        // Kept in order, so that nothing after it is earlier.
        (at < self.span.until).then(|| self.waiting.take(slot)).flatten()
    }

    fn begin(&mut self, at: i64) {
        let size = if self.random.u64(..WORKFLOW_ONE_IN) > 0 {
            1
        } else if self.random.u64(..LARGE_ONE_IN) == 0 {
            LARGE_CHILDREN + 2
        } else {
            CHILDREN + 2
        };
        // A workflow takes the places of as many tasks as it has; at the end of the span there may be too few.
        if size == 1 || self.next + (size - 1) * self.span.agents >= self.span.tasks {
            let task = self.task();
            self.live(at, task);
            return;
        }
        let mut root = self.task();
        root.root = Some(root.id.as_str().into());
        let (root_id, group): (Rc<str>, Rc<str>) = (root.id.as_str().into(), self.id().into());
        let mut body = self.task();
        let body_id: Rc<str> = body.id.as_str().into();
        self.workflows.push((root.id.clone(), size));
        let sent = self.live(at, root);
        let mut last = sent;
        for child in 0..size - 2 {
            let mut task = self.task();
            task.root = Some(Rc::clone(&root_id));
            task.parent = Some(Rc::clone(&root_id));
            task.group = Some(Rc::clone(&group));
            task.chord = Some(Rc::clone(&body_id));
            body.parent = Some(task.id.as_str().into());
            last = last.max(self.live(sent + 300 * child.cast_signed(), task));
        }
        body.root = Some(root_id);
        self.live(last, body);
    }

    /// The next task, still alone.
    fn task(&mut self) -> Task {
        let (number, random) = (self.next, &mut self.random);
        self.next += self.span.agents;
        let name = self.vocabulary.name_at(random.f64());
        let rare_queue = random.u64(..RARE_QUEUE_ONE_IN) == 0;
        let rare_worker = random.u64(..RARE_WORKER_ONE_IN) == 0;
        let workers = self.vocabulary.workers.len();
        Task {
            number,
            name,
            queue: if rare_queue { QUEUES.len() - 1 } else { Vocabulary::queue_of(name) },
            worker: if rare_worker { workers } else { random.usize(..workers) },
            failure: random.usize(..self.vocabulary.failures.len()),
            root: None,
            parent: None,
            group: None,
            chord: None,
            marked: self.span.is_marked(number),
            id: self.id(),
        }
    }

    fn id(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.random.u128(..).to_le_bytes()).into_uuid().hyphenated().to_string()
    }

    /// Plans what will happen to a task that is sent at `at`. Returns when it ends.
    fn live(&mut self, at: i64, task: Task) -> i64 {
        let fate = if task.marked { 0 } else { self.random.u64(..1_000) };
        let stuck = !task.marked && self.random.u64(..STUCK_ONE_IN) == 0;
        let task = Rc::new(task);
        self.push(at, What::Sent, &task);
        if stuck && self.random.bool() {
            return at;
        }
        let mut at = at + self.about(20_000);
        if (FAILED + RETRIED..FAILED + RETRIED + REVOKED).contains(&fate) {
            self.push(at, What::Revoked, &task);
            return at;
        }
        self.push(at, What::Received { attempt: 0 }, &task);
        if (FAILED + RETRIED + REVOKED..FAILED + RETRIED + REVOKED + REJECTED).contains(&fate) {
            self.push(at + 100, What::Rejected, &task);
            return at;
        }
        at += self.about(150_000);
        self.push(at, What::Started { attempt: 0 }, &task);
        if stuck {
            return at;
        }
        let mut attempt = 0;
        let mut runtime_us = self.runtime();
        at += runtime_us + 500;
        if (FAILED..FAILED + RETRIED).contains(&fate) {
            self.push(at, What::Retry, &task);
            attempt = 1;
            at += 2_000_000 + self.about(1_000_000);
            self.push(at, What::Received { attempt }, &task);
            at += self.about(50_000);
            self.push(at, What::Started { attempt }, &task);
            runtime_us = self.runtime();
            at += runtime_us + 500;
        }
        let end = if fate < FAILED { What::Failed { runtime_us } } else { What::Succeeded { attempt, runtime_us } };
        self.push(at, end, &task);
        at
    }

    fn push(&mut self, at: i64, what: What, task: &Rc<Task>) {
        let slot = self.waiting.put(Event { at, what, task: Rc::clone(task) });
        self.ahead.push(Reverse((at, slot)));
    }

    /// A time that is mostly near `mean` microseconds and sometimes ten times as long.
    fn about(&mut self, mean: i64) -> i64 {
        1 + (-self.random.f64().max(1e-6).ln() * mean as f64) as i64
    }

    /// From 3 ms to 3 s, each decade as often as the others; one in 200 up to five minutes.
    fn runtime(&mut self) -> i64 {
        let ms = if self.random.u8(..200) == 0 { 1_000.0..300_000.0 } else { 3.0..3_000.0 };
        let (low, high) = (f64::ln(ms.start), f64::ln(ms.end));
        ((low + self.random.f64() * (high - low)).exp() * 1_000.0) as i64
    }
}

impl Slots {
    fn put(&mut self, event: Event) -> u64 {
        if let Some(slot) = self.free.pop()
            && let Some(place) = self.events.get_mut(slot as usize)
        {
            *place = Some(event);
            return slot;
        }
        self.events.push(Some(event));
        self.events.len() as u64 - 1
    }

    fn take(&mut self, slot: u64) -> Option<Event> {
        self.free.push(slot);
        self.events.get_mut(slot as usize)?.take()
    }
}
