//! Parts of the reasons' sentences.

use taskplane_model::Timestamp;
use taskplane_model::time::MINUTE;

use super::facts::{Pace, SeenWorker};
use crate::wording::{clock, listed, number, plural};

/// "runs 1 of 2 tasks".
pub(super) fn load(worker: &SeenWorker) -> String {
    match worker.load() {
        Some((active, places)) => format!("runs {} of {}", number(active), plural(places, "task")),
        None => "does not tell how many tasks it runs".to_owned(),
    }
}

/// What a worker runs, as a sentence with a space before it.
pub(super) fn runs(worker: &SeenWorker, now: Timestamp) -> String {
    let run = |(name, since): &(String, Option<Timestamp>)| {
        since.map_or_else(|| name.clone(), |since| format!("{name} since {}", clock(since, now)))
    };
    let runs: Vec<String> = worker.runs.iter().map(run).collect();
    if runs.is_empty() { String::new() } else { format!(" It runs {}.", listed(runs.iter().map(String::as_str))) }
}

/// How long so many messages take, in microseconds.
pub(super) fn time_for(messages: u64, pace: Pace) -> i64 {
    (messages as f64 * pace.within as f64 / pace.begun as f64) as i64
}

/// "30 a minute", "12 an hour".
pub(super) fn rate(pace: Pace) -> String {
    let per_minute = pace.begun as f64 * MINUTE as f64 / pace.within.max(1) as f64;
    if per_minute >= 1.0 {
        format!("{} a minute", number(per_minute.round() as u64))
    } else {
        format!("{} an hour", number((per_minute * 60.0).round() as u64))
    }
}

/// A clause as the beginning of a sentence.
pub(super) fn raised(clause: &str) -> String {
    let mut chars = clause.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// A sentence as the continuation of another one.
pub(super) fn lowered(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}
