//! Pages of tasks.

use std::time::{Duration, Instant};

use taskplane_store::Result;
use taskplane_store::tasks::{TaskPage, TaskQuery};

use super::load;
use super::plan::wanted;
use super::scan::{Budget, Rest, Scan};
use crate::names::Names;
use crate::search::Ranges;
use crate::session::Session;

/// Most tasks of a page.
const MAX_LIMIT: usize = 1_000;
/// What one page may read.
const ROWS: usize = 60_000;
const TIME: Duration = Duration::from_millis(25);
/// Rows whose records are read at once where the record decides.
const RECORDS: usize = 500;

/// One page, newest first.
pub(super) async fn list(names: &Names, session: &Session, query: &TaskQuery) -> Result<TaskPage> {
    let budget = Budget { rows: ROWS, deadline: Instant::now() + TIME };
    let wanted = wanted(names, session, query).await?;
    let plan = wanted.plan();
    let below = query.cursor.map_or(wanted.until, |cursor| cursor.min(wanted.until));
    let mut ranges = Ranges::new(session, &wanted, &plan, below).await?;
    let mut scan = Scan::new(names, session, &wanted, plan, (&mut ranges, below), budget)?;
    let limit = query.limit.clamp(1, MAX_LIMIT);
    let needs_record = wanted.needs_record();
    let mut page = TaskPage::default();
    loop {
        let missing = limit - page.items.len();
        let (rows, rest) = scan.take(if needs_record { RECORDS } else { missing }).await?;
        let keys: Vec<i64> = rows.iter().filter(|row| wanted.admits(row)).map(|row| row.key).collect();
        for task in load(names, session, query.project, &keys).await? {
            if needs_record && !wanted.filter().matches(&task.engine, &task.task_id, &task.record.task()) {
                continue;
            }
            let key = task.key;
            page.items.push(task);
            if page.items.len() == limit {
                let more = rest != Rest::Nothing || rows.last().is_some_and(|last| last.key < key);
                page.next = more.then_some(key);
                return Ok(page);
            }
        }
        match rest {
            Rest::More => {}
            Rest::Nothing => return Ok(page),
            Rest::Unread => {
                // Below the least key that is wanted there is nothing to go on to.
                page.next = Some(scan.rest_below()).filter(|below| *below > wanted.from);
                return Ok(page);
            }
        }
    }
}
