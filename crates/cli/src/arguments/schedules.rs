//! `taskplane schedules`.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::ApiOptions;
use super::tasks::{json_list, json_object};

#[derive(Args, Debug)]
pub(crate) struct SchedulesCommand {
    #[command(flatten)]
    pub(crate) api: ApiOptions,
    #[command(subcommand)]
    pub(crate) verb: SchedulesVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SchedulesVerb {
    /// List schedules, with what is wrong with them.
    #[command(after_help = "Example:\n  taskplane schedules list")]
    List,
    /// Show a schedule: when it runs next, and what it has run.
    #[command(after_help = "Example:\n  taskplane schedules show nightly-report")]
    Show(ScheduleNamed),
    /// Pause a schedule: it runs no more until it is resumed.
    #[command(after_help = "Example:\n  taskplane schedules pause nightly-report")]
    Pause(ScheduleNamed),
    /// Resume a schedule that is paused.
    #[command(after_help = "Example:\n  taskplane schedules resume nightly-report")]
    Resume(ScheduleNamed),
    /// Send a schedule's task now, besides its times.
    #[command(after_help = "Example:\n  taskplane schedules run nightly-report")]
    Run(ScheduleNamed),
    /// Delete a schedule, for good.
    #[command(after_help = "Example:\n  taskplane schedules delete nightly-report --yes")]
    Delete(ScheduleDeleteOptions),
    /// Make a schedule.
    #[command(after_help = "Examples:\n  \
                      taskplane schedules create nightly --task reports.nightly --crontab '0 3 * * mon-fri' \\\n    \
                      --timezone Europe/Berlin\n  \
                      taskplane schedules create ping --task net.ping --every 30s --kwargs '{\"host\": \"db\"}'")]
    Create(Box<ScheduleCreateOptions>),
}

#[derive(Args, Debug)]
pub(crate) struct ScheduleNamed {
    /// The schedule's name, or its id in its scheduler.
    pub(crate) name: String,
    /// The scheduler that has it; needed when several have one of this name.
    #[arg(long)]
    pub(crate) scheduler: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ScheduleDeleteOptions {
    #[command(flatten)]
    pub(crate) schedule: ScheduleNamed,
    /// Do it. Without this, the command only says what would be deleted.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ScheduleCreateOptions {
    /// Name of the schedule.
    pub(crate) name: String,
    /// Task type that it sends.
    #[arg(long)]
    pub(crate) task: String,
    #[command(flatten)]
    pub(crate) timing: ScheduleTiming,
    /// Zone in which a crontab is read; without it, UTC.
    #[arg(long, value_name = "ZONE", requires = "crontab")]
    pub(crate) timezone: Option<String>,
    /// Positional arguments: a JSON list.
    #[arg(long, value_name = "JSON", value_parser = json_list)]
    pub(crate) args: Option<Value>,
    /// Keyword arguments: a JSON object.
    #[arg(long, value_name = "JSON", value_parser = json_object)]
    pub(crate) kwargs: Option<Value>,
    /// Queue, if not the one that such tasks normally go to.
    #[arg(long)]
    pub(crate) queue: Option<String>,
    /// For people.
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// Make it paused.
    #[arg(long)]
    pub(crate) paused: bool,
    /// The scheduler that is to have it; needed when there are several.
    #[arg(long)]
    pub(crate) scheduler: Option<String>,
    /// The agent that is to make it; needed when agents see different schedulers of one name.
    #[arg(long)]
    pub(crate) agent: Option<String>,
}

/// When it runs: one of these.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct ScheduleTiming {
    /// Minute, hour, day of month, month and day of week, such as '0 3 * * mon-fri'.
    #[arg(long, value_name = "FIELDS")]
    pub(crate) crontab: Option<String>,
    /// A duration such as 30s, 5m, 2h or 1d.
    #[arg(long, value_name = "DURATION")]
    pub(crate) every: Option<String>,
    /// One time, such as 2026-11-22T18:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// What the sun does, with latitude and longitude, such as 'sunset 52.52 13.40'.
    #[arg(long, value_name = "EVENT", allow_hyphen_values = true)]
    pub(crate) solar: Option<String>,
}
