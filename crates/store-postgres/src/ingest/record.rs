//! Batches of many streams, in one transaction of three round trips, however many batches there are.
//!
//! 1. Begin, take the locks of the projects, and read all that the group is about: where its streams stand, its tasks,
//!    numbers for its batches.
//! 2. In memory, judge each batch, and merge what is new with what is stored. Write it, and read the statistics that change.
//! 3. Write the statistics, and commit.

use std::time::{Duration, Instant};

use taskplane_store::backend::agent_notes::AgentNotes;
use taskplane_store::backend::changes::Changes;
use taskplane_store::backend::ids;
use taskplane_store::backend::signs::Signs;
use taskplane_store::ingest::{BatchToStore, Recorded, TaskDelta, Verdict};
use taskplane_store::tasks::StoredTask;
use taskplane_store::{Result, StoreError};
use tokio_postgres::Row;

use super::quarantine::Quarantine;
use super::rollups::{self, NewRollups};
use super::streams::{self, RawBatches, Streams};
use super::upsert::{self, Merged, Notes};
use super::{heard, signs};
use crate::PostgresStore;
use crate::locks::{self, project_number};
use crate::names::Names;
use crate::search;
use crate::session::{BEGIN, Tx, Values, column};

/// How long to try to begin while the server is away: long enough for it to restart.
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(200);

/// What a group asks for first, column by column.
struct Question {
    projects: Vec<i32>,
    streams: Vec<i64>,
    seqs: Vec<i64>,
    hashes: Vec<i64>,
}

/// What the database has of it.
struct Answer {
    tx: Tx,
    stands: Vec<Row>,
    digests: Vec<Row>,
    numbers: Vec<Row>,
    tasks: Vec<Row>,
    search_until: Vec<Row>,
}

/// Stores batches. See the module.
pub(super) async fn record(store: &PostgresStore, batches: Vec<BatchToStore>, want_tasks: bool) -> Result<Recorded> {
    if batches.is_empty() {
        return Ok(Recorded::default());
    }
    let names = store.names();
    let question = Question::of(&batches, names.seed);
    let Answer { tx, stands, digests, numbers, tasks, search_until } = ask_patiently(store, &question).await?;
    let mut streams = Streams::read(&stands, &digests)?;
    let mut numbers = numbers.iter();
    let mut recorded = Recorded::default();
    let (mut agents, mut told, mut changes) = (AgentNotes::default(), Signs::default(), Changes::new(names.seed));
    let (mut raw, mut quarantine) = (RawBatches::default(), Quarantine::default());
    for mut batch in batches {
        let (verdict, last) = streams.judge(&batch)?;
        recorded.batches.push((verdict, last));
        agents.note(&batch, verdict);
        if !matches!(verdict, Verdict::Stored { .. }) {
            continue;
        }
        let number = numbers.next().ok_or_else(|| StoreError::Internal("too few numbers for batches".into()))?;
        let number: i64 = column(number, 0)?;
        raw.add(&mut batch, number);
        quarantine.take(&mut batch);
        told.take(batch.project, std::mem::take(&mut batch.workers), std::mem::take(&mut batch.queues));
        changes.take(batch, number.cast_unsigned());
    }
    let mut merged = upsert::merge(names, &tx, changes.into_vec(), &tasks).await?;
    let statistics = std::mem::take(&mut merged.rollups);
    let (new_statistics, ..) = tokio::try_join!(biased;
        statistics.add_to_stored(&tx),
        raw.store(&tx),
        merged.store(&tx),
        streams.advance(&tx),
        heard::store(&tx, agents),
        signs::store(&tx, told),
        quarantine.store(&tx),
    )?;
    let notes = merged.notes(search::read_until(&search_until)?);
    recorded.tasks = finish(names, tx, new_statistics, merged, notes, want_tasks).await?;
    Ok(recorded)
}

/// Writes what remains once tasks have their keys, and commits. `notes` are those of the tasks. With `want_tasks`, returns the tasks that changed.
pub(crate) async fn finish(
    names: &Names,
    tx: Tx,
    statistics: NewRollups,
    merged: Merged,
    notes: Notes,
    want_tasks: bool,
) -> Result<Vec<(u64, StoredTask)>> {
    let (put, link, note) =
        tokio::try_join!(tx.statement(rollups::PUT), tx.statement(upsert::LINK), tx.statement(search::NOTE))?;
    statistics.remove_empty(&tx).await?;
    let (projects, links, keys) = merged.links();
    let store_links = async {
        if !projects.is_empty() {
            tx.run(&link, &[&projects, &links, &keys]).await?;
        }
        Ok(())
    };
    let store_notes = async {
        if !(notes.index.is_empty() && notes.census.is_empty()) {
            tx.run(&note, &[&notes.index, &notes.census]).await?;
        }
        Ok(())
    };
    let tasks = if want_tasks { merged.into_tasks(names, &tx).await? } else { Vec::new() };
    tokio::try_join!(biased; statistics.store(&tx, &put), store_links, store_notes, tx.simple("COMMIT"))?;
    tx.committed();
    Ok(tasks)
}

/// The first round trip; again and again while the server is away. Nothing has been changed yet, so trying again is safe; what
/// fails later goes back to the agents, which send it again.
async fn ask_patiently(store: &PostgresStore, question: &Question) -> Result<Answer> {
    let until = Instant::now() + PATIENCE;
    loop {
        match ask(store, question).await {
            Err(error) if error.is_retryable() && Instant::now() < until => {
                tracing::debug!(%error, "batches wait for the database");
                tokio::time::sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

async fn ask(store: &PostgresStore, question: &Question) -> Result<Answer> {
    let session = store.writing().await?;
    // Prepared first: what is sent without waiting has to arrive in this order.
    let (lock, stands, digests, numbers, tasks, search_lock, search_until) = tokio::try_join!(
        session.statement(locks::PROJECTS),
        session.statement(streams::STANDS),
        session.statement(streams::DIGESTS),
        session.statement(streams::NUMBERS),
        session.statement(upsert::FIND),
        session.statement(locks::SEARCH_SHARED),
        session.statement(search::UNTIL),
    )?;
    let tx = Tx::of(session);
    let Question { projects, streams, seqs, hashes } = question;
    let count = i32::try_from(streams.len()).unwrap_or(i32::MAX);
    let (of_projects, of_streams): (Values<'_>, Values<'_>) = (&[projects], &[streams]);
    let (of_batches, of_count): (Values<'_>, Values<'_>) = (&[streams, seqs], &[&count]);
    let of_tasks: Values<'_> = &[hashes];
    let ((), _, stands, digests, numbers, tasks, _, search_until) = tokio::try_join!(biased;
        tx.simple(BEGIN),
        tx.rows(&lock, of_projects),
        tx.rows(&stands, of_streams),
        tx.rows(&digests, of_batches),
        tx.rows(&numbers, of_count),
        tx.rows(&tasks, of_tasks),
        tx.rows(&search_lock, &[]),
        tx.rows(&search_until, &[]),
    )?;
    Ok(Answer { tx, stands, digests, numbers, tasks, search_until })
}

impl Question {
    fn of(batches: &[BatchToStore], seed: u64) -> Self {
        let mut projects: Vec<i32> = batches.iter().map(|batch| project_number(batch.project)).collect();
        projects.sort_unstable();
        projects.dedup();
        let (streams, seqs) = batches.iter().map(|batch| (batch.stream.cast_signed(), batch.seq.cast_signed())).unzip();
        let hash = |batch: &BatchToStore, id: &str| ids::hash(seed, batch.project, id);
        let of_batch = |batch| move |task: &TaskDelta| hash(batch, &task.task_id);
        let mut hashes: Vec<i64> = batches.iter().flat_map(|batch| batch.tasks.iter().map(of_batch(batch))).collect();
        hashes.sort_unstable();
        hashes.dedup();
        Self { projects, streams, seqs, hashes }
    }
}
