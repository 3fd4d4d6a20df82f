//! How long reads take on a folder that `ingest_rate` has filled, once all of it is in the search index. Prints JSON: the median
//! and the 99th percentile in milliseconds.
//!
//! ```text
//! cargo run --release -p taskplane-store-sqlite --example read_latency -- [folder] [rounds]
//! ```

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, not a program")]

use std::path::Path;
use std::time::Instant;

use taskplane_model::filter::TaskFilter;
use taskplane_model::time::MINUTE;
use taskplane_store::stats::StatsQuery;
use taskplane_store::tasks::TaskQuery;
use taskplane_store::{SearchStore, StatisticsStore, TaskStore};
use taskplane_store_sqlite::SqliteStore;

const FILTERS: [&str; 18] = [
    "",
    "state:failed",
    "state:succeeded",
    "state:pending",
    "name:shop.tasks.area3.do_work_9",
    "name:shop.tasks.*",
    "queue:queue-3",
    "worker:celery@worker-7 state:failed",
    "worker:no-such-worker",
    "since:1h name:*_17",
    "arg:order_id=17",
    "nothing contains this",
    "\"card declined\"",
    "user54321@example",
    "104857",
    "queue:queue-3 user54321",
    "\"card declined\" user543",
    "name:*_17 user54321",
];

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let folder = args.next().unwrap_or_else(|| "/tmp/taskplane-ingest-rate".into());
    let rounds: usize = args.next().map_or(200, |n| n.parse().unwrap());
    let began = Instant::now();
    let store = SqliteStore::open(Path::new(&folder)).unwrap();
    let mut report = serde_json::Map::new();
    report.insert("open".into(), (began.elapsed().as_secs_f64() * 1e3).into());
    let began = Instant::now();
    let (cpu, mut steps) = (cpu_seconds(), 0u32);
    // Later than anything in the folder.
    while store.index_tasks(taskplane_model::Timestamp(1_900_000_000_000_000)).await.unwrap() {
        steps += 1;
    }
    let index = serde_json::json!({
        "steps": steps, "seconds": began.elapsed().as_secs_f64(), "cpu_seconds": cpu_seconds() - cpu,
    });
    report.insert("indexing".into(), index);
    let newest = store.list_tasks(query("", 1)).await.unwrap().items.remove(0);
    let now = newest.first_seen;
    let mut ids = Vec::new();
    for filter in FILTERS {
        let mut cursor = None;
        let mut lists = Vec::new();
        for _ in 0..rounds {
            let began = Instant::now();
            let page = store.list_tasks(TaskQuery { cursor, ..query(filter, 50) }).await.unwrap();
            lists.push(began.elapsed().as_secs_f64() * 1e3);
            cursor = page.next;
            ids.extend(page.items.into_iter().map(|task| task.task_id));
        }
        report.insert(format!("list {filter}"), summary(lists));
        let mut counts = Vec::new();
        for _ in 0..rounds / 10 {
            let began = Instant::now();
            store.count_tasks(query(filter, 50)).await.unwrap();
            counts.push(began.elapsed().as_secs_f64() * 1e3);
        }
        report.insert(format!("count {filter}"), summary(counts));
    }
    let mut gets = Vec::new();
    for id in ids.iter().step_by(ids.len() / rounds + 1) {
        let began = Instant::now();
        assert!(store.task(1, "celery", id).await.unwrap().is_some());
        gets.push(began.elapsed().as_secs_f64() * 1e3);
    }
    report.insert("task".into(), summary(gets));
    let mut missing = Vec::new();
    for number in 0..rounds {
        let began = Instant::now();
        assert!(store.task(1, "celery", &format!("missing-{number}")).await.unwrap().is_none());
        missing.push(began.elapsed().as_secs_f64() * 1e3);
    }
    report.insert("task not there".into(), summary(missing));
    let mut stats = Vec::new();
    for _ in 0..rounds / 10 {
        let began = Instant::now();
        let (since, until) = (now.plus(-60 * MINUTE), now.plus(MINUTE));
        let query = StatsQuery { project: 1, since, until, step_minutes: 1, name: None, queue: None };
        store.stats(query).await.unwrap();
        stats.push(began.elapsed().as_secs_f64() * 1e3);
    }
    report.insert("stats of an hour".into(), summary(stats));
    println!("{}", serde_json::to_string_pretty(&report).unwrap());
}

/// CPU seconds that this process has used.
fn cpu_seconds() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let stats = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok());
    stats.filter_map(|stat| stat.split(' ').next()?.parse::<f64>().ok()).sum::<f64>() / 1e9
}

fn query(filter: &str, limit: usize) -> TaskQuery {
    let now = taskplane_model::Timestamp(1_795_003_600_000_000);
    TaskQuery { project: 1, filter: TaskFilter::parse(filter, now).unwrap(), limit, cursor: None }
}

fn summary(mut times: Vec<f64>) -> serde_json::Value {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| (times[((times.len() - 1) as f64 * share) as usize] * 1e3).round() / 1e3;
    serde_json::json!([at(0.5), at(0.99)])
}
