//! Commands and their ends.

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row, params};
use taskplane_model::Timestamp;
use taskplane_model::command::{BRAIN, Command, CommandOutcome, CommandStatus, INQUIRY};
use taskplane_store::access::NewAudit;
use taskplane_store::commands::CommandQuery;
use taskplane_store::tasks::Page;
use taskplane_store::{CommandStore, Result};

use crate::SqliteStore;
use crate::access::audit;
use crate::errors::{Done, Fault};
use crate::paging;
use crate::readers::View;
use crate::writer::Tx;

mod finish;

const COLUMNS: &str =
    "id, cmd, args, agent, status, result, error, message, created_at, finished_at, created_by, task_id";
/// Most characters of arguments in an audit entry.
const MAX_DETAIL: usize = 1_000;

#[async_trait]
impl CommandStore for SqliteStore {
    async fn create_command(
        &self,
        project: u64,
        command: Command,
        idempotency_key: Option<String>,
    ) -> Result<(Command, bool)> {
        self.write(move |tx| create(tx, project, command, idempotency_key)).await
    }

    async fn command_sent(&self, project: u64, id: &str, agent: &str) -> Result<bool> {
        let (id, agent) = (id.to_owned(), agent.to_owned());
        self.write(move |tx| {
            let sql = "UPDATE commands SET status = ?3, agent = ?4 WHERE project = ?1 AND id = ?2 AND status = ?5";
            let (sent, pending) = (CommandStatus::Sent as u8, CommandStatus::Pending as u8);
            let noted = tx.db.prepare_cached(sql)?.execute(params![project.cast_signed(), id, sent, agent, pending])?;
            Ok(noted == 1)
        })
        .await
    }

    async fn finish_command(
        &self,
        project: u64,
        id: &str,
        outcome: CommandOutcome,
        retried: Vec<(String, String, String)>,
        now: Timestamp,
    ) -> Result<Option<Command>> {
        let id = id.to_owned();
        self.write(move |tx| finish::finish(tx, project, &id, &outcome, &retried, now)).await
    }

    async fn abandon_open_commands(&self, now: Timestamp) -> Result<u64> {
        self.write(move |tx| finish::abandon(tx, now)).await
    }

    async fn command(&self, project: u64, id: &str) -> Result<Option<Command>> {
        let id = id.to_owned();
        self.read(move |view| find(view.db, project, &id)).await
    }

    async fn commands(&self, project: u64, query: CommandQuery, page: Page) -> Result<(Vec<Command>, Option<String>)> {
        self.read(move |view| list(view, project, &query, &page)).await
    }

    async fn forget_inquiry(&self, project: u64, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.write(move |tx| {
            let sql = "DELETE FROM commands
                WHERE project = ?1 AND id = ?2 AND status >= 2 AND cmd = ?3 AND created_by = ?4";
            tx.db.prepare_cached(sql)?.execute(params![project.cast_signed(), id, INQUIRY, BRAIN])?;
            Ok(())
        })
        .await
    }
}

fn create(tx: &mut Tx<'_>, project: u64, command: Command, key: Option<String>) -> Done<(Command, bool)> {
    let number = project.cast_signed();
    if let Some(key) = &key {
        let sql = format!("SELECT {COLUMNS} FROM commands WHERE project = ?1 AND idempotency_key = ?2");
        let known = tx.db.prepare_cached(&sql)?.query_row(params![number, key], |row| Ok(read(row))).optional()?;
        if let Some(known) = known {
            return Ok((known?, false));
        }
    }
    let sql = "INSERT INTO commands (project, id, cmd, args, agent, status, result, error, message, created_at,
        finished_at, created_by, task_id, idempotency_key) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let args = command.args.to_string();
    tx.db.prepare_cached(sql)?.execute(params![
        number,
        command.id,
        command.cmd,
        args,
        command.agent,
        command.status as u8,
        command.result.as_ref().map(ToString::to_string),
        command.error,
        command.message,
        command.created_at.0,
        command.finished_at.map(|at| at.0),
        command.created_by,
        command.task_id,
        key,
    ])?;
    if command.is_inquiry() {
        return Ok((command, true));
    }
    let entry = NewAudit {
        actor: command.created_by.clone(),
        action: command.cmd.clone(),
        target: command.subject(),
        detail: Some(args[..args.floor_char_boundary(MAX_DETAIL)].to_owned()),
    };
    audit::append(tx, project, &entry, Some(&command.id), command.created_at)?;
    Ok((command, true))
}

fn find(db: &rusqlite::Connection, project: u64, id: &str) -> Done<Option<Command>> {
    let sql = format!("SELECT {COLUMNS} FROM commands WHERE project = ?1 AND id = ?2");
    let mut select = db.prepare_cached(&sql)?;
    select.query_row(params![project.cast_signed(), id], |row| Ok(read(row))).optional()?.transpose()
}

fn list(view: &View<'_>, project: u64, query: &CommandQuery, page: &Page) -> Done<(Vec<Command>, Option<String>)> {
    let CommandQuery { task_id, inquiries } = query;
    let below = paging::below(page);
    let narrow = if task_id.is_some() { "AND task_id = ?4" } else { "AND ?4 IS NULL" };
    let sql = format!(
        "SELECT {COLUMNS}, number FROM commands WHERE project = ?1 {narrow} AND number < ?2
            AND (?5 OR cmd <> ?6 OR created_by <> ?7) ORDER BY number DESC LIMIT ?3"
    );
    let mut select = view.db.prepare_cached(&sql)?;
    let fetch = paging::fetch(page);
    let mut rows = select.query(params![project.cast_signed(), below, fetch, task_id, inquiries, INQUIRY, BRAIN])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((row.get(12)?, read(row)?));
    }
    Ok(paging::page(found, page))
}

fn read(row: &Row<'_>) -> Done<Command> {
    let json = |text: String| serde_json::from_str(&text).map_err(Fault::from);
    let status: u8 = row.get(4)?;
    Ok(Command {
        id: row.get(0)?,
        cmd: row.get(1)?,
        args: json(row.get(2)?)?,
        agent: row.get(3)?,
        status: CommandStatus::from_number(status).ok_or_else(|| Fault::corrupt("a command has an unknown status"))?,
        result: row.get::<_, Option<String>>(5)?.map(json).transpose()?,
        error: row.get(6)?,
        message: row.get(7)?,
        created_at: Timestamp(row.get(8)?),
        finished_at: row.get::<_, Option<i64>>(9)?.map(Timestamp),
        created_by: row.get(10)?,
        task_id: row.get(11)?,
    })
}
