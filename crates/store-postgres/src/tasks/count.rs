//! How many tasks there are, by state.

use std::time::Duration;

use taskplane_model::TaskState;
use taskplane_store::Result;
use taskplane_store::backend::plan::{Plan, Wanted};
use taskplane_store::backend::tally::Tally;
use taskplane_store::tasks::{COUNT_BOUND, StateCounts, TaskQuery};

use super::load;
use super::plan::wanted;
use super::scan::{Budget, Rest, Scan};
use crate::locks::project_number;
use crate::names::Names;
use crate::search::Ranges;
use crate::session::{Session, column};

/// What one scan may read; a count has two of them at most.
const BUDGET: Budget = Budget { rows: 60_000, time: Duration::from_millis(20) };
/// Rows that are looked at at once.
const PIECE: usize = 2_048;

/// Counts by state, exact up to a bound.
pub(super) async fn count(names: &Names, session: &Session, query: &TaskQuery) -> Result<StateCounts> {
    let wanted = wanted(names, session, query).await?;
    let states = wanted.states();
    let plan = wanted.plan();
    let mut tally = Tally::new(&states);
    let mut ranges = Ranges::new(session, &wanted, &plan, wanted.until).await?;
    if matches!(plan, Plan::Nothing | Plan::Ids(_)) {
        scan((names, session), &wanted, plan, &mut ranges, &states, &mut tally).await?;
        return Ok(tally.into_counts());
    }
    let (succeeded, others): (Vec<_>, Vec<_>) = states.iter().partition(|state| **state == TaskState::Succeeded);
    if wanted.only_state_and_time() {
        for state in others {
            tally.set(state, count_by_index(session, &wanted, state).await?);
        }
    } else if !others.is_empty() {
        let plan = Plan::States(others.iter().map(|state| *state as u8).collect());
        scan((names, session), &wanted, plan, &mut ranges, &others, &mut tally).await?;
    }
    if !succeeded.is_empty() {
        scan((names, session), &wanted, wanted.plan_by_name(), &mut ranges, &succeeded, &mut tally).await?;
    }
    Ok(tally.into_counts())
}

/// Counts one state other than succeeded in its index, to one beyond the bound.
async fn count_by_index(session: &Session, wanted: &Wanted<'_>, state: TaskState) -> Result<u64> {
    let sql = "SELECT count(*) FROM (SELECT FROM tasks
        WHERE project = $1 AND state = $2 AND state <> 4 AND key >= $3 AND key < $4 ORDER BY key DESC LIMIT $5) AS counted";
    let (project, limit) = (project_number(wanted.project.cast_unsigned()), (COUNT_BOUND + 1).cast_signed());
    let state = state as i16;
    let row = session.query_first(sql, &[&project, &state, &wanted.from, &wanted.until, &limit]).await?;
    Ok(row.map(|row| column::<i64>(&row, 0)).transpose()?.unwrap_or(0).cast_unsigned())
}

/// Counts tasks of `states` along `plan`. Where the budget ends the count, there may be more.
async fn scan(
    (names, session): (&Names, &Session),
    wanted: &Wanted<'_>,
    plan: Plan,
    ranges: &mut Ranges,
    states: &[TaskState],
    tally: &mut Tally,
) -> Result<()> {
    let mut scan = Scan::new(names, session, wanted, plan, (ranges, wanted.until), BUDGET)?;
    while tally.is_open(states) {
        let (mut rows, rest) = scan.take(PIECE).await?;
        rows.retain(|row| states.iter().any(|state| *state as u8 == row.state) && wanted.admits(row));
        if wanted.needs_record() {
            let keys: Vec<i64> = rows.iter().map(|row| row.key).collect();
            for task in load(names, session, wanted.project.cast_unsigned(), &keys).await? {
                let view = task.record.task();
                if wanted.filter().matches(&task.engine, &task.task_id, &view) {
                    tally.add(view.state as u8);
                }
            }
        } else {
            rows.iter().for_each(|row| tally.add(row.state));
        }
        match rest {
            Rest::More => {}
            Rest::Nothing => return Ok(()),
            Rest::Unread => {
                tally.leave_open(states);
                return Ok(());
            }
        }
    }
    Ok(())
}
