//! Streams: where each stands, and what is to be made of a batch.

use std::collections::{BTreeMap, HashMap};

use taskplane_model::Timestamp;
use taskplane_store::ingest::{BatchToStore, OpenedStream, StreamToOpen, Verdict};
use taskplane_store::{Result, StoreError};
use tokio_postgres::Row;

use crate::locks::project_number;
use crate::session::{Session, Tx, column, to_json};
use crate::text::Text;

pub(super) const STANDS: &str = "SELECT id, last_seq FROM streams WHERE id = ANY($1)";
pub(super) const DIGESTS: &str =
    "SELECT b.stream, b.seq, b.digest FROM unnest($1::int8[], $2::int8[]) AS n(stream, seq)
    JOIN batches b ON b.stream = n.stream AND b.seq = n.seq";
pub(super) const NUMBERS: &str = "SELECT nextval('batch_numbers') FROM generate_series(1, $1::int4)";

/// Where streams stand, and the digests of what was stored before under the numbers that came.
#[derive(Debug, Default)]
pub(super) struct Streams {
    last_seq: HashMap<u64, u64>,
    digests: HashMap<(u64, u64), u64>,
    moved: BTreeMap<u64, u64>,
}

/// Registers an agent and its stream.
pub(super) async fn open(tx: &Tx, stream: &StreamToOpen, now: Timestamp) -> Result<OpenedStream> {
    let sql =
        "INSERT INTO agents AS a (project, name, profile, first_seen_at, last_seen_at) VALUES ($1, $2, $3, $4, $4)
        ON CONFLICT (project, name)
        DO UPDATE SET profile = excluded.profile, last_seen_at = greatest(a.last_seen_at, excluded.last_seen_at)
        RETURNING id";
    let (project, profile) = (project_number(stream.project), to_json(&stream.profile)?);
    let row = tx.query_first(sql, &[&project, &Text(&stream.agent_name), &profile, &now.0]).await?;
    let nothing = || StoreError::Internal("an insert returned nothing".into());
    let agent: i64 = column(&row.ok_or_else(nothing)?, 0)?;
    // Under the project's lock, so that the numbers of a stream's openings are in the order in which they happened.
    let find = "SELECT id, last_seq, nextval('stream_openings') FROM streams WHERE agent = $1 AND instance_id = $2";
    let instance = Text(&stream.instance_id);
    let (number, last_seq, opening) = match tx.query_first(find, &[&agent, &instance]).await? {
        Some(row) => (column::<i64>(&row, 0)?, column::<i64>(&row, 1)?, column::<i64>(&row, 2)?),
        None => {
            let sql = "INSERT INTO streams (agent, instance_id, last_seq) VALUES ($1, $2, 0)
                RETURNING id, nextval('stream_openings')";
            let row = tx.query_first(sql, &[&agent, &instance]).await?.ok_or_else(nothing)?;
            // A new stream is the remedy for a restarted one.
            tx.execute("UPDATE agents SET problem = NULL WHERE id = $1 AND problem IS NOT NULL", &[&agent]).await?;
            (column(&row, 0)?, 0, column(&row, 1)?)
        }
    };
    let (agent, stream) = (agent.cast_unsigned(), number.cast_unsigned());
    Ok(OpenedStream { agent, stream, last_seq: last_seq.cast_unsigned(), opening: opening.cast_unsigned() })
}

impl Streams {
    /// Reads what [`STANDS`] and [`DIGESTS`] have found.
    pub(super) fn read(stands: &[Row], digests: &[Row]) -> Result<Self> {
        let mut streams = Self::default();
        let number = |row: &Row, at: usize| column::<i64>(row, at).map(i64::cast_unsigned);
        for row in stands {
            streams.last_seq.insert(number(row, 0)?, number(row, 1)?);
        }
        for row in digests {
            streams.digests.insert((number(row, 0)?, number(row, 1)?), number(row, 2)?);
        }
        Ok(streams)
    }

    /// What is to be made of `batch`, and where its stream stands after it.
    pub(super) fn judge(&mut self, batch: &BatchToStore) -> Result<(Verdict, u64)> {
        let never = || StoreError::Internal(format!("stream {} was never opened", batch.stream));
        let last = *self.last_seq.get(&batch.stream).ok_or_else(never)?;
        if batch.seq > last {
            self.last_seq.insert(batch.stream, batch.seq);
            self.moved.insert(batch.stream, batch.seq);
            self.digests.insert((batch.stream, batch.seq), batch.digest);
            return Ok((Verdict::Stored { lost: batch.seq - last - 1 }, batch.seq));
        }
        // An old batch whose digest is gone gets the benefit of the doubt.
        let same = self.digests.get(&(batch.stream, batch.seq)).is_none_or(|digest| *digest == batch.digest);
        Ok((if same { Verdict::Replay } else { Verdict::Conflict }, last))
    }

    /// Writes down where the streams stand that have moved.
    pub(super) async fn advance(&self, session: &Session) -> Result<()> {
        if self.moved.is_empty() {
            return Ok(());
        }
        let (streams, seqs): (Vec<i64>, Vec<i64>) =
            self.moved.iter().map(|(stream, seq)| (stream.cast_signed(), seq.cast_signed())).unzip();
        let sql =
            "UPDATE streams s SET last_seq = n.seq FROM unnest($1::int8[], $2::int8[]) AS n(id, seq) WHERE s.id = n.id";
        session.execute(sql, &[&streams, &seqs]).await?;
        Ok(())
    }
}

/// Batches that are kept as they came.
#[derive(Debug, Default)]
pub(super) struct RawBatches {
    numbers: Vec<i64>,
    streams: Vec<i64>,
    seqs: Vec<i64>,
    digests: Vec<i64>,
    received: Vec<i64>,
    events: Vec<i32>,
    bodies: Vec<Vec<u8>>,
}

impl RawBatches {
    /// Adds a batch under a number.
    pub(super) fn add(&mut self, batch: &mut BatchToStore, number: i64) {
        self.numbers.push(number);
        self.streams.push(batch.stream.cast_signed());
        self.seqs.push(batch.seq.cast_signed());
        self.digests.push(batch.digest.cast_signed());
        self.received.push(batch.received_at.0);
        self.events.push(batch.events.cast_signed());
        self.bodies.push(std::mem::take(&mut batch.compressed));
    }

    /// Writes them down.
    pub(super) async fn store(&self, session: &Session) -> Result<()> {
        if self.numbers.is_empty() {
            return Ok(());
        }
        let sql = "INSERT INTO batches (id, stream, seq, digest, received_at, events, body)
            SELECT * FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::int4[], $7::bytea[])";
        let Self { numbers, streams, seqs, digests, received, events, bodies } = self;
        session.execute(sql, &[numbers, streams, seqs, digests, received, events, bodies]).await?;
        Ok(())
    }
}
