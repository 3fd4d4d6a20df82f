use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::elsewhere::{Change, Elsewhere};
use super::journal::{Journal, News};
use super::pace::Pace;
use super::place::Place;
use super::{Subscription, Topic};

/// How long other brains go on telling of a project that nobody reads any more: a reader may come back.
const LINGER: Duration = Duration::from_secs(30);

/// Collects changes and hands them to readers. Cheap to clone.
#[derive(Clone)]
pub struct LiveHub {
    shared: Arc<Shared>,
}

struct Shared {
    epoch: String,
    began: Instant,
    state: Mutex<State>,
    /// Readers here.
    readers: AtomicUsize,
    /// Somebody reads at another brain.
    is_read_elsewhere: AtomicBool,
    /// There is something to tell other brains.
    to_tell: Notify,
}

#[derive(Default)]
struct State {
    /// Projects that were read here lately.
    read: BTreeMap<u64, Read>,
    elsewhere: Elsewhere,
    /// Journals made so far; the number of the last one.
    journals: u64,
    /// Readers that have come so far.
    comers: u64,
}

/// A project that is read here, or was lately.
struct Read {
    journal: Journal,
    /// Wakes the readers that have been told everything.
    noted: Arc<Notify>,
    readers: usize,
    /// When the last of them left.
    left: Option<Instant>,
}

/// What there is for a reader, and its place when it has been told.
pub(super) enum Look {
    News(Vec<News>, Place),
    Resync(Place),
}

impl State {
    /// From here on, readers of these projects have missed something: no place in their journals leads on.
    fn begin_again(&mut self, is_meant: impl Fn(u64) -> bool) -> Vec<Arc<Notify>> {
        let mut woken = Vec::new();
        for (_, read) in self.read.iter_mut().filter(|(project, _)| is_meant(**project)) {
            self.journals += 1;
            read.journal.renumber(self.journals);
            woken.push(Arc::clone(&read.noted));
        }
        woken
    }
}

impl LiveHub {
    /// A hub whose event ids begin with `epoch`, which must differ from run to run.
    pub fn new(epoch: String) -> Self {
        let shared = Shared {
            epoch,
            began: Instant::now(),
            state: Mutex::default(),
            readers: AtomicUsize::new(0),
            is_read_elsewhere: AtomicBool::new(false),
            to_tell: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The hub's epoch.
    pub fn epoch(&self) -> &str {
        &self.shared.epoch
    }

    /// True when somebody listens, here or at another brain; work for the stream can be spared otherwise.
    pub fn has_readers(&self) -> bool {
        self.shared.readers.load(Ordering::Relaxed) > 0 || self.shared.is_read_elsewhere.load(Ordering::Relaxed)
    }

    /// Notes that the thing called `key` is now `item`.
    pub fn note(&self, project: u64, topic: Topic, key: String, item: Value) {
        let mut state = self.lock();
        if let Some(outgoing) = state.elsewhere.of(project, topic) {
            outgoing.note(key.clone(), item.clone());
            self.shared.to_tell.notify_one();
        }
        self.change(state, project, |journal, now| journal.of(topic, now).note(key, item));
    }

    /// Notes that `changed` more things changed, of which no details are told.
    pub fn note_uncounted(&self, project: u64, topic: Topic, changed: u64) {
        let mut state = self.lock();
        if let Some(outgoing) = state.elsewhere.of(project, topic) {
            outgoing.note_all(changed, BTreeMap::new());
            self.shared.to_tell.notify_one();
        }
        self.change(state, project, |journal, now| journal.of(topic, now).note_all(changed, BTreeMap::new()));
    }

    /// Takes in what another brain tells.
    pub fn absorb(&self, change: Change) {
        let Change { project, topic, changed, items } = change;
        self.change(self.lock(), project, |journal, now| journal.of(topic, now).note_all(changed, items));
    }

    fn change(&self, mut state: MutexGuard<'_, State>, project: u64, note: impl FnOnce(&mut Journal, Instant)) {
        let Some(read) = state.read.get_mut(&project) else { return };
        note(&mut read.journal, Instant::now());
        let noted = Arc::clone(&read.noted);
        drop(state);
        noted.notify_waiters();
    }

    /// Tells readers of a project, or all, to fetch again: something was missed.
    pub fn resync(&self, project: Option<u64>) {
        let woken = self.lock().begin_again(|read| project.is_none_or(|wanted| wanted == read));
        woken.iter().for_each(|noted| noted.notify_waiters());
    }

    /// Notes that things changed and nobody was told, because nobody listened: a reader that comes back must fetch again.
    pub fn note_untold(&self) {
        self.resync(None);
    }

    /// The projects that are read here, or were lately.
    pub fn reads(&self) -> Vec<u64> {
        self.lock().read.keys().copied().collect()
    }

    /// Forgets projects that have not been read for a while.
    pub fn forget_readers(&self, now: Instant) {
        let mut state = self.lock();
        let before = state.read.len();
        let is_old = |left: Instant| now.saturating_duration_since(left) >= LINGER;
        // From now on, other brains do not tell.
        state.read.retain(|_, read| read.readers > 0 || !read.left.is_none_or(is_old));
        if state.read.len() < before {
            self.shared.to_tell.notify_one();
        }
    }

    /// Says which projects are read at other brains.
    pub fn set_elsewhere(&self, projects: BTreeSet<u64>) {
        self.shared.is_read_elsewhere.store(!projects.is_empty(), Ordering::Relaxed);
        self.lock().elsewhere.set(projects);
    }

    /// Waits until there may be something to tell other brains: changes, or what is read here.
    pub async fn to_tell(&self) {
        self.shared.to_tell.notified().await;
    }

    /// What is to be told to other brains.
    pub fn take_outgoing(&self) -> Vec<Change> {
        self.lock().elsewhere.take()
    }

    /// Opens the stream of a project, behind the event with id `last_event_id` if the reader has seen one.
    pub fn subscribe(&self, project: u64, topics: BTreeSet<Topic>, last_event_id: Option<&str>) -> Subscription {
        let now = Instant::now();
        self.forget_readers(now);
        let mut state = self.lock();
        self.shared.readers.fetch_add(1, Ordering::Relaxed);
        state.comers += 1;
        let pace = Pace::new(state.comers, self.shared.began);
        let State { read, journals, .. } = &mut *state;
        let read = read.entry(project).or_insert_with(|| {
            self.shared.to_tell.notify_one();
            *journals += 1;
            Read { journal: Journal::new(*journals), noted: Arc::default(), readers: 0, left: None }
        });
        read.readers += 1;
        let place = match last_event_id {
            None => read.journal.end(),
            // Who comes from anywhere else is nowhere.
            Some(id) => self.place_of(id).filter(|place| place.journal == read.journal.number()).unwrap_or_default(),
        };
        let noted = Arc::clone(&read.noted);
        Subscription { hub: self.clone(), project, topics, place, noted, pace, ready: VecDeque::new() }
    }

    fn place_of(&self, id: &str) -> Option<Place> {
        let (epoch, place) = id.rsplit_once('-')?;
        if epoch == self.shared.epoch { Place::parse(place) } else { None }
    }

    /// A reader has left.
    pub(super) fn leave(&self, project: u64) {
        self.shared.readers.fetch_sub(1, Ordering::Relaxed);
        if let Some(read) = self.lock().read.get_mut(&project) {
            read.readers = read.readers.saturating_sub(1);
            read.left = Some(Instant::now());
        }
    }

    /// True when there is something that a reader has to be told.
    pub(super) fn has_news(&self, project: u64, place: &Place, topics: &BTreeSet<Topic>) -> bool {
        self.lock().read.get(&project).is_some_and(|read| read.journal.has_news(place, topics))
    }

    /// What a reader has not been told.
    pub(super) fn look(&self, project: u64, place: &Place, topics: &BTreeSet<Topic>, now: Instant) -> Look {
        let state = self.lock();
        let Some(Read { journal, .. }) = state.read.get(&project) else { return Look::Resync(*place) };
        let (end, is_renumbered) = (journal.end(), place.journal != 0 && place.journal != journal.number());
        if is_renumbered {
            // What it has not been told yet may be newer than what it is about to fetch.
            Look::Resync(Place { journal: end.journal, counts: place.counts })
        } else if journal.goes_on_from(place, topics, now) {
            Look::News(journal.since(place, topics), end)
        } else {
            Look::Resync(end)
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while noting a change leaves nothing half done that matters.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::journal::BEHIND;
    use crate::live::{LiveEvent, MAX_ITEM_BYTES, MAX_ITEMS, Next};

    fn hub() -> LiveHub {
        LiveHub::new("e1".into())
    }

    fn reader(hub: &LiveHub, project: u64, last_event_id: Option<&str>) -> Subscription {
        hub.subscribe(project, Topic::ALL.into_iter().collect(), last_event_id)
    }

    /// Id and data of an event.
    fn read(event: &LiveEvent) -> (String, Value) {
        let frame = std::str::from_utf8(&event.frame).expect("text");
        let lines: Vec<&str> = frame.lines().collect();
        let [id, topic, data, ""] = lines[..] else { panic!("not an event: {frame}") };
        assert_eq!(topic, format!("event: {}", event.topic.name()));
        let data = serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON");
        (id.strip_prefix("id: ").expect("an id").to_owned(), data)
    }

    /// Topic, id and data of the next event.
    async fn next(subscription: &mut Subscription) -> (Topic, String, Value) {
        match subscription.next().await {
            Next::Event(event) => {
                let (id, data) = read(&event);
                (event.topic, id, data)
            }
            Next::Resync => panic!("an event"),
        }
    }

    async fn is_resync(subscription: &mut Subscription) -> bool {
        matches!(subscription.next().await, Next::Resync)
    }

    fn note(hub: &LiveHub, project: u64, key: &str) {
        hub.note(project, Topic::Tasks, key.into(), key.into());
    }

    #[tokio::test(start_paused = true)]
    async fn changes_that_come_together_are_one_event_with_the_latest_of_each() {
        let hub = hub();
        let mut here = reader(&hub, 1, None);
        hub.note(1, Topic::Tasks, "a".into(), Value::from(1));
        hub.note(1, Topic::Tasks, "a".into(), Value::from(2));
        note(&hub, 2, "other project");
        let (topic, _, data) = next(&mut here).await;
        assert_eq!((topic, &data["changed"], &data["items"]), (Topic::Tasks, &Value::from(2), &serde_json::json!([2])));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_is_told_at_most_four_times_a_second_and_of_everything() {
        let hub = hub();
        let mut here = reader(&hub, 1, None);
        let (mut told, mut events) = (0, 0);
        for _ in 0..1_000 {
            note(&hub, 1, "a");
            tokio::select! {
                biased;
                (_, _, data) = next(&mut here) => {
                    told += data["changed"].as_u64().expect("a number");
                    events += 1;
                }
                () = tokio::time::sleep(Duration::from_millis(10)) => {}
            }
        }
        // After a turn's worth of quiet the rest has come.
        told += next(&mut here).await.2["changed"].as_u64().expect("a number");
        assert_eq!(told, 1_000);
        assert!(events <= 41, "{events}");
    }

    #[tokio::test(start_paused = true)]
    async fn of_changes_that_are_too_many_or_too_large_only_the_number_is_told() {
        let hub = hub();
        let mut here = reader(&hub, 1, None);
        hub.note_uncounted(1, Topic::Tasks, 1_000 - MAX_ITEMS as u64);
        (0..MAX_ITEMS).for_each(|i| note(&hub, 1, &i.to_string()));
        let (_, _, data) = next(&mut here).await;
        assert_eq!((data["changed"].as_u64(), data["items"].as_array().map(Vec::len)), (Some(1_000), Some(MAX_ITEMS)));
        for i in 0..3 {
            hub.note(1, Topic::Tasks, i.to_string(), Value::from("x".repeat(MAX_ITEM_BYTES / 5 * 2)));
        }
        let (_, _, data) = next(&mut here).await;
        assert_eq!((data["changed"].as_u64(), data["items"].as_array().map(Vec::len)), (Some(3), Some(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_is_told_of_its_topics() {
        let hub = hub();
        let mut here = hub.subscribe(1, BTreeSet::from([Topic::Queues]), None);
        note(&hub, 1, "a");
        hub.note(1, Topic::Queues, "q".into(), Value::Null);
        assert_eq!(next(&mut here).await.0, Topic::Queues);
        note(&hub, 1, "b");
        let more = tokio::time::timeout(Duration::from_secs(60), here.next()).await;
        assert!(more.is_err(), "{more:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_resumes_behind_the_event_it_has_seen() {
        let hub = hub();
        let mut here = reader(&hub, 1, None);
        hub.note_uncounted(1, Topic::Agents, 2);
        note(&hub, 1, "a");
        let (first, second) = (next(&mut here).await, next(&mut here).await);
        assert_eq!((first.0, second.0), (Topic::Tasks, Topic::Agents));
        drop(here);
        note(&hub, 1, "b");
        let mut from_first = reader(&hub, 1, Some(&first.1));
        assert_eq!(next(&mut from_first).await.2, serde_json::json!({ "changed": 1, "items": ["b"] }));
        assert_eq!(next(&mut from_first).await.2["changed"], 2, "the other topic was not seen");
        let mut from_second = reader(&hub, 1, Some(&second.1));
        assert_eq!(next(&mut from_second).await.2, serde_json::json!({ "changed": 1, "items": ["b"] }));
        assert!(!hub.has_news(1, &from_second.place, &from_second.topics));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_from_another_run_or_project_fetches_again() {
        let hub = hub();
        let mut other = reader(&hub, 2, None);
        note(&hub, 2, "a");
        let (_, of_another_project, _) = next(&mut other).await;
        let _here = reader(&hub, 1, None);
        for id in [&of_another_project, "e0-1.0.0.0.0.0.0", "e1-2.9.0.0.0.0.0", "e1-5", "nonsense"] {
            assert!(is_resync(&mut reader(&hub, 1, Some(id))).await, "{id}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_was_away_while_nobody_listened_fetches_again() {
        let hub = hub();
        let mut here = reader(&hub, 1, None);
        note(&hub, 1, "a");
        let (_, id, _) = next(&mut here).await;
        drop(here);
        assert!(!hub.has_readers());
        hub.note_untold();
        assert!(is_resync(&mut reader(&hub, 1, Some(&id))).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_did_not_read_for_long_fetches_again_and_goes_on_from_there() {
        let hub = hub();
        let (mut stuck, mut slow) = (reader(&hub, 1, None), reader(&hub, 1, None));
        note(&hub, 1, "old");
        tokio::time::sleep(BEHIND / 2).await;
        assert_eq!(next(&mut slow).await.2["items"][0], "old", "slow is not stuck");
        for _ in 0..2 * BEHIND.as_secs() {
            note(&hub, 1, "old");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(is_resync(&mut stuck).await);
        note(&hub, 1, "new");
        assert_eq!(next(&mut stuck).await.2, serde_json::json!({ "changed": 1, "items": ["new"] }));
    }

    fn change(project: u64, key: &str) -> Change {
        let items = BTreeMap::from([(key.to_owned(), Value::from(key))]);
        Change { project, topic: Topic::Tasks, changed: 7, items }
    }

    #[tokio::test(start_paused = true)]
    async fn what_other_brains_tell_is_told_to_readers_and_not_told_on() {
        let hub = hub();
        hub.set_elsewhere(BTreeSet::from([1]));
        let mut here = reader(&hub, 1, None);
        hub.absorb(change(1, "a"));
        note(&hub, 1, "b");
        let (_, _, data) = next(&mut here).await;
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

    #[tokio::test(start_paused = true)]
    async fn a_reader_of_what_other_brains_may_not_have_told_fetches_again() {
        let hub = hub();
        let (mut here, mut other) = (reader(&hub, 1, None), reader(&hub, 2, None));
        note(&hub, 1, "a");
        note(&hub, 2, "a");
        let (_, before, _) = next(&mut here).await;
        hub.resync(Some(1));
        assert!(is_resync(&mut here).await);
        assert_eq!(next(&mut other).await.0, Topic::Tasks);
        note(&hub, 1, "b");
        let (_, after, _) = next(&mut here).await;
        drop(here);
        note(&hub, 1, "c");
        assert!(is_resync(&mut reader(&hub, 1, Some(&before))).await);
        assert_eq!(next(&mut reader(&hub, 1, Some(&after))).await.2["items"], serde_json::json!(["c"]));
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_back_when_other_brains_have_stopped_telling_fetches_again() {
        let hub = hub();
        let mut here = reader(&hub, 1, None);
        note(&hub, 1, "a");
        let (_, id, _) = next(&mut here).await;
        hub.forget_readers(Instant::now() + LINGER);
        assert_eq!(hub.reads(), [1], "somebody reads");
        drop(here);
        hub.forget_readers(Instant::now());
        assert_eq!(hub.reads(), [1], "it may come back");
        hub.forget_readers(Instant::now() + LINGER);
        assert!(hub.reads().is_empty());
        assert!(is_resync(&mut reader(&hub, 1, Some(&id))).await);
    }
}
