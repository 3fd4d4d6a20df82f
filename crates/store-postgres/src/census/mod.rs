//! Censuses of tasks, from which they are counted. Whoever writes tasks notes which change that are in one; the rest is read from
//! snapshots and stored in short transactions.

use taskplane_store::backend::census::steps::{Publication, State};
use taskplane_store::backend::census::{Census, place, places_of};
use taskplane_store::backend::corrupt;
use taskplane_store::{Result, StoreError};

use crate::PostgresStore;
use crate::locks;
use crate::session::{Session, Tx, column};

mod read;
mod take;

pub(crate) use read::{outline, rows};
pub(crate) use take::step;

/// Forgets what lies wholly below `key`, where there are no tasks of any project any more.
pub(crate) async fn forget_below(tx: &Tx, key: i64) -> Result<()> {
    // First, like whoever publishes a step: censuses and changes are another's only behind it.
    tx.query("SELECT FROM census_state FOR UPDATE", &[]).await?;
    let rows = tx.query("SELECT id FROM censuses WHERE high <= $1", &[&key]).await?;
    let gone = rows.iter().map(|row| column(row, 0)).collect::<Result<Vec<i64>>>()?;
    let changes = tx.execute("DELETE FROM census_changes WHERE key < $1", &[&key]).await?;
    if gone.is_empty() && changes == 0 {
        return Ok(());
    }
    for id in gone {
        remove(tx, id).await?;
    }
    // A step that is being taken may be about to replace what is gone.
    tx.execute("UPDATE census_state SET version = version + 1", &[]).await?;
    Ok(())
}

/// Where the census stands.
async fn state(session: &Session) -> Result<State> {
    let sql = "SELECT taken_until, taking_until, version FROM census_state";
    let row = session.query_first(sql, &[]).await?.ok_or_else(|| corrupt("census_state is empty"))?;
    Ok(State { taken_until: column(&row, 0)?, taking_until: column(&row, 1)?, version: column(&row, 2)? })
}

/// Censuses with keys from `from` on and below `below`.
async fn censuses(session: &Session, from: i64, below: i64) -> Result<Vec<Census>> {
    let sql = "SELECT id, low, high, tasks FROM censuses WHERE high > $1 AND low < $2";
    let mut censuses = Vec::new();
    for row in session.query(sql, &[&from, &below]).await? {
        let tasks = column::<i32>(&row, 3)?.cast_unsigned();
        censuses.push(Census { id: column(&row, 0)?, low: column(&row, 1)?, high: column(&row, 2)?, tasks });
    }
    Ok(censuses)
}

/// From now on notes changes of tasks below `until`; waits for whoever writes without knowing that. Says where the census now
/// stands; `None` when another one has gone on.
async fn announce(store: &PostgresStore, before: State, until: i64) -> Result<Option<State>> {
    let tx = store.begin().await?;
    tx.query(locks::SEARCH, &[]).await?;
    let sql = "UPDATE census_state SET taking_until = greatest(taking_until, $2), version = version + 1
        WHERE version = $1";
    if tx.execute(sql, &[&before.version, &until]).await? == 0 {
        return Ok(None);
    }
    let state = state(&tx).await?;
    tx.commit().await?;
    Ok(Some(state))
}

/// Stores what a step has come to, unless another one has gone on since `before`.
async fn publish(store: &PostgresStore, before: State, publication: &Publication) -> Result<()> {
    let tx = store.begin().await?;
    let Publication { remove: replaced, add, taken_until, known } = publication;
    let sql = "UPDATE census_state SET version = version + 1, taken_until = greatest(taken_until, $2)
        WHERE version = $1";
    if tx.execute(sql, &[&before.version, taken_until]).await? == 0 {
        return Ok(());
    }
    let last = tx.query_first("SELECT coalesce(max(id), 0) FROM censuses", &[]).await?;
    let last: i64 = last.map_or(Ok(0), |row| column(&row, 0))?;
    if let Some(id) = replaced {
        remove(&tx, *id).await?;
    }
    if let Some(taken) = add {
        let (id, Census { low, high, tasks, .. }) = (last + 1, taken.census);
        let tasks = i32::try_from(tasks).map_err(|_| StoreError::Internal("a census is too large".into()))?;
        tx.execute("INSERT INTO censuses VALUES ($1, $2, $3, $4)", &[&id, &low, &high, &tasks]).await?;
        let (places, bodies): (Vec<i64>, Vec<&[u8]>) =
            taken.rows.iter().map(|(row, body)| (place(id, *row), body.as_slice())).unzip();
        let sql = "INSERT INTO census_rows SELECT * FROM unnest($1::int8[], $2::bytea[])";
        tx.execute(sql, &[&places, &bodies]).await?;
    }
    if !known.is_empty() {
        tx.execute("DELETE FROM census_changes WHERE id = ANY($1)", &[known]).await?;
    }
    tx.commit().await
}

async fn remove(tx: &Tx, id: i64) -> Result<()> {
    let (from, until) = places_of(id);
    tx.execute("DELETE FROM census_rows WHERE place >= $1 AND place < $2", &[&from, &until]).await?;
    tx.execute("DELETE FROM censuses WHERE id = $1", &[&id]).await?;
    Ok(())
}
