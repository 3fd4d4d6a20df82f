//! How many tasks there are, by state.

use std::time::{Duration, Instant};

use taskplane_model::TaskState;
use taskplane_store::Result;
use taskplane_store::backend::plan::{Plan, Wanted};
use taskplane_store::backend::tally::Tally;
use taskplane_store::tasks::{COUNT_BOUND, StateCounts, TaskQuery};

use super::load;
use super::plan::wanted;
use super::scan::{Budget, Rest, Scan};
use crate::locks::project_number;
use crate::names::{Names, term_column};
use crate::search::Ranges;
use crate::session::{Session, column};
use tokio_postgres::types::ToSql;

/// What a count may take.
const TIME: Duration = Duration::from_millis(25);
/// Rows that are read one by one rather than looked for state by state.
const FEW_ROWS: u32 = 50_000;
/// Rows that are looked at at once.
const PIECE: usize = 2_048;

/// Counts by state, exact up to a bound.
pub(super) async fn count(names: &Names, session: &Session, query: &TaskQuery) -> Result<StateCounts> {
    let began = Instant::now();
    let wanted = wanted(names, session, query).await?;
    let states = wanted.states();
    let plan = wanted.plan();
    let ranges = Ranges::new(session, &wanted, &plan, wanted.until).await?;
    let mut count = Count { names, session, wanted: &wanted, ranges, tally: Tally::new(&states) };
    let (half, end) = (began + TIME / 2, began + TIME);
    match plan {
        Plan::Nothing => {}
        Plan::Names { names, states } if wanted.only_name_state_and_time() => count.by_names(&names, &states).await?,
        Plan::Ids(_) | Plan::Names { .. } => count.scan(plan, &states, end).await?,
        Plan::States(_) | Plan::All => {
            let (succeeded, others): (Vec<_>, Vec<_>) =
                states.iter().partition(|state| **state == TaskState::Succeeded);
            if wanted.only_state_and_time() {
                for state in others {
                    count.by_state(state).await?;
                }
                count.scan(Plan::All, &succeeded, end).await?;
            } else if !succeeded.is_empty() && count.has_few(half).await? {
                count.scan(Plan::All, &states, end).await?;
            } else {
                let until = if succeeded.is_empty() { end } else { half };
                let of_others = Plan::States(others.iter().map(|state| *state as u8).collect());
                count.scan(of_others, &others, until).await?;
                count.scan(Plan::All, &succeeded, end).await?;
            }
        }
    }
    Ok(count.tally.into_counts())
}

/// A count at work.
struct Count<'c> {
    names: &'c Names,
    session: &'c Session,
    wanted: &'c Wanted<'c>,
    ranges: Ranges,
    tally: Tally,
}

impl Count<'_> {
    /// Counts one state other than succeeded in its index.
    async fn by_state(&mut self, state: TaskState) -> Result<()> {
        let sql = "SELECT count(*) FROM (SELECT FROM tasks
            WHERE project = $1 AND state = $2 AND state <> 4 AND key >= $3 AND key < $4
            ORDER BY key DESC LIMIT $5) AS counted";
        let wanted = self.wanted;
        let (project, limit) = (project_number(wanted.project.cast_unsigned()), (COUNT_BOUND + 1).cast_signed());
        let values: [&(dyn ToSql + Sync); 5] = [&project, &(state as i16), &wanted.from, &wanted.until, &limit];
        let row = self.session.query_first(sql, &values).await?;
        let count = row.map(|row| column::<i64>(&row, 0)).transpose()?.unwrap_or(0);
        self.tally.set(state, count.cast_unsigned());
        Ok(())
    }

    /// Counts names in their index, state by state, all at once.
    async fn by_names(&mut self, names: &[i64], states: &[u8]) -> Result<()> {
        let sql =
            "SELECT s.state, (SELECT count(*) FROM (SELECT FROM unnest($2::int4[]) AS n(name) CROSS JOIN LATERAL (
                SELECT FROM tasks WHERE project = $1 AND name = n.name AND state = s.state AND key >= $4 AND key < $5
                ORDER BY key DESC LIMIT $6) AS of_name LIMIT $6) AS counted)
            FROM unnest($3::int2[]) AS s(state)";
        let wanted = self.wanted;
        let (project, limit) = (project_number(wanted.project.cast_unsigned()), (COUNT_BOUND + 1).cast_signed());
        let names = names.iter().copied().map(term_column).collect::<Result<Vec<_>>>()?;
        let numbers: Vec<i16> = states.iter().copied().map(i16::from).collect();
        let values: [&(dyn ToSql + Sync); 6] = [&project, &names, &numbers, &wanted.from, &wanted.until, &limit];
        for row in self.session.query(sql, &values).await? {
            let state: i16 = column(&row, 0)?;
            if let Some(state) = TaskState::ALL.into_iter().find(|known| *known as i16 == state) {
                self.tally.set(state, column::<i64>(&row, 1)?.cast_unsigned());
            }
        }
        Ok(())
    }

    /// True when the ranges have few rows, as far as that can be said until `end`.
    async fn has_few(&mut self, end: Instant) -> Result<bool> {
        loop {
            if self.ranges.tasks() > FEW_ROWS || Instant::now() > end {
                return Ok(false);
            }
            if self.ranges.is_complete() {
                return Ok(true);
            }
            self.ranges.find_more(self.session).await?;
        }
    }

    /// Counts tasks of `states` along `plan`. What `end` interrupts may be more.
    async fn scan(&mut self, plan: Plan, states: &[TaskState], end: Instant) -> Result<()> {
        let Self { names, session, wanted, ranges, tally } = self;
        let budget = Budget { rows: usize::MAX, deadline: end };
        let mut scan = Scan::new(names, session, wanted, plan, (ranges, wanted.until), budget)?;
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
}
