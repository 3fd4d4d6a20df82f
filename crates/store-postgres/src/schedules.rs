//! Runs of schedules.

use async_trait::async_trait;
use taskplane_model::schedule_run::{ScheduleKey, ScheduleRun, ScheduleWatch};
use taskplane_store::fleet::ScheduleNews;
use taskplane_store::{Result, ScheduleStore, StoreError};
use tokio_postgres::Row;

use crate::PostgresStore;
use crate::locks::project_number;
use crate::session::{Tx, column, json, to_json};
use crate::text::Text;

#[async_trait]
impl ScheduleStore for PostgresStore {
    async fn schedule_watches(&self, project: u64) -> Result<Vec<(ScheduleKey, ScheduleWatch)>> {
        let sql = "SELECT scheduler, id, data FROM schedule_watches WHERE project = $1
            ORDER BY scheduler COLLATE \"C\", id COLLATE \"C\"";
        let rows = self.reading().await?.query(sql, &[&project_number(project)]).await?;
        let watch = |row: &Row| {
            let (Text(scheduler), Text(id)) = (column(row, 0)?, column(row, 1)?);
            Ok((ScheduleKey { scheduler, id }, json(row, 2)?))
        };
        rows.iter().map(watch).collect()
    }

    async fn schedule_runs(&self, project: u64, keys: Vec<ScheduleKey>, limit: usize) -> Result<Vec<Vec<ScheduleRun>>> {
        let schedulers = Text::all(keys.iter().map(|key| key.scheduler.as_str()));
        let ids = Text::all(keys.iter().map(|key| key.id.as_str()));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql =
            "SELECT k.place, r.data FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS k(scheduler, id, place),
            LATERAL (SELECT due, data FROM schedule_runs WHERE project = $1 AND scheduler = k.scheduler AND id = k.id
            ORDER BY due DESC LIMIT $4) r ORDER BY k.place, r.due DESC";
        let rows = self.reading().await?.query(sql, &[&project_number(project), &schedulers, &ids, &limit]).await?;
        let mut found = vec![Vec::new(); keys.len()];
        for row in &rows {
            let place = usize::try_from(column::<i64>(row, 0)?).unwrap_or(0);
            let misplaced = || StoreError::Internal("a run of a schedule that was not asked for".into());
            found.get_mut(place.wrapping_sub(1)).ok_or_else(misplaced)?.push(json(row, 1)?);
        }
        Ok(found)
    }

    async fn note_schedule_runs(&self, project: u64, news: Vec<ScheduleNews>, keep: usize) -> Result<()> {
        self.to_the_end(async move |store| {
            let tx = store.begin_in(project).await?;
            for one in &news {
                note(&tx, project, one, keep).await?;
            }
            tx.commit().await
        })
        .await
    }
}

async fn note(tx: &Tx, project: u64, news: &ScheduleNews, keep: usize) -> Result<()> {
    let (project, scheduler, id) = (project_number(project), Text(&news.key.scheduler), Text(&news.key.id));
    let Some(watch) = &news.watch else {
        for sql in [
            "DELETE FROM schedule_watches WHERE project = $1 AND scheduler = $2 AND id = $3",
            "DELETE FROM schedule_runs WHERE project = $1 AND scheduler = $2 AND id = $3",
        ] {
            tx.execute(sql, &[&project, &scheduler, &id]).await?;
        }
        return Ok(());
    };
    let sql = "INSERT INTO schedule_watches (project, scheduler, id, data) VALUES ($1, $2, $3, $4)
        ON CONFLICT (project, scheduler, id) DO UPDATE SET data = excluded.data";
    tx.execute(sql, &[&project, &scheduler, &id, &to_json(watch)?]).await?;
    if !news.unexpected.is_empty() {
        let dues: Vec<i64> = news.unexpected.iter().map(|due| due.0).collect();
        let sql = "DELETE FROM schedule_runs WHERE project = $1 AND scheduler = $2 AND id = $3 AND due = ANY($4)";
        tx.execute(sql, &[&project, &scheduler, &id, &dues]).await?;
    }
    if news.runs.is_empty() {
        return Ok(());
    }
    let dues: Vec<i64> = news.runs.iter().map(|run| run.due.0).collect();
    let data = news.runs.iter().map(to_json).collect::<Result<Vec<_>>>()?;
    let sql = "INSERT INTO schedule_runs (project, scheduler, id, due, data)
        SELECT $1, $2, $3, n.due, n.data FROM unnest($4::bigint[], $5::text[]) AS n(due, data)
        ON CONFLICT (project, scheduler, id, due) DO UPDATE SET data = excluded.data";
    tx.execute(sql, &[&project, &scheduler, &id, &dues, &data]).await?;
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    let sql = "DELETE FROM schedule_runs WHERE project = $1 AND scheduler = $2 AND id = $3 AND due <=
        (SELECT due FROM schedule_runs WHERE project = $1 AND scheduler = $2 AND id = $3 ORDER BY due DESC OFFSET $4 LIMIT 1)";
    tx.execute(sql, &[&project, &scheduler, &id, &keep]).await?;
    Ok(())
}
