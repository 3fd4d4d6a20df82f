//! Pages of tasks.

use std::time::{Duration, Instant};

use taskplane_store::tasks::{TaskPage, TaskQuery};

use super::plan::wanted;
use super::scan::{Budget, Scan, Step};
use super::series::Want;
use crate::errors::Done;
use crate::readers::View;
use crate::search::Ranges;

/// Most tasks of a page.
const MAX_LIMIT: usize = 1_000;
/// What one page may read.
const ROWS: u32 = 60_000;
const TIME: Duration = Duration::from_millis(25);

/// One page, newest first.
pub(super) fn list(view: &View<'_>, query: &TaskQuery) -> Done<TaskPage> {
    let budget = Budget { rows: ROWS, deadline: Instant::now() + TIME };
    let wanted = wanted(view, query)?;
    let plan = wanted.plan();
    let below = query.cursor.map_or(wanted.until, |cursor| cursor.min(wanted.until));
    let mut ranges = Ranges::new(view, &wanted, &plan, below)?;
    let mut scan = Scan::new(view, Want::tasks(&wanted), plan, &mut ranges, below, budget)?;
    let limit = query.limit.clamp(1, MAX_LIMIT);
    let needs_record = wanted.needs_record();
    let mut page = TaskPage::default();
    loop {
        match scan.next()? {
            Step::End => return Ok(page),
            Step::Spent => {
                // Below the least key that is wanted there is nothing to go on to.
                page.next = Some(scan.rest_below()).filter(|below| *below > wanted.from);
                return Ok(page);
            }
            Step::Row(row) => {
                let key = row.brief.key;
                let task = row.task(view)?;
                if needs_record && !wanted.filter().matches(&task.engine, &task.task_id, &task.record.task()) {
                    continue;
                }
                page.items.push(task);
                if page.items.len() == limit {
                    page.next = scan.has_more()?.then_some(key);
                    return Ok(page);
                }
            }
        }
    }
}
