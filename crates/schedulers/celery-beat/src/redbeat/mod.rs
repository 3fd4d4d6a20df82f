//! RedBeat: schedules on Redis. Beat reads them anew on each tick, so that a change needs no signal.

mod definition;
mod link;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use taskplane_agent::engine::{CommandError, EnqueueRequest, Health};
use taskplane_agent::scheduler::{
    ChangedSchedule, MAX_SCHEDULES, ScheduleChange, ScheduleEntry, ScheduleObserver, Scheduler,
};
use taskplane_celery_address::{AddressError, RedisAddress};
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::clock::now;
use crate::wanted::{Wanted, invalid};
use definition::Stored;
use link::{Index, Link};

/// How often to look at what is due when.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How often to look for a RedBeat that was not found yet.
const SEARCH_EVERY: Duration = Duration::from_secs(15);
/// How often to read all definitions, which may change without any other sign.
const READ_EVERY: Duration = Duration::from_secs(30);
/// Longest pause before another attempt to connect.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// Longest name, in bytes.
const MAX_NAME: usize = 500;
/// How often a change is tried that others get ahead of.
const ATTEMPTS: usize = 5;

/// Why RedBeat's Redis cannot be used. Never shows the URL, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the URL of RedBeat's Redis cannot be used: {0}. Write it as redis[s]://[user:password@]host[:port][/db] or \
     sentinel://host[:port];host[:port]/db?master_name=NAME"
)]
pub struct RedBeatUrlError(#[from] AddressError);

/// RedBeat's schedules.
pub struct RedBeat {
    link: Link,
    is_configured: bool,
    is_found: AtomicBool,
    /// Something was changed from here.
    changed: Notify,
}

impl RedBeat {
    /// RedBeat on the Redis at `url`, with keys that begin with `prefix`. One that is not `is_configured` is looked for, and
    /// shown when it is found.
    ///
    /// # Errors
    /// The URL is none of a Redis.
    pub fn new(url: &str, prefix: &str, is_configured: bool) -> Result<Self, RedBeatUrlError> {
        let address = RedisAddress::parse(url)?;
        Ok(Self {
            link: Link::new(address, prefix.to_owned()),
            is_configured,
            is_found: AtomicBool::new(false),
            changed: Notify::new(),
        })
    }

    /// True once its keys have been found.
    pub fn is_found(&self) -> bool {
        self.is_found.load(Ordering::Relaxed)
    }

    /// Changes a schedule as `edit` says. It tells whether the schedule begins anew, and whether its times have changed.
    async fn edit(
        &self,
        name: &str,
        edit: impl Fn(&mut Stored) -> Result<Edit, CommandError>,
    ) -> Result<ChangedSchedule, CommandError> {
        for _ in 0..ATTEMPTS {
            let found = self.link.one(name).await.map_err(CommandError::Engine)?.ok_or_else(|| missing(name))?;
            let mut stored = found.stored.clone();
            let Edit { begins, reckons, message } = edit(&mut stored)?;
            if begins {
                stored.begin(now());
            }
            let due = (begins || reckons).then(|| stored.due(now()));
            if self.link.change(&found, &stored, begins, due).await.map_err(CommandError::Engine)? {
                self.changed.notify_one();
                stored.score = due.map(|due| due as f64).or(stored.score);
                let message = match self.link.is_from_code(name).await {
                    Ok(true) => {
                        Some("it is defined in the application's code, which has its way when beat starts again".into())
                    }
                    _ => message,
                };
                return Ok(ChangedSchedule { entry: stored.entry(), message });
            }
        }
        Err(CommandError::Busy("others change this schedule all the time: try again".into()))
    }
}

/// What an edit did.
#[derive(Default)]
struct Edit {
    begins: bool,
    reckons: bool,
    message: Option<String>,
}

/// What was read last.
#[derive(Default)]
struct Known {
    index: Option<Index>,
    read_at: Option<Instant>,
}

impl Known {
    /// Reads what has changed: the schedules, when there is something to tell.
    async fn refresh(&mut self, beat: &RedBeat) -> Result<Option<Vec<ScheduleEntry>>, String> {
        let index = beat.link.index().await?;
        // One that was only looked for and never found is not there.
        if index.is_none() && self.index.is_none() && !beat.is_configured {
            return Ok(None);
        }
        let index = index.unwrap_or_default();
        let is_due = self.read_at.is_none_or(|at| at.elapsed() >= READ_EVERY);
        if !is_due && self.index.as_ref() == Some(&index) {
            return Ok(None);
        }
        if index.are_more && !self.index.as_ref().is_some_and(|known| known.are_more) {
            tracing::warn!("RedBeat has more than {MAX_SCHEDULES} schedules: {MAX_SCHEDULES} of them are shown");
        }
        let stored = beat.link.read(&index.scores).await?;
        (self.index, self.read_at) = (Some(index), Some(Instant::now()));
        Ok(Some(stored.iter().map(Stored::entry).collect()))
    }

    fn is_found(&self) -> bool {
        self.index.is_some()
    }
}

#[async_trait]
impl Scheduler for RedBeat {
    fn name(&self) -> &'static str {
        "redbeat"
    }

    fn engine(&self) -> &'static str {
        crate::ENGINE
    }

    fn is_configured(&self) -> bool {
        self.is_configured
    }

    fn capabilities(&self) -> Value {
        json!({
            "schedule_crud": true,
            "run_now": true,
            "kinds": ["crontab", "interval"],
            "writable_backend": "redbeat",
        })
    }

    async fn observe(&self, observer: ScheduleObserver, stop: CancellationToken) {
        let mut known = Known::default();
        let mut pause = LOOK_EVERY;
        while !stop.is_cancelled() {
            let Some(refreshed) = stop.run_until_cancelled(known.refresh(self)).await else { return };
            self.is_found.fetch_or(known.is_found(), Ordering::Relaxed);
            let is_shown = self.is_configured || known.is_found();
            match refreshed {
                Ok(news) => {
                    pause = if is_shown { LOOK_EVERY } else { SEARCH_EVERY };
                    if let Some(schedules) = news {
                        observer.list(schedules).await;
                    }
                    if is_shown {
                        let are_more = known.index.as_ref().is_some_and(|index| index.are_more);
                        let health = if are_more {
                            Health::Down(format!("more than {MAX_SCHEDULES} schedules: only some are shown"))
                        } else {
                            Health::Ok
                        };
                        observer.health(health).await;
                    }
                }
                Err(error) => {
                    if is_shown {
                        observer.health(Health::Down(error)).await;
                    }
                    known.read_at = None;
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.changed.notified() => known.read_at = None,
                () = sleep(pause) => {}
            }
        }
    }

    async fn create(&self, change: &ScheduleChange) -> Result<ChangedSchedule, CommandError> {
        let wanted = Wanted::new(change)?;
        let is_plain = !wanted.name.starts_with(':') && !wanted.name.chars().any(char::is_control);
        if !is_plain || wanted.name.len() > MAX_NAME {
            return Err(invalid(format!(
                "a name has at most {MAX_NAME} bytes, no control characters, and no colon in front"
            )));
        }
        let mut stored = Stored { name: wanted.name.clone(), ..Stored::default() };
        stored.define(&wanted, true)?;
        stored.begin(now());
        let due = stored.due(now());
        if !self.link.create(&stored, due).await.map_err(CommandError::Engine)? {
            return Err(invalid("there is a schedule of that name already: choose another name"));
        }
        self.changed.notify_one();
        stored.score = Some(due as f64);
        Ok(ChangedSchedule { entry: stored.entry(), message: None })
    }

    async fn update(&self, id: &str, change: &ScheduleChange) -> Result<ChangedSchedule, CommandError> {
        if change.name.as_ref().is_some_and(|name| name != id) {
            return Err(invalid("RedBeat knows a schedule by its name, which cannot be changed: make another one"));
        }
        let reckons = change.kind.is_some() || change.expression.is_some() || change.timezone.is_some();
        self.edit(id, |stored| {
            let entry = stored.entry();
            let wanted = Wanted::changed(&entry, change)?;
            stored.define(&wanted, reckons)?;
            let begins = wanted.enabled && entry.facts.enabled == Some(false);
            Ok(Edit { begins, reckons, message: None })
        })
        .await
    }

    async fn delete(&self, id: &str) -> Result<Option<String>, CommandError> {
        let is_from_code = self.link.is_from_code(id).await.map_err(CommandError::Engine)?;
        if !self.link.delete(id).await.map_err(CommandError::Engine)? {
            return Err(missing(id));
        }
        self.changed.notify_one();
        Ok(is_from_code.then(|| "it is defined in the application's code: it comes back when beat starts again".into()))
    }

    async fn pause(&self, id: &str, paused: bool) -> Result<ChangedSchedule, CommandError> {
        self.edit(id, |stored| {
            let was_paused = stored.entry().facts.enabled == Some(false);
            stored.definition.insert("enabled".into(), (!paused).into());
            let message = match (was_paused, paused) {
                (true, true) => Some("it was paused already".to_owned()),
                (false, false) => Some("it was not paused".to_owned()),
                _ => None,
            };
            // It does not make up for what it left out.
            Ok(Edit { begins: was_paused && !paused, reckons: false, message })
        })
        .await
    }

    async fn task_of(&self, id: &str) -> Result<EnqueueRequest, CommandError> {
        let found = self.link.one(id).await.map_err(CommandError::Engine)?.ok_or_else(|| missing(id))?;
        found.stored.enqueued(now())
    }
}

fn missing(name: &str) -> CommandError {
    CommandError::NotFound(format!("RedBeat has no schedule named {name:?}"))
}
