use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::time::Instant;

use super::place::{Counts, Place};
use super::{MAX_ITEMS, Topic};

/// A reader that has not been told for so long of what changed is told to fetch everything again.
pub(super) const BEHIND: Duration = Duration::from_secs(10);
/// How often it is noted how much had changed, to know who is behind.
const MARK_EVERY: Duration = Duration::from_secs(1);

/// What changed in a project, for readers at any place in it: how much of each topic, and the things that changed last as they now are.
pub(super) struct Journal {
    number: u64,
    topics: BTreeMap<Topic, Changes>,
    /// How much had changed, and when: about one a second, of the last [`BEHIND`] and a little longer.
    marks: VecDeque<(Instant, Counts)>,
}

/// Changes of one topic.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) changed: u64,
    /// The latest of each thing, the newest last.
    items: VecDeque<Item>,
}

struct Item {
    key: String,
    value: Value,
    /// As readers get it: made for the first of them.
    text: OnceCell<Bytes>,
    /// How much had changed when this did.
    at: u64,
}

/// What a reader has not been told of a topic.
pub(super) struct News {
    pub(super) topic: Topic,
    pub(super) changed: u64,
    /// As JSON, the newest last.
    pub(super) items: Vec<Bytes>,
}

impl Changes {
    /// Notes a change of the thing called `key`, which is now `value`.
    pub(super) fn note(&mut self, key: String, value: Value) {
        self.changed += 1;
        self.keep(key, value);
    }

    /// Notes `changed` changes, of which some things are known as they now are.
    pub(super) fn note_all(&mut self, changed: u64, items: BTreeMap<String, Value>) {
        self.changed += changed;
        for (key, value) in items {
            self.keep(key, value);
        }
    }

    fn keep(&mut self, key: String, value: Value) {
        if let Some(place) = self.items.iter().position(|item| item.key == key) {
            self.items.remove(place);
        } else if self.items.len() == MAX_ITEMS {
            self.items.pop_front();
        }
        self.items.push_back(Item { key, value, text: OnceCell::new(), at: self.changed });
    }

    /// The things that changed last, as they now are, by their keys.
    pub(super) fn into_items(self) -> BTreeMap<String, Value> {
        self.items.into_iter().map(|item| (item.key, item.value)).collect()
    }

    fn since(&self, count: u64) -> Vec<Bytes> {
        let text = |item: &Item| item.text.get_or_init(|| item.value.to_string().into()).clone();
        self.items.iter().filter(|item| item.at > count).map(text).collect()
    }
}

impl Journal {
    /// A journal in which nothing has changed; no other one may have the same number.
    pub(super) fn new(number: u64) -> Self {
        Self { number, topics: BTreeMap::new(), marks: VecDeque::new() }
    }

    /// Makes it another journal with the same changes: whoever has a place in it has missed something.
    pub(super) fn renumber(&mut self, number: u64) {
        self.number = number;
    }

    /// Number of the journal.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// What changed of a topic, to note more.
    pub(super) fn of(&mut self, topic: Topic, now: Instant) -> &mut Changes {
        if self.marks.back().is_none_or(|(at, _)| now.saturating_duration_since(*at) >= MARK_EVERY) {
            self.marks.push_back((now, self.counts()));
            while self.marks.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= BEHIND) {
                self.marks.pop_front();
            }
        }
        self.topics.entry(topic).or_default()
    }

    /// The place of a reader who has been told everything.
    pub(super) fn end(&self) -> Place {
        Place { journal: self.number, counts: self.counts() }
    }

    /// True when a reader at `place` can be told what it has missed, and need not fetch everything.
    pub(super) fn goes_on_from(&self, place: &Place, topics: &BTreeSet<Topic>, now: Instant) -> bool {
        let end = self.counts();
        let long_ago = self.marks.iter().rev().find(|(at, _)| now.saturating_duration_since(*at) >= BEHIND);
        place.journal == self.number
            && topics.iter().all(|topic| {
                let told = place.counts[*topic];
                told <= end[*topic] && long_ago.is_none_or(|(_, counts)| told >= counts[*topic])
            })
    }

    /// True when there is something that a reader at `place` has to be told.
    pub(super) fn has_news(&self, place: &Place, topics: &BTreeSet<Topic>) -> bool {
        let end = self.counts();
        place.journal != self.number || topics.iter().any(|topic| place.counts[*topic] != end[*topic])
    }

    /// What a reader at `place` has not been told.
    pub(super) fn since(&self, place: &Place, topics: &BTreeSet<Topic>) -> Vec<News> {
        let chosen = self.topics.iter().filter(|(topic, _)| topics.contains(topic));
        let news = chosen.map(|(topic, changes)| {
            let told = place.counts[*topic];
            News { topic: *topic, changed: changes.changed.saturating_sub(told), items: changes.since(told) }
        });
        news.filter(|news| news.changed > 0).collect()
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (topic, changes) in &self.topics {
            counts[*topic] = changes.changed;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> BTreeSet<Topic> {
        Topic::ALL.into_iter().collect()
    }

    fn texts(journal: &Journal, place: &Place) -> Vec<(Topic, u64, Vec<Bytes>)> {
        journal.since(place, &all()).into_iter().map(|news| (news.topic, news.changed, news.items)).collect()
    }

    #[test]
    fn each_reader_is_told_what_changed_since_its_place() {
        let (mut journal, now) = (Journal::new(1), Instant::now());
        let begin = journal.end();
        journal.of(Topic::Tasks, now).note("a".into(), 1.into());
        let middle = journal.end();
        journal.of(Topic::Tasks, now).note("b".into(), 2.into());
        journal.of(Topic::Tasks, now).note("a".into(), 3.into());
        journal.of(Topic::Queues, now).note_all(5, BTreeMap::new());
        let queues = (Topic::Queues, 5, Vec::new());
        assert_eq!(texts(&journal, &begin), [(Topic::Tasks, 3, vec!["2".into(), "3".into()]), queues.clone()]);
        assert_eq!(texts(&journal, &middle), [(Topic::Tasks, 2, vec!["2".into(), "3".into()]), queues]);
        assert!(journal.has_news(&middle, &all()) && !journal.has_news(&journal.end(), &all()));
        assert!(texts(&journal, &journal.end()).is_empty());
    }

    #[test]
    fn of_too_many_changes_the_newest_and_the_number_are_told() {
        let (mut journal, now) = (Journal::new(1), Instant::now());
        let begin = journal.end();
        for i in 0..1_000 {
            journal.of(Topic::Tasks, now).note(i.to_string(), i.into());
        }
        let [(_, changed, items)] = &texts(&journal, &begin)[..] else { panic!("one topic") };
        assert_eq!((*changed, items.len()), (1_000, MAX_ITEMS));
        assert_eq!(items.last().map(|item| &item[..]), Some(&b"999"[..]));
    }

    #[test]
    fn who_has_not_been_told_for_long_is_behind_and_who_has_missed_nothing_is_not() {
        let (mut journal, began) = (Journal::new(1), Instant::now());
        let begin = journal.end();
        let queues = BTreeSet::from([Topic::Queues]);
        for second in 0..60 {
            let now = began + Duration::from_secs(second);
            journal.of(Topic::Tasks, now).note("a".into(), second.into());
            let patience = BEHIND.as_secs() + 1;
            assert_eq!(journal.goes_on_from(&begin, &all(), now), second < patience, "{second}");
            assert!(journal.goes_on_from(&begin, &queues, now), "it does not read what changed");
            assert!(journal.goes_on_from(&journal.end(), &all(), now));
        }
        assert!(journal.marks.len() <= 12, "{}", journal.marks.len());
    }

    #[test]
    fn places_of_other_journals_and_of_what_was_never_told_lead_nowhere() {
        let (mut journal, now) = (Journal::new(2), Instant::now());
        journal.of(Topic::Tasks, now).note("a".into(), 1.into());
        let mut beyond = journal.end();
        beyond.counts[Topic::Tasks] += 1;
        for place in [Place::default(), Journal::new(1).end(), beyond] {
            assert!(!journal.goes_on_from(&place, &all(), now), "{place}");
        }
    }
}
