//! What became of the runs that a schedule should have had.
//!
//! A run is *seen* when the scheduler's own record has moved past it, when the scheduler's count says so, or when a task of the
//! schedule's type and queue, and not with other arguments, appeared at its time. Without any of these it is *overdue*, and *missed*
//! when even a scheduler that writes its record lazily would have told by then. While no agent sees the scheduler, nobody can know:
//! then it is *unknown*, until something that is told later shows what it was.

use std::collections::{BTreeMap, BTreeSet};

use taskplane_model::Timestamp;
use taskplane_model::schedule::{Schedule, Timing};
use taskplane_model::schedule_run::{RunEvidence, RunState, ScheduleKey, ScheduleRun, ScheduleWatch, WatchedTiming};
use taskplane_model::time::{DAY, MINUTE, SECOND};
use taskplane_store::fleet::ScheduleNews;

/// Most runs of one schedule that are not settled; older ones are given up.
const MAX_OPEN: usize = 100;
/// Of intervals that are shorter, one run in each such time is looked for.
const LEAST_STEP: i64 = 10 * SECOND;
/// Clocks differ by so much; a run may seem to be so early.
const SLACK: i64 = 2 * SECOND;
/// Lateness begins here at the earliest …
const LEAST_TOLERANCE: i64 = 30 * SECOND;
/// … and here at the latest.
const MOST_TOLERANCE: i64 = 5 * MINUTE;
/// A missed run may turn out to have been one that was not told in time, for so long.
const MISSED_MAY_CHANGE: i64 = 60 * MINUTE;
/// The scheduler's record may confirm a run, and its task may be found, for so long.
const SEEN_MAY_CHANGE: i64 = 10 * MINUTE;
/// A task that is received so long after a run was due may have been sent in time.
const MAY_HAVE_WAITED: i64 = 60 * MINUTE;
/// An agent that has come back has delivered what it has kept within so long.
const DELIVERED_WITHIN: i64 = 10 * MINUTE;
/// Tasks are looked for as far back as this.
const TASKS_LOOKED_BACK: i64 = DAY;
/// How long after a run schedulers have told of it, for the latest so many runs.
const DELAYS: usize = 5;
/// Longest delay that is learned, in seconds: an agent that was away is no rule.
const MOST_DELAY: i64 = 300;

/// Whether an agent that sees the scheduler is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// None is.
    Away,
    /// One has been since then.
    Since(Timestamp),
}

/// A task that can be a schedule's: of its type and queue, and not with other arguments.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sighting {
    /// The engine's id.
    pub(crate) task_id: String,
    /// When it was sent, else received or started.
    pub(crate) at: Timestamp,
    /// True when it is known when it was sent.
    pub(crate) is_sent: bool,
}

/// A run whose task was found, and the task of the run before.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Link {
    pub(crate) due: Timestamp,
    pub(crate) began: Timestamp,
    pub(crate) task_before: String,
}

/// A schedule under judgement, at one instant.
pub(crate) struct Judgement {
    original: Option<ScheduleWatch>,
    watch: ScheduleWatch,
    timing: Option<Timing>,
    now: Timestamp,
    /// Runs that nobody expected, such as a first one at once.
    extra: Vec<ScheduleRun>,
    unexpected: BTreeSet<Timestamp>,
}

/// What a schedule's expectations are made from.
pub(crate) fn timing_of(schedule: &Schedule) -> WatchedTiming {
    WatchedTiming {
        kind: schedule.kind.clone().unwrap_or_default(),
        expression: schedule.expression.clone().unwrap_or_default(),
        timezone: schedule.timezone.clone(),
        enabled: schedule.enabled != Some(false),
        starts_at: schedule.starts_at,
        expires_at: schedule.expires_at,
    }
}

impl Judgement {
    /// Begins with what was known before and what is told now: expects what has become due, and takes the scheduler's record.
    pub(crate) fn begin(known: Option<ScheduleWatch>, schedule: &Schedule, now: Timestamp) -> Self {
        let told = timing_of(schedule);
        let watch = known.clone().unwrap_or_else(|| ScheduleWatch {
            timing: told.clone(),
            since: now,
            cursor: now,
            anchor: schedule.last_run_at.unwrap_or(now),
            last_run_at: schedule.last_run_at,
            total_run_count: schedule.total_run_count,
            last_seen_at: schedule.last_run_at.filter(|at| *at <= now),
            ..ScheduleWatch::default()
        });
        let timing = parse(&watch.timing);
        let mut judgement =
            Self { original: known, watch, timing, now, extra: Vec::new(), unexpected: BTreeSet::new() };
        judgement.expect();
        if judgement.original.is_some() {
            judgement.take_record(schedule);
        }
        if judgement.watch.timing != told || judgement.watch.gone_since.is_some() {
            judgement.restart(told);
        }
        judgement
    }

    /// From when on tasks of the schedule could say more; `None` when they could not.
    pub(crate) fn wants_tasks_since(&self, presence: Presence) -> Option<Timestamp> {
        let horizon = self.now.plus(-TASKS_LOOKED_BACK);
        // An agent that has come back delivers what it has kept; after a while nothing older comes any more.
        let delivers = matches!(presence, Presence::Since(since) if self.now < since.plus(DELIVERED_WITHIN));
        let may_be_found = |run: &&ScheduleRun| {
            let is_recent = run.due > self.now.plus(-MISSED_MAY_CHANGE);
            run.task_id.is_none() && run.due > horizon && (delivers || is_recent)
        };
        let wanting = self.watch.open.iter().filter(may_be_found);
        wanting.map(|run| run.seen_at.unwrap_or(run.due).min(run.due)).min().map(|due| due.plus(-self.early() - SLACK))
    }

    /// Takes tasks that can be the schedule's, ascending in time.
    pub(crate) fn take_tasks(&mut self, sightings: &[Sighting]) {
        let early = self.early();
        let mut used: BTreeSet<String> = self.watch.open.iter().filter_map(|run| run.task_id.clone()).collect();
        let last = self.watch.last.as_ref().and_then(|run| run.task_id.clone());
        used.extend(last);
        let mut newest = None;
        for at in 0..self.watch.open.len() {
            let until = self.watch.open.get(at + 1).map_or(Timestamp(i64::MAX), |next| next.due.plus(-early));
            let tolerance = self.tolerance(self.watch.open[at].due);
            let run = &mut self.watch.open[at];
            if run.task_id.is_some() {
                continue;
            }
            let from = run.seen_at.map_or(run.due.plus(-early), |seen| seen.plus(-SLACK));
            let fits = |task: &&Sighting| task.at >= from && task.at < until && !used.contains(&task.task_id);
            let Some(task) = sightings.iter().find(fits) else { continue };
            used.insert(task.task_id.clone());
            run.task_id = Some(task.task_id.clone());
            if !run.state.has_run() {
                // A task that was only seen to be received may have waited in its queue.
                let allowed = if task.is_sent { tolerance } else { MAY_HAVE_WAITED };
                let is_late = task.at > run.due.plus(allowed);
                run.state = if is_late { RunState::Late } else { RunState::Seen };
                run.seen_at = Some(task.at);
                run.evidence = Some(RunEvidence::Task);
                newest = newest.max(Some(task.at));
            }
        }
        if let Some(at) = newest.filter(|at| *at > self.watch.anchor) {
            self.count_from(at);
        }
    }

    /// Runs whose tasks have just been found, with the task of the run before.
    pub(crate) fn new_links(&self) -> Vec<Link> {
        let known: BTreeSet<&str> = self.open_before().filter_map(|run| run.task_id.as_deref()).collect();
        let mut before = self.watch.last.as_ref().filter(|last| last.state.has_run());
        let mut links = Vec::new();
        for run in self.watch.open.iter().filter(|run| run.state.has_run()) {
            let task_before = before.filter(|before| before.due < run.due).and_then(|run| run.task_id.as_deref());
            if let (Some(task), Some(task_before)) = (run.task_id.as_deref(), task_before)
                && !known.contains(task)
            {
                let began = run.seen_at.unwrap_or(run.due);
                links.push(Link { due: run.due, began, task_before: task_before.to_owned() });
            }
            before = Some(run);
        }
        links
    }

    /// The task of the run before had not ended when this run began.
    pub(crate) fn overlaps(&mut self, due: Timestamp) {
        self.watch.open.iter_mut().filter(|run| run.due == due).for_each(|run| run.overlapping = true);
    }

    /// Says what is late, missed or unknown by now. `delay` is how long after a run the scheduler's record of it may be told, in
    /// microseconds; `None` when this scheduler keeps no record.
    pub(crate) fn settle(&mut self, presence: Presence, delay: Option<i64>) {
        let has_record = self.watch.last_run_at.is_some();
        // Where tasks show the runs, they do it at once.
        let is_prompt = self.watch.last.as_ref().is_some_and(|last| last.task_id.is_some());
        let overdue_after = if is_prompt { 0 } else { delay.unwrap_or(0) };
        let tolerances: Vec<i64> = self.watch.open.iter().map(|run| self.tolerance(run.due)).collect();
        for (run, tolerance) in self.watch.open.iter_mut().zip(tolerances) {
            if run.state.has_run() || run.state == RunState::Missed {
                continue;
            }
            let grace = (2 * tolerance).max(tolerance + delay.unwrap_or(0) + LEAST_STEP);
            run.state = match presence {
                _ if self.now < run.due.plus(tolerance + overdue_after) => run.state,
                Presence::Away => RunState::Unknown,
                Presence::Since(since) if since > run.due => {
                    // What an agent tells when it comes back has to be waited for.
                    let is_told = self.now >= since.plus(grace);
                    let record_is_older = self.watch.last_run_at.is_some_and(|at| at < run.due.plus(-SLACK));
                    match is_told {
                        true if has_record && record_is_older => RunState::Missed,
                        true => RunState::Unknown,
                        false => run.state,
                    }
                }
                Presence::Since(_) if self.now >= run.due.plus(grace) => RunState::Missed,
                Presence::Since(_) => RunState::Overdue,
            };
        }
    }

    /// What has to be kept; `None` when nothing has changed.
    pub(crate) fn finish(mut self, key: ScheduleKey) -> Option<ScheduleNews> {
        let before: BTreeMap<Timestamp, &ScheduleRun> = self.open_before().map(|run| (run.due, run)).collect();
        let is_news = |run: &&ScheduleRun| run.state != RunState::Due && before.get(&run.due) != Some(run);
        let mut runs: BTreeMap<Timestamp, ScheduleRun> =
            self.watch.open.iter().filter(is_news).map(|run| (run.due, run.clone())).collect();
        for run in std::mem::take(&mut self.extra) {
            runs.entry(run.due).or_insert(run);
        }
        runs.values().for_each(|run| note(&mut self.watch, run));
        let now = self.now;
        self.watch.open.retain(|run| match run.state {
            RunState::Due | RunState::Overdue | RunState::Unknown => true,
            RunState::Missed => run.due > now.plus(-MISSED_MAY_CHANGE),
            RunState::Seen | RunState::Late => run.due > now.plus(-SEEN_MAY_CHANGE),
        });
        let unexpected: Vec<Timestamp> = self.unexpected.into_iter().filter(|due| !runs.contains_key(due)).collect();
        let has_changed = self.original.as_ref() != Some(&self.watch);
        let news = ScheduleNews { key, watch: Some(self.watch), runs: runs.into_values().collect(), unexpected };
        (has_changed || !news.runs.is_empty() || !news.unexpected.is_empty()).then_some(news)
    }

    fn open_before(&self) -> impl Iterator<Item = &ScheduleRun> {
        self.original.iter().flat_map(|watch| &watch.open)
    }

    /// Adds what has become due since the cursor.
    fn expect(&mut self) {
        let (true, Some(timing)) = (self.watch.timing.enabled, &self.timing) else { return };
        let until = self.now.plus(SLACK);
        for due in dues(timing, &self.watch, until) {
            if self.watch.timing.allows(due) {
                self.watch.open.push(ScheduleRun { due, ..ScheduleRun::default() });
            }
            self.watch.cursor = due;
        }
        // A run that was counted from an earlier one may lie behind: they stay in order.
        self.watch.open.sort_by_key(|run| run.due);
        let excess = self.watch.open.len().saturating_sub(MAX_OPEN);
        self.watch.open.drain(..excess);
    }

    /// Takes the scheduler's own record: what moved it are runs.
    fn take_record(&mut self, schedule: &Schedule) {
        let (old, new) = (self.watch.last_run_at, schedule.last_run_at);
        if new.is_some_and(|new| new > self.now.plus(MINUTE)) {
            // Its clock is ahead of ours: that run's time is yet to come.
            return;
        }
        let counted = match (self.watch.total_run_count, schedule.total_run_count) {
            (Some(before), Some(after)) => after.checked_sub(before),
            _ => None,
        };
        self.watch.total_run_count = schedule.total_run_count;
        self.watch.last_run_at = new;
        let Some(new) = new else { return };
        let from = old.unwrap_or(self.watch.since.plus(-SLACK));
        if new <= from || counted == Some(0) {
            return;
        }
        let count = counted.map_or(1, |count| usize::try_from(count).unwrap_or(MAX_OPEN)).clamp(1, MAX_OPEN);
        let first = self.mark_recorded(from, new, count);
        let seconds = ((self.now.0 - first.0) / SECOND).clamp(0, MOST_DELAY);
        self.watch.delays.push(u32::try_from(seconds).unwrap_or(u32::MAX));
        let excess = self.watch.delays.len().saturating_sub(DELAYS);
        self.watch.delays.drain(..excess);
        if let Some(Timing::Interval(every)) = self.timing {
            let spread = new.0.saturating_sub(from.0);
            let is_whole = counted.is_some_and(|count| {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                spread <= every.saturating_mul(count).saturating_add(LEAST_TOLERANCE)
            });
            if is_whole {
                // A scheduler adds a little to each interval; after many, one less has fitted in.
                self.drop_open(|run| run.due > from && run.due <= new && !run.state.has_run());
            }
            self.count_from(new);
        }
    }

    /// Marks the last `count` expected runs after `from` up to `new` as run, the last of them at `new`. Returns the first one's
    /// time.
    fn mark_recorded(&mut self, from: Timestamp, new: Timestamp, count: usize) -> Timestamp {
        let early = self.early();
        let tolerance =
            self.watch.open.iter().rfind(|run| run.due <= new.plus(early)).map(|run| self.tolerance(run.due));
        let tolerance = tolerance.unwrap_or(LEAST_TOLERANCE);
        let expected = self.watch.open.iter_mut().rev().filter(|run| run.due > from && run.due <= new.plus(early));
        let mut first = None;
        for (place, run) in expected.take(count).enumerate() {
            first = Some(run.due);
            if place == 0 {
                run.state = if new > run.due.plus(tolerance) { RunState::Late } else { RunState::Seen };
                run.seen_at = Some(new);
                run.evidence = Some(RunEvidence::LastRunAt);
            } else if !run.state.has_run() {
                run.state = RunState::Seen;
                run.evidence = Some(RunEvidence::RunCount);
            }
        }
        let is_coarse = matches!(self.timing, Some(Timing::Interval(every)) if every < LEAST_STEP);
        if first.is_none() && !is_coarse {
            let evidence = Some(RunEvidence::LastRunAt);
            self.extra.push(ScheduleRun {
                due: new,
                state: RunState::Seen,
                seen_at: Some(new),
                evidence,
                ..ScheduleRun::default()
            });
        }
        first.unwrap_or(new)
    }

    /// An interval counts from a run: what was expected after it is expected anew.
    fn count_from(&mut self, run: Timestamp) {
        if !matches!(self.timing, Some(Timing::Interval(_))) {
            return;
        }
        let latest = self.watch.open.iter().filter_map(|run| run.seen_at).max();
        let anchor = latest.map_or(run, |latest| latest.max(run)).max(self.watch.anchor);
        self.drop_open(|run| run.due > anchor && !run.state.has_run());
        self.watch.anchor = anchor;
        self.watch.cursor = self.watch.open.last().map_or(anchor, |last| last.due.max(anchor)).max(self.watch.since);
        self.expect();
    }

    /// Begins anew: another timing, or paused, or resumed, or there again.
    fn restart(&mut self, told: WatchedTiming) {
        let was_gone = self.watch.gone_since.take().is_some();
        for run in &mut self.watch.open {
            if run.state == RunState::Overdue && !was_gone {
                run.state = RunState::Missed;
            }
        }
        self.extra.extend(self.watch.open.drain(..).filter(|run| run.state != RunState::Due));
        self.timing = parse(&told);
        self.watch.timing = told;
        (self.watch.since, self.watch.cursor) = (self.now, self.now);
        self.watch.anchor = self.watch.last_run_at.unwrap_or(self.now);
    }

    fn drop_open(&mut self, wanted: impl Fn(&ScheduleRun) -> bool) {
        let unexpected = &mut self.unexpected;
        self.watch.open.retain(|run| {
            let is_dropped = wanted(run);
            if is_dropped && run.state != RunState::Due {
                unexpected.insert(run.due);
            }
            !is_dropped
        });
    }

    /// From how long after it was due on a run is late.
    fn tolerance(&self, due: Timestamp) -> i64 {
        let next = self.timing.as_ref().and_then(|timing| match timing {
            Timing::Interval(every) => Some((*every).max(LEAST_STEP)),
            timing => timing.next_after(due).map(|next| next.0 - due.0),
        });
        (next.unwrap_or(0) / 10).clamp(LEAST_TOLERANCE, MOST_TOLERANCE)
    }

    /// How much earlier than it is due a run may be: an interval may have been counted from a task that had waited.
    fn early(&self) -> i64 {
        match self.timing {
            Some(Timing::Interval(every)) => (every.max(LEAST_STEP) / 2).min(LEAST_TOLERANCE),
            _ => SLACK,
        }
    }
}

/// The next run that is expected after `now`.
pub(crate) fn next_runs(
    watch: Option<&ScheduleWatch>,
    schedule: &Schedule,
    now: Timestamp,
    count: usize,
) -> Vec<Timestamp> {
    let told = timing_of(schedule);
    let Some(timing) = parse(&told).filter(|_| told.enabled) else { return Vec::new() };
    let now = told.starts_at.map_or(now, |start| start.plus(-1).max(now));
    let allowed = |due: &Timestamp| told.allows(*due);
    let Timing::Interval(every) = timing else {
        return timing.runs_after(now, count).into_iter().filter(allowed).collect();
    };
    let anchor = watch.filter(|watch| watch.timing == told).map(|watch| watch.anchor).or(schedule.last_run_at);
    let first = next_of_interval(anchor.unwrap_or(now), every, now);
    std::iter::successors(first, |run| run.0.checked_add(every).map(Timestamp)).take(count).filter(allowed).collect()
}

fn parse(timing: &WatchedTiming) -> Option<Timing> {
    Timing::parse(&timing.kind, &timing.expression, timing.timezone.as_deref()).ok()
}

/// The latest settled run, and the latest run that is known to have been.
fn note(watch: &mut ScheduleWatch, run: &ScheduleRun) {
    if run.state.has_run() {
        watch.last_seen_at = watch.last_seen_at.max(Some(run.seen_at.unwrap_or(run.due)));
    }
    let is_settled = !matches!(run.state, RunState::Due | RunState::Overdue);
    if is_settled && watch.last.as_ref().is_none_or(|last| last.due <= run.due) {
        watch.last = Some(run.clone());
    }
}

fn next_of_interval(anchor: Timestamp, step: i64, after: Timestamp) -> Option<Timestamp> {
    let passed = after.0.saturating_sub(anchor.0).max(0) / step;
    step.checked_mul(passed + 1).and_then(|far| anchor.0.checked_add(far)).map(Timestamp)
}

/// What is due after the cursor up to `until`, ascending; of too many the latest.
fn dues(timing: &Timing, watch: &ScheduleWatch, until: Timestamp) -> Vec<Timestamp> {
    if let Timing::Interval(every) = timing {
        let step = (*every).max(LEAST_STEP);
        let from = watch.cursor.max(until.plus(-step.saturating_mul(MAX_OPEN as i64)));
        let first = next_of_interval(watch.anchor, step, from);
        let all = std::iter::successors(first, |due| due.0.checked_add(step).map(Timestamp));
        return all.take_while(|due| *due <= until).take(MAX_OPEN).collect();
    }
    let last = timing.previous_before(until.plus(1));
    let all = std::iter::successors(last, |due| timing.previous_before(*due));
    let mut dues: Vec<Timestamp> = all.take_while(|due| *due > watch.cursor).take(MAX_OPEN).collect();
    dues.reverse();
    dues
}

#[cfg(test)]
mod tests;
