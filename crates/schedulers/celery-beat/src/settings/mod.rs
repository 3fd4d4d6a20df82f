//! Schedules that stand in the application's own settings (`beat_schedule`), with beat's default scheduler: read-only.
//!
//! That scheduler keeps its last runs in a file which only beat may touch. What it has to run is in the settings of the application, which
//! every worker of it tells when it is asked; a beat that runs other code than the workers may know others.

mod entry;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use taskplane_agent::engine::{CommandError, EnqueueRequest, Health};
use taskplane_agent::scheduler::{
    ChangedSchedule, MAX_SCHEDULES, ScheduleChange, ScheduleEntry, ScheduleObserver, Scheduler,
};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::clock::now;
use entry::Settings;

/// How often it is looked whether there are other workers to ask.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How often settings are asked for of workers that are the same as before: they change only when workers start anew.
const ASK_EVERY: Duration = Duration::from_secs(300);

/// Workers whose settings are asked for: mostly all have the same.
const WORKERS: usize = 8;
/// How often one is asked that does not answer, as one that has just begun.
const ATTEMPTS: u32 = 5;

/// Where the settings of the workers' applications come from.
#[async_trait]
pub trait WorkerSettings: Send + Sync {
    /// The workers that there are.
    fn workers(&self) -> BTreeSet<String>;

    /// The settings that each of these workers tells, as Celery's `conf` shows them, by the worker's name. Workers that do not answer are
    /// left out.
    ///
    /// # Errors
    /// In words, what keeps workers from being asked.
    async fn read(&self, workers: &BTreeSet<String>) -> Result<BTreeMap<String, Value>, String>;

    /// True while another scheduler is known to keep what these settings hold, so that it would be told twice.
    fn are_kept_elsewhere(&self) -> bool;
}

/// The schedules of `beat_schedule`.
pub struct BeatSettings<S> {
    source: S,
    known: Mutex<Vec<ScheduleEntry>>,
}

impl<S: WorkerSettings> BeatSettings<S> {
    /// The schedules in the settings that `source` reads.
    pub fn new(source: S) -> Self {
        Self { source, known: Mutex::default() }
    }

    /// What there is to tell; `None` when that is nothing new.
    async fn look(&self, asked: &mut Asked) -> Option<Result<Vec<ScheduleEntry>, String>> {
        if self.source.are_kept_elsewhere() {
            return std::mem::take(&mut asked.is_found).then(|| Ok(Vec::new()));
        }
        let workers = asked.next(self.source.workers());
        if workers.is_empty() {
            return None;
        }
        match self.source.read(&workers).await {
            Ok(told) if told.is_empty() => None,
            Ok(told) => {
                asked.told.extend(told.into_iter().map(|(worker, told)| {
                    let entries = Settings::new(&told).entries(&worker, now());
                    (worker, entries)
                }));
                let entries = asked.entries();
                // An application without any has another scheduler, or none.
                asked.is_found |= !entries.is_empty();
                asked.is_found.then_some(Ok(entries))
            }
            Err(error) => asked.is_found.then_some(Err(error)),
        }
    }
}

/// Who was asked, and what they told.
#[derive(Default)]
struct Asked {
    since: Option<Instant>,
    times: BTreeMap<String, u32>,
    told: BTreeMap<String, Vec<ScheduleEntry>>,
    is_found: bool,
}

impl Asked {
    /// Which of the `workers` that are there to ask next. When none is there, what they told stays what it was.
    fn next(&mut self, workers: BTreeSet<String>) -> BTreeSet<String> {
        if workers.is_empty() {
            return workers;
        }
        if self.since.is_none_or(|since| since.elapsed() >= ASK_EVERY) {
            *self = Self { since: Some(Instant::now()), is_found: self.is_found, ..Self::default() };
        }
        self.told.retain(|worker, _| workers.contains(worker));
        let is_open = |worker: &String| {
            !self.told.contains_key(worker) && self.times.get(worker).is_none_or(|times| *times < ATTEMPTS)
        };
        let places = WORKERS.saturating_sub(self.told.len());
        let next: BTreeSet<String> = workers.into_iter().filter(is_open).take(places).collect();
        for worker in &next {
            *self.times.entry(worker.clone()).or_default() += 1;
        }
        next
    }

    /// The schedules that were told; of several with one name, that of the first worker.
    fn entries(&self) -> Vec<ScheduleEntry> {
        let mut by_id: BTreeMap<&str, &ScheduleEntry> = BTreeMap::new();
        for entry in self.told.values().flatten() {
            by_id.entry(&entry.facts.id).or_insert(entry);
        }
        by_id.into_values().take(MAX_SCHEDULES).cloned().collect()
    }
}

#[async_trait]
impl<S: WorkerSettings> Scheduler for BeatSettings<S> {
    fn name(&self) -> &'static str {
        "beat-settings"
    }

    fn engine(&self) -> &'static str {
        crate::ENGINE
    }

    fn is_configured(&self) -> bool {
        false
    }

    fn capabilities(&self) -> Value {
        json!({"schedule_crud": false, "run_now": true})
    }

    async fn observe(&self, observer: ScheduleObserver, stop: CancellationToken) {
        let mut asked = Asked::default();
        while !stop.is_cancelled() {
            let Some(news) = stop.run_until_cancelled(self.look(&mut asked)).await else { return };
            match news {
                Some(Ok(entries)) => {
                    self.known.lock().await.clone_from(&entries);
                    observer.list(entries).await;
                    observer.health(Health::Ok).await;
                }
                Some(Err(error)) => observer.health(Health::Down(error)).await,
                None => {}
            }
            if stop.run_until_cancelled(sleep(LOOK_EVERY)).await.is_none() {
                return;
            }
        }
    }

    async fn create(&self, _: &ScheduleChange) -> Result<ChangedSchedule, CommandError> {
        Err(read_only())
    }

    async fn update(&self, _: &str, _: &ScheduleChange) -> Result<ChangedSchedule, CommandError> {
        Err(read_only())
    }

    async fn delete(&self, _: &str) -> Result<Option<String>, CommandError> {
        Err(read_only())
    }

    async fn pause(&self, _: &str, _: bool) -> Result<ChangedSchedule, CommandError> {
        Err(read_only())
    }

    async fn task_of(&self, id: &str) -> Result<EnqueueRequest, CommandError> {
        let known = self.known.lock().await;
        let found = known.iter().find(|entry| entry.facts.id == id);
        entry::enqueued(found.ok_or_else(|| missing(id))?, now())
    }
}

fn read_only() -> CommandError {
    CommandError::ReadOnly(
        "it stands in the application's settings (beat_schedule): change it there, and start beat anew. With \
         django-celery-beat or RedBeat schedules can be changed from here"
            .to_owned(),
    )
}

fn missing(id: &str) -> CommandError {
    CommandError::NotFound(format!("the application's settings have no schedule named {id:?}"))
}
