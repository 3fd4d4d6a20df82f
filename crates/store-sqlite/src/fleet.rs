//! Agents, workers and queues as they are now.

use async_trait::async_trait;
use rusqlite::{Row, params};
use serde::de::DeserializeOwned;
use taskplane_model::Timestamp;
use taskplane_model::agent::Agent;
use taskplane_model::fleet::{Queue, Worker};
use taskplane_store::fleet::{QuarantinedEvent, StoredSchedule};
use taskplane_store::tasks::Page;
use taskplane_store::{FleetStore, Result};

use crate::SqliteStore;
use crate::errors::Done;
use crate::paging;
use crate::readers::View;

#[async_trait]
impl FleetStore for SqliteStore {
    async fn agents(&self, project: u64) -> Result<Vec<Agent>> {
        self.read(move |view| agents(view, project)).await
    }

    async fn workers(&self, project: u64) -> Result<Vec<(Worker, String)>> {
        let sql = "SELECT data FROM workers WHERE project = ?1 ORDER BY name, engine";
        self.read(move |view| signs(view, project, sql, |worker: &Worker| worker.agent)).await
    }

    async fn queues(&self, project: u64) -> Result<Vec<(Queue, String)>> {
        let sql = "SELECT data FROM queues WHERE project = ?1 ORDER BY name, engine";
        self.read(move |view| signs(view, project, sql, |queue: &Queue| queue.agent)).await
    }

    async fn schedules(&self, project: u64) -> Result<Vec<StoredSchedule>> {
        self.read(move |view| schedules(view, project)).await
    }

    async fn quarantine(&self, project: u64, page: Page) -> Result<(Vec<QuarantinedEvent>, Option<String>)> {
        self.read(move |view| quarantine(view, project, &page)).await
    }
}

fn agents(view: &View<'_>, project: u64) -> Done<Vec<Agent>> {
    let sql = "SELECT id, name, profile, buffer, adapters, lost_batches, quarantined_events, problem, first_seen_at,
        last_seen_at FROM agents WHERE project = ?1 ORDER BY name";
    let mut select = view.db.prepare_cached(sql)?;
    let mut rows = select.query([project.cast_signed()])?;
    let mut agents = Vec::new();
    while let Some(row) = rows.next()? {
        agents.push(agent(row)?);
    }
    Ok(agents)
}

fn agent(row: &Row<'_>) -> Done<Agent> {
    let buffer: Option<String> = row.get(3)?;
    Ok(Agent {
        id: row.get::<_, i64>(0)?.cast_unsigned(),
        name: row.get(1)?,
        profile: serde_json::from_str(&row.get::<_, String>(2)?)?,
        buffer: buffer.as_deref().map(serde_json::from_str).transpose()?,
        adapters: serde_json::from_str(&row.get::<_, String>(4)?)?,
        lost_batches: row.get::<_, i64>(5)?.cast_unsigned(),
        quarantined_events: row.get::<_, i64>(6)?.cast_unsigned(),
        problem: row.get(7)?,
        first_seen_at: Timestamp(row.get(8)?),
        last_seen_at: Timestamp(row.get(9)?),
    })
}

fn signs<T: DeserializeOwned>(
    view: &View<'_>,
    project: u64,
    sql: &str,
    agent: impl Fn(&T) -> u64,
) -> Done<Vec<(T, String)>> {
    let mut select = view.db.prepare_cached(sql)?;
    let mut rows = select.query([project.cast_signed()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let one: T = serde_json::from_str(&row.get::<_, String>(0)?)?;
        let name = view.names.agent(view.db, agent(&one))?;
        found.push((one, name.as_deref().unwrap_or_default().to_owned()));
    }
    Ok(found)
}

fn schedules(view: &View<'_>, project: u64) -> Done<Vec<StoredSchedule>> {
    let sql = "SELECT s.scheduler, a.name, s.synced_at, s.data, a.id FROM schedules s JOIN agents a ON a.id = s.agent
        WHERE s.project = ?1 ORDER BY s.scheduler, s.id, a.name";
    let mut select = view.db.prepare_cached(sql)?;
    let mut rows = select.query([project.cast_signed()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(StoredSchedule {
            scheduler: row.get(0)?,
            agent: row.get(1)?,
            agent_id: row.get::<_, i64>(4)?.cast_unsigned(),
            synced_at: Timestamp(row.get(2)?),
            schedule: serde_json::from_str(&row.get::<_, String>(3)?)?,
        });
    }
    Ok(found)
}

fn quarantine(view: &View<'_>, project: u64, page: &Page) -> Done<(Vec<QuarantinedEvent>, Option<String>)> {
    let sql = "SELECT q.id, a.name, q.received_at, q.reason, q.raw FROM quarantine q JOIN agents a ON a.id = q.agent
        WHERE q.project = ?1 AND q.id < ?2 ORDER BY q.id DESC LIMIT ?3";
    let mut select = view.db.prepare_cached(sql)?;
    let rows = select.query_map(params![project.cast_signed(), paging::below(page), paging::fetch(page)], |row| {
        let id: i64 = row.get(0)?;
        let event = QuarantinedEvent {
            id: id.cast_unsigned(),
            agent: row.get(1)?,
            received_at: Timestamp(row.get(2)?),
            reason: row.get(3)?,
            raw: row.get(4)?,
        };
        Ok((id, event))
    })?;
    Ok(paging::page(rows.collect::<rusqlite::Result<_>>()?, page))
}
