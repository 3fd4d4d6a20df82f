//! Commands about schedules.

use serde_json::{Value, json};
use taskplane_protocol::frame::commands;

use super::args::Args;
use super::{Dispatcher, Outcome, in_time};
use crate::engine::CommandError;
use crate::scheduler::{ChangedSchedule, Scheduler};

/// Those that go to a scheduler.
pub(super) const COMMANDS: [&str; 5] = [
    commands::SCHEDULE_CREATE,
    commands::SCHEDULE_UPDATE,
    commands::SCHEDULE_DELETE,
    commands::SCHEDULE_PAUSE,
    commands::SCHEDULE_RUN_NOW,
];

impl Dispatcher {
    pub(super) async fn change_schedules(&self, args: &Args<'_>) -> Outcome {
        let scheduler = self.scheduler(args.scheduler()?)?;
        match args.cmd() {
            commands::SCHEDULE_CREATE => self.told(in_time(scheduler.create(&args.schedule()?)).await?),
            commands::SCHEDULE_UPDATE => {
                self.told(in_time(scheduler.update(args.schedule_id()?, &args.schedule()?)).await?)
            }
            commands::SCHEDULE_PAUSE => self.told(in_time(scheduler.pause(args.schedule_id()?, args.paused()?)).await?),
            commands::SCHEDULE_DELETE => Ok((json!({}), in_time(scheduler.delete(args.schedule_id()?)).await?)),
            _ => self.run_now(scheduler, args.schedule_id()?).await,
        }
    }

    async fn run_now(&self, scheduler: &dyn Scheduler, id: &str) -> Outcome {
        let request = in_time(scheduler.task_of(id)).await?;
        let engine = self.engine(Some(scheduler.engine()))?;
        let enqueued = in_time(engine.enqueue_task(&request)).await?;
        Ok((json!({ "new_task_id": enqueued.new_task_id }), enqueued.message))
    }

    fn told(&self, changed: ChangedSchedule) -> Outcome {
        let schedule = serde_json::to_value(self.redactor.schedule(&changed.entry)).unwrap_or(Value::Null);
        Ok((json!({ "schedule": schedule }), changed.message))
    }

    fn scheduler(&self, name: Option<&str>) -> Result<&dyn Scheduler, CommandError> {
        let names = || self.schedulers.iter().map(|scheduler| scheduler.name()).collect::<Vec<_>>().join(", ");
        let found = match (name, &*self.schedulers) {
            (_, []) => {
                return Err(CommandError::Unsupported(
                    "this agent looks after no scheduler: give it one, such as --celery-beat-db".into(),
                ));
            }
            (None, [only]) => Some(only),
            (None, _) => {
                return Err(CommandError::InvalidArgs(format!("name the scheduler: this agent has {}", names())));
            }
            (Some(name), schedulers) => schedulers.iter().find(|scheduler| scheduler.name() == name),
        };
        let missing = || CommandError::InvalidArgs(format!("this agent has no such scheduler; it has {}", names()));
        found.map(|scheduler| &**scheduler).ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests;
