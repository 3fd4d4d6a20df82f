//! How many tasks there are, by state.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rusqlite::params;
use taskplane_model::TaskState;
use taskplane_store::backend::plan::{Plan, Wanted};
use taskplane_store::backend::tally::Tally;
use taskplane_store::tasks::{COUNT_BOUND, StateCounts, TaskQuery};

use super::plan::wanted;
use super::row::TaskRow;
use super::series::{Series, Taken, Want};
use crate::errors::Done;
use crate::readers::View;
use crate::search::Ranges;

/// What a count may take.
const TIME: Duration = Duration::from_millis(25);
/// Rows that are read one by one rather than looked for state by state.
const FEW_ROWS: u32 = 100_000;

/// Counts by state, exact up to a bound.
pub(super) fn count(view: &View<'_>, query: &TaskQuery) -> Done<StateCounts> {
    let began = Instant::now();
    let wanted = wanted(view, query)?;
    let states = wanted.states();
    let plan = wanted.plan();
    let ranges = Ranges::new(view, &wanted, &plan, wanted.until)?;
    let mut count = Count { view, wanted: &wanted, ranges, tally: Tally::new(&states) };
    let (half, end) = (began + TIME / 2, began + TIME);
    match plan {
        Plan::Nothing => {}
        Plan::Names { names, states } if wanted.only_name_state_and_time() => count.by_names(&names, &states, end)?,
        Plan::Ids(_) | Plan::Names { .. } => count.scan(plan, &states, end)?,
        Plan::States(_) | Plan::All => {
            let (succeeded, others): (Vec<_>, Vec<_>) =
                states.iter().partition(|state| **state == TaskState::Succeeded);
            if wanted.only_state_and_time() {
                others.iter().try_for_each(|state| count.by_state(*state))?;
                count.scan(Plan::All, &succeeded, end)?;
            } else if !succeeded.is_empty() && count.has_few(half)? {
                count.scan(Plan::All, &states, end)?;
            } else {
                let until = if succeeded.is_empty() { end } else { half };
                count.scan(Plan::States(others.iter().map(|state| *state as u8).collect()), &others, until)?;
                count.scan(Plan::All, &succeeded, end)?;
            }
        }
    }
    Ok(count.tally.into_counts())
}

/// A count at work.
struct Count<'c> {
    view: &'c View<'c>,
    wanted: &'c Wanted<'c>,
    ranges: Ranges,
    tally: Tally,
}

impl Count<'_> {
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
    fn by_names(&mut self, names: &[i64], states: &[u8], end: Instant) -> Done<()> {
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
                if Instant::now() > end {
                    self.tally.leave_open(&[state]);
                    break;
                }
            }
            self.tally.set(state, count);
        }
        Ok(())
    }

    /// True when the ranges have few rows, as far as that can be said until `end`.
    fn has_few(&mut self, end: Instant) -> Done<bool> {
        loop {
            if self.ranges.tasks() > FEW_ROWS || Instant::now() > end {
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
        let mut want = Want::decision(self.wanted);
        let mut open = VecDeque::new();
        for series in Series::of(self.view, self.wanted, plan, self.wanted.until)? {
            let is_of_series = |state: &TaskState| series.state().is_none_or(|only| only == *state as u8);
            let of_series: Vec<TaskState> = states.iter().copied().filter(is_of_series).collect();
            open.push_back((series, of_series));
        }
        while let Some((mut series, of_series)) = open.pop_front() {
            self.advance(&mut series, &of_series, &mut want)?;
            if !series.is_over && self.tally.is_open(&of_series) {
                open.push_back((series, of_series));
            }
            if Instant::now() > end {
                open.iter().for_each(|(_, of_series)| self.tally.leave_open(of_series));
                break;
            }
        }
        Ok(())
    }

    /// Counts one piece of a series.
    fn advance(&mut self, series: &mut Series, states: &[TaskState], want: &mut Want<'_>) -> Done<()> {
        let Self { view, wanted, ranges, tally } = self;
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
        })?;
        Ok(())
    }
}
