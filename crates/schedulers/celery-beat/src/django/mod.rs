//! django-celery-beat: schedules in the application's database, on PostgreSQL, MySQL, MariaDB or SQLite.
//!
//! [`tables`] reads, [`write`] changes, both in the words of [`statement`] over a connection of [`database`], which
//! [`address`] names. [`validate`] refuses what Django's admin would refuse.

mod address;
mod database;
mod statement;
mod tables;
mod tls;
mod validate;
mod write;

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use taskplane_agent::engine::{CommandError, EnqueueRequest, Health};
use taskplane_agent::scheduler::{ChangedSchedule, MAX_SCHEDULES, ScheduleChange, ScheduleObserver, Scheduler};
use taskplane_model::Timestamp;
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub use address::AddressError;

use crate::clock::now;
use address::Address;
use database::{DatabaseError, Session};
use tables::Task;
use write::{Writing, Written};

/// How often to look whether something has changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often to read all rows even though nothing says that they have changed: somebody may write SQL by hand.
const READ_EVERY: Duration = Duration::from_secs(300);
/// How often next runs that have passed are computed anew.
const COMPUTE_EVERY: Duration = Duration::from_secs(60);
/// Longest pause before another attempt to connect.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// Beat looks every 5 s whether there was a change, and misses the first one ever: it is told again after so long.
const MARK_AGAIN: Duration = Duration::from_secs(6);

/// django-celery-beat's schedules.
pub struct DjangoBeat {
    address: Address,
    /// One connection for everything, opened when it is needed.
    session: Mutex<Option<Session>>,
    /// Something was changed from here.
    changed: Notify,
    /// When to tell beat again of a change that it cannot have noticed.
    mark_again: std::sync::Mutex<Option<Instant>>,
}

impl DjangoBeat {
    /// Checks the URL. The database is first contacted when observing.
    ///
    /// # Errors
    /// The URL is none of a database that can be used.
    pub fn new(url: &str) -> Result<Self, AddressError> {
        Ok(Self {
            address: Address::parse(url)?,
            session: Mutex::new(None),
            changed: Notify::new(),
            mark_again: std::sync::Mutex::new(None),
        })
    }

    /// Works with the connection, which is opened where there is none, and given up when it failed.
    async fn with<T, E: EndsSession>(
        &self,
        work: impl AsyncFnOnce(&mut Session, &Address) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut slot = self.session.lock().await;
        // While it works it is not in its slot: one that is cut off in the middle is never used again.
        let mut session = match slot.take().filter(Session::is_usable) {
            Some(session) => session,
            None => Session::open(&self.address).await?,
        };
        let outcome = work(&mut session, &self.address).await;
        let is_usable = match &outcome {
            Ok(_) => true,
            Err(error) => !error.ends_session() && session.run("ROLLBACK", &self.address).await.is_ok(),
        };
        *slot = Some(session).filter(|_| is_usable);
        outcome
    }

    /// Changes something, and reads what it is now.
    async fn change(
        &self,
        work: impl AsyncFnOnce(Writing<'_>) -> Result<Written, CommandError>,
    ) -> Result<(Option<Task>, Option<String>), CommandError> {
        let (task, written) = self
            .with(async |session: &mut Session, address: &Address| {
                let written = work(Writing::begin(session, address).await?).await?;
                // The change is made: whatever reading says, that it was not would be wrong.
                let task = tables::one(session, address, written.id, false).await.unwrap_or_default();
                Ok::<_, CommandError>((task, written))
            })
            .await?;
        if written.is_first_mark {
            *self.mark_again.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
                Some(Instant::now() + MARK_AGAIN);
        }
        self.changed.notify_one();
        Ok((task, written.message))
    }

    /// Marks a change again, when it is time.
    async fn mark_again(&self) -> Result<(), DatabaseError> {
        let due = || self.mark_again.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if due().is_none_or(|at| Instant::now() < at) {
            return Ok(());
        }
        self.with(async |session: &mut Session, address: &Address| {
            Writing::begin(session, address).await?.mark_again().await
        })
        .await?;
        *due() = None;
        Ok(())
    }
}

/// An error after which a connection may be of no more use.
trait EndsSession: From<DatabaseError> {
    fn ends_session(&self) -> bool;
}

impl EndsSession for DatabaseError {
    fn ends_session(&self) -> bool {
        self.ends_session()
    }
}

impl EndsSession for CommandError {
    fn ends_session(&self) -> bool {
        matches!(self, Self::Engine(_))
    }
}

/// What was read last.
#[derive(Default)]
struct Known {
    marker: Vec<Option<String>>,
    tasks: Vec<Task>,
    are_more: bool,
    read_at: Option<Instant>,
    computed_at: Option<Instant>,
}

impl Known {
    /// Reads what has changed. True when there is something to tell.
    async fn refresh(&mut self, beat: &DjangoBeat) -> Result<bool, DatabaseError> {
        beat.mark_again().await?;
        let is_due = self.read_at.is_none_or(|at| at.elapsed() >= READ_EVERY);
        let known = &self.marker;
        let read = beat
            .with(async |session: &mut Session, address: &Address| {
                let marker = tables::marker(session, address).await?;
                if !is_due && marker == *known {
                    return Ok(None);
                }
                Ok::<_, DatabaseError>(Some((marker, tables::all(session, address).await?)))
            })
            .await?;
        if let Some((marker, (tasks, are_more))) = read {
            if are_more && !self.are_more {
                tracing::warn!("there are more than {MAX_SCHEDULES} schedules: the first {MAX_SCHEDULES} are shown");
            }
            *self = Self { marker, tasks, are_more, read_at: Some(Instant::now()), computed_at: Some(Instant::now()) };
            return Ok(true);
        }
        let is_stale = self.computed_at.is_none_or(|at| at.elapsed() >= COMPUTE_EVERY);
        if is_stale {
            self.computed_at = Some(Instant::now());
        }
        Ok(is_stale)
    }
}

#[async_trait]
impl Scheduler for DjangoBeat {
    fn name(&self) -> &'static str {
        "celery-beat"
    }

    fn engine(&self) -> &'static str {
        crate::ENGINE
    }

    fn is_configured(&self) -> bool {
        true
    }

    fn capabilities(&self) -> Value {
        json!({
            "schedule_crud": true,
            "run_now": true,
            "kinds": ["crontab", "interval", "clocked", "solar"],
            "writable_backend": "django-celery-beat",
        })
    }

    async fn observe(&self, observer: ScheduleObserver, stop: CancellationToken) {
        let mut known = Known::default();
        let mut pause = LOOK_EVERY;
        while !stop.is_cancelled() {
            let Some(refreshed) = stop.run_until_cancelled(known.refresh(self)).await else { return };
            match refreshed {
                Ok(is_news) => {
                    pause = LOOK_EVERY;
                    let health = if known.are_more {
                        Health::Down(format!("more than {MAX_SCHEDULES} schedules: only the first are shown"))
                    } else {
                        Health::Ok
                    };
                    observer.health(health).await;
                    if is_news {
                        let at = now();
                        observer.list(known.tasks.iter().map(|task| task.at(at)).collect()).await;
                    }
                }
                Err(error) => {
                    observer.health(Health::Down(error.to_string())).await;
                    // What is read after it came back is told, whether or not it says that it has changed.
                    known.read_at = None;
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.changed.notified() => {}
                () = sleep(pause) => {}
            }
        }
    }

    async fn create(&self, change: &ScheduleChange) -> Result<ChangedSchedule, CommandError> {
        self.change(async |writing: Writing<'_>| writing.create(change).await).await.map(told)
    }

    async fn update(&self, id: &str, change: &ScheduleChange) -> Result<ChangedSchedule, CommandError> {
        let id = key(id)?;
        self.change(async |writing: Writing<'_>| writing.update(id, change).await).await.map(told)
    }

    async fn delete(&self, id: &str) -> Result<Option<String>, CommandError> {
        let id = key(id)?;
        Ok(self.change(async |writing: Writing<'_>| writing.delete(id).await).await?.1)
    }

    async fn pause(&self, id: &str, paused: bool) -> Result<ChangedSchedule, CommandError> {
        let id = key(id)?;
        self.change(async |writing: Writing<'_>| writing.pause(id, paused).await).await.map(told)
    }

    async fn task_of(&self, id: &str) -> Result<EnqueueRequest, CommandError> {
        let key = key(id)?;
        let one =
            self.with(async |session: &mut Session, address: &Address| tables::one(session, address, key, false).await);
        let task = one.await?.ok_or_else(|| missing(id))?;
        let now: Timestamp = now();
        if task.entry.facts.expires_at.is_some_and(|expires| expires <= now) {
            return Err(CommandError::InvalidArgs("the schedule has expired: no worker would run its task".into()));
        }
        task.enqueued(now).map_err(|why| CommandError::InvalidArgs(format!("the schedule cannot be run now: {why}")))
    }
}

fn told((task, message): (Option<Task>, Option<String>)) -> ChangedSchedule {
    ChangedSchedule { entry: task.map(|task| task.at(now())).unwrap_or_default(), message }
}

fn missing(id: &str) -> CommandError {
    CommandError::NotFound(format!("there is no schedule with the id {id}"))
}

/// A schedule's id is the row's.
fn key(id: &str) -> Result<i64, CommandError> {
    id.parse().map_err(|_| missing(id))
}
