//! What is wrong with a schedule, or with its whole scheduler.

use std::collections::BTreeMap;

use taskplane_model::Timestamp;
use taskplane_model::schedule::Timing;
use taskplane_model::schedule_run::{RunState, ScheduleKey, ScheduleWatch};

use super::judge::{Presence, timing_of};
use super::told::ToldSchedule;

/// What is wrong with a schedule. The worst of what is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ScheduleProblem {
    /// When it runs cannot be computed, and why.
    NotUnderstood(String),
    /// No agent that sees it is connected: what it does now is not known.
    AgentAway,
    /// The scheduler has sent nothing at all since then (`None`: as far back as is known), though things were due.
    SchedulerSilent(Option<Timestamp>),
    /// The latest run was missed, or all since the one that was due then.
    Missed(Timestamp),
    /// There is no sign of the run that was due then.
    Overdue(Timestamp),
    /// The latest run, due then, was late.
    Late(Timestamp),
    /// The latest run, due then, began before the one before had ended.
    Overlapping(Timestamp),
}

/// How a scheduler does.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SchedulerHealth {
    /// Its schedules.
    pub(crate) schedules: u64,
    /// Those that are paused.
    pub(crate) paused: u64,
    /// Those of which a sign is overdue, and no run was missed before.
    pub(crate) overdue: u64,
    /// Those whose latest run was missed.
    pub(crate) missed: u64,
    /// Names of the agents that see it and are connected.
    pub(crate) connected_agents: Vec<String>,
    /// All agents that have told of it.
    pub(crate) agents: Vec<String>,
    /// When any of its schedules last ran.
    pub(crate) last_seen_at: Option<Timestamp>,
    /// It seems to be dead: something was due, and nothing at all has run since.
    pub(crate) is_silent: bool,
}

/// The run that has not come: when it was due, and whether it was missed.
struct Failing {
    first_due: Timestamp,
    last_due: Timestamp,
    is_missed: bool,
}

fn failing(watch: &ScheduleWatch) -> Option<Failing> {
    let missed = watch.last.as_ref().filter(|last| last.state == RunState::Missed);
    let not_run = |state| matches!(state, RunState::Overdue | RunState::Missed);
    let after = watch.last_seen_at.unwrap_or(watch.since);
    let open = || watch.open.iter().filter(|run| not_run(run.state) && run.due > after);
    // Something newer that has run has made up for what is older.
    let missed = missed.filter(|missed| missed.due > after);
    let first = open().map(|run| run.due).chain(missed.map(|run| run.due)).min()?;
    let last = open().map(|run| run.due).chain(missed.map(|run| run.due)).max()?;
    Some(Failing { first_due: first, last_due: last, is_missed: missed.is_some() })
}

/// How each scheduler does.
pub(crate) fn schedulers(
    told: &BTreeMap<ScheduleKey, ToldSchedule>,
    watches: &BTreeMap<ScheduleKey, ScheduleWatch>,
    is_connected: impl Fn(u64) -> bool,
) -> BTreeMap<String, SchedulerHealth> {
    let mut all: BTreeMap<String, SchedulerHealth> = BTreeMap::new();
    let mut earliest_failure: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for (key, schedule) in told {
        let health = all.entry(key.scheduler.clone()).or_default();
        health.schedules += 1;
        for (agent, name) in &schedule.agents {
            add(&mut health.agents, name);
            if is_connected(*agent) {
                add(&mut health.connected_agents, name);
            }
        }
        let Some(watch) = watches.get(key) else { continue };
        health.last_seen_at = health.last_seen_at.max(watch.last_seen_at);
        if !watch.timing.enabled {
            health.paused += 1;
            continue;
        }
        if schedule.presence == Presence::Away {
            continue;
        }
        let Some(failing) = failing(watch) else { continue };
        if failing.is_missed {
            health.missed += 1;
        } else {
            health.overdue += 1;
        }
        let earliest = earliest_failure.entry(&key.scheduler).or_insert(failing.last_due);
        *earliest = failing.last_due.min(*earliest);
    }
    for (scheduler, due) in earliest_failure {
        if let Some(health) = all.get_mut(scheduler) {
            // Whatever else it has run since shows that it is alive.
            health.is_silent = health.last_seen_at.is_none_or(|seen| seen < due);
        }
    }
    all
}

/// What is wrong with one schedule of a scheduler that does as `health` says.
pub(crate) fn of_schedule(
    told: &ToldSchedule,
    watch: Option<&ScheduleWatch>,
    health: Option<&SchedulerHealth>,
) -> Option<ScheduleProblem> {
    let timing = timing_of(&told.schedule);
    if !timing.enabled {
        return None;
    }
    if let Err(error) = Timing::parse(&timing.kind, &timing.expression, timing.timezone.as_deref()) {
        return Some(ScheduleProblem::NotUnderstood(error.to_string()));
    }
    if told.presence == Presence::Away {
        return Some(ScheduleProblem::AgentAway);
    }
    let watch = watch.filter(|watch| watch.timing == timing)?;
    if let Some(failing) = failing(watch) {
        return Some(match health.filter(|health| health.is_silent) {
            Some(health) => ScheduleProblem::SchedulerSilent(health.last_seen_at),
            None if failing.is_missed => ScheduleProblem::Missed(failing.first_due),
            None => ScheduleProblem::Overdue(failing.first_due),
        });
    }
    let last = watch.last.as_ref()?;
    match last.state {
        _ if last.overlapping => Some(ScheduleProblem::Overlapping(last.due)),
        RunState::Late => Some(ScheduleProblem::Late(last.due)),
        _ => None,
    }
}

fn add(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|known| known == name) {
        names.push(name.to_owned());
    }
}
