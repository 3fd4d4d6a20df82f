//! The workers: who is alive, what they consume, and which of their signs are worth passing on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use taskplane_agent::engine::WorkerObservation;
use taskplane_model::{
    Timestamp,
    fleet::{WorkerFacts, WorkerSign},
};

use crate::{config::Timings, events::WorkerEvent};

/// More workers than this are not remembered.
const MAX_WORKERS: usize = 10_000;
/// Queues that are remembered because an application names them.
const MAX_DECLARED: usize = 1_000;
/// After this many heartbeats in a row that tell of tasks that no event told of, the worker sends none.
const SILENT_BEATS: u32 = 3;
/// Longest interval between heartbeats that is believed.
const MAX_FREQ: f64 = 3600.0;

/// What control commands tell of a worker.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Learned {
    pub(crate) pool: Option<String>,
    pub(crate) concurrency: Option<u64>,
    pub(crate) pid: Option<u64>,
    pub(crate) queues: Option<Vec<String>>,
    pub(crate) task_events: Option<bool>,
    pub(crate) visibility_timeout_s: Option<f64>,
    /// When it was asked.
    pub(crate) asked_at: Option<Instant>,
}

struct Worker {
    online: bool,
    facts: WorkerFacts,
    freq: f64,
    seen: Instant,
    seen_ts: Timestamp,
    /// It answered remote control since it came up, so its events are enabled.
    prepared: bool,
    /// It has done what it was ordered by then: it is asked until it was asked behind that.
    settled_at: Option<Instant>,
    /// When it was last passed on, and with which counters.
    told: Option<(Instant, Option<u64>, Option<u64>)>,
    /// It said itself, to remote control, whether it sends task events.
    said_events: bool,
    /// Heartbeats in a row that told of more tasks, while no task event came.
    silent_beats: u32,
    /// Something is known of it that was not passed on.
    news: bool,
    /// The task types that it can run, once it said so.
    tasks: Option<Arc<BTreeSet<String>>>,
}

/// What to do about a sign of a worker.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    /// To be passed on.
    pub(crate) told: Option<(Timestamp, WorkerObservation)>,
    /// It is new, or back: its events are to be enabled.
    pub(crate) fresh: bool,
}

/// All workers heard of.
#[derive(Default)]
pub(crate) struct Workers {
    workers: BTreeMap<String, Worker>,
    /// The queues that their applications name, whoever consumes them.
    declared: BTreeSet<String>,
    /// They were asked once what they are, or need not be.
    were_met: bool,
}

impl Workers {
    /// Takes in a worker event.
    pub(crate) fn sign(&mut self, event: WorkerEvent, now: Instant, timings: &Timings) -> Verdict {
        let Some(worker) = self.entry(&event.worker, now, event.ts) else { return Verdict::default() };
        let was_online = worker.online;
        worker.online = event.sign != WorkerSign::Offline;
        worker.seen = now;
        worker.seen_ts = event.ts;
        worker.freq = event.freq.unwrap_or(worker.freq).min(MAX_FREQ);
        let facts = event.facts;
        let fresh = event.sign == WorkerSign::Online || (worker.online && !was_online);
        worker.watch_events(fresh, facts.processed);
        let counters = (facts.active, facts.processed);
        worker.facts = WorkerFacts {
            pool: worker.facts.pool.take(),
            concurrency: worker.facts.concurrency,
            queues: worker.facts.queues.take(),
            task_events: worker.facts.task_events,
            visibility_timeout_s: worker.facts.visibility_timeout_s,
            ..facts
        };
        let due = match worker.told {
            Some((at, active, processed)) => {
                let changed = (active, processed) != counters;
                let pause = if changed { timings.heartbeat_changed } else { timings.heartbeat_every };
                now.duration_since(at) >= pause
            }
            None => true,
        };
        let forward = due || worker.news || !was_online || event.sign != WorkerSign::Heartbeat;
        let told = forward.then(|| worker.tell(&event.worker, event.sign, event.ts, now));
        // A worker that came up anew has forgotten that its events were enabled.
        worker.prepared &= !fresh && worker.online;
        Verdict { told, fresh }
    }

    /// Takes in what a worker told from inside: nobody has to ask it what it is, until it is given an order.
    pub(crate) fn told(&mut self, event: WorkerEvent, now: Instant) {
        let Some(worker) = self.entry(&event.worker, now, event.ts) else { return };
        let is_fresh = event.sign == WorkerSign::Online || !worker.online;
        worker.online = event.sign != WorkerSign::Offline;
        worker.seen = now;
        worker.seen_ts = worker.seen_ts.max(event.ts);
        if is_fresh {
            (worker.settled_at, worker.tasks, worker.prepared) = (None, None, true);
        }
        let (facts, known) = (event.facts, std::mem::take(&mut worker.facts));
        worker.facts = WorkerFacts {
            pool: facts.pool.or(known.pool),
            concurrency: facts.concurrency.or(known.concurrency),
            queues: facts.queues.or(known.queues),
            hostname: facts.hostname.or(known.hostname),
            visibility_timeout_s: facts.visibility_timeout_s.or(known.visibility_timeout_s),
            ..facts
        };
    }

    /// A task event of a worker that tells of itself: it is up, unless it said that it went away.
    pub(crate) fn heard(&mut self, name: &str, ts: Timestamp, now: Instant) {
        let is_new = !self.workers.contains_key(name);
        let Some(worker) = self.entry(name, now, ts) else { return };
        worker.seen = now;
        worker.seen_ts = worker.seen_ts.max(ts);
        if is_new {
            (worker.online, worker.prepared) = (true, true);
        }
    }

    /// True when the worker said that it went away, or fell silent.
    pub(crate) fn is_gone(&self, worker: &str) -> bool {
        self.workers.get(worker).is_some_and(|worker| !worker.online)
    }

    /// A task event is a sign of life too. True when the worker is new.
    pub(crate) fn touch(&mut self, name: &str, ts: Timestamp, now: Instant) -> bool {
        let Some(worker) = self.entry(name, now, ts) else { return false };
        worker.seen = now;
        worker.seen_ts = worker.seen_ts.max(ts);
        worker.silent_beats = 0;
        worker.sends_events(true);
        // It is called online only once it says so itself, or answers: a task event may be a late one.
        !worker.online && worker.told.is_none()
    }

    /// Takes in what a control command told. The observation is there when it is news.
    pub(crate) fn learn(
        &mut self,
        name: &str,
        learned: Learned,
        ts: Timestamp,
        now: Instant,
    ) -> Option<(Timestamp, WorkerObservation)> {
        let worker = self.entry(name, now, ts)?;
        let facts = &mut worker.facts;
        let word = |facts: &WorkerFacts| {
            let WorkerFacts { pool, concurrency, queues, task_events, visibility_timeout_s, .. } = facts;
            (pool.clone(), *concurrency, queues.clone(), *task_events, *visibility_timeout_s)
        };
        let before = word(facts);
        facts.pool = learned.pool.or(facts.pool.take());
        facts.concurrency = learned.concurrency.or(facts.concurrency);
        facts.queues = learned.queues.or(facts.queues.take());
        facts.pid = learned.pid.or(facts.pid);
        facts.visibility_timeout_s = learned.visibility_timeout_s.or(facts.visibility_timeout_s);
        facts.task_events = learned.task_events.or(facts.task_events);
        worker.said_events = learned.task_events.is_some();
        let news = before != word(facts) || !worker.online;
        // It answered just now: it lives, also when it sends no heartbeats.
        worker.online = true;
        worker.prepared = worker.settled_at.is_none_or(|settled| learned.asked_at.is_some_and(|asked| asked > settled));
        worker.seen = now;
        worker.seen_ts = worker.seen_ts.max(ts);
        news.then(|| worker.tell(name, WorkerSign::Heartbeat, ts, now))
    }

    /// Takes in which task types a worker can run.
    pub(crate) fn can_run(&mut self, name: &str, tasks: BTreeSet<String>) {
        // Most workers have the same code: they share one list.
        let same = self.workers.values().filter_map(|worker| worker.tasks.as_ref()).find(|known| ***known == tasks);
        let tasks = same.map_or_else(|| Arc::new(tasks), Arc::clone);
        if let Some(worker) = self.workers.get_mut(name) {
            worker.tasks = Some(tasks);
        }
    }

    /// True when a task of this type would be dropped by whichever worker takes it from the queue: none of those that consume
    /// it knows the type. Where nobody consumes it, or not all have said what they know, that cannot be said.
    pub(crate) fn would_drop(&self, queue: &str, task: &str) -> bool {
        // Celery's own are not on the lists.
        let consumers = || {
            self.live().map(|(_, worker)| worker).filter(|worker| {
                worker.facts.queues.as_ref().is_none_or(|queues| queues.iter().any(|consumed| consumed == queue))
            })
        };
        let drops = |worker: &Worker| worker.tasks.as_ref().is_some_and(|tasks| !tasks.contains(task));
        !task.starts_with("celery.") && consumers().next().is_some() && consumers().all(drops)
    }

    /// Workers that fell silent: told to be offline, once.
    pub(crate) fn silent(
        &mut self,
        ts: Timestamp,
        now: Instant,
        timings: &Timings,
    ) -> Vec<(Timestamp, WorkerObservation)> {
        let gone =
            self.workers.iter_mut().filter(|(_, w)| w.online && now.duration_since(w.seen) > w.patience(timings));
        gone.map(|(name, worker)| {
            worker.online = false;
            worker.facts.active = None;
            // Its own clock may be ahead of ours; the end must not look older than its last heartbeat.
            worker.tell(name, WorkerSign::Offline, ts.max(worker.seen_ts.plus(1)), now)
        })
        .collect()
    }

    /// A round of questions is over: who did not answer it is not waited for.
    pub(crate) fn met(&mut self) {
        self.were_met = true;
    }

    /// False while an agent that has just started does not know yet what its workers are.
    pub(crate) fn were_met(&self) -> bool {
        self.were_met
    }

    /// Takes in the queues that the settings of a worker's application name.
    pub(crate) fn declare(&mut self, queues: impl IntoIterator<Item = String>) {
        let room = MAX_DECLARED.saturating_sub(self.declared.len());
        self.declared.extend(queues.into_iter().take(room));
    }

    /// The queues that applications name.
    pub(crate) fn declared(&self) -> &BTreeSet<String> {
        &self.declared
    }

    /// Live workers that did not answer remote control yet.
    pub(crate) fn unprepared(&self) -> Vec<String> {
        self.live().filter(|(_, worker)| !worker.prepared).map(|(name, _)| name.clone()).collect()
    }

    /// True when the worker is known to be up.
    pub(crate) fn is_up(&self, worker: &str) -> bool {
        self.workers.get(worker).is_some_and(|worker| worker.online)
    }

    /// Those of `names` that did not answer remote control since they came up.
    pub(crate) fn unprepared_of(&self, names: &[String]) -> Vec<String> {
        let is_prepared = |name: &&String| self.workers.get(*name).is_some_and(|worker| worker.prepared);
        names.iter().filter(|name| !is_prepared(name)).cloned().collect()
    }

    /// What these are changes until `settled_at`: they are asked again, and again until they were asked behind that.
    pub(crate) fn ask_again<'n>(&mut self, names: impl Iterator<Item = &'n String>, settled_at: Instant) {
        for name in names {
            if let Some(worker) = self.workers.get_mut(name) {
                worker.prepared = false;
                worker.settled_at = Some(settled_at);
            }
        }
    }

    /// The workers known to be up.
    pub(crate) fn live_names(&self) -> BTreeSet<String> {
        self.live().map(|(name, _)| name.clone()).collect()
    }

    /// How many tasks a worker can run at once, if that is known.
    pub(crate) fn concurrency(&self, worker: &str) -> Option<u64> {
        self.workers.get(worker)?.facts.concurrency
    }

    /// How many workers are known to be up.
    pub(crate) fn count(&self) -> usize {
        self.live().count()
    }

    /// How many live workers consume a queue. `None` while that is not known of all of them.
    pub(crate) fn consumers(&self, queue: &str) -> Option<u64> {
        self.live().try_fold(0, |count, (_, worker)| {
            let queues = worker.facts.queues.as_ref()?;
            Some(count + u64::from(queues.iter().any(|q| q == queue)))
        })
    }

    /// Queues that workers were ever seen to consume.
    pub(crate) fn queues(&self) -> BTreeSet<String> {
        self.workers.values().filter_map(|w| w.facts.queues.as_ref()).flatten().cloned().collect()
    }

    /// The queue a worker consumes, if it is only one.
    pub(crate) fn only_queue(&self, worker: &str) -> Option<&str> {
        match self.workers.get(worker)?.facts.queues.as_deref()? {
            [only] => Some(only),
            _ => None,
        }
    }

    /// False for a worker that has told its queues, when this is none of them.
    pub(crate) fn may_take_from(&self, worker: &str, queue: &str) -> bool {
        let told = self.workers.get(worker).and_then(|worker| worker.facts.queues.as_ref());
        told.is_none_or(|queues| queues.iter().any(|consumed| consumed == queue))
    }

    /// Any queue that a worker consumes.
    pub(crate) fn any_queue(&self, worker: &str) -> Option<&str> {
        self.workers.get(worker)?.facts.queues.as_deref()?.first().map(String::as_str)
    }

    fn live(&self) -> impl Iterator<Item = (&String, &Worker)> {
        self.workers.iter().filter(|(_, worker)| worker.online)
    }

    fn entry(&mut self, name: &str, now: Instant, ts: Timestamp) -> Option<&mut Worker> {
        if !self.workers.contains_key(name) && self.workers.len() >= MAX_WORKERS {
            // Autoscaled workers have new names each time: those long gone make room.
            self.workers.retain(|_, worker| worker.online);
            if self.workers.len() >= MAX_WORKERS {
                return None;
            }
        }
        Some(self.workers.entry(name.to_owned()).or_insert_with(|| Worker {
            online: false,
            facts: WorkerFacts { hostname: crate::events::host_of(name), ..WorkerFacts::default() },
            freq: 2.0,
            seen: now,
            seen_ts: ts,
            prepared: false,
            settled_at: None,
            told: None,
            said_events: false,
            silent_beats: 0,
            news: false,
            tasks: None,
        }))
    }
}

impl Worker {
    fn patience(&self, timings: &Timings) -> Duration {
        let floor = match self.facts.pool.as_deref() {
            Some("solo") => timings.solo_silence,
            _ => timings.worker_silence,
        };
        // The default frequency takes part only through the floor, so that tests can shorten it.
        let beats = if self.freq > 2.0 { Duration::from_secs_f64(4.0 * self.freq) } else { Duration::ZERO };
        floor.max(beats)
    }

    /// What a heartbeat shows of whether task events are sent: a worker that goes on running tasks of which no event tells sends
    /// none. What it said itself counts more, as tasks may be set to send no events.
    fn watch_events(&mut self, fresh: bool, processed: Option<u64>) {
        if fresh {
            // Whatever it was told, it has forgotten.
            (self.facts.task_events, self.said_events, self.silent_beats) = (None, false, 0);
            self.tasks = None;
        } else if processed > self.facts.processed && self.facts.processed.is_some() {
            self.silent_beats += 1;
        }
        if self.silent_beats >= SILENT_BEATS && !self.said_events {
            self.sends_events(false);
        }
    }

    fn sends_events(&mut self, sends: bool) {
        self.news |= self.facts.task_events != Some(sends);
        self.facts.task_events = Some(sends);
    }

    fn tell(&mut self, name: &str, sign: WorkerSign, ts: Timestamp, now: Instant) -> (Timestamp, WorkerObservation) {
        self.news = false;
        self.told = Some((now, self.facts.active, self.facts.processed));
        (ts, WorkerObservation { sign, worker: name.to_owned(), facts: self.facts.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(sign: WorkerSign, active: u64) -> WorkerEvent {
        WorkerEvent {
            ts: Timestamp(1),
            sign,
            worker: "w@h".into(),
            facts: WorkerFacts { active: Some(active), ..WorkerFacts::default() },
            freq: Some(2.0),
        }
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn unchanged_heartbeats_are_passed_on_seldom_and_changed_ones_sooner() {
        let (mut workers, timings, t) = (Workers::default(), Timings::default(), Instant::now());
        assert!(workers.sign(beat(WorkerSign::Heartbeat, 0), t, &timings).fresh);
        let told =
            |w: &mut Workers, at, active| w.sign(beat(WorkerSign::Heartbeat, active), at, &timings).told.is_some();
        assert!(!told(&mut workers, after(t, 2), 0));
        assert!(told(&mut workers, after(t, 4), 1), "a change");
        assert!(!told(&mut workers, after(t, 5), 2), "another change, but too soon");
        assert!(told(&mut workers, after(t, 6), 2));
        assert!(!told(&mut workers, after(t, 14), 2));
        assert!(told(&mut workers, after(t, 16), 2));
    }

    #[test]
    fn a_silent_worker_is_told_offline_once_and_is_fresh_when_back() {
        let (mut workers, timings, t) = (Workers::default(), Timings::default(), Instant::now());
        workers.sign(beat(WorkerSign::Online, 0), t, &timings);
        assert!(workers.silent(Timestamp(5), after(t, 14), &timings).is_empty());
        let gone = workers.silent(Timestamp(5), after(t, 16), &timings);
        assert_eq!(gone.len(), 1);
        assert_eq!(gone[0].1.sign, WorkerSign::Offline);
        assert!(workers.silent(Timestamp(5), after(t, 60), &timings).is_empty());
        assert!(workers.sign(beat(WorkerSign::Heartbeat, 0), after(t, 61), &timings).fresh);
    }

    #[test]
    fn a_solo_pool_may_be_silent_while_a_task_runs() {
        let (mut workers, timings, t) = (Workers::default(), Timings::default(), Instant::now());
        workers.sign(beat(WorkerSign::Online, 0), t, &timings);
        workers.learn("w@h", Learned { pool: Some("solo".into()), ..Learned::default() }, Timestamp(1), t);
        assert!(workers.silent(Timestamp(5), after(t, 500), &timings).is_empty());
        assert_eq!(workers.silent(Timestamp(5), after(t, 601), &timings).len(), 1);
    }

    #[test]
    fn a_worker_that_runs_tasks_of_which_no_event_tells_sends_none() {
        let (mut workers, timings, t) = (Workers::default(), Timings::default(), Instant::now());
        let mut second = 0;
        let mut hear = |workers: &mut Workers, processed| {
            let facts = WorkerFacts { processed: Some(processed), ..WorkerFacts::default() };
            second += 2;
            let event = WorkerEvent { facts, ..beat(WorkerSign::Heartbeat, 0) };
            workers.sign(event, after(t, second), &timings).told.map(|(_, seen)| seen.facts.task_events)
        };
        for processed in [5, 6, 7] {
            hear(&mut workers, processed);
        }
        assert_eq!(workers.workers["w@h"].facts.task_events, None, "too early to say");
        assert_eq!(hear(&mut workers, 8), Some(Some(false)), "told at once");
        workers.touch("w@h", Timestamp(1), after(t, 9));
        assert_eq!(hear(&mut workers, 9), Some(Some(true)), "an event came");

        workers.learn("w@h", Learned { task_events: Some(true), ..Learned::default() }, Timestamp(1), t);
        for processed in 10..20 {
            hear(&mut workers, processed);
        }
        assert_eq!(workers.workers["w@h"].facts.task_events, Some(true), "its own word counts more");
        let again = workers.sign(beat(WorkerSign::Online, 0), after(t, 60), &timings).told;
        assert_eq!(again.map(|(_, seen)| seen.facts.task_events), Some(None), "started anew, it has forgotten");
    }

    #[test]
    fn a_task_would_be_dropped_where_none_of_those_that_take_it_knows_its_type() {
        let (mut workers, t) = (Workers::default(), Instant::now());
        assert!(!workers.would_drop("celery", "a.b"), "nobody is there");
        let learned = |queue: &str| Learned { queues: Some(vec![queue.into()]), ..Learned::default() };
        workers.learn("w@h", learned("celery"), Timestamp(1), t);
        assert!(!workers.would_drop("celery", "a.b"), "it did not say");
        workers.can_run("w@h", ["a.b".to_owned()].into());
        assert!(!workers.would_drop("celery", "a.b") && workers.would_drop("celery", "a.c"));
        assert!(!workers.would_drop("mail", "a.c"), "it does not take from there");
        assert!(!workers.would_drop("celery", "celery.chord_unlock"), "always there, never told");
        workers.learn("x@h", learned("celery"), Timestamp(1), t);
        assert!(!workers.would_drop("celery", "a.c"), "another may know it");
    }

    #[test]
    fn what_a_worker_was_before_an_order_does_not_count_as_its_answer() {
        let (mut workers, t) = (Workers::default(), Instant::now());
        let told = |asked_at| Learned { concurrency: Some(2), asked_at: Some(asked_at), ..Learned::default() };
        workers.learn("w@h", told(t), Timestamp(1), t);
        assert_eq!(workers.unprepared(), [""; 0]);
        workers.ask_again([&"w@h".to_owned()].into_iter(), t + Duration::from_millis(5));
        // The round that was under way ends, and then there is another.
        workers.learn("w@h", told(t + Duration::from_millis(4)), Timestamp(1), t);
        assert_eq!(workers.unprepared(), ["w@h"]);
        workers.learn("w@h", told(t + Duration::from_millis(6)), Timestamp(1), t);
        assert_eq!(workers.unprepared(), [""; 0]);
    }

    #[test]
    fn consumers_are_unknown_until_all_workers_answered() {
        let (mut workers, timings, t) = (Workers::default(), Timings::default(), Instant::now());
        workers.sign(beat(WorkerSign::Online, 0), t, &timings);
        assert_eq!(workers.consumers("celery"), None);
        let learned = Learned { queues: Some(vec!["celery".into()]), ..Learned::default() };
        assert!(workers.learn("w@h", learned.clone(), Timestamp(1), t).is_some());
        assert!(workers.learn("w@h", learned, Timestamp(1), t).is_none(), "no news");
        assert_eq!((workers.consumers("celery"), workers.consumers("other")), (Some(1), Some(0)));
        assert_eq!(workers.only_queue("w@h"), Some("celery"));
    }
}
