//! How long counts take on a folder that `taskplane-bench fill` has made, and how far they get, once all of it is in the search
//! index and in censuses. Prints a line per filter: median and 99th percentile in milliseconds, and a count.
//!
//! ```text
//! cargo run --release -p taskplane-store-sqlite --example count_latency -- [folder] [rounds]
//! ```

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, not a program")]

use std::path::Path;
use std::time::{Instant, SystemTime};

use taskplane_model::Timestamp;
use taskplane_model::filter::TaskFilter;
use taskplane_store::tasks::TaskQuery;
use taskplane_store::{SearchStore, TaskStore};
use taskplane_store_sqlite::SqliteStore;

const FILTERS: [&str; 24] = [
    "",
    "state:succeeded",
    "state:failed",
    "name:billing.collect",
    "name:billing.*",
    "queue:priority",
    "queue:migration-2019",
    "queue:priority,bulk,mailing",
    "worker:celery@priority-00",
    "worker:celery@canary-00",
    "state:failed queue:bulk",
    "state:failed worker:celery@priority-00",
    "queue:priority worker:celery@priority-00",
    "name:billing.collect worker:celery@priority-00",
    "name:billing.* queue:priority",
    "since:1m",
    "since:1h",
    "since:3h until:2h queue:priority",
    "timeout",
    "\"card declined by\"",
    "state:failed timeout",
    "arg:currency=EUR",
    "arg:currency=XXX",
    "quagmire",
];

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let folder = args.next().unwrap_or_else(|| "/tmp/taskplane-bench/data".into());
    let rounds: usize = args.next().map_or(50, |n| n.parse().unwrap());
    let store = SqliteStore::open(Path::new(&folder)).unwrap();
    let (began, mut steps) = (Instant::now(), 0u32);
    let now = Timestamp(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros() as i64);
    while store.index_tasks(now).await.unwrap() {
        steps += 1;
    }
    println!("{steps} steps of indexing and taking censuses: {:.1} s", began.elapsed().as_secs_f64());
    let query = |text: &str, now| TaskQuery {
        project: 1,
        filter: TaskFilter::parse(text, now).unwrap(),
        limit: 1,
        cursor: None,
    };
    let newest = store.list_tasks(query("", now)).await.unwrap().items.remove(0);
    for filter in FILTERS {
        let mut took = Vec::new();
        let mut counted = Vec::new();
        for _ in 0..rounds {
            let began = Instant::now();
            let counts = store.count_tasks(query(filter, newest.first_seen)).await.unwrap();
            took.push(began.elapsed().as_secs_f64() * 1e3);
            let more = |more| if more { "+" } else { "" };
            counted = counts.by_state.iter().map(|(_, count, open)| format!("{count}{}", more(*open))).collect();
        }
        took.sort_by(f64::total_cmp);
        let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
        println!("{filter:<50} {p50:>7.1} {p99:>7.1}  {}", counted.join(" "));
    }
}
