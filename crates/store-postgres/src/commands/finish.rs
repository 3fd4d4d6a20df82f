//! The end of a command, and the links between a retried task and its successor.

use std::collections::HashSet;
use std::sync::Arc;

use taskplane_model::command::{Command, CommandOutcome, CommandStatus};
use taskplane_model::task::{Mark, Stamped};
use taskplane_model::{TaskEventKind, TaskRecord, Timestamp};
use taskplane_store::Result;
use taskplane_store::backend::changes::{Change, Changes};
use taskplane_store::backend::ids;

use super::find;
use crate::PostgresStore;
use crate::ingest::{record, upsert};
use crate::locks::{self, project_number};
use crate::search;
use crate::session::{Tx, to_json};
use crate::text::{Text, maybe};

/// Ends a command, unless it has ended.
pub(super) async fn finish(
    store: &PostgresStore,
    project: u64,
    id: &str,
    outcome: &CommandOutcome,
    retried: Vec<(String, String, String)>,
    now: Timestamp,
) -> Result<Option<Command>> {
    let sql = "UPDATE commands SET status = $3, result = $4, error = $5, message = $6, finished_at = $7
        WHERE project = $1 AND id = $2 AND status < 2";
    // The lock of the tasks comes before the command's row.
    let tx = if retried.is_empty() { store.begin().await? } else { store.begin_in(project).await? };
    let (number, status) = (project_number(project), outcome.status as i16);
    let result = outcome.result.as_ref().map(to_json).transpose()?;
    let (error, message) = (maybe(outcome.error.as_ref()), maybe(outcome.message.as_ref()));
    let ended = tx.execute(sql, &[&number, &Text(id), &status, &result, &error, &message, &now.0]).await?;
    let command = find(&tx, project, id).await?;
    if ended == 1 && !retried.is_empty() {
        link(store, tx, project, retried, now).await?;
    } else {
        tx.commit().await?;
    }
    Ok(command)
}

/// Ends a command that was not sent.
pub(crate) async fn end_unsent(
    store: &PostgresStore,
    project: u64,
    id: &str,
    outcome: &CommandOutcome,
    now: Timestamp,
) -> Result<Option<Command>> {
    let sql = "UPDATE commands SET status = $4, error = $5, message = $6, finished_at = $7
        WHERE project = $1 AND id = $2 AND status = $3";
    let session = store.writing().await?;
    let (number, pending, status) = (project_number(project), CommandStatus::Pending as i16, outcome.status as i16);
    let (error, message) = (maybe(outcome.error.as_ref()), maybe(outcome.message.as_ref()));
    session.execute(sql, &[&number, &Text(id), &pending, &status, &error, &message, &now.0]).await?;
    find(&session, project, id).await
}

/// Ends what former runs left open; what belongs to runs that are here is theirs.
pub(super) async fn abandon(store: &PostgresStore, now: Timestamp) -> Result<u64> {
    let tx = store.begin().await?;
    tx.query(locks::SWEEP, &[]).await?;
    let ended = end_commands_of_the_gone(&tx, now).await?;
    tx.commit().await?;
    Ok(ended)
}

/// Ends the open commands of runs that are no replicas, under the lock of a sweep. A replica that is late has its row until it is
/// buried.
pub(crate) async fn end_commands_of_the_gone(tx: &Tx, now: Timestamp) -> Result<u64> {
    let sql = "UPDATE commands SET status = $2, error = $3, message = $4, finished_at = $5
        WHERE status = $1 AND status < 2 AND NOT EXISTS (SELECT FROM replicas r WHERE r.run = commands.run)";
    let end = async |from: CommandStatus, to: CommandStatus, error: Option<&str>, message: &str| {
        let (from, to) = (from as i16, to as i16);
        tx.execute(sql, &[&from, &to, &error, &message, &now.0]).await
    };
    let not_sent = "The brain stopped before it could send this command; nothing was done. Give it again.";
    let unheard =
        "The brain stopped before the agent answered; the command may have been executed. Look before you repeat it.";
    let pending = end(CommandStatus::Pending, CommandStatus::Failed, Some("not_sent"), not_sent).await?;
    let sent = end(CommandStatus::Sent, CommandStatus::Unknown, None, unheard).await?;
    Ok(pending + sent)
}

/// Links old and new tasks both ways, and commits. A new task that is not known yet is entered as sent now.
async fn link(
    store: &PostgresStore,
    tx: Tx,
    project: u64,
    retried: Vec<(String, String, String)>,
    now: Timestamp,
) -> Result<()> {
    let names = store.names();
    let search_until = search::until(&tx).await?;
    let hash = |id: &str| ids::hash(names.seed, project, id);
    let hashes: Vec<i64> = retried.iter().flat_map(|(_, old, new)| [hash(old), hash(new)]).collect();
    let rows = tx.query(upsert::FIND, &[&hashes]).await?;
    let known: HashSet<(String, String)> = upsert::identities(names, &tx, project, &rows).await?;
    let mut changes = Changes::new(names.seed);
    for (engine, old, new) in retried {
        let change = |task_id: &str, record: TaskRecord, only_known: bool| Change {
            project,
            engine: Arc::from(engine.as_str()),
            task_id: task_id.to_owned(),
            hash: hash(task_id),
            record,
            received_at: now,
            only_known,
        };
        let retried_as = Some(Stamped { attempt: 0, ts: now, value: new.clone() });
        // An old task that is not kept any more stays away.
        changes.add(change(&old, TaskRecord { retried_as, ..TaskRecord::default() }, true));
        let mut back = TaskRecord { retry_of: Some(old), ..TaskRecord::default() };
        if !known.contains(&(engine.clone(), new.clone())) {
            back.marks.push(Mark { attempt: Some(0), kind: TaskEventKind::Sent, ts: now, ..Mark::default() });
        }
        changes.add(change(&new, back, false));
    }
    let mut merged = upsert::merge(names, &tx, changes.into_vec(), &rows).await?;
    let statistics = std::mem::take(&mut merged.rollups).add_to_stored(&tx).await?;
    merged.store(&tx).await?;
    let notes = merged.notes(search_until);
    record::finish(names, tx, statistics, merged, notes, false).await?;
    Ok(())
}
