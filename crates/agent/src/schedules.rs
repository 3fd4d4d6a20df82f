//! What schedulers have, redacted, and what of it the brain has not been told.
//!
//! Nothing of it is on the disk: the newest state is told in full on every connection and every five minutes, and
//! changes in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use taskplane_protocol::frame::encode;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::redact::Redactor;
use crate::scheduler::{MAX_SCHEDULES, ScheduleEntry, Scheduler};

/// How often the full state is told.
const FULL_EVERY: Duration = Duration::from_secs(300);
/// A part of a state is closed when it has so many bytes; a schedule adds at most 64 KiB.
const PART_BYTES: usize = 512 << 10;

/// The schedules of one scheduler by id, in JSON.
type Listing = Arc<BTreeMap<String, Arc<RawValue>>>;

/// The newest state of all schedulers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ScheduleBoard {
    state: Arc<watch::Sender<BTreeMap<&'static str, Listing>>>,
    schedulers: Arc<[Arc<dyn Scheduler>]>,
    redactor: Arc<Redactor>,
}

impl ScheduleBoard {
    /// No scheduler has said anything yet.
    pub(crate) fn new(schedulers: Arc<[Arc<dyn Scheduler>]>, redactor: Arc<Redactor>) -> Self {
        Self { state: Arc::new(watch::Sender::new(BTreeMap::new())), schedulers, redactor }
    }

    /// Takes note of all that `scheduler` has.
    pub(crate) fn list(&self, scheduler: &'static str, entries: &[ScheduleEntry]) {
        let known = self.state.borrow().get(scheduler).cloned();
        let listing = entries.iter().take(MAX_SCHEDULES).map(|entry| {
            let told = self.redactor.schedule_json(entry);
            let before = known.as_ref().and_then(|known| known.get(&entry.facts.id));
            // What did not change stays the same text, so that comparing is cheap.
            let kept = before.filter(|before| before.get() == told.get()).cloned();
            (entry.facts.id.clone(), kept.unwrap_or_else(|| told.into()))
        });
        let listing: BTreeMap<_, _> = listing.collect();
        self.state.send_if_modified(|state| {
            let is_same = state.get(scheduler).is_some_and(|known| same(known, &listing));
            if !is_same {
                state.insert(scheduler, Arc::new(listing));
            }
            !is_same
        });
    }

    /// Which schedulers there are, for `hello`: those that were configured or have been found.
    pub(crate) fn present(&self) -> Vec<&dyn Scheduler> {
        let state = self.state.borrow();
        let is_present = |s: &&Arc<dyn Scheduler>| s.is_configured() || state.contains_key(s.name());
        self.schedulers.iter().filter(is_present).map(|scheduler| &**scheduler).collect()
    }

    /// What is told over one connection.
    pub(crate) fn teller(&self) -> Teller {
        Teller { state: self.state.subscribe(), told: BTreeMap::new(), full_at: None }
    }
}

fn same(one: &BTreeMap<String, Arc<RawValue>>, other: &BTreeMap<String, Arc<RawValue>>) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.0 == b.0 && Arc::ptr_eq(a.1, b.1))
}

/// Knows what one connection has told.
pub(crate) struct Teller {
    state: watch::Receiver<BTreeMap<&'static str, Listing>>,
    told: BTreeMap<&'static str, Listing>,
    full_at: Option<Instant>,
}

impl Teller {
    /// Waits until there is something new. Ends never when there are no schedulers.
    pub(crate) async fn changed(&mut self) {
        if self.state.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The frames that tell what has not been told: everything when it is time for it, else the changes.
    pub(crate) fn frames(&mut self, now: Instant) -> Vec<String> {
        let is_full = self.full_at.is_none_or(|at| now >= at);
        if is_full {
            self.full_at = Some(now + FULL_EVERY);
            self.told.clear();
        }
        let state = self.state.borrow_and_update().clone();
        let mut frames = Vec::new();
        for (scheduler, listing) in &state {
            match self.told.get(scheduler) {
                None => parts(scheduler, true, listing.values().collect(), Vec::new(), &mut frames),
                Some(told) if Arc::ptr_eq(told, listing) => {}
                Some(told) => {
                    let is_new =
                        |id: &str, text: &Arc<RawValue>| !told.get(id).is_some_and(|known| Arc::ptr_eq(known, text));
                    let changed = listing.iter().filter(|(id, text)| is_new(id, text)).map(|(_, text)| text).collect();
                    let removed = told.keys().filter(|id| !listing.contains_key(*id)).map(String::as_str).collect();
                    parts(scheduler, false, changed, removed, &mut frames);
                }
            }
        }
        self.told = state;
        frames
    }
}

/// `schedule_sync` as we write it.
#[derive(Serialize)]
struct Part<'a> {
    scheduler: &'a str,
    full: bool,
    schedules: &'a [&'a RawValue],
    removed: &'a [&'a str],
}

/// Writes a state, or a change of it, in parts of a bounded size. Only the first part of a full state says so: it
/// makes others be forgotten, and the parts after it add to it.
fn parts(scheduler: &str, full: bool, schedules: Vec<&Arc<RawValue>>, removed: Vec<&str>, frames: &mut Vec<String>) {
    let (mut full, mut removed) = (full, removed);
    let mut part: Vec<&RawValue> = Vec::new();
    let mut bytes = removed.iter().map(|id| id.len() + 3).sum::<usize>();
    for schedule in schedules {
        if !part.is_empty() && bytes + schedule.get().len() > PART_BYTES {
            frames.push(encode("schedule_sync", &Part { scheduler, full, schedules: &part, removed: &removed }));
            (full, bytes) = (false, 0);
            removed.clear();
            part.clear();
        }
        bytes += schedule.get().len() + 1;
        part.push(schedule);
    }
    if full || !part.is_empty() || !removed.is_empty() {
        frames.push(encode("schedule_sync", &Part { scheduler, full, schedules: &part, removed: &removed }));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use taskplane_model::schedule::Schedule;

    use super::*;

    fn board() -> ScheduleBoard {
        ScheduleBoard::new(Arc::new([]), Arc::new(Redactor::new(&Default::default()).expect("built-in rules")))
    }

    fn entry(id: &str, expression: &str, text: &str) -> ScheduleEntry {
        let facts = Schedule { id: id.into(), expression: Some(expression.into()), ..Schedule::default() };
        ScheduleEntry { facts, args: Some(json!([text])), kwargs: None }
    }

    fn told(teller: &mut Teller, now: Instant) -> Vec<(bool, Vec<String>, Vec<String>)> {
        let read = |frame: String| {
            let frame: Value = serde_json::from_str(&frame).expect("JSON");
            assert_eq!((&frame["type"], &frame["scheduler"]), (&json!("schedule_sync"), &json!("celery-beat")));
            let ids = |of: &Value, key: fn(&Value) -> &Value| -> Vec<String> {
                of.as_array().expect("array").iter().map(|s| key(s).as_str().expect("id").to_owned()).collect()
            };
            let full = frame["full"].as_bool().expect("bool");
            (full, ids(&frame["schedules"], |s| &s["id"]), ids(&frame["removed"], |s| s))
        };
        teller.frames(now).into_iter().map(read).collect()
    }

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[tokio::test]
    async fn everything_is_told_first_then_changes_then_everything_again() {
        let (board, now) = (board(), Instant::now());
        let mut teller = board.teller();
        assert_eq!(told(&mut teller, now), [], "nothing is known yet");
        board.list("celery-beat", &[entry("1", "30s", ""), entry("2", "30s", "")]);
        assert_eq!(told(&mut teller, now), [(true, ids(&["1", "2"]), vec![])]);
        board.list("celery-beat", &[entry("1", "30s", ""), entry("2", "30s", "")]);
        assert_eq!(told(&mut teller, now), [], "nothing changed");
        board.list("celery-beat", &[entry("1", "60s", ""), entry("3", "30s", "")]);
        assert_eq!(told(&mut teller, now), [(false, ids(&["1", "3"]), ids(&["2"]))]);
        assert_eq!(told(&mut teller, now + FULL_EVERY), [(true, ids(&["1", "3"]), vec![])]);
        board.list("celery-beat", &[]);
        assert_eq!(told(&mut teller, now + FULL_EVERY), [(false, vec![], ids(&["1", "3"]))]);
        assert_eq!(told(&mut board.teller(), now), [(true, vec![], vec![])], "another connection is told all");
    }

    #[tokio::test]
    async fn a_large_state_is_told_in_parts() {
        let board = board();
        let long: Vec<_> = (0..2000).map(|n| entry(&format!("{n:04}"), &"x".repeat(600), "")).collect();
        board.list("celery-beat", &long);
        let parts = told(&mut board.teller(), Instant::now());
        assert!(parts.len() > 2, "{} parts", parts.len());
        assert_eq!(parts.iter().map(|part| part.0).collect::<Vec<_>>()[..2], [true, false]);
        assert_eq!(parts.iter().map(|part| part.1.len()).sum::<usize>(), 2000);
    }

    #[tokio::test]
    async fn what_is_told_is_redacted() {
        let board = board();
        board.list("celery-beat", &[entry("1", "30s", "bob@example.com")]);
        let frames = board.teller().frames(Instant::now());
        assert!(frames[0].contains("<email>") && !frames[0].contains("bob"), "{frames:?}");
    }
}
