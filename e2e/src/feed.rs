//! A scripted Celery: publishes events as Celery's workers do, numbers every one, and remembers them all.
//!
//! Celery's events are published to whoever listens at that moment. While no agent listens nobody ever sees them; of what
//! was published to an agent that was killed, it had taken in some, from the first one up to some number. So events come in
//! *epochs*: a new one begins whenever a new agent has begun to listen. Of each epoch the brain must have, in the end, all
//! events up to some number and none beyond: of an epoch whose agent lived, all; of one whose agent was killed, at least those
//! that lay in its buffer then.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use serde_json::{Map, Value, json};

use crate::PATIENCE;
use crate::dice::Dice;

/// A channel of events that no agent is told of.
const ELSEWHERE: &str = "elsewhere.celeryev";
/// Events in one published message; Celery groups them like that.
const EVENTS_PER_MESSAGE: usize = 10;
/// Tasks under way at once.
const UNDER_WAY: usize = 12;

/// What a task goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Sent,
    Received,
    Started,
    Retried,
    Succeeded,
    Failed,
}

/// The life of task number `task`: most succeed, some fail, some succeed at the second attempt.
pub(crate) fn life(task: u64) -> &'static [Step] {
    use Step::{Failed, Received, Retried, Sent, Started, Succeeded};
    match task % 8 {
        3 => &[Sent, Received, Started, Failed],
        5 => &[Sent, Received, Started, Retried, Received, Started, Succeeded],
        _ => &[Sent, Received, Started, Succeeded],
    }
}

/// The id of a task of an epoch.
pub(crate) fn task_id(epoch: u32, task: u64) -> String {
    format!("{epoch:08x}-0000-4000-8000-{task:012x}")
}

/// The epoch and the task of an id.
pub(crate) fn of_task_id(id: &str) -> Option<(u32, u64)> {
    let epoch = u32::from_str_radix(id.get(..8)?, 16).ok()?;
    let task = u64::from_str_radix(id.get(24..)?, 16).ok()?;
    (task_id(epoch, task) == id).then_some((epoch, task))
}

/// All events between the beginning of one agent and its end.
#[derive(Clone, Debug)]
pub struct Epoch {
    /// Its number; no two feeds use the same.
    pub number: u32,
    /// Task and place in its life, in the order of publishing.
    pub(crate) events: Vec<(u64, usize)>,
    /// So many of them, from the first one on, must be in the brain at least.
    pub(crate) at_least: usize,
}

impl Epoch {
    /// How many events were published.
    pub fn published(&self) -> usize {
        self.events.len()
    }
}

/// Publishes to one database of a Redis. It names no worker and no queue, so that the agent has nothing to say but what it
/// hears here.
pub struct Feed {
    redis: MultiplexedConnection,
    channel: String,
    dice: Dice,
    closed: Vec<Epoch>,
    current: Epoch,
    next_task: u64,
    /// Tasks under way: number, and how many of its events were published.
    under_way: Vec<(u64, usize)>,
}

impl Feed {
    /// A feed for the broker at `url`. Its epochs are numbered from `first_epoch` on.
    ///
    /// # Errors
    /// When Redis cannot be reached.
    pub async fn connect(url: &str, first_epoch: u32, dice: Dice) -> Result<Self> {
        let database = url.rsplit('/').next().context("a database in the broker's URL")?;
        let redis = patient_redis(url).await?;
        Ok(Self {
            redis,
            channel: format!("/{database}.celeryev/task.multi"),
            dice,
            closed: Vec::new(),
            current: Epoch { number: first_epoch, events: Vec::new(), at_least: 0 },
            next_task: 0,
            under_way: Vec::new(),
        })
    }

    /// Publishes `events` more events.
    ///
    /// # Errors
    /// When nobody, or more than one agent, listens.
    pub async fn publish(&mut self, events: usize) -> Result<()> {
        for _ in 0..events.div_ceil(EVENTS_PER_MESSAGE) {
            let events: Vec<Value> = (0..EVENTS_PER_MESSAGE).map(|_| self.next_event()).collect();
            let heard = self.send(&events).await?;
            ensure!(heard == 1, "{heard} agents listen on {}", self.channel);
        }
        Ok(())
    }

    /// Brings all tasks under way to their ends.
    ///
    /// # Errors
    /// When nobody, or more than one agent, listens.
    pub async fn finish(&mut self) -> Result<()> {
        while let Some((task, done)) = self.under_way.first().copied() {
            let events: Vec<Value> = (done..life(task).len()).map(|step| self.event(task, step)).collect();
            self.under_way.remove(0);
            ensure!(self.send(&events).await? == 1, "one agent listens");
        }
        Ok(())
    }

    /// How many agents listen.
    ///
    /// # Errors
    /// When Redis cannot be reached.
    pub async fn listeners(&mut self) -> Result<u64> {
        self.send(&[]).await
    }

    /// The agent of this epoch has ended, and `buffers` is the folder that it left. A new epoch begins.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn begin_epoch(&mut self, buffers: &Path) -> Result<()> {
        let next = Epoch { number: self.current.number + 1, events: Vec::new(), at_least: 0 };
        let mut ended = std::mem::replace(&mut self.current, next);
        ended.at_least = captured(buffers, ended.number)?;
        self.closed.push(ended);
        self.next_task = 0;
        self.under_way.clear();
        Ok(())
    }

    /// How many events of this epoch, from the first one on, have been published.
    pub fn published(&self) -> usize {
        self.current.events.len()
    }

    /// Number of this epoch.
    pub fn epoch(&self) -> u32 {
        self.current.number
    }

    /// The id of the last task that was published, and that has ended when [`Feed::finish`] has been called.
    pub fn last_task(&self) -> String {
        task_id(self.current.number, self.current.events.last().map_or(0, |(task, _)| *task))
    }

    /// The id of the first task that was published.
    pub fn first_task(&self) -> String {
        task_id(self.current.number, 0)
    }

    /// The epochs whose agents have ended.
    pub fn closed_epochs(&self) -> Vec<Epoch> {
        self.closed.clone()
    }

    /// All epochs. Of the last one, whose agent lives, every event must arrive.
    pub fn epochs(&self) -> Vec<Epoch> {
        let mut current = self.current.clone();
        current.at_least = current.events.len();
        self.closed.iter().cloned().chain([current]).collect()
    }

    fn next_event(&mut self) -> Value {
        while self.under_way.len() < UNDER_WAY {
            self.under_way.push((self.next_task, 0));
            self.next_task += 1;
        }
        let at = self.dice.below(UNDER_WAY as u64) as usize;
        let (task, step) = self.under_way[at];
        self.under_way[at].1 += 1;
        if step + 1 == life(task).len() {
            self.under_way.remove(at);
        }
        self.event(task, step)
    }

    /// Event `step` of `task`, in Celery's words. Its process id is its number in the epoch.
    fn event(&mut self, task: u64, step: usize) -> Value {
        let number = self.current.events.len();
        self.current.events.push((task, step));
        let life = life(task);
        let attempt = life[..step].iter().filter(|step| **step == Step::Retried).count();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let event = match life[step] {
            Step::Sent => json!({"type": "task-sent", "name": "feed.work", "args": format!("({number},)"),
                "kwargs": "{}", "retries": 0}),
            Step::Received => json!({"type": "task-received", "name": "feed.work", "args": format!("({number},)"),
                "kwargs": "{}", "retries": attempt}),
            Step::Started => json!({"type": "task-started"}),
            Step::Retried => json!({"type": "task-retried", "exception": "KeyError('busy')",
                "traceback": "Traceback (most recent call last):\ncelery.exceptions.Retry: Retry in 1s: KeyError('busy')\n"}),
            Step::Succeeded => json!({"type": "task-succeeded", "result": number.to_string(), "runtime": 0.012}),
            Step::Failed => json!({"type": "task-failed", "exception": "ValueError('no')",
                "traceback": "Traceback (most recent call last):\nValueError: no\n"}),
        };
        let common = json!({"uuid": task_id(self.current.number, task), "pid": number, "timestamp": now,
            "utcoffset": 0.0, "clock": number});
        let parts = [event, common].into_iter().filter_map(|part| part.as_object().cloned());
        Value::Object(parts.flatten().collect::<Map<String, Value>>())
    }

    /// Publishes one message; returns how many heard it.
    async fn send(&mut self, events: &[Value]) -> Result<u64> {
        let message = json!({
            "body": Value::from(events).to_string(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {},
            "properties": {"delivery_mode": 1, "priority": 0, "delivery_tag": "feed",
                "delivery_info": {"exchange": "celeryev", "routing_key": "task.multi"}},
        });
        // An agent that sees no workers listens to all channels for a while, in case they are on another one: that does not count.
        let mut both = redis::pipe();
        both.atomic().publish(&self.channel, message.to_string()).publish(ELSEWHERE, "");
        let (here, elsewhere): (u64, u64) = both.query_async(&mut self.redis).await?;
        Ok(here.saturating_sub(elsewhere))
    }
}

/// A connection to a Redis that may be slow to answer: by itself the client gives up after half a second.
///
/// # Errors
/// When Redis cannot be reached.
pub async fn patient_redis(url: &str) -> Result<MultiplexedConnection> {
    let patience = Some(PATIENCE);
    let config = AsyncConnectionConfig::new().set_connection_timeout(patience).set_response_timeout(patience);
    Ok(redis::Client::open(url)?.get_multiplexed_async_connection_with_config(&config).await?)
}

/// How many events of an epoch, from the first one on, were taken in at least, by what lies in the buffers below `folder`.
/// Reads the files as text: whatever their format, an event's own text is in them.
pub fn captured(folder: &Path, epoch: u32) -> Result<usize> {
    let mut most = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            most = most.max(captured(&path, epoch)?);
            continue;
        }
        // A file may go while its folder is read.
        let bytes = std::fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let numbers =
            text.split("\"event_type\"").filter(|event| event.contains(&format!("\"{epoch:08x}-0000-4000-8000-")));
        most = most.max(numbers.filter_map(number).map(|number| number + 1).max().unwrap_or(0));
    }
    Ok(most)
}

/// The number of an event, which is its process id.
fn number(event: &str) -> Option<usize> {
    let digits = event.split("\"pid\":").nth(1)?;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
