//! The end of a command, and the links between a retried task and its successor.

use std::sync::Arc;

use rusqlite::params;
use taskplane_model::command::{Command, CommandOutcome, CommandStatus};
use taskplane_model::task::{Mark, Stamped};
use taskplane_model::{TaskEventKind, TaskRecord, Timestamp};
use taskplane_store::backend::changes::Change;

use super::find;
use crate::errors::Done;
use crate::ids;
use crate::ingest::{rollups, upsert};
use crate::writer::Tx;

const FINISH: &str = "UPDATE commands SET status = ?3, result = ?4, error = ?5, message = ?6, finished_at = ?7
    WHERE project = ?1 AND id = ?2 AND status < 2";

/// Ends a command, unless it has ended.
pub(super) fn finish(
    tx: &mut Tx<'_>,
    project: u64,
    id: &str,
    outcome: &CommandOutcome,
    retried: &[(String, String, String)],
    now: Timestamp,
) -> Done<Option<Command>> {
    let result = outcome.result.as_ref().map(ToString::to_string);
    let status = outcome.status as u8;
    let values = params![project.cast_signed(), id, status, result, outcome.error, outcome.message, now.0];
    if tx.db.prepare_cached(FINISH)?.execute(values)? == 1 && !retried.is_empty() {
        link(tx, project, retried, now)?;
    }
    find(tx.db, project, id)
}

/// Ends what a former run left open.
pub(super) fn abandon(tx: &mut Tx<'_>, now: Timestamp) -> Done<u64> {
    let sql =
        "UPDATE commands SET status = ?2, error = ?3, message = ?4, finished_at = ?5 WHERE status = ?1 AND status < 2";
    let mut update = tx.db.prepare_cached(sql)?;
    let mut end = |from: CommandStatus, to: CommandStatus, error: Option<&str>, message: &str| {
        update.execute(params![from as u8, to as u8, error, message, now.0])
    };
    let not_sent = "The brain stopped before it could send this command; nothing was done. Give it again.";
    let unheard =
        "The brain stopped before the agent answered; the command may have been executed. Look before you repeat it.";
    let pending = end(CommandStatus::Pending, CommandStatus::Failed, Some("not_sent"), not_sent)?;
    let sent = end(CommandStatus::Sent, CommandStatus::Unknown, None, unheard)?;
    Ok((pending + sent) as u64)
}

/// Links old and new tasks both ways. A new task that is not known yet is entered as sent now.
fn link(tx: &mut Tx<'_>, project: u64, retried: &[(String, String, String)], now: Timestamp) -> Done<()> {
    let seed = tx.seed()?;
    let change = |engine: &str, task_id: &str, record: TaskRecord, only_known: bool| Change {
        project,
        engine: Arc::from(engine),
        task_id: task_id.to_owned(),
        hash: ids::hash(seed, project, task_id),
        record,
        received_at: now,
        only_known,
    };
    for (engine, old, new) in retried {
        let retried_as = Some(Stamped { attempt: 0, ts: now, value: new.clone() });
        let forward = TaskRecord { retried_as, ..TaskRecord::default() };
        let back = TaskRecord { retry_of: Some(old.clone()), ..TaskRecord::default() };
        // An old task that is not kept any more stays away.
        let old = change(engine, old, forward, true);
        let mut new = change(engine, new, back, false);
        if !upsert::is_known(tx, &new)? {
            new.record.marks.push(Mark { attempt: Some(0), kind: TaskEventKind::Sent, ts: now, ..Mark::default() });
        }
        upsert::apply(tx, vec![old, new], false)?;
    }
    rollups::flush(tx)
}
