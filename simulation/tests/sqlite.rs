//! The same worlds on the real embedded store: step by step and in the end it must be the reference's equal.

#![expect(clippy::expect_used, reason = "in a test, what cannot be is a failure")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use taskplane_model::command::{Command, CommandOutcome};
use taskplane_model::rollup::Rollup;
use taskplane_model::{TaskRecord, Timestamp, time::MINUTE};
use taskplane_simulation::{Contents, Keep, PROJECT, Store, run, run_on};
use taskplane_store::commands::CommandQuery;
use taskplane_store::ingest::{BatchToStore, OpenedStream, Recorded, StreamToOpen};
use taskplane_store::stats::StatsQuery;
use taskplane_store::tasks::{Page, TaskQuery};
use taskplane_store::{CommandStore, FleetStore, IngestStore, StatisticsStore, TaskStore};
use taskplane_store_sqlite::SqliteStore;
use tokio::runtime::{Builder, Runtime};

/// Seeds; each opens a real database.
const SEEDS: u64 = 40;

struct OnSqlite {
    folder: PathBuf,
    runtime: Runtime,
    store: Option<SqliteStore>,
    /// Names and queues that tasks ever had, and the minutes in which something happened to them.
    names: BTreeSet<String>,
    queues: BTreeSet<String>,
    minutes: Option<(i64, i64)>,
}

impl OnSqlite {
    fn new(folder: PathBuf) -> Self {
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let store = Some(SqliteStore::open(&folder).expect("opens"));
        Self { folder, runtime, store, names: BTreeSet::new(), queues: BTreeSet::new(), minutes: None }
    }

    fn store(&self) -> &SqliteStore {
        self.store.as_ref().expect("open")
    }

    fn note(&mut self, record: &TaskRecord) {
        self.names.extend(record.name.clone());
        self.queues.extend(record.queue.as_ref().map(|queue| queue.value.clone()));
        for mark in &record.marks {
            let minute = mark.ts.minute();
            let (first, last) = self.minutes.unwrap_or((minute, minute));
            self.minutes = Some((first.min(minute), last.max(minute)));
        }
    }

    async fn tasks(&self) -> BTreeMap<String, TaskRecord> {
        let mut tasks = BTreeMap::new();
        let mut query = TaskQuery { project: PROJECT, limit: 100, ..TaskQuery::default() };
        loop {
            let page = self.store().list_tasks(query.clone()).await.expect("tasks");
            for task in page.items {
                tasks.insert(task.task_id, TaskRecord { batches: Vec::new(), agents: Vec::new(), ..task.record });
            }
            match page.next {
                Some(cursor) => query.cursor = Some(cursor),
                None => return tasks,
            }
        }
    }

    async fn statistics_of(&self, name: Option<&String>, queue: Option<&String>) -> BTreeMap<i64, Rollup> {
        let Some((first, last)) = self.minutes else { return BTreeMap::new() };
        let query = StatsQuery {
            project: PROJECT,
            since: Timestamp(first * MINUTE),
            until: Timestamp((last + 1) * MINUTE),
            step_minutes: 1,
            name: name.cloned(),
            queue: queue.cloned(),
        };
        let points = self.store().stats(query).await.expect("statistics");
        points.into_iter().filter(|p| !p.rollup.is_empty()).map(|p| (p.ts.minute(), p.rollup)).collect()
    }
}

impl Store for OnSqlite {
    fn open_stream(&mut self, stream: StreamToOpen, now: Timestamp) -> OpenedStream {
        self.runtime.block_on(self.store().open_stream(stream, now)).expect("a stream")
    }

    fn record_batches(&mut self, batches: Vec<BatchToStore>) -> Recorded {
        let records: Vec<TaskRecord> = batches.iter().flat_map(|b| &b.tasks).map(|task| task.record.clone()).collect();
        records.iter().for_each(|record| self.note(record));
        self.runtime.block_on(self.store().record_batches(batches, false)).expect("stored")
    }

    fn create_command(&mut self, command: Command) {
        let (_, is_new) = self.runtime.block_on(self.store().create_command(PROJECT, command, None)).expect("recorded");
        assert!(is_new);
    }

    fn command_sent(&mut self, id: &str, agent: &str) -> bool {
        self.runtime.block_on(self.store().command_sent(PROJECT, id, agent)).expect("recorded")
    }

    fn finish_command(&mut self, id: &str, outcome: CommandOutcome, now: Timestamp) {
        self.runtime.block_on(self.store().finish_command(PROJECT, id, outcome, Vec::new(), now)).expect("recorded");
    }

    fn abandon_open_commands(&mut self, now: Timestamp) {
        self.runtime.block_on(self.store().abandon_open_commands(now)).expect("recorded");
    }

    fn restart(&mut self) {
        self.store = None;
        self.store = Some(SqliteStore::open(&self.folder).expect("opens again"));
    }

    fn contents(&mut self) -> Contents {
        self.runtime.block_on(async {
            let agents = self.store().agents(PROJECT).await.expect("agents");
            let page = Page { limit: 1_000, cursor: None };
            let (commands, _) = self.store().commands(PROJECT, CommandQuery::default(), page).await.expect("commands");
            let mut statistics = BTreeMap::new();
            for name in &self.names {
                for queue in &self.queues {
                    for (minute, rollup) in self.statistics_of(Some(name), Some(queue)).await {
                        statistics.insert((name.clone(), queue.clone(), minute), rollup);
                    }
                }
            }
            // What has no name or no queue is seen in the sum of everything.
            for (minute, rollup) in self.statistics_of(None, None).await {
                statistics.insert(("*".into(), "*".into(), minute), rollup);
            }
            Contents {
                tasks: self.tasks().await,
                statistics,
                agents: agents.into_iter().map(|a| (a.name, (a.lost_batches, a.quarantined_events))).collect(),
                commands: commands.into_iter().map(|c| (c.id, (c.status, c.error))).collect(),
            }
        })
    }
}

#[test]
fn the_embedded_store_does_what_the_reference_does() {
    for seed in 0..SEEDS {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Box::new(OnSqlite::new(folder.path().to_owned()));
        let reference = run(seed, Keep::Last(100)).unwrap_or_else(|failure| panic!("{failure}"));
        let real = run_on(seed, Keep::Last(100), store).unwrap_or_else(|failure| panic!("on SQLite: {failure}"));
        assert_eq!(real.trace, reference.trace, "seed {seed} takes other steps");
        assert_eq!(real.contents.tasks, reference.contents.tasks, "seed {seed}");
        assert_eq!(real.contents.statistics, reference.contents.statistics, "seed {seed}");
        assert_eq!(real.contents.agents, reference.contents.agents, "seed {seed}");
        assert_eq!(real.contents.commands, reference.contents.commands, "seed {seed}");
    }
}
