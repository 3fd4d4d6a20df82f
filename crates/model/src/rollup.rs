//! What a task adds to the per-minute statistics.
//!
//! The contribution is a pure function of the record. When a record changes, the statistics change by the new contribution
//! minus the old one, so replays, duplicates and late facts leave them exact.

use minicbor::decode::Error;
use minicbor::{Decode, Decoder, Encode};

use crate::sketch::{Sketch, SketchSum};
use crate::{TaskEventKind, TaskRecord};

/// Fields of statistics as they are written.
const FIELDS: u64 = 8;

/// The statistics of one minute, task type and queue; also the change to them, hence signed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Rollup {
    /// Attempts published.
    #[n(0)]
    pub sent: i64,
    /// Attempts begun.
    #[n(1)]
    pub started: i64,
    /// Attempts that ended well.
    #[n(2)]
    pub succeeded: i64,
    /// Tasks that failed for good.
    #[n(3)]
    pub failed: i64,
    /// Attempts that failed and will run again.
    #[n(4)]
    pub retried: i64,
    /// Tasks cancelled or expired.
    #[n(5)]
    pub revoked: i64,
    /// Run times of the attempts that ended.
    #[n(6)]
    pub runtime: Sketch,
    /// Wait times of the attempts that began.
    #[n(7)]
    pub wait: Sketch,
}

impl Rollup {
    /// Adds everything in `other`.
    pub fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        self.started += other.started;
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.retried += other.retried;
        self.revoked += other.revoked;
        self.runtime.merge(&other.runtime);
        self.wait.merge(&other.wait);
    }

    /// Adds statistics as they are written: what decoding and merging them does, without a copy in between. After an error
    /// this is of no use any more.
    ///
    /// # Errors
    /// When the bytes make no sense.
    pub fn merge_encoded(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut decoder = Decoder::new(bytes);
        let fields = self.merge_counts(&mut decoder)?;
        self.runtime.merge_encoded(&mut decoder)?;
        self.wait.merge_encoded(&mut decoder)?;
        (FIELDS..fields).try_for_each(|_| decoder.skip())
    }

    /// Reads what comes before the sketches; returns how many fields there are in all.
    fn merge_counts(&mut self, decoder: &mut Decoder<'_>) -> Result<u64, Error> {
        let fields = decoder.array()?.filter(|fields| *fields >= FIELDS);
        let fields = fields.ok_or_else(|| Error::message("statistics with too few fields"))?;
        let Self { sent, started, succeeded, failed, retried, revoked, runtime: _, wait: _ } = self;
        for count in [sent, started, succeeded, failed, retried, revoked] {
            *count += decoder.i64()?;
        }
        Ok(fields)
    }

    /// True when nothing would change by adding it.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Many statistics, as they are written, on their way into one.
#[derive(Clone, Debug, Default)]
pub struct RollupSum {
    counts: Rollup,
    runtime: SketchSum,
    wait: SketchSum,
}

impl RollupSum {
    /// Adds statistics as they are written. After an error this is of no use any more.
    ///
    /// # Errors
    /// When the bytes make no sense.
    pub fn add_encoded(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut decoder = Decoder::new(bytes);
        let fields = self.counts.merge_counts(&mut decoder)?;
        self.runtime.add_encoded(&mut decoder)?;
        self.wait.add_encoded(&mut decoder)?;
        (FIELDS..fields).try_for_each(|_| decoder.skip())
    }

    /// What they add up to.
    pub fn into_rollup(mut self) -> Rollup {
        self.counts.runtime.take(&mut self.runtime);
        self.counts.wait.take(&mut self.wait);
        self.counts
    }
}

/// Calls `add` with the minute and what `record` (times `sign`: 1 or −1) adds to it.
pub fn contribute(record: &TaskRecord, sign: i64, mut add: impl FnMut(i64, &mut dyn FnMut(&mut Rollup))) {
    let task = record.task();
    for attempt in &task.attempts {
        if let Some(sent) = attempt.sent_at {
            add(sent.minute(), &mut |r| r.sent += sign);
        }
        if let Some(started) = attempt.started_at {
            let eta = record.eta.as_ref().filter(|eta| eta.attempt == attempt.number).map(|eta| eta.value);
            let wait = attempt.wait_us(eta);
            add(started.minute(), &mut |r| {
                r.started += sign;
                if let Some(wait) = wait {
                    r.wait.add(wait, sign);
                }
            });
        }
        let Some(end) = attempt.end else { continue };
        let runtime = attempt.runtime_us();
        add(end.ts.minute(), &mut |r| {
            match end.kind {
                TaskEventKind::Succeeded => r.succeeded += sign,
                TaskEventKind::Failed => r.failed += sign,
                TaskEventKind::Retry => r.retried += sign,
                TaskEventKind::Revoked => r.revoked += sign,
                _ => return,
            }
            if let Some(runtime) = runtime {
                r.runtime.add(runtime, sign);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{TaskEvent, Timestamp, time::MINUTE};

    fn event(kind: TaskEventKind, ts: i64) -> TaskEvent<'static> {
        TaskEvent { kind, ts: Timestamp(ts), attempt: Some(0), ..TaskEvent::default() }
    }

    fn totals(record: &TaskRecord, sign: i64, into: &mut BTreeMap<i64, Rollup>) {
        contribute(record, sign, |minute, change| change(into.entry(minute).or_default()));
        into.retain(|_, rollup| !rollup.is_empty());
    }

    #[test]
    fn a_task_counts_in_the_minutes_where_things_happened() {
        let mut record = TaskRecord::default();
        record.apply("id", &event(TaskEventKind::Sent, 10));
        record.apply("id", &event(TaskEventKind::Started, 1_010));
        record.apply("id", &event(TaskEventKind::Succeeded, MINUTE + 5));
        let mut minutes = BTreeMap::new();
        totals(&record, 1, &mut minutes);
        assert_eq!((minutes[&0].sent, minutes[&0].started, minutes[&0].succeeded), (1, 1, 0));
        assert_eq!((minutes[&1].succeeded, minutes[&1].runtime.count()), (1, 1));
        assert_eq!(minutes[&0].wait.count(), 1);
    }

    #[test]
    fn merging_as_written_is_merging() {
        let mut one = Rollup { sent: 3, started: -2, revoked: 1, ..Rollup::default() };
        one.runtime.add(1_000, 2);
        one.runtime.add(9_000, 1);
        let mut other = Rollup { sent: 300, succeeded: 7, failed: 1, retried: 4, ..Rollup::default() };
        other.runtime.add(1_000, -2);
        other.wait.add(50, 1_000);
        let mut merged = one.clone();
        merged.merge(&other);
        let bytes = minicbor::to_vec(&other).expect("is written");
        let mut as_written = one.clone();
        as_written.merge_encoded(&bytes).expect("is read");
        assert_eq!(as_written, merged);
        let mut sum = RollupSum::default();
        for rollup in [&one, &other] {
            sum.add_encoded(&minicbor::to_vec(rollup).expect("is written")).expect("is read");
        }
        assert_eq!(sum.into_rollup(), merged);
        assert!(one.merge_encoded(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn replacing_an_old_contribution_leaves_no_trace() {
        let mut old = TaskRecord::default();
        old.apply("id", &event(TaskEventKind::Started, 10));
        let mut new = old.clone();
        new.apply("id", &event(TaskEventKind::Failed, 20));
        let mut minutes = BTreeMap::new();
        totals(&old, 1, &mut minutes);
        totals(&old, -1, &mut minutes);
        totals(&new, 1, &mut minutes);
        let mut straight = BTreeMap::new();
        totals(&new, 1, &mut straight);
        assert_eq!(minutes, straight);
    }
}
