//! Pages of tasks.

use std::time::Duration;

use taskplane_store::tasks::{TaskPage, TaskQuery};

use super::plan::wanted;
use super::row::stored_task;
use super::scan::{Budget, Scan, Step};
use crate::errors::Done;
use crate::readers::View;

/// Most tasks of a page.
const MAX_LIMIT: usize = 1_000;
/// What one page may read.
const BUDGET: Budget = Budget { rows: 20_000, time: Duration::from_millis(30) };

/// One page, newest first.
pub(super) fn list(view: &View<'_>, query: &TaskQuery) -> Done<TaskPage> {
    let wanted = wanted(view, query)?;
    let plan = wanted.plan();
    let mut scan = Scan::new(view, &wanted, plan, query.cursor, BUDGET)?;
    let limit = query.limit.clamp(1, MAX_LIMIT);
    let needs_record = wanted.needs_record();
    let mut page = TaskPage::default();
    let mut last = query.cursor;
    loop {
        match scan.next()? {
            Step::End => return Ok(page),
            Step::Spent => {
                page.next = last;
                return Ok(page);
            }
            Step::Row(row) => {
                last = Some(row.key);
                if !wanted.admits(&row) {
                    continue;
                }
                let Some(task) = stored_task(view, &row)? else { continue };
                if needs_record && !wanted.filter().matches(&task.engine, &task.task_id, &task.record.task()) {
                    continue;
                }
                page.items.push(task);
                if page.items.len() == limit {
                    page.next = if scan.has_more()? { last } else { None };
                    return Ok(page);
                }
            }
        }
    }
}
