//! Runs of schedules.

use async_trait::async_trait;
use rusqlite::params;
use taskplane_model::Timestamp;
use taskplane_model::schedule_run::{ScheduleKey, ScheduleRun, ScheduleWatch};
use taskplane_store::fleet::ScheduleNews;
use taskplane_store::{Result, ScheduleStore};

use crate::SqliteStore;
use crate::errors::Done;
use crate::readers::View;
use crate::writer::Tx;

#[async_trait]
impl ScheduleStore for SqliteStore {
    async fn schedule_watches(&self, project: u64) -> Result<Vec<(ScheduleKey, ScheduleWatch)>> {
        self.read(move |view| watches(view, project)).await
    }

    async fn schedule_runs(&self, project: u64, keys: Vec<ScheduleKey>, limit: usize) -> Result<Vec<Vec<ScheduleRun>>> {
        self.read(move |view| keys.iter().map(|key| runs(view, project, key, limit)).collect()).await
    }

    async fn note_schedule_runs(&self, project: u64, news: Vec<ScheduleNews>, keep: usize) -> Result<()> {
        self.write(move |tx| news.iter().try_for_each(|one| note(tx, project, one, keep))).await
    }
}

fn watches(view: &View<'_>, project: u64) -> Done<Vec<(ScheduleKey, ScheduleWatch)>> {
    let sql = "SELECT scheduler, id, data FROM schedule_watches WHERE project = ?1 ORDER BY scheduler, id";
    let mut select = view.db.prepare_cached(sql)?;
    let mut rows = select.query([project.cast_signed()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let key = ScheduleKey { scheduler: row.get(0)?, id: row.get(1)? };
        found.push((key, serde_json::from_str(&row.get::<_, String>(2)?)?));
    }
    Ok(found)
}

fn runs(view: &View<'_>, project: u64, key: &ScheduleKey, limit: usize) -> Done<Vec<ScheduleRun>> {
    let sql =
        "SELECT data FROM schedule_runs WHERE project = ?1 AND scheduler = ?2 AND id = ?3 ORDER BY due DESC LIMIT ?4";
    let mut select = view.db.prepare_cached(sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = select.query(params![project.cast_signed(), key.scheduler, key.id, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(serde_json::from_str(&row.get::<_, String>(0)?)?);
    }
    Ok(found)
}

fn note(tx: &Tx<'_>, project: u64, news: &ScheduleNews, keep: usize) -> Done<()> {
    let (project, ScheduleKey { scheduler, id }) = (project.cast_signed(), &news.key);
    let Some(watch) = &news.watch else {
        for sql in [
            "DELETE FROM schedule_watches WHERE project = ?1 AND scheduler = ?2 AND id = ?3",
            "DELETE FROM schedule_runs WHERE project = ?1 AND scheduler = ?2 AND id = ?3",
        ] {
            tx.db.prepare_cached(sql)?.execute(params![project, scheduler, id])?;
        }
        return Ok(());
    };
    let sql = "INSERT INTO schedule_watches (project, scheduler, id, data) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (project, scheduler, id) DO UPDATE SET data = excluded.data";
    tx.db.prepare_cached(sql)?.execute(params![project, scheduler, id, serde_json::to_string(watch)?])?;
    let sql = "DELETE FROM schedule_runs WHERE project = ?1 AND scheduler = ?2 AND id = ?3 AND due = ?4";
    let mut delete = tx.db.prepare_cached(sql)?;
    for Timestamp(due) in &news.unexpected {
        delete.execute(params![project, scheduler, id, due])?;
    }
    if news.runs.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO schedule_runs (project, scheduler, id, due, data) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (project, scheduler, id, due) DO UPDATE SET data = excluded.data";
    let mut insert = tx.db.prepare_cached(sql)?;
    for run in &news.runs {
        insert.execute(params![project, scheduler, id, run.due.0, serde_json::to_string(run)?])?;
    }
    let sql = "DELETE FROM schedule_runs WHERE project = ?1 AND scheduler = ?2 AND id = ?3 AND due <=
        (SELECT due FROM schedule_runs WHERE project = ?1 AND scheduler = ?2 AND id = ?3 ORDER BY due DESC LIMIT 1 OFFSET ?4)";
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    tx.db.prepare_cached(sql)?.execute(params![project, scheduler, id, keep])?;
    Ok(())
}
