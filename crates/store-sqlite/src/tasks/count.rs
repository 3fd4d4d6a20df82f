//! How many tasks there are, by state.

use std::time::Duration;

use rusqlite::params;
use taskplane_model::TaskState;
use taskplane_store::backend::plan::{Plan, Wanted};
use taskplane_store::backend::tally::Tally;
use taskplane_store::tasks::{COUNT_BOUND, StateCounts, TaskQuery};

use super::plan::wanted;
use super::row::stored_task;
use super::scan::{Budget, Scan, Step};
use crate::errors::Done;
use crate::readers::View;
use crate::search::Ranges;

/// What one scan may read; a count has two of them at most.
const BUDGET: Budget = Budget { rows: 60_000, time: Duration::from_millis(20) };

/// Counts by state, exact up to a bound.
pub(super) fn count(view: &View<'_>, query: &TaskQuery) -> Done<StateCounts> {
    let wanted = wanted(view, query)?;
    let states = wanted.states();
    let plan = wanted.plan();
    let mut tally = Tally::new(&states);
    let mut ranges = Ranges::new(view, &wanted, &plan, wanted.until)?;
    if matches!(plan, Plan::Nothing | Plan::Ids(_)) {
        scan(view, &wanted, plan, &mut ranges, &states, &mut tally)?;
        return Ok(tally.into_counts());
    }
    let (succeeded, others): (Vec<_>, Vec<_>) = states.iter().partition(|state| **state == TaskState::Succeeded);
    if wanted.only_state_and_time() {
        for state in others {
            tally.set(state, count_by_index(view, &wanted, state)?);
        }
    } else if !others.is_empty() {
        let plan = Plan::States(others.iter().map(|state| *state as u8).collect());
        scan(view, &wanted, plan, &mut ranges, &others, &mut tally)?;
    }
    if !succeeded.is_empty() {
        scan(view, &wanted, wanted.plan_by_name(), &mut ranges, &succeeded, &mut tally)?;
    }
    Ok(tally.into_counts())
}

/// Counts one state other than succeeded in its index, to one beyond the bound.
fn count_by_index(view: &View<'_>, wanted: &Wanted<'_>, state: TaskState) -> Done<u64> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_by_state
        WHERE project = ?1 AND state = ?2 AND state <> 4 AND key >= ?3 AND key < ?4 LIMIT ?5)";
    let limit = (COUNT_BOUND + 1).cast_signed();
    let values = params![wanted.project, state as u8, wanted.from, wanted.until, limit];
    Ok(view.db.prepare_cached(sql)?.query_row(values, |row| row.get::<_, i64>(0))?.cast_unsigned())
}

/// Counts tasks of `states` along `plan`. Where the budget ends the count, there may be more.
fn scan(
    view: &View<'_>,
    wanted: &Wanted<'_>,
    plan: Plan,
    ranges: &mut Ranges,
    states: &[TaskState],
    tally: &mut Tally,
) -> Done<()> {
    let mut scan = Scan::new(view, wanted, plan, ranges, wanted.until, BUDGET)?;
    let needs_record = wanted.needs_record();
    while tally.is_open(states) {
        match scan.next()? {
            Step::End => return Ok(()),
            Step::Spent => {
                tally.leave_open(states);
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
                tally.add(row.state);
            }
        }
    }
    Ok(())
}
