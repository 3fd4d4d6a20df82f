//! The search index: which blocks of tasks may hold what is looked for. Whoever writes tasks notes what changes in those that are
//! in it; the rest is read from snapshots and stored in short transactions.

use async_trait::async_trait;
use taskplane_model::Timestamp;
use taskplane_store::backend::corrupt;
use taskplane_store::backend::search::steps::{Publication, State};
use taskplane_store::backend::search::{Segment, place, places_of};
use taskplane_store::{Result, SearchStore, StoreError};
use tokio_postgres::Row;

use crate::PostgresStore;
use crate::census;
use crate::locks;
use crate::session::{Session, Tx, column};

mod collect;
mod index;
mod ranges;

pub(crate) use ranges::Ranges;

/// Below which keys changes of tasks have to be noted. To be asked under [`locks::SEARCH_SHARED`], which is held until the end.
pub(crate) const UNTIL: &str = "SELECT indexing_until, taking_until FROM search_state, census_state";
/// Notes that tasks at these keys are new or may be found by what they were not found by, and those that are new or are not what
/// their census says.
pub(crate) const NOTE: &str = "WITH grown AS (INSERT INTO search_changes (key) SELECT * FROM unnest($1::int8[]))
    INSERT INTO census_changes (key) SELECT * FROM unnest($2::int8[])";

/// Below which keys changes have to be noted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until {
    /// For the search index.
    pub(crate) index: i64,
    /// For the census.
    pub(crate) census: i64,
}

#[async_trait]
impl SearchStore for PostgresStore {
    async fn index_tasks(&self, now: Timestamp) -> Result<bool> {
        let take = async move |store: Self| {
            let has_indexed = index::step(&store, now).await?;
            Ok(census::step(&store, now).await? || has_indexed)
        };
        self.to_the_end(take).await
    }
}

/// Below which key changes have to be noted until the end of the transaction, which holds the locks of its projects.
pub(crate) async fn until(tx: &Tx) -> Result<Until> {
    tx.query(locks::SEARCH_SHARED, &[]).await?;
    read_until(&tx.query(UNTIL, &[]).await?)
}

/// Reads what [`UNTIL`] has found.
pub(crate) fn read_until(rows: &[Row]) -> Result<Until> {
    let row = rows.first().ok_or_else(|| corrupt("search_state is empty"))?;
    Ok(Until { index: column(row, 0)?, census: column(row, 1)? })
}

/// Forgets what lies wholly below `key`, where there are no tasks of any project any more.
pub(crate) async fn forget_below(tx: &Tx, key: i64) -> Result<()> {
    // First, like whoever publishes a step: segments and changes are another's only behind it.
    tx.query("SELECT FROM search_state FOR UPDATE", &[]).await?;
    let rows = tx.query("SELECT id FROM search_segments WHERE high <= $1", &[&key]).await?;
    let gone = rows.iter().map(|row| column(row, 0)).collect::<Result<Vec<i64>>>()?;
    let changes = tx.execute("DELETE FROM search_changes WHERE key < $1", &[&key]).await?;
    if gone.is_empty() && changes == 0 {
        return Ok(());
    }
    remove(tx, &gone).await?;
    // A step that is being taken may be about to replace what is gone.
    tx.execute("UPDATE search_state SET version = version + 1", &[]).await?;
    Ok(())
}

/// Where the indexer stands.
async fn state(session: &Session) -> Result<State> {
    let sql = "SELECT indexed_until, indexing_until, version, folded_at FROM search_state";
    let row = session.query_first(sql, &[]).await?.ok_or_else(|| corrupt("search_state is empty"))?;
    Ok(State {
        indexed_until: column(&row, 0)?,
        indexing_until: column(&row, 1)?,
        version: column(&row, 2)?,
        folded_at: Timestamp(column(&row, 3)?),
    })
}

/// All segments.
pub(crate) async fn segments(session: &Session) -> Result<Vec<Segment>> {
    let sql = "SELECT id, is_patch, low, high, tasks, postings, bucket_bits, opaque FROM search_segments";
    session.query(sql, &[]).await?.iter().map(segment).collect()
}

fn segment(row: &Row) -> Result<Segment> {
    let number = |at: usize| column::<i32>(row, at).map(i32::cast_unsigned);
    Ok(Segment {
        id: column(row, 0)?,
        is_patch: column(row, 1)?,
        low: column(row, 2)?,
        high: column(row, 3)?,
        tasks: number(4)?,
        postings: number(5)?,
        bucket_bits: number(6)?,
        opaque: column(row, 7)?,
    })
}

/// From now on notes changes of tasks below `until`; waits for whoever writes without knowing that. Says where the indexer now
/// stands; `None` when another one has gone on.
async fn announce(store: &PostgresStore, before: State, until: i64) -> Result<Option<State>> {
    let tx = store.begin().await?;
    tx.query(locks::SEARCH, &[]).await?;
    let sql = "UPDATE search_state SET indexing_until = greatest(indexing_until, $2), version = version + 1
        WHERE version = $1";
    if tx.execute(sql, &[&before.version, &until]).await? == 0 {
        return Ok(None);
    }
    let state = state(&tx).await?;
    tx.commit().await?;
    Ok(Some(state))
}

/// Stores what a step has come to, unless another indexer has gone on since `before`.
async fn publish(store: &PostgresStore, before: State, publication: &Publication, folded_at: Timestamp) -> Result<()> {
    let tx = store.begin().await?;
    let Publication { remove: replaced, add, indexed_until, folded } = publication;
    let sql =
        "UPDATE search_state SET version = version + 1, indexed_until = coalesce($2, indexed_until), folded_at = $3
        WHERE version = $1";
    if tx.execute(sql, &[&before.version, indexed_until, &folded_at.0]).await? == 0 {
        return tx.commit().await;
    }
    let row = tx.query_first("SELECT coalesce(max(id), 0) FROM search_segments", &[]).await?;
    let last: i64 = row.map(|row| column(&row, 0)).transpose()?.unwrap_or(0);
    remove(&tx, replaced).await?;
    if let Some(built) = add {
        let id = last + 1;
        let Segment { is_patch, low, high, tasks, postings, bucket_bits, ref opaque, .. } = built.segment;
        let number =
            |number: u32| i32::try_from(number).map_err(|_| StoreError::Internal("a segment is too large".into()));
        let (tasks, postings, bits) = (number(tasks)?, number(postings)?, number(bucket_bits)?);
        let sql = "INSERT INTO search_segments VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        tx.execute(sql, &[&id, &is_patch, &low, &high, &tasks, &postings, &bits, opaque]).await?;
        let (places, bodies): (Vec<i64>, Vec<&[u8]>) =
            built.buckets.iter().map(|(bucket, body)| (place(id, *bucket), body.as_slice())).unzip();
        let sql = "INSERT INTO search_buckets SELECT * FROM unnest($1::int8[], $2::bytea[])";
        tx.execute(sql, &[&places, &bodies]).await?;
    }
    if !folded.is_empty() {
        tx.execute("DELETE FROM search_changes WHERE id = ANY($1)", &[folded]).await?;
    }
    tx.commit().await
}

async fn remove(tx: &Tx, segments: &[i64]) -> Result<()> {
    for id in segments {
        let (from, until) = places_of(*id);
        tx.execute("DELETE FROM search_buckets WHERE place >= $1 AND place < $2", &[&from, &until]).await?;
        tx.execute("DELETE FROM search_segments WHERE id = $1", &[id]).await?;
    }
    Ok(())
}
