//! Agents, workers, queues and schedules as they are now.

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use taskplane_model::Timestamp;
use taskplane_model::agent::Agent;
use taskplane_model::fleet::{Queue, Worker};
use taskplane_store::backend::paging;
use taskplane_store::fleet::{QuarantinedEvent, StoredSchedule};
use taskplane_store::tasks::Page;
use taskplane_store::{FleetStore, Result};
use tokio_postgres::Row;

use crate::PostgresStore;
use crate::locks::project_number;
use crate::session::{column, from_json, json};
use crate::text::Text;

// Names are sorted by their bytes, as SQLite does it, whatever the database's collation is.
#[async_trait]
impl FleetStore for PostgresStore {
    async fn agents(&self, project: u64) -> Result<Vec<Agent>> {
        let sql =
            "SELECT id, name, profile, buffer, adapters, lost_batches, quarantined_events, problem, first_seen_at,
            last_seen_at FROM agents WHERE project = $1 ORDER BY name COLLATE \"C\"";
        let rows = self.reading().await?.query(sql, &[&project_number(project)]).await?;
        rows.iter().map(agent).collect()
    }

    async fn workers(&self, project: u64) -> Result<Vec<(Worker, String)>> {
        let sql = "SELECT data FROM workers WHERE project = $1 ORDER BY name COLLATE \"C\", engine COLLATE \"C\"";
        self.signs(project, sql, |worker: &Worker| worker.agent).await
    }

    async fn queues(&self, project: u64) -> Result<Vec<(Queue, String)>> {
        let sql = "SELECT data FROM queues WHERE project = $1 ORDER BY name COLLATE \"C\", engine COLLATE \"C\"";
        self.signs(project, sql, |queue: &Queue| queue.agent).await
    }

    async fn schedules(&self, project: u64) -> Result<Vec<StoredSchedule>> {
        let sql =
            "SELECT s.scheduler, a.name, s.synced_at, s.data, a.id FROM schedules s JOIN agents a ON a.id = s.agent
            WHERE s.project = $1 ORDER BY s.scheduler COLLATE \"C\", s.id COLLATE \"C\", a.name COLLATE \"C\"";
        let rows = self.reading().await?.query(sql, &[&project_number(project)]).await?;
        let schedule = |row: &Row| {
            let (Text(scheduler), Text(agent)) = (column(row, 0)?, column(row, 1)?);
            let agent_id = column::<i64>(row, 4)?.cast_unsigned();
            let synced_at = Timestamp(column(row, 2)?);
            Ok(StoredSchedule { scheduler, agent, agent_id, synced_at, schedule: json(row, 3)? })
        };
        rows.iter().map(schedule).collect()
    }

    async fn quarantine(&self, project: u64, page: Page) -> Result<(Vec<QuarantinedEvent>, Option<String>)> {
        let sql =
            "SELECT q.id, a.name, q.received_at, q.reason, q.raw FROM quarantine q JOIN agents a ON a.id = q.agent
            WHERE q.project = $1 AND q.id < $2 ORDER BY q.id DESC LIMIT $3";
        let values = (project_number(project), paging::below(&page), paging::fetch(&page));
        let rows = self.reading().await?.query(sql, &[&values.0, &values.1, &values.2]).await?;
        let event = |row: &Row| {
            let id: i64 = column(row, 0)?;
            let (Text(agent), Text(reason), Text(raw)) = (column(row, 1)?, column(row, 3)?, column(row, 4)?);
            let received_at = Timestamp(column(row, 2)?);
            Ok((id, QuarantinedEvent { id: id.cast_unsigned(), agent, received_at, reason, raw }))
        };
        Ok(paging::page(rows.iter().map(event).collect::<Result<_>>()?, &page))
    }
}

impl PostgresStore {
    async fn signs<T: DeserializeOwned>(
        &self,
        project: u64,
        sql: &'static str,
        agent: impl Fn(&T) -> u64,
    ) -> Result<Vec<(T, String)>> {
        let session = self.reading().await?;
        let rows = session.query(sql, &[&project_number(project)]).await?;
        let signs = rows.iter().map(|row| json(row, 0)).collect::<Result<Vec<T>>>()?;
        let agents = self.names().agents(&session, signs.iter().map(&agent)).await?;
        let named = |one: T| {
            let name = agents.get(&agent(&one).cast_signed()).map(|name| name.as_ref().to_owned());
            (one, name.unwrap_or_default())
        };
        Ok(signs.into_iter().map(named).collect())
    }
}

fn agent(row: &Row) -> Result<Agent> {
    let Text(name) = column(row, 1)?;
    Ok(Agent {
        id: column::<i64>(row, 0)?.cast_unsigned(),
        name,
        profile: json(row, 2)?,
        buffer: column::<Option<&str>>(row, 3)?.map(from_json).transpose()?,
        adapters: json(row, 4)?,
        lost_batches: column::<i64>(row, 5)?.cast_unsigned(),
        quarantined_events: column::<i64>(row, 6)?.cast_unsigned(),
        problem: column(row, 7)?,
        first_seen_at: Timestamp(column(row, 8)?),
        last_seen_at: Timestamp(column(row, 9)?),
    })
}
