//! django-celery-beat through the application's own models: read and changed by Django itself, in a process of the
//! application, with its validation and its signals.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use taskplane_agent::engine::{CommandError, EnqueueRequest};
use taskplane_agent::scheduler::{ChangedSchedule, MAX_SCHEDULES, ScheduleChange, ScheduleObserver, Scheduler};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::clock::now;
use crate::periodic_task::{Columns, PeriodicTask, missing, told};
use crate::undone::{LOOK_AFTER, MAX_TRIES, is_undone};
use crate::validate::{TimesRow, times_row};
use crate::wanted::Wanted;
use crate::watch::{Read, Source, watch};

/// The application's side. Every call may block, and is made on a thread that may.
pub trait Models: Send + Sync + 'static {
    /// All schedules by id, at most `limit`; `tasks` is left out when nothing has changed since `known` was the marker.
    ///
    /// # Errors
    /// Django cannot be asked; the text says why.
    fn look(&self, known: Option<&str>, limit: usize) -> Result<Looked, CommandError>;

    /// One schedule, if it is there.
    ///
    /// # Errors
    /// As with [`Self::look`].
    fn one(&self, id: &str) -> Result<Option<Columns>, CommandError>;

    /// Makes a schedule, or changes the columns that are given; returns it as it is now.
    ///
    /// # Errors
    /// Django refuses it, or there is none.
    fn save(&self, id: Option<&str>, set: &SetColumns) -> Result<Columns, CommandError>;

    /// Removes a schedule.
    ///
    /// # Errors
    /// As with [`Self::save`].
    fn delete(&self, id: &str) -> Result<(), CommandError>;
}

/// What a look found.
#[derive(Clone, Debug, Deserialize)]
pub struct Looked {
    /// Different after any change.
    pub marker: String,
    /// All schedules, unless nothing has changed.
    pub tasks: Option<Vec<Columns>>,
}

/// Columns to set: those of the table of schedules by their names, and the row that it points to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SetColumns {
    /// By name.
    pub columns: Map<String, Value>,
    /// When it runs, if that is to be set.
    pub times: Option<TimesRow>,
}

/// The schedules of an application that this process is part of.
pub struct DjangoModels<M> {
    models: Arc<M>,
    changed: Arc<Notify>,
}

impl<M: Models> DjangoModels<M> {
    /// Through `models`, which are first asked when observing.
    pub fn new(models: M) -> Self {
        Self { models: Arc::new(models), changed: Arc::default() }
    }

    /// Notified, it looks at once.
    pub fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&M) -> Result<T, CommandError> + Send + 'static,
    ) -> Result<T, CommandError> {
        let models = Arc::clone(&self.models);
        let asked = tokio::task::spawn_blocking(move || question(&models)).await;
        asked.unwrap_or_else(|_| Err(CommandError::Engine("Django could not be asked: it failed unexpectedly".into())))
    }

    async fn existing(&self, id: &str) -> Result<PeriodicTask, CommandError> {
        let asked = id.to_owned();
        let found = self.ask(move |models| models.one(&asked)).await?;
        found.map(PeriodicTask::from).ok_or_else(|| missing(id))
    }

    /// Changes a schedule, and sees to it that it lasts.
    async fn change(&self, before: &PeriodicTask, set: &SetColumns) -> Result<PeriodicTask, CommandError> {
        let id = before.entry.facts.id.as_str();
        let mut made = self.save(Some(id), set.clone()).await?;
        for _ in 1..MAX_TRIES {
            sleep(LOOK_AFTER).await;
            // It is made: that it cannot be looked at says nothing else.
            let Ok(now) = self.existing(id).await else { break };
            if !is_undone(before, Some(&made), Some(&now)) {
                break;
            }
            made = self.save(Some(id), set.clone()).await?;
        }
        Ok(made)
    }

    async fn remove(&self, id: &str) -> Result<(), CommandError> {
        let asked = id.to_owned();
        self.ask(move |models| models.delete(&asked)).await?;
        self.changed.notify_one();
        Ok(())
    }

    async fn save(&self, id: Option<&str>, set: SetColumns) -> Result<PeriodicTask, CommandError> {
        let id = id.map(str::to_owned);
        let saved = self.ask(move |models| models.save(id.as_deref(), &set)).await?;
        self.changed.notify_one();
        Ok(PeriodicTask::from(saved))
    }
}

impl<M: Models> Source for DjangoModels<M> {
    type Error = CommandError;

    async fn read(&self, known: Option<&str>) -> Result<Option<Read>, CommandError> {
        let known = known.map(str::to_owned);
        let Looked { marker, tasks } = self.ask(move |models| models.look(known.as_deref(), MAX_SCHEDULES + 1)).await?;
        Ok(tasks.map(|mut tasks| {
            let are_more = tasks.len() > MAX_SCHEDULES;
            tasks.truncate(MAX_SCHEDULES);
            Read { marker, tasks: tasks.into_iter().map(PeriodicTask::from).collect(), are_more }
        }))
    }
}

#[async_trait]
impl<M: Models> Scheduler for DjangoModels<M> {
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
        let wanted = Wanted::new(change)?;
        let mut columns = columns(&wanted);
        columns.insert("args".into(), text(&Value::Array(wanted.args.clone())));
        columns.insert("kwargs".into(), text(&Value::Object(wanted.kwargs.clone())));
        let times = Some(times_row(&wanted)?);
        Ok(told(Some(self.save(None, SetColumns { columns, times }).await?), None))
    }

    async fn update(&self, id: &str, change: &ScheduleChange) -> Result<ChangedSchedule, CommandError> {
        let task = self.existing(id).await?;
        let wanted = Wanted::changed(&task.entry, change)?;
        let times = times_row(&wanted)?;
        let times_change = change.kind.is_some() || change.expression.is_some() || change.timezone.is_some();
        let set = SetColumns { columns: changed(&wanted, change), times: times_change.then_some(times) };
        let saved = self.change(&task, &set).await?;
        Ok(told(Some(saved), task.comes_back("what its code says of it comes back")))
    }

    async fn delete(&self, id: &str) -> Result<Option<String>, CommandError> {
        let task = self.existing(id).await?;
        self.remove(id).await?;
        for _ in 1..MAX_TRIES {
            sleep(LOOK_AFTER).await;
            let Ok(now) = self.existing(id).await else { break };
            if !is_undone(&task, None, Some(&now)) {
                break;
            }
            self.remove(id).await?;
        }
        Ok(task.comes_back("it comes back"))
    }

    async fn pause(&self, id: &str, paused: bool) -> Result<ChangedSchedule, CommandError> {
        let task = self.existing(id).await?;
        let message = match (task.entry.facts.enabled, paused) {
            (Some(true), false) => Some("it was not paused".to_owned()),
            (Some(false), true) => Some("it was paused already".to_owned()),
            _ => None,
        };
        let columns = Map::from_iter([("enabled".to_owned(), json!(!paused))]);
        Ok(told(Some(self.change(&task, &SetColumns { columns, times: None }).await?), message))
    }

    async fn task_of(&self, id: &str) -> Result<EnqueueRequest, CommandError> {
        self.existing(id).await?.run_now(now())
    }
}

/// The columns that are set in any schedule, by their names.
fn columns(wanted: &Wanted) -> Map<String, Value> {
    let Wanted {
        name,
        task,
        queue,
        priority,
        expires_at,
        expire_seconds,
        one_off,
        starts_at,
        enabled,
        description,
        ..
    } = wanted;
    let columns = json!({
        "name": name,
        "task": task,
        "queue": queue,
        "priority": priority,
        "expires": expires_at,
        "expire_seconds": expire_seconds,
        "one_off": one_off,
        "start_time": starts_at,
        "enabled": enabled,
        "description": description,
    });
    match columns {
        Value::Object(columns) => columns,
        _ => Map::new(),
    }
}

/// Those of them that `change` names: what somebody else changes at the same moment stays.
fn changed(wanted: &Wanted, change: &ScheduleChange) -> Map<String, Value> {
    let named = [
        ("name", change.name.is_some()),
        ("task", change.task.is_some()),
        ("queue", change.queue.is_some()),
        ("priority", change.priority.is_some()),
        ("expires", change.expires_at.is_some()),
        ("expire_seconds", change.expire_seconds.is_some()),
        // Another kind of schedule may run but once.
        ("one_off", change.one_off.is_some() || change.kind.is_some()),
        ("start_time", change.starts_at.is_some()),
        ("enabled", change.enabled.is_some()),
        ("description", change.description.is_some()),
    ];
    let mut columns = columns(wanted);
    columns.retain(|name, _| named.contains(&(name.as_str(), true)));
    if change.args.is_some() {
        columns.insert("args".into(), text(&Value::Array(wanted.args.clone())));
    }
    if change.kwargs.is_some() {
        columns.insert("kwargs".into(), text(&Value::Object(wanted.kwargs.clone())));
    }
    columns
}

fn text(json: &Value) -> Value {
    Value::String(json.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_sets_only_what_it_names() {
        let columns = Columns {
            id: "7".into(),
            name: Some("nightly".into()),
            task: Some("shop.report".into()),
            times: Some(crate::periodic_task::Times::Interval("5".into(), "minutes".into())),
            ..Columns::default()
        };
        let entry = PeriodicTask::from(columns).entry;
        let change = ScheduleChange { queue: Some(None), args: Some(vec![json!(1)]), ..ScheduleChange::default() };
        let wanted = Wanted::changed(&entry, &change).expect("valid");
        assert_eq!(Value::Object(changed(&wanted, &change)), json!({"queue": null, "args": "[1]"}));
    }
}
