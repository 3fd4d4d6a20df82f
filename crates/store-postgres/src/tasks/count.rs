//! How many tasks there are, by state.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use taskplane_model::TaskState;
use taskplane_store::Result;
use taskplane_store::backend::census::Counting;
use taskplane_store::backend::plan::{Plan, Wanted};
use taskplane_store::backend::tally::Tally;
use taskplane_store::tasks::{COUNT_BOUND, StateCounts, TaskQuery};

use super::load;
use super::plan::wanted;
use super::scan::{Budget, Scan};
use crate::census;
use crate::locks::project_number;
use crate::names::{Names, term_column};
use crate::search::Ranges;
use crate::session::{Tx, column};
use tokio_postgres::types::ToSql;

/// What a count may take where the columns decide, and where records have to be read.
const TIME: Duration = Duration::from_millis(40);
const TIME_WITH_RECORDS: Duration = Duration::from_millis(25);
/// Rows that are read one by one rather than looked for state by state.
const FEW_ROWS: u32 = 50_000;
/// Turns that each series gets however long it takes: a machine that is busy counts what there is few of, too.
const LEAST_TURNS: u32 = 4;

/// Counts by state, exact up to a bound. `tx` sees one snapshot.
pub(super) async fn count(names: &Names, tx: &Tx, query: &TaskQuery) -> Result<StateCounts> {
    let began = Instant::now();
    let wanted = wanted(names, tx, query).await?;
    let end = began + if wanted.needs_record() { TIME_WITH_RECORDS } else { TIME };
    let states = wanted.states();
    let plan = wanted.plan();
    let ranges = Ranges::of(Vec::new());
    let mut count = Count { names, tx, wanted: &wanted, ranges, tally: Tally::new(&states), end };
    match plan {
        Plan::Nothing => {}
        Plan::Names { names, states } if wanted.only_name_state_and_time() => count.by_names(&names, &states).await?,
        _ if !wanted.needs_record() => count.by_census(&states).await?,
        Plan::Ids(_) | Plan::Names { .. } => count.by_rows(plan, &states, (wanted.from, wanted.until)).await?,
        Plan::States(_) | Plan::All => count.by_rows(Plan::All, &states, (wanted.from, wanted.until)).await?,
    }
    Ok(count.tally.into_counts())
}

/// A count at work.
struct Count<'c> {
    names: &'c Names,
    tx: &'c Tx,
    wanted: &'c Wanted<'c>,
    /// Where rows are counted.
    ranges: Ranges,
    tally: Tally,
    end: Instant,
}

impl Count<'_> {
    /// Counts what columns decide: in censuses, and where these say nothing, by rows.
    async fn by_census(&mut self, states: &[TaskState]) -> Result<()> {
        let (succeeded, others): (Vec<TaskState>, Vec<TaskState>) =
            states.iter().partition(|state| **state == TaskState::Succeeded);
        let has_index = self.wanted.only_state_and_time();
        if has_index {
            for state in others {
                self.by_state(state).await?;
            }
        }
        let states = if has_index { &succeeded } else { states };
        let Wanted { project, from, until, .. } = *self.wanted;
        let project = project_number(project.cast_unsigned());
        let outline = census::outline(self.tx, project, from, until).await?;
        let mut counting = Counting::new(self.wanted, states, outline);
        let mut turns = 0;
        while let Some(places) = counting.ask(&self.tally) {
            counting.take(&census::rows(self.tx, places).await?, &mut self.tally)?;
            turns += 1;
            if turns > LEAST_TURNS && Instant::now() > self.end {
                self.tally.leave_open(states);
                return Ok(());
            }
        }
        let newest = counting.newest();
        self.ranges = Ranges::of(counting.into_left());
        self.scan(Plan::All, states, self.end).await?;
        self.by_rows(Plan::All, states, (newest.from, newest.until)).await
    }

    /// Counts rows along a plan, from one key on and below another.
    async fn by_rows(&mut self, plan: Plan, states: &[TaskState], keys: (i64, i64)) -> Result<()> {
        let (succeeded, others): (Vec<TaskState>, Vec<TaskState>) =
            states.iter().partition(|state| **state == TaskState::Succeeded);
        self.ranges = Ranges::between(self.tx, self.wanted, &plan, keys).await?;
        let is_everywhere = plan == Plan::All;
        if !is_everywhere || (!succeeded.is_empty() && self.has_few().await?) {
            return self.scan(plan, states, self.end).await;
        }
        // What takes all the time with the others leaves half of it to those that succeeded.
        let half = if self.tally.is_open(&succeeded) { self.half_way() } else { self.end };
        let of_others = Plan::States(others.iter().map(|state| *state as u8).collect());
        self.scan(of_others, &others, half).await?;
        self.scan(Plan::All, &succeeded, self.end).await
    }

    /// Counts one state other than succeeded in its index.
    async fn by_state(&mut self, state: TaskState) -> Result<()> {
        let sql = "SELECT count(*) FROM (SELECT FROM tasks
            WHERE project = $1 AND state = $2 AND state <> 4 AND key >= $3 AND key < $4
            ORDER BY key DESC LIMIT $5) AS counted";
        let wanted = self.wanted;
        let (project, limit) = (project_number(wanted.project.cast_unsigned()), (COUNT_BOUND + 1).cast_signed());
        let values: [&(dyn ToSql + Sync); 5] = [&project, &(state as i16), &wanted.from, &wanted.until, &limit];
        let row = self.tx.query_first(sql, &values).await?;
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
        for row in self.tx.query(sql, &values).await? {
            let state: i16 = column(&row, 0)?;
            if let Some(state) = TaskState::ALL.into_iter().find(|known| *known as i16 == state) {
                self.tally.set(state, column::<i64>(&row, 1)?.cast_unsigned());
            }
        }
        Ok(())
    }

    /// When half of the time that is left will have passed.
    fn half_way(&self) -> Instant {
        let now = Instant::now();
        now + self.end.saturating_duration_since(now) / 2
    }

    /// True when the ranges have few rows, as far as that can be said in half the time.
    async fn has_few(&mut self) -> Result<bool> {
        let half = self.half_way();
        loop {
            if self.ranges.tasks() > FEW_ROWS || Instant::now() > half {
                return Ok(false);
            }
            if self.ranges.is_complete() {
                return Ok(true);
            }
            self.ranges.find_more(self.tx).await?;
        }
    }

    /// Counts tasks of `states` along `plan`, a piece of each series in turn: one that finds nothing does not keep the others from
    /// counting. What `end` interrupts may be more.
    async fn scan(&mut self, plan: Plan, states: &[TaskState], end: Instant) -> Result<()> {
        if !self.tally.is_open(states) {
            return Ok(());
        }
        let Self { names, tx, wanted, ranges, tally, .. } = self;
        let budget = Budget { rows: usize::MAX, deadline: end };
        let mut scan = Scan::new(names, tx, wanted, plan, (ranges, wanted.until), budget)?;
        let mut open = VecDeque::new();
        for (at, of) in scan.series().into_iter().enumerate() {
            let is_of_series = |state: &TaskState| of.is_none_or(|only| only == *state as i16);
            open.push_back((at, states.iter().copied().filter(is_of_series).collect::<Vec<_>>(), 1));
        }
        while let Some((at, of_series, turn)) = open.pop_front() {
            let (mut rows, is_over) = scan.advance(at).await?;
            rows.retain(|row| of_series.iter().any(|state| *state as u8 == row.state) && wanted.admits(row));
            if wanted.needs_record() {
                let keys: Vec<i64> = rows.iter().map(|row| row.key).collect();
                for task in load(names, tx, wanted.project.cast_unsigned(), &keys).await? {
                    let view = task.record.task();
                    if wanted.filter().matches(&task.engine, &task.task_id, &view) {
                        tally.add(view.state as u8);
                    }
                }
            } else {
                rows.iter().for_each(|row| tally.add(row.state));
            }
            if !is_over && tally.is_open(&of_series) {
                open.push_back((at, of_series, turn + 1));
            }
            let all_had_theirs = open.front().is_none_or(|(_, _, turn)| *turn > LEAST_TURNS);
            if all_had_theirs && Instant::now() > end {
                open.iter().for_each(|(_, of_series, _)| tally.leave_open(of_series));
                break;
            }
        }
        Ok(())
    }
}
