//! `taskplane schedules`.

mod create;
mod list;
mod named;
mod show;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::api::{Api, failure};
use crate::arguments::{ScheduleDeleteOptions, ScheduleNamed, SchedulesCommand, SchedulesVerb};
use crate::output;
use crate::wrong_usage::WrongUsage;

pub(crate) async fn run(command: SchedulesCommand) -> Result<()> {
    let (api, json) = (Api::new(&command.api)?, command.api.json);
    match command.verb {
        SchedulesVerb::List => list::run(&api, json).await,
        SchedulesVerb::Show(schedule) => show::run(&api, &schedule, json).await,
        SchedulesVerb::Pause(schedule) => pause(&api, &schedule, true, json).await,
        SchedulesVerb::Resume(schedule) => pause(&api, &schedule, false, json).await,
        SchedulesVerb::Run(schedule) => run_now(&api, &schedule, json).await,
        SchedulesVerb::Delete(options) => delete(&api, &options, json).await,
        SchedulesVerb::Create(options) => create::run(&api, *options, json).await,
    }
}

async fn pause(api: &Api, schedule: &ScheduleNamed, paused: bool, json: bool) -> Result<()> {
    let found = named::find(api, schedule).await?;
    let args = json!({"scheduler": found["scheduler"], "id": found["id"], "paused": paused});
    let done = if paused { "paused" } else { "resumed" };
    ended(&api.command("schedule_pause", args).await?, json, &format!("{} is {done}", named::name(&found)))
}

async fn run_now(api: &Api, schedule: &ScheduleNamed, json: bool) -> Result<()> {
    let found = named::find(api, schedule).await?;
    let args = json!({"scheduler": found["scheduler"], "id": found["id"]});
    let command = api.command("schedule_run_now", args).await?;
    let task = command["result"]["task_id"].as_str().or_else(|| command["result"]["new_task_id"].as_str());
    let text = task.map_or_else(|| format!("the task of {} was sent", named::name(&found)), str::to_owned);
    ended(&command, json, &text)
}

async fn delete(api: &Api, options: &ScheduleDeleteOptions, json: bool) -> Result<()> {
    let found = named::find(api, &options.schedule).await?;
    let (name, scheduler) = (named::name(&found), found["scheduler"].as_str().unwrap_or_default());
    if !options.yes {
        bail!(WrongUsage(format!(
            "nothing was deleted: the schedule {name} of {scheduler} would be gone for good; to do it, say the same with --yes, \
             or pause it with `taskplane schedules pause {name}`"
        )));
    }
    let args = json!({"scheduler": scheduler, "id": found["id"]});
    ended(&api.command("schedule_delete", args).await?, json, &format!("{name} is deleted"))
}

/// Says what came of a command.
fn ended(command: &Value, json: bool, text: &str) -> Result<()> {
    if json {
        output::json(command)?;
    }
    if let Some(failure) = failure(command) {
        return Err(failure);
    }
    if !json {
        output::data(text)?;
    }
    if let Some(message) = command["message"].as_str() {
        output::note(message);
    }
    Ok(())
}
