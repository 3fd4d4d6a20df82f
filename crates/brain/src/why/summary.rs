//! The answer in a sentence.

use taskplane_model::Timestamp;

use super::facts::{Facts, Place, Watcher};
use super::phrases::raised;
use crate::api::types::{WhyReason, WhyRole as Role};
use crate::wording::{clock, listed};

/// A reason, and what of it goes into the summary: a clause.
pub(super) struct Judged {
    pub(super) reason: WhyReason,
    pub(super) clause: String,
}

/// The answer in a sentence, from its reasons: what blocks first.
pub(super) fn summary(facts: &Facts, reasons: &[Judged], now: Timestamp) -> String {
    let first = reasons.iter().find(|judged| !judged.clause.is_empty());
    let role = first.map(|judged| judged.reason.role);
    let clause = first.map(|judged| judged.clause.as_str()).unwrap_or_default();
    let is_running = matches!(facts.place, Place::Running(_));
    let told = match role {
        Some(Role::Blocks) if is_running => format!("it is recorded as running, but {clause}"),
        Some(Role::Blocks) => format!("it does not run because {clause}"),
        Some(Role::Delays) if is_running => format!("it runs for long: {clause}"),
        Some(Role::Delays) => format!("it waits its turn: {clause}"),
        _ if is_running => "it is running".to_owned(),
        Some(Role::Context) => format!("what keeps it is not known: {clause}"),
        None => "nothing that is known keeps it from running".to_owned(),
    };
    match unseen(facts, now) {
        Some(unseen) => format!("Not known for sure, because {unseen}. By what was known before, {told}."),
        None => format!("{}.", raised(&told)),
    }
}

/// Why nobody sees what the task does now, as a clause.
pub(super) fn unseen(facts: &Facts, now: Timestamp) -> Option<String> {
    match &facts.watcher {
        Watcher::Sees => None,
        Watcher::Nobody => Some(format!("no agent watches {}", facts.engine)),
        Watcher::Away(names, since) => {
            let (agents, are) = if names.len() == 1 { ("agent", "is") } else { ("agents", "are") };
            let names = listed(names.iter().map(String::as_str));
            Some(format!("the {agents} {names}, which would tell, {are} offline since {}", clock(*since, now)))
        }
        Watcher::Blind(name, why) => Some(format!("the agent {name} does not see all of {}: {why}", facts.engine)),
    }
}

/// The answer for a task that has ended.
pub(super) fn ended(facts: &Facts, state: &str, now: Timestamp) -> String {
    let when = facts.task.ended_at.filter(|_| facts.task.state.is_final());
    match when {
        Some(at) => format!("It has ended: {state} at {}.", clock(at, now)),
        None => format!("It has ended: {state}, as the agent has just found."),
    }
}
