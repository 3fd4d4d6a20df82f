//! What was measured, per kind of call.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::Answer;
use super::calls::Call;
use super::check::{Outcome, items};

/// Wrong answers that are shown of one kind of call.
const SHOWN: usize = 3;

/// One row per kind of call.
pub(crate) struct Table(Vec<Row>);

struct Row {
    label: String,
    took: Vec<Duration>,
    items: usize,
    bytes: usize,
    unfinished: usize,
    wrong: Vec<String>,
}

impl Table {
    pub(crate) fn new(calls: &[Call]) -> Self {
        let row = |call: &Call| Row {
            label: call.label.clone(),
            took: Vec::new(),
            items: 0,
            bytes: 0,
            unfinished: 0,
            wrong: Vec::new(),
        };
        Self(calls.iter().map(row).collect())
    }

    /// Adds an answer to a row.
    pub(crate) fn note(&mut self, row: usize, answer: &Answer, outcome: Outcome) {
        let row = &mut self.0[row];
        row.took.push(answer.took);
        row.items += items(&answer.body).len();
        row.bytes += answer.bytes;
        match outcome {
            Outcome::Right => {}
            Outcome::Unfinished => row.unfinished += 1,
            Outcome::Wrong(why) => row.wrong.push(why),
        }
    }

    /// Some of what was wrong.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.0.iter().flat_map(|row| row.wrong.iter().take(SHOWN).cloned()).collect()
    }

    /// For people.
    pub(crate) fn as_text(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{:<44} {:>6} {:>8} {:>8} {:>8} {:>7} {:>8}  ms; items and bytes on average",
            "call", "n", "p50", "p99", "max", "items", "bytes"
        );
        for row in &self.0 {
            let (n, sorted) = (row.took.len().max(1), row.sorted());
            let [p50, p99, max] = [0.5, 0.99, 1.0].map(|q| quantile_ms(&sorted, q));
            let (items, bytes) = (row.items as f64 / n as f64, row.bytes / n);
            let note = match (row.unfinished, row.wrong.len()) {
                (0, 0) => String::new(),
                (unfinished, wrong) => format!("  {unfinished} counts unfinished, {wrong} wrong"),
            };
            let _ = writeln!(
                text,
                "{:<44} {n:>6} {p50:>8.1} {p99:>8.1} {max:>8.1} {items:>7.1} {bytes:>8}{note}",
                row.label
            );
        }
        text
    }

    /// For programs.
    pub(crate) fn as_json(&self) -> Vec<Value> {
        let row = |row: &Row| {
            let sorted = row.sorted();
            json!({
                "call": row.label, "n": row.took.len(), "p50_ms": quantile_ms(&sorted, 0.5),
                "p99_ms": quantile_ms(&sorted, 0.99), "max_ms": quantile_ms(&sorted, 1.0),
                "items": row.items as f64 / row.took.len().max(1) as f64, "counts_unfinished": row.unfinished,
                "wrong": row.wrong.len(),
            })
        };
        self.0.iter().map(row).collect()
    }

    /// Kinds of calls whose p99 is over so many milliseconds.
    pub(crate) fn over(&self, ms: f64) -> Vec<&str> {
        let slow = |row: &&Row| quantile_ms(&row.sorted(), 0.99) > ms;
        self.0.iter().filter(slow).map(|row| row.label.as_str()).collect()
    }
}

impl Row {
    fn sorted(&self) -> Vec<Duration> {
        let mut sorted = self.took.clone();
        sorted.sort_unstable();
        sorted
    }
}

/// Milliseconds, to a hundredth.
pub(crate) fn quantile_ms(sorted: &[Duration], q: f64) -> f64 {
    let at = (q * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(at).map_or(0.0, |took| (took.as_secs_f64() * 1e5).round() / 100.0)
}
