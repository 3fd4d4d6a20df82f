use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::broadcast;

/// Events kept for readers that come back.
const KEPT: usize = 256;
/// Events that a slow reader may be behind.
const LAG: usize = 64;
/// Items in one event; of more, only the number is told.
const MAX_ITEMS: usize = 50;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Tasks changed.
    Tasks,
    /// Commands changed.
    Commands,
    /// Agents came, went, or reported.
    Agents,
    /// Workers changed.
    Workers,
    /// Queues were sampled.
    Queues,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 5] = [Self::Tasks, Self::Commands, Self::Agents, Self::Workers, Self::Queues];

    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tasks => "tasks",
            Self::Commands => "commands",
            Self::Agents => "agents",
            Self::Workers => "workers",
            Self::Queues => "queues",
        }
    }

    /// Reads a topic's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }
}

/// One event of the stream.
#[derive(Debug)]
pub struct LiveEvent {
    /// Number in the hub's epoch, ascending.
    pub number: u64,
    /// Project it belongs to.
    pub project: u64,
    /// What it is about.
    pub topic: Topic,
    /// `{"changed": n, "items": […]}`; fewer items than `changed` when there were too many.
    pub data: String,
}

/// A reader's place in the stream.
pub struct Subscription {
    project: u64,
    replay: VecDeque<Arc<LiveEvent>>,
    receiver: broadcast::Receiver<Arc<LiveEvent>>,
    resync: bool,
}

/// What a reader gets next.
pub enum Next {
    /// An event.
    Event(Arc<LiveEvent>),
    /// Something was missed: fetch everything again.
    Resync,
    /// The brain stops.
    End,
}

/// Collects changes and hands them to readers. Cheap to clone.
#[derive(Clone)]
pub struct LiveHub {
    shared: Arc<Shared>,
}

struct Shared {
    epoch: String,
    state: Mutex<State>,
    sender: broadcast::Sender<Arc<LiveEvent>>,
}

#[derive(Default)]
struct State {
    next_number: u64,
    kept: VecDeque<Arc<LiveEvent>>,
    pending: BTreeMap<(u64, Topic), Pending>,
}

/// Changes since the last tick; of one thing only the latest.
#[derive(Default)]
struct Pending {
    changed: u64,
    items: BTreeMap<String, Value>,
}

impl LiveHub {
    /// A hub whose event ids begin with `epoch`, which must differ from run to run.
    pub fn new(epoch: String) -> Self {
        let (sender, _) = broadcast::channel(LAG);
        Self { shared: Arc::new(Shared { epoch, state: Mutex::default(), sender }) }
    }

    /// The hub's epoch.
    pub fn epoch(&self) -> &str {
        &self.shared.epoch
    }

    /// The id of an event, for `Last-Event-ID`.
    pub fn event_id(&self, event: &LiveEvent) -> String {
        format!("{}-{}", self.shared.epoch, event.number)
    }

    /// True when somebody listens; work for the stream can be spared otherwise.
    pub fn has_readers(&self) -> bool {
        self.shared.sender.receiver_count() > 0
    }

    /// Notes that the thing called `key` is now `item`.
    pub fn note(&self, project: u64, topic: Topic, key: String, item: Value) {
        let mut state = self.lock();
        let pending = state.pending.entry((project, topic)).or_default();
        pending.changed += 1;
        if pending.items.len() < MAX_ITEMS || pending.items.contains_key(&key) {
            pending.items.insert(key, item);
        }
    }

    /// Notes that `changed` more things changed, of which no details are told.
    pub fn note_uncounted(&self, project: u64, topic: Topic, changed: u64) {
        self.lock().pending.entry((project, topic)).or_default().changed += changed;
    }

    /// Notes that things changed and nobody was told, because nobody listened: a reader that comes back must fetch again.
    pub fn note_untold(&self) {
        let mut state = self.lock();
        state.kept.clear();
        state.next_number += 1;
    }

    /// Turns what was noted into events. Called by the ticker.
    pub fn tick(&self) {
        let mut state = self.lock();
        for ((project, topic), pending) in std::mem::take(&mut state.pending) {
            let items: Vec<Value> = pending.items.into_values().collect();
            let data = serde_json::json!({ "changed": pending.changed, "items": items }).to_string();
            state.next_number += 1;
            let event = Arc::new(LiveEvent { number: state.next_number, project, topic, data });
            state.kept.push_back(Arc::clone(&event));
            if state.kept.len() > KEPT {
                state.kept.pop_front();
            }
            // Nobody listening is fine.
            let _ = self.shared.sender.send(event);
        }
    }

    /// Opens the stream of a project, after the event with id `last_event_id` if the reader has seen one.
    pub fn subscribe(&self, project: u64, last_event_id: Option<&str>) -> Subscription {
        // Under the lock, so that no event falls between what is replayed and what is received.
        let state = self.lock();
        let receiver = self.shared.sender.subscribe();
        let (replay, resync) = match last_event_id {
            None => (VecDeque::new(), false),
            Some(id) => match self.resume_from(&state, id) {
                Some(after) => (state.kept.iter().filter(|e| e.number > after).cloned().collect(), false),
                None => (VecDeque::new(), true),
            },
        };
        Subscription { project, replay, receiver, resync }
    }

    fn resume_from(&self, state: &State, id: &str) -> Option<u64> {
        let (epoch, number) = id.rsplit_once('-')?;
        let number: u64 = number.parse().ok()?;
        let oldest_kept = state.kept.front().map_or(state.next_number + 1, |e| e.number);
        (epoch == self.shared.epoch && number + 1 >= oldest_kept && number <= state.next_number).then_some(number)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while noting a change leaves nothing half done that matters.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscription {
    /// Waits for what is next.
    pub async fn next(&mut self) -> Next {
        if std::mem::take(&mut self.resync) {
            return Next::Resync;
        }
        loop {
            let event = match self.replay.pop_front() {
                Some(event) => event,
                None => match self.receiver.recv().await {
                    Ok(event) => event,
                    Err(broadcast::error::RecvError::Lagged(_)) => return Next::Resync,
                    Err(broadcast::error::RecvError::Closed) => return Next::End,
                },
            };
            if event.project == self.project {
                return Next::Event(event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub() -> LiveHub {
        LiveHub::new("e1".into())
    }

    async fn next_data(subscription: &mut Subscription) -> Option<(Topic, Value)> {
        match subscription.next().await {
            Next::Event(event) => Some((event.topic, serde_json::from_str(&event.data).expect("JSON"))),
            Next::Resync | Next::End => None,
        }
    }

    #[tokio::test]
    async fn changes_between_two_ticks_are_one_event_with_the_latest_of_each() {
        let hub = hub();
        let mut reader = hub.subscribe(1, None);
        hub.note(1, Topic::Tasks, "a".into(), Value::from(1));
        hub.note(1, Topic::Tasks, "a".into(), Value::from(2));
        hub.note(2, Topic::Tasks, "other project".into(), Value::from(9));
        hub.tick();
        let (topic, data) = next_data(&mut reader).await.expect("an event");
        assert_eq!((topic, &data["changed"], &data["items"]), (Topic::Tasks, &Value::from(2), &serde_json::json!([2])));
    }

    #[tokio::test]
    async fn of_too_many_changes_only_the_number_is_told() {
        let hub = hub();
        let mut reader = hub.subscribe(1, None);
        for i in 0..1_000 {
            hub.note(1, Topic::Tasks, i.to_string(), Value::from(i));
        }
        hub.tick();
        let (_, data) = next_data(&mut reader).await.expect("an event");
        assert_eq!((data["changed"].as_u64(), data["items"].as_array().map(Vec::len)), (Some(1_000), Some(MAX_ITEMS)));
    }

    #[tokio::test]
    async fn a_reader_resumes_where_it_was() {
        let hub = hub();
        for i in 0..3 {
            hub.note(1, Topic::Queues, "q".into(), Value::from(i));
            hub.tick();
        }
        let mut reader = hub.subscribe(1, Some("e1-2"));
        assert_eq!(next_data(&mut reader).await.expect("an event").1["items"][0], 2);
    }

    #[tokio::test]
    async fn a_reader_from_another_run_or_long_ago_fetches_again() {
        let hub = hub();
        for _ in 0..KEPT + 10 {
            hub.note(1, Topic::Queues, "q".into(), Value::Null);
            hub.tick();
        }
        for id in ["e0-5", "e1-1", "e1-9999", "nonsense"] {
            assert!(matches!(hub.subscribe(1, Some(id)).next().await, Next::Resync), "{id}");
        }
    }

    #[tokio::test]
    async fn a_reader_that_was_away_while_nobody_listened_fetches_again() {
        let hub = hub();
        hub.note(1, Topic::Queues, "q".into(), Value::Null);
        hub.tick();
        assert!(matches!(hub.subscribe(1, Some("e1-0")).next().await, Next::Event(_)));
        hub.note_untold();
        assert!(matches!(hub.subscribe(1, Some("e1-1")).next().await, Next::Resync));
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_to_fetch_again() {
        let hub = hub();
        let mut reader = hub.subscribe(1, None);
        for _ in 0..LAG + 10 {
            hub.note(1, Topic::Queues, "q".into(), Value::Null);
            hub.tick();
        }
        assert!(matches!(reader.next().await, Next::Resync));
    }
}
