//! `fill`: a store with millions of tasks, to measure reads on.
//!
//! Events are made as agents would send them, spread over days, folded as the brain does, and stored by the store's own verb: what is in
//! the database is what ingest would have put there. What is known of it is written to `fill.json` beside it.

mod batches;
mod life;
pub(crate) mod manifest;
mod plan;
pub(crate) mod vocabulary;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use taskplane_model::Timestamp;
use taskplane_model::agent::AgentProfile;
use taskplane_store::Store;
use taskplane_store::ingest::{BatchToStore, OpenedStream, StreamToOpen, Verdict};
use taskplane_store_postgres::PostgresStore;
use taskplane_store_sqlite::SqliteStore;

use crate::brain_process::{BrainStore, now};
use batches::Batches;
use manifest::Manifest;
use plan::Span;
use vocabulary::Vocabulary;

/// Agents that are played.
const AGENTS: u64 = 16;
/// Batches of each agent in one transaction.
const BATCHES_AT_ONCE: usize = 4;
const DAY_US: i64 = 86_400_000_000;

/// Where the stored tasks are.
#[derive(Clone, Debug, Args)]
pub(crate) struct Filled {
    /// Folder of the data, and of `fill.json`, which tells what was stored.
    #[arg(long, default_value = "/tmp/taskplane-bench")]
    pub(crate) folder: PathBuf,
    /// Keep the data in this PostgreSQL database; only `fill.json` is in the folder then. It should be a fresh one.
    #[arg(long, value_name = "URL", hide_env_values = true)]
    pub(crate) database_url: Option<String>,
}

impl Filled {
    /// Where the brain finds it.
    pub(crate) fn store(&self) -> BrainStore {
        match &self.database_url {
            Some(url) => BrainStore::Database(url.clone()),
            None => BrainStore::Folder(self.folder.join("data")),
        }
    }

    async fn open(&self) -> Result<Arc<dyn Store>> {
        Ok(match self.store() {
            BrainStore::Folder(folder) => Arc::new(SqliteStore::open(&folder)?),
            BrainStore::Database(url) => Arc::new(PostgresStore::connect(&url).await?),
        })
    }
}

/// What to store.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Filled,
    /// Tasks.
    #[arg(long, default_value_t = 10_000_000)]
    tasks: u64,
    /// Days, ending now, over which they are spread.
    #[arg(long, default_value_t = 1)]
    days: u64,
    /// What the random numbers begin with.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[expect(clippy::print_stdout, reason = "the report is this program's output")]
pub(crate) async fn run(options: &Options) -> Result<()> {
    let place = &options.place;
    ensure!(options.tasks >= 1_000, "--tasks must be at least 1000");
    std::fs::create_dir_all(&place.folder).with_context(|| format!("making {}", place.folder.display()))?;
    if let Some(known) = Manifest::read(&place.folder)? {
        let folder = place.folder.display();
        ensure!(
            (known.tasks_asked, known.days, known.seed) == (options.tasks, options.days, options.seed),
            "{folder} has {} tasks over {} days already; remove it, or name another --folder",
            known.tasks,
            known.days
        );
        println!("{}", serde_json::json!({ "folder": folder.to_string(), "tasks": known.tasks, "filled": "before" }));
        return Ok(());
    }
    let store = place.open().await?;
    let manifest = fill(&*store, options).await?;
    manifest.write(&place.folder)?;
    drop(store);
    let bytes = place.store().bytes_on_disk()?;
    let report = serde_json::json!({
        "folder": place.folder, "tasks": manifest.tasks, "events": manifest.events, "days": manifest.days,
        "seconds": manifest.seconds.round(), "duties_seconds": manifest.duties_seconds.round(),
        "events_per_second": (manifest.events as f64 / manifest.seconds).round(),
        "bytes_on_disk_per_event": bytes.map(|bytes| (bytes as f64 / manifest.events as f64 * 10.0).round() / 10.0),
        "states": manifest.states,
    });
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}

async fn fill(store: &dyn Store, options: &Options) -> Result<Manifest> {
    let project = store.project("default").await?.context("the store has no project \"default\"")?.id;
    let until = now().0;
    let from = until - options.days.cast_signed() * DAY_US;
    let span = Span { seed: options.seed, tasks: options.tasks, agent: 0, agents: AGENTS, from, until };
    let mut streams = Vec::new();
    for agent in 0..AGENTS {
        let profile = AgentProfile { engines: vec!["celery".into()], ..AgentProfile::default() };
        let agent_name = format!("filled-{agent:02}");
        let stream = StreamToOpen { project, agent_name, instance_id: "fill".into(), profile };
        let opened = store.open_stream(stream, Timestamp(from)).await?;
        ensure!(opened.last_seq == 0, "a fill of this store was begun before; remove it and begin again");
        streams.push(opened);
    }
    let began = Instant::now();
    let threads = thread::available_parallelism().map_or(2, |n| n.get() as u64).min(AGENTS);
    let (mut makers, mut sources) = (Vec::new(), Vec::new());
    for thread in 0..threads {
        let (sender, receiver) = sync_channel(2);
        let streams = streams.clone();
        makers.push(thread::spawn(move || make(span, thread, threads, project, &streams, &sender)));
        sources.push(receiver);
    }
    store_all(store, sources).await?;
    let seconds = began.elapsed().as_secs_f64();
    // What the brain's duties would do in the time that these tasks stand for.
    while store.fold_statistics(now()).await? {}
    while store.index_tasks(now()).await? {}
    let mut manifest = Manifest::default();
    for maker in makers {
        manifest.merge(maker.join().map_err(|_| anyhow::anyhow!("a thread that makes batches panicked"))??);
    }
    manifest.samples.sort_by(|a, b| a.order.cmp(&b.order));
    manifest.workflows.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    Ok(Manifest {
        seed: options.seed,
        tasks: manifest.states.values().sum(),
        tasks_asked: options.tasks,
        days: options.days,
        from,
        until,
        seconds,
        duties_seconds: began.elapsed().as_secs_f64() - seconds,
        ..manifest
    })
}

/// Makes the batches of some agents, a few of each at once, so that all come forward in time together.
fn make(
    span: Span,
    thread: u64,
    threads: u64,
    project: u64,
    streams: &[OpenedStream],
    sender: &SyncSender<Vec<BatchToStore>>,
) -> Result<Manifest> {
    let vocabulary = Vocabulary::new();
    let tracebacks: Vec<String> = vocabulary
        .failures
        .iter()
        .map(|failure| serde_json::to_string(&failure.traceback))
        .collect::<serde_json::Result<_>>()?;
    let mut agents: Vec<_> = Span::agents_of(AGENTS, thread, threads)
        .map(|agent| {
            let stream = streams[agent as usize];
            Batches::new(&vocabulary, &tracebacks, Span { agent, ..span }, project, stream)
        })
        .collect();
    loop {
        let mut batches = Vec::with_capacity(agents.len() * BATCHES_AT_ONCE);
        for agent in &mut agents {
            for _ in 0..BATCHES_AT_ONCE {
                batches.extend(agent.next()?);
            }
        }
        // The other end goes when storing has failed, and says why.
        if batches.is_empty() || sender.send(batches).is_err() {
            break;
        }
    }
    let mut told = Manifest::default();
    for agent in agents {
        told.merge(agent.into_told());
    }
    Ok(told)
}

/// Stores what comes, one transaction for what all threads have next.
#[expect(clippy::print_stderr, reason = "it takes minutes; somebody watches")]
async fn store_all(store: &dyn Store, mut sources: Vec<Receiver<Vec<BatchToStore>>>) -> Result<()> {
    let (began, mut stored, mut said) = (Instant::now(), 0, Instant::now());
    while !sources.is_empty() {
        let mut group = Vec::new();
        tokio::task::block_in_place(|| {
            sources.retain(|source| source.recv().map(|batches| group.extend(batches)).is_ok());
        });
        if group.is_empty() {
            continue;
        }
        group.sort_by_key(|batch| (batch.stream, batch.seq));
        stored += group.iter().map(|batch| u64::from(batch.events)).sum::<u64>();
        let recorded = store.record_batches(group, false).await?;
        let all = recorded.batches.iter().all(|(verdict, _)| *verdict == Verdict::Stored { lost: 0 });
        ensure!(all, "a batch was not stored: {:?}", recorded.batches);
        if said.elapsed().as_secs() >= 10 {
            said = Instant::now();
            eprintln!("{stored} events, {:.0} a second", stored as f64 / began.elapsed().as_secs_f64());
        }
    }
    Ok(())
}
