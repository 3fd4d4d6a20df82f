//! How many tasks there are, by state.

use std::time::Duration;

use rusqlite::params;
use taskplane_model::TaskState;
use taskplane_store::tasks::{COUNT_BOUND, StateCounts, TaskQuery};

use super::plan::{Plan, Wanted};
use super::row::stored_task;
use super::scan::{Budget, Scan, Step};
use crate::errors::Done;
use crate::readers::View;

/// What one scan may read; a count has two of them at most.
const BUDGET: Budget = Budget { rows: 60_000, time: Duration::from_millis(20) };

const SUCCEEDED: u8 = TaskState::Succeeded as u8;

/// Counts by state, exact up to a bound.
pub(super) fn count(view: &View<'_>, query: &TaskQuery) -> Done<StateCounts> {
    let wanted = Wanted::new(view, query)?;
    let states = wanted.states();
    let plan = wanted.plan(view, query.project)?;
    let mut tally = Tally::new(&states);
    match plan {
        Plan::Keys(_) => tally.scan(view, &wanted, plan, &states)?,
        _ => {
            let (succeeded, others): (Vec<_>, Vec<_>) = states.iter().partition(|state| **state as u8 == SUCCEEDED);
            if wanted.only_state_and_time() {
                for state in others {
                    tally.count_by_index(view, &wanted, state)?;
                }
            } else if !others.is_empty() {
                let plan = Plan::States(others.iter().map(|state| *state as u8).collect());
                tally.scan(view, &wanted, plan, &others)?;
            }
            if !succeeded.is_empty() {
                tally.scan(view, &wanted, wanted.plan_by_name(), &succeeded)?;
            }
        }
    }
    Ok(StateCounts { by_state: tally.0 })
}

struct Tally(Vec<(TaskState, u64, bool)>);

impl Tally {
    fn new(states: &[TaskState]) -> Self {
        Self(states.iter().map(|state| (*state, 0, false)).collect())
    }

    /// Counts one state other than succeeded in its index.
    fn count_by_index(&mut self, view: &View<'_>, wanted: &Wanted<'_>, state: TaskState) -> Done<()> {
        let sql = "SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_by_state
            WHERE project = ?1 AND state = ?2 AND state <> 4 AND key >= ?3 AND key < ?4 LIMIT ?5)";
        let limit = (COUNT_BOUND + 1).cast_signed();
        let values = params![wanted.project, state as u8, wanted.from, wanted.until, limit];
        let count: i64 = view.db.prepare_cached(sql)?.query_row(values, |row| row.get(0))?;
        if let Some(entry) = self.entry(state as u8) {
            (entry.1, entry.2) = (count.cast_unsigned().min(COUNT_BOUND), count > COUNT_BOUND.cast_signed());
        }
        Ok(())
    }

    /// Counts tasks of `states` along `plan`. Where the budget ends the count, there may be more.
    fn scan(&mut self, view: &View<'_>, wanted: &Wanted<'_>, plan: Plan, states: &[TaskState]) -> Done<()> {
        let mut scan = Scan::new(view, wanted, plan, None, BUDGET);
        let needs_record = wanted.needs_record();
        while self.is_open(states) {
            match scan.next()? {
                Step::End => return Ok(()),
                Step::Spent => {
                    for state in states {
                        if let Some(entry) = self.entry(*state as u8) {
                            entry.2 = true;
                        }
                    }
                    return Ok(());
                }
                Step::Row(row) => {
                    if !states.iter().any(|state| *state as u8 == row.state) || !wanted.admits(&row) {
                        continue;
                    }
                    if needs_record {
                        let Some(task) = stored_task(view, &row)? else { continue };
                        if !wanted.filter().matches(&task.engine, &task.task_id, &task.record.task()) {
                            continue;
                        }
                    }
                    self.add(row.state);
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, state: u8) {
        if let Some(entry) = self.entry(state) {
            if entry.1 < COUNT_BOUND {
                entry.1 += 1;
            } else {
                entry.2 = true;
            }
        }
    }

    /// True while one of `states` is not known to go beyond the bound.
    fn is_open(&self, states: &[TaskState]) -> bool {
        self.0.iter().any(|(state, _, more)| !more && states.contains(state))
    }

    fn entry(&mut self, state: u8) -> Option<&mut (TaskState, u64, bool)> {
        self.0.iter_mut().find(|entry| entry.0 as u8 == state)
    }
}
