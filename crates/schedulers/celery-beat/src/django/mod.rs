//! django-celery-beat: schedules in the application's database, on PostgreSQL, MySQL, MariaDB or SQLite.
//!
//! [`tables`] reads, [`write`] changes, both in the words of [`statement`] over a connection of [`database`], which
//! [`address`] names.

mod address;
mod database;
mod statement;
mod tables;
mod tls;
mod write;

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use taskplane_agent::engine::{CommandError, EnqueueRequest};
use taskplane_agent::scheduler::{ChangedSchedule, ScheduleChange, ScheduleObserver, Scheduler};
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use address::AddressError;

use crate::clock::now;
use crate::periodic_task::{PeriodicTask, missing, told};
use crate::watch::{Read, Source, watch};
use address::Address;
use database::{DatabaseError, Session};
use write::{Writing, Written};

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
    ) -> Result<(Option<PeriodicTask>, Option<String>), CommandError> {
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

impl Source for DjangoBeat {
    type Error = DatabaseError;

    async fn read(&self, known: Option<&str>) -> Result<Option<Read>, DatabaseError> {
        self.mark_again().await?;
        self.with(async |session: &mut Session, address: &Address| {
            let marker = format!("{:?}", tables::marker(session, address).await?);
            if known == Some(marker.as_str()) {
                return Ok(None);
            }
            let (tasks, are_more) = tables::all(session, address).await?;
            Ok(Some(Read { marker, tasks, are_more }))
        })
        .await
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
        watch(self, &self.changed, observer, stop).await;
    }

    async fn create(&self, change: &ScheduleChange) -> Result<ChangedSchedule, CommandError> {
        self.change(async |writing: Writing<'_>| writing.create(change).await)
            .await
            .map(|(task, message)| told(task, message))
    }

    async fn update(&self, id: &str, change: &ScheduleChange) -> Result<ChangedSchedule, CommandError> {
        let id = key(id)?;
        self.change(async |writing: Writing<'_>| writing.update(id, change).await)
            .await
            .map(|(task, message)| told(task, message))
    }

    async fn delete(&self, id: &str) -> Result<Option<String>, CommandError> {
        let id = key(id)?;
        Ok(self.change(async |writing: Writing<'_>| writing.delete(id).await).await?.1)
    }

    async fn pause(&self, id: &str, paused: bool) -> Result<ChangedSchedule, CommandError> {
        let id = key(id)?;
        self.change(async |writing: Writing<'_>| writing.pause(id, paused).await)
            .await
            .map(|(task, message)| told(task, message))
    }

    async fn task_of(&self, id: &str) -> Result<EnqueueRequest, CommandError> {
        let key = key(id)?;
        let one =
            self.with(async |session: &mut Session, address: &Address| tables::one(session, address, key, false).await);
        let task = one.await?.ok_or_else(|| missing(id))?;
        task.run_now(now())
    }
}

/// A schedule's id is the row's.
fn key(id: &str) -> Result<i64, CommandError> {
    id.parse().map_err(|_| missing(id))
}
