//! How many tasks there are, by state.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rusqlite::params;
use taskplane_model::TaskState;
use taskplane_store::backend::census::Counting;
use taskplane_store::backend::plan::{Plan, Wanted};
use taskplane_store::backend::tally::Tally;
use taskplane_store::tasks::{COUNT_BOUND, StateCounts, TaskQuery};

use super::plan::wanted;
use super::row::TaskRow;
use super::series::{Series, Taken, Want};
use crate::census;
use crate::errors::Done;
use crate::readers::View;
use crate::search::Ranges;

/// What a count may take where the columns decide, and where records have to be read.
const TIME: Duration = Duration::from_millis(40);
const TIME_WITH_RECORDS: Duration = Duration::from_millis(25);
/// Rows that are read one by one rather than looked for state by state.
const FEW_ROWS: u32 = 100_000;

/// What is done also when the time is up: turns that each series gets, and rows that are read if there are so many. A machine that is
/// busy counts what there is few of, too.
#[derive(Clone, Copy)]
struct Least {
    turns: u32,
    rows: u32,
}

const LEAST: Least = Least { turns: 4, rows: 2_048 };
/// When it is late as well, as it is where rows come from a cold disk.
const LEAST_WHEN_LATE: Least = Least { turns: 3, rows: 256 };
/// So long after the time was up it is late.
const LATE: Duration = Duration::from_millis(3);

/// Counts by state, exact up to a bound.
pub(super) fn count(view: &View<'_>, query: &TaskQuery) -> Done<StateCounts> {
    let began = Instant::now();
    let wanted = wanted(view, query)?;
    let end = began + if wanted.needs_record() { TIME_WITH_RECORDS } else { TIME };
    let states = wanted.states();
    let plan = wanted.plan();
    let ranges = Ranges::of(Vec::new());
    let mut count = Count { view, wanted: &wanted, ranges, tally: Tally::new(&states), end };
    match plan {
        Plan::Nothing => {}
        Plan::Names { names, states } if wanted.only_name_state_and_time() => count.by_names(&names, &states)?,
        _ if !wanted.needs_record() => count.by_census(&states)?,
        Plan::Ids(_) | Plan::Names { .. } => count.by_rows(plan, &states, (wanted.from, wanted.until))?,
        Plan::States(_) | Plan::All => count.by_rows(Plan::All, &states, (wanted.from, wanted.until))?,
    }
    Ok(count.tally.into_counts())
}

/// A count at work.
struct Count<'c> {
    view: &'c View<'c>,
    wanted: &'c Wanted<'c>,
    /// Where rows are counted.
    ranges: Ranges,
    tally: Tally,
    end: Instant,
}

impl Count<'_> {
    /// Counts what columns decide: in censuses, and where these say nothing, by rows.
    fn by_census(&mut self, states: &[TaskState]) -> Done<()> {
        let (succeeded, others): (Vec<TaskState>, Vec<TaskState>) =
            states.iter().partition(|state| **state == TaskState::Succeeded);
        let has_index = self.wanted.only_state_and_time();
        if has_index {
            others.iter().try_for_each(|state| self.by_state(*state))?;
        }
        let states = if has_index { &succeeded } else { states };
        let outline = census::outline(self.view, self.wanted.from, self.wanted.until)?;
        let mut counting = Counting::new(self.wanted, states, outline);
        let mut turns = 0;
        while let Some(places) = counting.ask(&self.tally) {
            counting.take(&census::rows(self.view, places)?, &mut self.tally)?;
            turns += 1;
            if turns > LEAST.turns && Instant::now() > self.end {
                self.tally.leave_open(states);
                return Ok(());
            }
        }
        let newest = counting.newest();
        self.ranges = Ranges::of(counting.into_left());
        self.scan(Plan::All, states, self.end)?;
        self.by_rows(Plan::All, states, (newest.from, newest.until))
    }

    /// Counts rows along a plan, from one key on and below another.
    fn by_rows(&mut self, plan: Plan, states: &[TaskState], keys: (i64, i64)) -> Done<()> {
        let (succeeded, others): (Vec<TaskState>, Vec<TaskState>) =
            states.iter().partition(|state| **state == TaskState::Succeeded);
        self.ranges = Ranges::between(self.view, self.wanted, &plan, keys)?;
        let is_everywhere = plan == Plan::All;
        if !is_everywhere || (!succeeded.is_empty() && self.has_few()?) {
            return self.scan(plan, states, self.end);
        }
        // What takes all the time with the others leaves half of it to those that succeeded.
        let half = if self.tally.is_open(&succeeded) { self.half_way() } else { self.end };
        let of_others = Plan::States(others.iter().map(|state| *state as u8).collect());
        self.scan(of_others, &others, half)?;
        self.scan(Plan::All, &succeeded, self.end)
    }

    /// Counts one state other than succeeded in its index.
    fn by_state(&mut self, state: TaskState) -> Done<()> {
        let sql = "SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_by_state
            WHERE project = ?1 AND state = ?2 AND state <> 4 AND key >= ?3 AND key < ?4 LIMIT ?5)";
        let Wanted { project, from, until, .. } = self.wanted;
        let limit = (COUNT_BOUND + 1).cast_signed();
        let count = self
            .view
            .db
            .prepare_cached(sql)?
            .query_row(params![project, state as u8, from, until, limit], |row| row.get::<_, i64>(0))?;
        self.tally.set(state, count.cast_unsigned());
        Ok(())
    }

    /// Counts names in their index, state by state.
    fn by_names(&mut self, names: &[i64], states: &[u8]) -> Done<()> {
        let sql = "SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_by_name
            WHERE project = ?1 AND name = ?2 AND state = ?3 AND key >= ?4 AND key < ?5 LIMIT ?6)";
        let mut select = self.view.db.prepare_cached(sql)?;
        let Wanted { project, from, until, .. } = self.wanted;
        for state in TaskState::ALL.into_iter().filter(|state| states.contains(&(*state as u8))) {
            let mut count = 0;
            for name in names {
                let left = (COUNT_BOUND + 1 - count).cast_signed();
                let values = params![project, name, state as u8, from, until, left];
                count += select.query_row(values, |row| row.get::<_, i64>(0))?.cast_unsigned();
                if count > COUNT_BOUND {
                    break;
                }
                if Instant::now() > self.end {
                    self.tally.leave_open(&[state]);
                    break;
                }
            }
            self.tally.set(state, count);
        }
        Ok(())
    }

    /// When half of the time that is left will have passed.
    fn half_way(&self) -> Instant {
        let now = Instant::now();
        now + self.end.saturating_duration_since(now) / 2
    }

    /// True when the ranges have few rows, as far as that can be said in half the time.
    fn has_few(&mut self) -> Done<bool> {
        let half = self.half_way();
        loop {
            if self.ranges.tasks() > FEW_ROWS || Instant::now() > half {
                return Ok(false);
            }
            if self.ranges.is_complete() {
                return Ok(true);
            }
            self.ranges.find_more(self.view)?;
        }
    }

    /// Counts tasks of `states` along `plan`, a piece of each series in turn: one that finds nothing does not keep the others from
    /// counting. What `end` interrupts may be more.
    fn scan(&mut self, plan: Plan, states: &[TaskState], end: Instant) -> Done<()> {
        if !self.tally.is_open(states) {
            return Ok(());
        }
        let mut want = Want::decision(self.wanted);
        let (mut open, mut read) = (VecDeque::new(), 0);
        for series in Series::of(self.view, self.wanted, plan, self.wanted.until)? {
            let is_of_series = |state: &TaskState| series.state().is_none_or(|only| only == *state as u8);
            let of_series: Vec<TaskState> = states.iter().copied().filter(is_of_series).collect();
            open.push_back((series, of_series, 1));
        }
        while let Some((mut series, of_series, turn)) = open.pop_front() {
            let now_read = self.advance(&mut series, &of_series, &mut want)?;
            read += now_read;
            if !series.is_over && self.tally.is_open(&of_series) {
                open.push_back((series, of_series, turn + 1));
            }
            let had = |least: Least| {
                open.front().is_none_or(|(_, _, turn)| *turn > least.turns) && (read >= least.rows || now_read == 0)
            };
            let now = Instant::now();
            let is_late = now > self.end + LATE;
            let is_hopeless = is_late && self.ranges.have_far_to_go();
            if (had(LEAST) && now > end) || (had(LEAST_WHEN_LATE) && is_late) || is_hopeless {
                open.iter().for_each(|(_, of_series, _)| self.tally.leave_open(of_series));
                break;
            }
        }
        Ok(())
    }

    /// Counts one piece of a series. Returns how many rows that were.
    fn advance(&mut self, series: &mut Series, states: &[TaskState], want: &mut Want<'_>) -> Done<u32> {
        let Self { view, wanted, ranges, tally, .. } = self;
        let needs_record = wanted.needs_record();
        series.advance(view, want, ranges, |brief, row| {
            if !states.iter().any(|state| *state as u8 == brief.state) {
                return Ok(Taken::GoOn);
            }
            if needs_record {
                let task = TaskRow::read(brief, row)?.task(view)?;
                if !wanted.filter().matches(&task.engine, &task.task_id, &task.record.task()) {
                    return Ok(Taken::GoOn);
                }
            }
            tally.add(brief.state);
            Ok(Taken::GoOn)
        })
    }
}
