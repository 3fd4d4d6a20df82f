//! Commands and their ends.

use async_trait::async_trait;
use taskplane_model::Timestamp;
use taskplane_model::command::{BRAIN, Command, CommandOutcome, CommandStatus, INQUIRY};
use taskplane_store::access::NewAudit;
use taskplane_store::backend::{corrupt, paging};
use taskplane_store::commands::CommandQuery;
use taskplane_store::tasks::Page;
use taskplane_store::{CommandStore, Result};
use tokio_postgres::Row;

use crate::PostgresStore;
use crate::access::audit;
use crate::locks::project_number;
use crate::session::{Session, Values, column, from_json};
use crate::text::{Text, maybe};

pub(crate) mod finish;

/// The columns of a command, and its number.
macro_rules! columns {
    () => {
        "id, cmd, args, agent, status, result, error, message, created_at, finished_at, created_by, task_id, number"
    };
}
/// Most characters of arguments in an audit entry.
const MAX_DETAIL: usize = 1_000;

#[async_trait]
impl CommandStore for PostgresStore {
    async fn create_command(
        &self,
        project: u64,
        command: Command,
        idempotency_key: Option<String>,
    ) -> Result<(Command, bool)> {
        self.to_the_end(async move |store| create(&store, project, command, idempotency_key).await).await
    }

    async fn command_sent(&self, project: u64, id: &str, agent: &str) -> Result<bool> {
        let (id, agent) = (id.to_owned(), agent.to_owned());
        self.to_the_end(async move |store| {
            // From here on it is this brain's, whichever it was given to.
            let sql = "UPDATE commands SET status = $3, agent = $4, run = $6
                WHERE project = $1 AND id = $2 AND status = $5";
            let (sent, pending) = (CommandStatus::Sent as i16, CommandStatus::Pending as i16);
            let session = store.writing().await?;
            let run = store.membership().run_column();
            let values: Values<'_> = &[&project_number(project), &Text(id), &sent, &Text(agent), &pending, &run];
            Ok(session.execute(sql, values).await? == 1)
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
        self.to_the_end(async move |store| finish::finish(&store, project, &id, &outcome, retried, now).await).await
    }

    async fn abandon_open_commands(&self, now: Timestamp) -> Result<u64> {
        self.to_the_end(async move |store| finish::abandon(&store, now).await).await
    }

    async fn command(&self, project: u64, id: &str) -> Result<Option<Command>> {
        find(&self.reading().await?, project, id).await
    }

    async fn commands(&self, project: u64, query: CommandQuery, page: Page) -> Result<(Vec<Command>, Option<String>)> {
        let session = self.reading().await?;
        let (project, below, most) = (project_number(project), paging::below(&page), paging::fetch(&page));
        let (inquiries, asks, brain) = (query.inquiries, Text(INQUIRY), Text(BRAIN));
        let rows = match query.task_id {
            None => {
                let sql = concat!(
                    "SELECT ",
                    columns!(),
                    " FROM commands WHERE project = $1 AND number < $2 AND ($4 OR cmd <> $5 OR created_by <> $6)
                     ORDER BY number DESC LIMIT $3"
                );
                session.query(sql, &[&project, &below, &most, &inquiries, &asks, &brain]).await?
            }
            Some(task_id) => {
                let sql = concat!(
                    "SELECT ",
                    columns!(),
                    " FROM commands WHERE project = $1 AND md5(task_id) = md5($7) AND task_id = $7 AND number < $2
                     AND ($4 OR cmd <> $5 OR created_by <> $6) ORDER BY number DESC LIMIT $3"
                );
                session.query(sql, &[&project, &below, &most, &inquiries, &asks, &brain, &Text(task_id)]).await?
            }
        };
        let found = rows.iter().map(|row| Ok((column(row, 12)?, read(row)?))).collect::<Result<Vec<_>>>()?;
        Ok(paging::page(found, &page))
    }

    async fn forget_inquiry(&self, project: u64, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.to_the_end(async move |store| {
            let sql = "DELETE FROM commands
                WHERE project = $1 AND id = $2 AND status >= 2 AND cmd = $3 AND created_by = $4";
            let values: Values<'_> = &[&project_number(project), &Text(id), &Text(INQUIRY), &Text(BRAIN)];
            store.writing().await?.execute(sql, values).await.map(|_| ())
        })
        .await
    }
}

async fn create(store: &PostgresStore, project: u64, command: Command, key: Option<String>) -> Result<(Command, bool)> {
    let run = store.membership().run_column();
    let tx = store.begin().await?;
    let number = project_number(project);
    let sql = "INSERT INTO commands (project, id, cmd, args, agent, status, result, error, message, created_at,
            finished_at, created_by, task_id, idempotency_key, run)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
        ON CONFLICT (project, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING";
    let (args, result) = (command.args.to_string(), command.result.as_ref().map(ToString::to_string));
    let status = command.status as i16;
    let key = maybe(key);
    let inserted = tx
        .execute(
            sql,
            &[
                &number,
                &Text(&command.id),
                &Text(&command.cmd),
                &args,
                &maybe(command.agent.as_ref()),
                &status,
                &result,
                &maybe(command.error.as_ref()),
                &maybe(command.message.as_ref()),
                &command.created_at.0,
                &command.finished_at.map(|at| at.0),
                &Text(&command.created_by),
                &maybe(command.task_id.as_ref()),
                &key,
                &run,
            ],
        )
        .await?;
    if inserted == 0 {
        let sql = concat!("SELECT ", columns!(), " FROM commands WHERE project = $1 AND idempotency_key = $2");
        let known = tx.query_first(sql, &[&number, &key]).await?;
        let known = known.as_ref().map(read).transpose()?;
        tx.commit().await?;
        return Ok((known.ok_or_else(|| corrupt("a command with this key was there, and is not"))?, false));
    }
    if command.is_inquiry() {
        tx.commit().await?;
        return Ok((command, true));
    }
    let entry = NewAudit {
        actor: command.created_by.clone(),
        action: command.cmd.clone(),
        target: command.subject(),
        detail: Some(args[..args.floor_char_boundary(MAX_DETAIL)].to_owned()),
    };
    audit::append(&tx, project, &entry, Some(&command.id), command.created_at).await?;
    tx.commit().await?;
    Ok((command, true))
}

async fn find(session: &Session, project: u64, id: &str) -> Result<Option<Command>> {
    let sql = concat!("SELECT ", columns!(), " FROM commands WHERE project = $1 AND id = $2");
    session.query_first(sql, &[&project_number(project), &Text(id)]).await?.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<Command> {
    let text = |at: usize| column::<Text<String>>(row, at).map(|text| text.0);
    let maybe = |at: usize| column::<Option<Text<String>>>(row, at).map(|text| text.map(|text| text.0));
    let status = u8::try_from(column::<i16>(row, 4)?).ok().and_then(CommandStatus::from_number);
    Ok(Command {
        id: text(0)?,
        cmd: text(1)?,
        args: from_json(column(row, 2)?)?,
        agent: maybe(3)?,
        status: status.ok_or_else(|| corrupt("a command has an unknown status"))?,
        result: column::<Option<&str>>(row, 5)?.map(from_json).transpose()?,
        error: maybe(6)?,
        message: maybe(7)?,
        created_at: Timestamp(column(row, 8)?),
        finished_at: column::<Option<i64>>(row, 9)?.map(Timestamp),
        created_by: text(10)?,
        task_id: maybe(11)?,
    })
}
