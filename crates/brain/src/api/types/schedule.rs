//! Schedules, their runs, and their schedulers.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use taskplane_model::schedule::Schedule as ModelSchedule;
use taskplane_model::{Timestamp, schedule_run};
use utoipa::ToSchema;

use super::page;
use crate::schedules::judge::Presence;
use crate::schedules::problem::{ScheduleProblem as Problem, SchedulerHealth};
use crate::schedules::told::ToldSchedule;

/// What is known of an expected run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Its time has come, and there is no reason yet to expect a sign of it.
    Due,
    /// A sign of it should have been seen by now; it may still come.
    Overdue,
    /// It ran in time.
    Seen,
    /// It ran, but late.
    Late,
    /// It did not run.
    Missed,
    /// Nobody can know: no agent that sees the scheduler was connected.
    Unknown,
}

impl From<schedule_run::RunState> for RunState {
    fn from(state: schedule_run::RunState) -> Self {
        match state {
            schedule_run::RunState::Due => Self::Due,
            schedule_run::RunState::Overdue => Self::Overdue,
            schedule_run::RunState::Seen => Self::Seen,
            schedule_run::RunState::Late => Self::Late,
            schedule_run::RunState::Missed => Self::Missed,
            schedule_run::RunState::Unknown => Self::Unknown,
        }
    }
}

/// How it is known that a schedule has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunEvidence {
    /// The scheduler's own record names this time.
    LastRunAt,
    /// The scheduler has counted it.
    RunCount,
    /// A task of the schedule's type and queue appeared then.
    Task,
}

/// A run that a schedule should have had.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ScheduleRun {
    /// When it should have been.
    #[schema(value_type = String, format = DateTime)]
    pub due: Timestamp,
    /// What is known of it.
    pub state: RunState,
    /// When it ran, where that is known.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub seen_at: Option<Timestamp>,
    /// How that is known.
    pub evidence: Option<RunEvidence>,
    /// The task, where it was found.
    pub task_id: Option<String>,
    /// The task of the run before had not ended when this one began.
    pub overlapping: bool,
}

impl From<schedule_run::ScheduleRun> for ScheduleRun {
    fn from(run: schedule_run::ScheduleRun) -> Self {
        let schedule_run::ScheduleRun { due, state, seen_at, evidence, task_id, overlapping } = run;
        let evidence = evidence.map(|evidence| match evidence {
            schedule_run::RunEvidence::LastRunAt => RunEvidence::LastRunAt,
            schedule_run::RunEvidence::RunCount => RunEvidence::RunCount,
            schedule_run::RunEvidence::Task => RunEvidence::Task,
        });
        Self { due, state: state.into(), seen_at, evidence, task_id, overlapping }
    }
}

/// What may be wrong with a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleProblemKind {
    /// When it runs cannot be computed; `message` says why.
    NotUnderstood,
    /// No agent that sees it is connected: what it does now is not known.
    AgentAway,
    /// The scheduler has sent nothing at all since `since`, though things were due.
    SchedulerSilent,
    /// Runs were missed from the one on that was due at `since`.
    Missed,
    /// There is no sign of the run that was due at `since`.
    Overdue,
    /// The latest run, due at `since`, was late.
    Late,
    /// The latest run, due at `since`, began before the one before had ended.
    Overlapping,
}

/// What is wrong with a schedule: the worst of what is.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ScheduleProblem {
    /// What.
    pub kind: ScheduleProblemKind,
    /// Since when; what that means depends on `kind`.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// More about it, where there is more to say.
    pub message: Option<String>,
}

impl From<Problem> for ScheduleProblem {
    fn from(problem: Problem) -> Self {
        let (kind, since, message) = match problem {
            Problem::NotUnderstood(why) => (ScheduleProblemKind::NotUnderstood, None, Some(why)),
            Problem::AgentAway => (ScheduleProblemKind::AgentAway, None, None),
            Problem::SchedulerSilent(since) => (ScheduleProblemKind::SchedulerSilent, since, None),
            Problem::Missed(due) => (ScheduleProblemKind::Missed, Some(due), None),
            Problem::Overdue(due) => (ScheduleProblemKind::Overdue, Some(due), None),
            Problem::Late(due) => (ScheduleProblemKind::Late, Some(due), None),
            Problem::Overlapping(due) => (ScheduleProblemKind::Overlapping, Some(due), None),
        };
        Self { kind, since, message }
    }
}

/// A schedule, as agents told it, and what it has run. What is not known is null.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Schedule {
    /// Scheduler that has it, such as `celery-beat`.
    pub scheduler: String,
    /// Stable within its scheduler.
    pub id: String,
    /// For people.
    pub name: Option<String>,
    /// Task type that it enqueues.
    pub task: Option<String>,
    /// Engine that the task goes to.
    pub engine: Option<String>,
    /// `crontab`, `interval`, `clocked`, `solar`, or what the scheduler calls it.
    pub kind: Option<String>,
    /// Five crontab fields, a duration, an RFC 3339 instant, or a solar event with latitude and longitude.
    pub expression: Option<String>,
    /// IANA name of the zone that `expression` is read in.
    pub timezone: Option<String>,
    /// When it runs, in plain English; null where that is not understood.
    pub words: Option<String>,
    /// Positional arguments, redacted.
    pub args_redacted: Option<Value>,
    /// Keyword arguments, redacted.
    pub kwargs_redacted: Option<Value>,
    /// Queue that the task goes to.
    pub queue: Option<String>,
    /// Priority of its tasks, in the engine's own sense.
    pub priority: Option<u8>,
    /// False while it is paused.
    pub enabled: Option<bool>,
    /// It runs once, and is then disabled.
    pub one_off: Option<bool>,
    /// It does not run before.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub starts_at: Option<Timestamp>,
    /// It does not run after.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// Its tasks expire so many seconds after they were enqueued.
    pub expire_seconds: Option<u64>,
    /// When it last enqueued its task, by the scheduler's own record.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_run_at: Option<Timestamp>,
    /// When it will next, by the scheduler's word.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_run_at: Option<Timestamp>,
    /// How often it did, ever.
    pub total_run_count: Option<u64>,
    /// It stands in the application's code or settings and cannot be changed from here.
    pub read_only: Option<bool>,
    /// For people.
    pub description: Option<String>,
    /// The agent whose word this is.
    pub agent: String,
    /// All agents that tell of it.
    pub agents: Vec<String>,
    /// Agents that tell of another schedule under this id: they see another scheduler of the same name.
    pub differing_agents: Vec<String>,
    /// True while an agent that tells of it is connected.
    pub connected: bool,
    /// When the agent last told of it.
    #[schema(value_type = String, format = DateTime)]
    pub synced_at: Timestamp,
    /// The next five runs, computed in its zone; empty while it is paused.
    #[schema(value_type = Vec<String>)]
    pub next_runs: Vec<Timestamp>,
    /// The latest runs, newest first: 20 in lists, 100 by itself. Nothing from before it was first seen.
    pub last_runs: Vec<ScheduleRun>,
    /// What is wrong with it; null when nothing is, or while it is paused.
    pub problem: Option<ScheduleProblem>,
}

impl Schedule {
    /// What is told of a schedule, and what is known of its runs.
    pub(crate) fn new(scheduler: String, told: ToldSchedule, known: Known) -> Self {
        let ToldSchedule { schedule, agent, synced_at, agents, differing, presence } = told;
        let Known { words, next_runs, last_runs, problem } = known;
        let ModelSchedule {
            id,
            name,
            task,
            engine,
            kind,
            expression,
            timezone,
            args_redacted,
            kwargs_redacted,
            queue,
            enabled,
            one_off,
            starts_at,
            expires_at,
            expire_seconds,
            priority,
            last_run_at,
            next_run_at,
            total_run_count,
            read_only,
            description,
        } = schedule;
        Self {
            scheduler,
            id,
            name,
            task,
            engine,
            kind,
            expression,
            timezone,
            words,
            args_redacted,
            kwargs_redacted,
            queue,
            priority,
            enabled,
            one_off,
            starts_at,
            expires_at,
            expire_seconds,
            last_run_at,
            next_run_at,
            total_run_count,
            read_only,
            description,
            agent,
            agents: agents.into_iter().map(|(_, name)| name).collect(),
            differing_agents: differing,
            connected: presence != Presence::Away,
            synced_at,
            next_runs,
            last_runs: last_runs.into_iter().map(ScheduleRun::from).collect(),
            problem: problem.map(ScheduleProblem::from),
        }
    }
}

/// What the brain knows of a schedule besides what it was told.
pub(crate) struct Known {
    pub(crate) words: Option<String>,
    pub(crate) next_runs: Vec<Timestamp>,
    pub(crate) last_runs: Vec<schedule_run::ScheduleRun>,
    pub(crate) problem: Option<Problem>,
}

page!(SchedulePage, Schedule, "A page of schedules, by scheduler and id.");

/// A scheduler, by what its schedules do.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Scheduler {
    /// Its name, such as `celery-beat`.
    pub name: String,
    /// Its schedules.
    pub schedules: u64,
    /// Those that are paused.
    pub paused: u64,
    /// Those of which a sign is overdue, and that have missed no run before.
    pub overdue: u64,
    /// Those that have missed their latest run.
    pub missed: u64,
    /// True when something was due, and nothing at all has run since: it seems to be dead.
    pub silent: bool,
    /// When any of its schedules last ran; null when none is known to have run.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen_at: Option<Timestamp>,
    /// Agents that have told of its schedules.
    pub agents: Vec<String>,
    /// Those of them that are connected; without one, nobody knows what it does.
    pub connected_agents: Vec<String>,
}

impl Scheduler {
    pub(crate) fn new(name: String, health: SchedulerHealth) -> Self {
        let SchedulerHealth { schedules, paused, overdue, missed, connected_agents, agents, last_seen_at, is_silent } =
            health;
        Self { name, schedules, paused, overdue, missed, silent: is_silent, last_seen_at, agents, connected_agents }
    }
}

page!(SchedulerPage, Scheduler, "All schedulers, by name.");

/// When something should run, to be looked at before it is kept.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSchedulePreview {
    /// `crontab`, `interval`, `clocked` or `solar`.
    #[schema(example = "crontab")]
    pub kind: String,
    /// Five crontab fields, a duration such as `30s`, an RFC 3339 instant, or a solar event with latitude and longitude.
    #[schema(example = "0 3 * * mon-fri")]
    pub expression: String,
    /// IANA name of the zone that a crontab is read in; without one, UTC.
    #[schema(example = "Europe/Berlin")]
    pub timezone: Option<String>,
}

/// What a timing means.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SchedulePreview {
    /// In plain English.
    #[schema(example = "Every Monday to Friday at 03:00 in Europe/Berlin")]
    pub words: String,
    /// The next five runs; of an interval, as if it ran now.
    #[schema(value_type = Vec<String>)]
    pub next_runs: Vec<Timestamp>,
    /// What may surprise, in sentences.
    pub warnings: Vec<String>,
}
