//! Streams: where each stands, and what is to be made of a batch.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, params};
use taskplane_model::Timestamp;
use taskplane_store::StoreError;
use taskplane_store::ingest::{BatchToStore, OpenedStream, StreamToOpen, Verdict};

use crate::errors::Done;
use crate::writer::Tx;

/// Streams remembered; beyond it all are forgotten and read again.
const KEPT: usize = 20_000;

/// Where streams stand.
#[derive(Debug, Default)]
pub(crate) struct StreamCache {
    last_seq: HashMap<u64, u64>,
    /// Streams that stand elsewhere than the table says.
    moved: Vec<u64>,
}

/// Registers an agent and its stream.
pub(super) fn open(tx: &mut Tx<'_>, stream: &StreamToOpen, now: Timestamp) -> Done<OpenedStream> {
    let sql = "INSERT INTO agents (project, name, profile, first_seen_at, last_seen_at) VALUES (?1, ?2, ?3, ?4, ?4)
        ON CONFLICT (project, name)
        DO UPDATE SET profile = excluded.profile, last_seen_at = max(last_seen_at, excluded.last_seen_at)
        RETURNING id";
    let profile = serde_json::to_string(&stream.profile)?;
    let values = params![stream.project.cast_signed(), stream.agent_name, profile, now.0];
    let agent: i64 = tx.db.prepare_cached(sql)?.query_row(values, |row| row.get(0))?;
    let find = "SELECT id, last_seq FROM streams WHERE agent = ?1 AND instance_id = ?2";
    let found = tx.db.prepare_cached(find)?.query_row(params![agent, stream.instance_id], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?.cast_unsigned()))
    });
    let (number, last_seq) = match found.optional()? {
        Some(found) => found,
        None => {
            let sql = "INSERT INTO streams (agent, instance_id, last_seq) VALUES (?1, ?2, 0)";
            let number = tx.db.prepare_cached(sql)?.insert(params![agent, stream.instance_id])?;
            // A new stream is the remedy for a restarted one.
            tx.db
                .prepare_cached("UPDATE agents SET problem = NULL WHERE id = ?1 AND problem IS NOT NULL")?
                .execute([agent])?;
            (number, 0)
        }
    };
    Ok(OpenedStream { agent: agent.cast_unsigned(), stream: number.cast_unsigned(), last_seq, opening: 0 })
}

/// What is to be made of `batch`, and where its stream stands after it.
pub(super) fn judge(tx: &mut Tx<'_>, batch: &BatchToStore) -> Done<(Verdict, u64)> {
    let last = last_seq(tx, batch.stream)?;
    if batch.seq > last {
        let streams = &mut tx.caches.streams;
        streams.last_seq.insert(batch.stream, batch.seq);
        if !streams.moved.contains(&batch.stream) {
            streams.moved.push(batch.stream);
        }
        return Ok((Verdict::Stored { lost: batch.seq - last - 1 }, batch.seq));
    }
    let sql = "SELECT digest FROM batches WHERE stream = ?1 AND seq = ?2";
    let place = [batch.stream.cast_signed(), batch.seq.cast_signed()];
    let digest: Option<i64> = tx.db.prepare_cached(sql)?.query_row(place, |row| row.get(0)).optional()?;
    // An old batch whose digest is gone gets the benefit of the doubt.
    let same = digest.is_none_or(|digest| digest.cast_unsigned() == batch.digest);
    Ok((if same { Verdict::Replay } else { Verdict::Conflict }, last))
}

/// Keeps a batch as it came. Returns its number.
pub(super) fn keep_raw(tx: &mut Tx<'_>, batch: &BatchToStore) -> Done<u64> {
    let sql = "INSERT INTO batches (stream, seq, digest, received_at, events, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let number = tx.db.prepare_cached(sql)?.insert(params![
        batch.stream.cast_signed(),
        batch.seq.cast_signed(),
        batch.digest.cast_signed(),
        batch.received_at.0,
        batch.events,
        batch.compressed,
    ])?;
    Ok(number.cast_unsigned())
}

/// Writes down where the streams stand that have moved.
pub(super) fn advance(tx: &mut Tx<'_>) -> Done<()> {
    let streams = &mut tx.caches.streams;
    let mut update = tx.db.prepare_cached("UPDATE streams SET last_seq = ?2 WHERE id = ?1")?;
    for stream in streams.moved.drain(..) {
        if let Some(seq) = streams.last_seq.get(&stream) {
            update.execute([stream.cast_signed(), seq.cast_signed()])?;
        }
    }
    if streams.last_seq.len() > KEPT {
        streams.last_seq.clear();
    }
    Ok(())
}

fn last_seq(tx: &mut Tx<'_>, stream: u64) -> Done<u64> {
    if let Some(seq) = tx.caches.streams.last_seq.get(&stream) {
        return Ok(*seq);
    }
    let sql = "SELECT last_seq FROM streams WHERE id = ?1";
    let found: Option<i64> =
        tx.db.prepare_cached(sql)?.query_row([stream.cast_signed()], |row| row.get(0)).optional()?;
    let seq = found.ok_or_else(|| StoreError::Internal(format!("stream {stream} was never opened")))?.cast_unsigned();
    tx.caches.streams.last_seq.insert(stream, seq);
    Ok(seq)
}
