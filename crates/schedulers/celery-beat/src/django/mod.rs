//! django-celery-beat: schedules in the application's database, on PostgreSQL, MySQL, MariaDB or SQLite.
//!
//! [`tables`] reads, [`write`] changes; [`database`] says what goes wrong.

mod database;
mod tables;
mod write;

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use taskplane_agent::engine::{CommandError, EnqueueRequest};
use taskplane_agent::scheduler::{ChangedSchedule, ScheduleChange, ScheduleObserver, Scheduler};
use taskplane_application_database::{Access, Address, Database, Session};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub use database::AddressError;

use crate::clock::now;
use crate::periodic_task::{PeriodicTask, missing, told};
use crate::undone::{LOOK_AFTER, MAX_TRIES, is_undone};
use crate::watch::{Read, Source, watch};
use database::{DatabaseError, NotChanged};
use write::{Change, Writing, Written};

/// Beat looks every 5 s whether there was a change, and misses those since it read the schedules at its start and the first look:
/// it is told of each again after so long.
const MARK_AGAIN: Duration = Duration::from_secs(6);

/// django-celery-beat's schedules.
pub struct DjangoBeat {
    /// One connection for everything.
    database: Database,
    /// Something was changed from here.
    changed: Notify,
    /// When to tell beat again of a change that it may not have noticed.
    mark_again: std::sync::Mutex<Option<Instant>>,
}

impl DjangoBeat {
    /// Checks the URL. The database is first contacted when observing.
    ///
    /// # Errors
    /// The URL is none of a database that can be used.
    pub fn new(url: &str) -> Result<Self, AddressError> {
        Ok(Self {
            database: Database::new(Address::parse(url)?, Access::Write),
            changed: Notify::new(),
            mark_again: std::sync::Mutex::new(None),
        })
    }

    /// Changes something, sees to it that it lasts, and says what it is now.
    async fn change(&self, change: Change<'_>) -> Result<(Option<PeriodicTask>, Option<String>), CommandError> {
        let Written { id, before, mut made, message, .. } = self.make(change).await?;
        for _ in 1..MAX_TRIES {
            let Some(before) = &before else { break };
            sleep(LOOK_AFTER).await;
            let look = self.database.with(async |session: &mut Session| tables::one(session, id, false).await);
            // It is made: that it cannot be looked at says nothing else.
            let Ok(now) = look.await else { break };
            if !is_undone(before, made.as_ref(), now.as_ref()) {
                break;
            }
            tracing::debug!(schedule = id, "beat has undone a change, which is made again");
            made = self.make(change).await?.made;
        }
        Ok((made, message))
    }

    /// Changes something.
    async fn make(&self, change: Change<'_>) -> Result<Written, CommandError> {
        let written = self
            .database
            .with(async |session: &mut Session| Writing::begin(session).await?.make(change).await.map_err(NotChanged))
            .await
            .map_err(|NotChanged(error)| error)?;
        *self.mark_again.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Instant::now() + MARK_AGAIN);
        self.changed.notify_one();
        Ok(written)
    }

    /// Marks a change again, when it is time.
    async fn mark_again(&self) -> Result<(), DatabaseError> {
        let due = || self.mark_again.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if due().is_none_or(|at| Instant::now() < at) {
            return Ok(());
        }
        self.database.with(async |session: &mut Session| Writing::begin(session).await?.mark_again().await).await?;
        *due() = None;
        Ok(())
    }
}

impl Source for DjangoBeat {
    type Error = DatabaseError;

    async fn read(&self, known: Option<&str>) -> Result<Option<Read>, DatabaseError> {
        self.mark_again().await?;
        let read = self.database.with(async |session: &mut Session| {
            let marker = format!("{:?}", tables::marker(session).await?);
            if known == Some(marker.as_str()) {
                return Ok(None);
            }
            let (tasks, are_more) = tables::all(session).await?;
            Ok(Some(Read { marker, tasks, are_more }))
        });
        read.await
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
        self.change(Change::Create(change)).await.map(|(task, message)| told(task, message))
    }

    async fn update(&self, id: &str, change: &ScheduleChange) -> Result<ChangedSchedule, CommandError> {
        let id = key(id)?;
        self.change(Change::Update(id, change)).await.map(|(task, message)| told(task, message))
    }

    async fn delete(&self, id: &str) -> Result<Option<String>, CommandError> {
        let id = key(id)?;
        Ok(self.change(Change::Delete(id)).await?.1)
    }

    async fn pause(&self, id: &str, paused: bool) -> Result<ChangedSchedule, CommandError> {
        let id = key(id)?;
        self.change(Change::Pause(id, paused)).await.map(|(task, message)| told(task, message))
    }

    async fn task_of(&self, id: &str) -> Result<EnqueueRequest, CommandError> {
        let key = key(id)?;
        let one = self.database.with(async |session: &mut Session| tables::one(session, key, false).await);
        let task = one.await?.ok_or_else(|| missing(id))?;
        task.run_now(now())
    }
}

/// A schedule's id is the row's.
fn key(id: &str) -> Result<i64, CommandError> {
    id.parse().map_err(|_| missing(id))
}
