use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Notify, broadcast};

/// Events kept for readers that come back.
const KEPT: usize = 256;
/// Events that a slow reader may be behind.
const LAG: usize = 64;
/// Items in one event; of more, only the number is told.
const MAX_ITEMS: usize = 24;
/// Bytes of items in one event; of those beyond it, too. With the numbers above it bounds what slow readers can hold.
const MAX_ITEM_BYTES: usize = 128 << 10;
/// How long other brains go on telling of a project that nobody reads any more: a reader may come back.
const LINGER: Duration = Duration::from_secs(30);

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// The event as readers get it: `id`, `event`, and `data`, which is `{"changed": n, "items": […]}` with fewer items than
    /// `changed` when there were too many. Made once, shared by all readers.
    pub frame: Bytes,
}

/// Changes of one kind, on their way from one brain to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Project.
    pub project: u64,
    /// What has changed.
    pub topic: Topic,
    /// How many things.
    pub changed: u64,
    /// As they now are, by their keys, as far as it is told.
    pub items: BTreeMap<String, Value>,
}

/// What is sent to readers.
#[derive(Clone)]
enum Signal {
    Event(Arc<LiveEvent>),
    /// Readers of this project have missed something.
    Resync(u64),
}

/// A reader's place in the stream.
pub struct Subscription {
    hub: LiveHub,
    project: u64,
    replay: VecDeque<Arc<LiveEvent>>,
    receiver: broadcast::Receiver<Signal>,
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
    sender: broadcast::Sender<Signal>,
    /// Somebody reads at another brain.
    is_read_elsewhere: AtomicBool,
    /// There is something to tell other brains.
    to_tell: Notify,
    /// There is something to tell readers.
    noted: Notify,
}

#[derive(Default)]
struct State {
    next_number: u64,
    kept: VecDeque<Arc<LiveEvent>>,
    pending: BTreeMap<(u64, Topic), Pending>,
    /// Projects that were read here lately.
    readers: BTreeMap<u64, Readers>,
    /// Projects that other brains read, and what changed in them since they were last told.
    elsewhere: BTreeSet<u64>,
    outgoing: BTreeMap<(u64, Topic), Pending>,
    /// Readers of these projects that come back from before these numbers have missed something.
    gaps: BTreeMap<u64, u64>,
    resyncs: BTreeSet<u64>,
}

#[derive(Default)]
struct Readers {
    count: usize,
    left: Option<Instant>,
}

/// Changes since the last tick; of one thing only the latest.
#[derive(Default)]
struct Pending {
    changed: u64,
    items: BTreeMap<String, Value>,
}

impl Pending {
    fn note(&mut self, key: String, item: Value) {
        if self.items.len() < MAX_ITEMS || self.items.contains_key(&key) {
            self.items.insert(key, item);
        }
    }
}

impl State {
    /// From here on, something was missed of a project.
    fn gap(&mut self, project: u64) {
        self.next_number += 1;
        self.gaps.insert(project, self.next_number);
    }
}

impl LiveHub {
    /// A hub whose event ids begin with `epoch`, which must differ from run to run.
    pub fn new(epoch: String) -> Self {
        let (sender, _) = broadcast::channel(LAG);
        let (is_read_elsewhere, to_tell, noted) = (AtomicBool::new(false), Notify::new(), Notify::new());
        let state = Mutex::default();
        Self { shared: Arc::new(Shared { epoch, state, sender, is_read_elsewhere, to_tell, noted }) }
    }

    /// The hub's epoch.
    pub fn epoch(&self) -> &str {
        &self.shared.epoch
    }

    /// True when somebody listens, here or at another brain; work for the stream can be spared otherwise.
    pub fn has_readers(&self) -> bool {
        self.shared.sender.receiver_count() > 0 || self.shared.is_read_elsewhere.load(Ordering::Relaxed)
    }

    /// Notes that the thing called `key` is now `item`.
    pub fn note(&self, project: u64, topic: Topic, key: String, item: Value) {
        let mut state = self.lock();
        if state.elsewhere.contains(&project) {
            let outgoing = state.outgoing.entry((project, topic)).or_default();
            outgoing.changed += 1;
            outgoing.note(key.clone(), item.clone());
            self.shared.to_tell.notify_one();
        }
        let pending = state.pending.entry((project, topic)).or_default();
        pending.changed += 1;
        pending.note(key, item);
        self.shared.noted.notify_one();
    }

    /// Notes that `changed` more things changed, of which no details are told.
    pub fn note_uncounted(&self, project: u64, topic: Topic, changed: u64) {
        let mut state = self.lock();
        if state.elsewhere.contains(&project) {
            state.outgoing.entry((project, topic)).or_default().changed += changed;
            self.shared.to_tell.notify_one();
        }
        state.pending.entry((project, topic)).or_default().changed += changed;
        self.shared.noted.notify_one();
    }

    /// Takes in what another brain tells.
    pub fn absorb(&self, change: Change) {
        let Change { project, topic, changed, items } = change;
        let mut state = self.lock();
        let pending = state.pending.entry((project, topic)).or_default();
        pending.changed += changed;
        for (key, item) in items {
            pending.note(key, item);
        }
        self.shared.noted.notify_one();
    }

    /// Tells readers of a project, or all, to fetch again: something was missed.
    pub fn resync(&self, project: Option<u64>) {
        let mut state = self.lock();
        let read: Vec<u64> =
            state.readers.keys().copied().filter(|read| project.is_none_or(|wanted| wanted == *read)).collect();
        for project in read {
            state.gap(project);
            state.resyncs.insert(project);
        }
        self.shared.noted.notify_one();
    }

    /// The projects that are read here, or were lately.
    pub fn reads(&self) -> Vec<u64> {
        self.lock().readers.keys().copied().collect()
    }

    /// Forgets projects that have not been read for a while.
    pub fn forget_readers(&self, now: Instant) {
        let mut state = self.lock();
        let is_old = |readers: &Readers| {
            readers.count == 0 && readers.left.is_none_or(|left| now.saturating_duration_since(left) >= LINGER)
        };
        let old: Vec<u64> =
            state.readers.iter().filter(|(_, readers)| is_old(readers)).map(|(project, _)| *project).collect();
        for project in old {
            state.readers.remove(&project);
            // From now on, other brains do not tell.
            state.gap(project);
            self.shared.to_tell.notify_one();
        }
    }

    /// Says which projects are read at other brains.
    pub fn set_elsewhere(&self, projects: BTreeSet<u64>) {
        let mut state = self.lock();
        state.outgoing.retain(|(project, _), _| projects.contains(project));
        self.shared.is_read_elsewhere.store(!projects.is_empty(), Ordering::Relaxed);
        state.elsewhere = projects;
    }

    /// Waits until there may be something to tell other brains: changes, or what is read here.
    pub async fn to_tell(&self) {
        self.shared.to_tell.notified().await;
    }

    /// What is to be told to other brains.
    pub fn take_outgoing(&self) -> Vec<Change> {
        let outgoing = std::mem::take(&mut self.lock().outgoing);
        let change = |((project, topic), Pending { changed, items })| Change { project, topic, changed, items };
        outgoing.into_iter().map(change).collect()
    }

    /// Notes that things changed and nobody was told, because nobody listened: a reader that comes back must fetch again.
    pub fn note_untold(&self) {
        let mut state = self.lock();
        state.kept.clear();
        state.next_number += 1;
    }

    /// Waits until something was noted since the last [`Self::tick`].
    pub async fn noted(&self) {
        self.shared.noted.notified().await;
    }

    /// Turns what was noted into events. Called by the ticker.
    pub fn tick(&self) {
        let mut state = self.lock();
        for project in std::mem::take(&mut state.resyncs) {
            let _ = self.shared.sender.send(Signal::Resync(project));
        }
        for ((project, topic), pending) in std::mem::take(&mut state.pending) {
            state.next_number += 1;
            let number = state.next_number;
            let frame = frame(&self.shared.epoch, number, topic, &pending);
            let event = Arc::new(LiveEvent { number, project, topic, frame });
            state.kept.push_back(Arc::clone(&event));
            if state.kept.len() > KEPT {
                state.kept.pop_front();
            }
            // Nobody listening is fine.
            let _ = self.shared.sender.send(Signal::Event(event));
        }
    }

    /// Opens the stream of a project, after the event with id `last_event_id` if the reader has seen one.
    pub fn subscribe(&self, project: u64, last_event_id: Option<&str>) -> Subscription {
        // Under the lock, so that no event falls between what is replayed and what is received.
        let mut state = self.lock();
        let receiver = self.shared.sender.subscribe();
        let readers = state.readers.entry(project).or_insert_with(|| {
            self.shared.to_tell.notify_one();
            Readers::default()
        });
        readers.count += 1;
        let (replay, resync) = match last_event_id {
            None => (VecDeque::new(), false),
            Some(id) => match self.resume_from(&state, project, id) {
                Some(after) => (state.kept.iter().filter(|e| e.number > after).cloned().collect(), false),
                None => (VecDeque::new(), true),
            },
        };
        Subscription { hub: self.clone(), project, replay, receiver, resync }
    }

    fn resume_from(&self, state: &State, project: u64, id: &str) -> Option<u64> {
        let (epoch, number) = id.rsplit_once('-')?;
        let number: u64 = number.parse().ok()?;
        let oldest_kept = state.kept.front().map_or(state.next_number + 1, |e| e.number);
        let is_whole = number + 1 >= oldest_kept && state.gaps.get(&project).is_none_or(|gap| number >= *gap);
        (epoch == self.shared.epoch && is_whole && number <= state.next_number).then_some(number)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while noting a change leaves nothing half done that matters.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text of an event, as the format of Server-Sent Events has it. JSON has no line breaks of its own.
fn frame(epoch: &str, number: u64, topic: Topic, pending: &Pending) -> Bytes {
    let mut text =
        format!("id: {epoch}-{number}\nevent: {}\ndata: {{\"changed\":{},\"items\":[", topic.name(), pending.changed);
    let most = text.len() + MAX_ITEM_BYTES;
    let mut separator = "";
    for item in pending.items.values() {
        let item = item.to_string();
        if text.len() + item.len() <= most {
            text.push_str(separator);
            text.push_str(&item);
            separator = ",";
        }
    }
    text.push_str("]}\n\n");
    text.into()
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
                    Ok(Signal::Event(event)) => event,
                    Ok(Signal::Resync(project)) if project == self.project => return Next::Resync,
                    Ok(Signal::Resync(_)) => continue,
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        // What it will fetch is newer than what still waits for it.
                        self.receiver = self.receiver.resubscribe();
                        return Next::Resync;
                    }
                    Err(broadcast::error::RecvError::Closed) => return Next::End,
                },
            };
            if event.project == self.project {
                return Next::Event(event);
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        if let Some(readers) = state.readers.get_mut(&self.project) {
            readers.count = readers.count.saturating_sub(1);
            readers.left = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub() -> LiveHub {
        LiveHub::new("e1".into())
    }

    fn data(event: &LiveEvent) -> Value {
        let frame = std::str::from_utf8(&event.frame).expect("text");
        let lines: Vec<&str> = frame.lines().collect();
        let [id, topic, data, ""] = lines[..] else { panic!("not an event: {frame}") };
        assert_eq!((id, topic), (&*format!("id: e1-{}", event.number), &*format!("event: {}", event.topic.name())));
        serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON")
    }

    async fn next_data(subscription: &mut Subscription) -> Option<(Topic, Value)> {
        match subscription.next().await {
            Next::Event(event) => Some((event.topic, data(&event))),
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
    async fn of_changes_that_are_too_large_only_the_number_is_told() {
        let hub = hub();
        let mut reader = hub.subscribe(1, None);
        for i in 0..3 {
            hub.note(1, Topic::Tasks, i.to_string(), Value::from("x".repeat(MAX_ITEM_BYTES / 5 * 2)));
        }
        hub.tick();
        let (_, data) = next_data(&mut reader).await.expect("an event");
        assert_eq!((data["changed"].as_u64(), data["items"].as_array().map(Vec::len)), (Some(3), Some(2)));
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
        hub.note(1, Topic::Queues, "q".into(), Value::from("new"));
        hub.tick();
        let (_, data) = next_data(&mut reader).await.expect("an event");
        assert_eq!(data["items"][0], "new", "the old ones are passed over");
    }

    fn change(project: u64, key: &str) -> Change {
        let items = BTreeMap::from([(key.to_owned(), Value::from(key))]);
        Change { project, topic: Topic::Tasks, changed: 7, items }
    }

    #[tokio::test]
    async fn what_other_brains_tell_is_told_to_readers_and_not_told_on() {
        let hub = hub();
        hub.set_elsewhere(BTreeSet::from([1]));
        let mut reader = hub.subscribe(1, None);
        hub.absorb(change(1, "a"));
        hub.note(1, Topic::Tasks, "b".into(), Value::from("b"));
        hub.tick();
        let (_, data) = next_data(&mut reader).await.expect("an event");
        assert_eq!((&data["changed"], &data["items"]), (&Value::from(8), &serde_json::json!(["a", "b"])));
        let told = hub.take_outgoing();
        assert_eq!(
            (told.len(), told[0].changed, told[0].items.keys().map(String::as_str).collect::<Vec<_>>()),
            (1, 1, vec!["b"])
        );
    }

    #[test]
    fn other_brains_are_told_only_of_what_they_read() {
        let hub = hub();
        assert!(!hub.has_readers());
        hub.set_elsewhere(BTreeSet::from([1, 2]));
        assert!(hub.has_readers());
        for project in 1..=3 {
            hub.note(project, Topic::Tasks, "a".into(), Value::Null);
            hub.note_uncounted(project, Topic::Agents, 5);
        }
        hub.set_elsewhere(BTreeSet::from([2]));
        let told: Vec<_> = hub.take_outgoing().into_iter().map(|one| (one.project, one.topic, one.changed)).collect();
        assert_eq!(told, [(2, Topic::Tasks, 1), (2, Topic::Agents, 5)]);
        assert!(hub.take_outgoing().is_empty());
    }

    #[tokio::test]
    async fn a_reader_of_what_other_brains_may_not_have_told_fetches_again() {
        let hub = hub();
        let (mut here, mut other) = (hub.subscribe(1, None), hub.subscribe(2, None));
        hub.note(1, Topic::Tasks, "a".into(), Value::Null);
        hub.note(2, Topic::Tasks, "a".into(), Value::Null);
        hub.resync(Some(1));
        hub.tick();
        assert!(matches!(here.next().await, Next::Resync));
        assert!(matches!(here.next().await, Next::Event(_)));
        assert!(matches!(other.next().await, Next::Event(_)));
        drop(here);
        assert!(matches!(hub.subscribe(1, Some("e1-0")).next().await, Next::Resync));
        assert!(matches!(hub.subscribe(1, Some("e1-1")).next().await, Next::Event(_)));
    }

    #[tokio::test]
    async fn who_comes_back_when_other_brains_have_stopped_telling_fetches_again() {
        let hub = hub();
        let reader = hub.subscribe(1, None);
        let later = Instant::now() + LINGER;
        hub.forget_readers(later);
        assert_eq!(hub.reads(), [1], "somebody reads");
        drop(reader);
        hub.forget_readers(Instant::now());
        assert_eq!(hub.reads(), [1], "it may come back");
        hub.forget_readers(Instant::now() + LINGER);
        assert!(hub.reads().is_empty());
        assert!(matches!(hub.subscribe(1, Some("e1-0")).next().await, Next::Resync));
    }
}
