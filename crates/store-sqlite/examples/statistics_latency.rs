//! How long statistics take to read. Fills a fresh folder with the rows of 30 days by the minute (and of a year by the day),
//! folds them, and prints p50 and p99 in milliseconds of each kind of call, and what folding took.
//!
//! ```text
//! cargo run --release -p taskplane-store-sqlite --example statistics_latency -- [folder] [days] [names] [queues] [rounds]
//! ```

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, not a program")]

use std::path::Path;
use std::time::Instant;

use rusqlite::{Connection, params};
use taskplane_model::Timestamp;
use taskplane_model::rollup::Rollup;
use taskplane_model::time::{DAY, MINUTE};
use taskplane_store::StatisticsStore;
use taskplane_store::backend::stats::encode;
use taskplane_store::stats::StatsQuery;
use taskplane_store_sqlite::SqliteStore;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// 2026-11-18T02:47:00Z: neither an hour nor a day begins with it.
const NOW: Timestamp = Timestamp(1_794_970_020_000_000);
const HOUR: i64 = 60 * MINUTE;
/// Tasks of each minute, type and queue: 100 series of 60 are 6,000 a minute.
const TASKS: u64 = 60;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Durations of a task type: about `usual` microseconds, seldom much more.
    fn micros(&mut self, usual: u64) -> u64 {
        let share = (self.next() % 1_000 + 1) as f64 / 1_000.0;
        (usual as f64 * (0.5 - share.ln()).powf(1.5)) as u64
    }
}

fn row(random: &mut Random, name: u64) -> Vec<u8> {
    let tasks = TASKS.cast_signed();
    let mut rollup = Rollup { sent: tasks, started: tasks, succeeded: tasks - 1, failed: 1, ..Rollup::default() };
    for _ in 0..TASKS {
        rollup.runtime.add(random.micros(1_000 << (name % 12)), 1);
        rollup.wait.add(random.micros(4_000), 1);
    }
    let mut bytes = Vec::new();
    encode(&rollup, &mut bytes).unwrap();
    bytes
}

fn fill(folder: &Path, days: i64, names: u64, queues: u64) {
    let mut db = Connection::open(folder.join("taskplane.db")).unwrap();
    let tx = db.transaction().unwrap();
    let term = |text: String| assert_eq!(tx.execute("INSERT INTO terms (text) VALUES (?1)", [text]).unwrap(), 1);
    (0..names).for_each(|name| term(format!("shop.task{name}")));
    (0..queues).for_each(|queue| term(format!("queue{queue}")));
    let number = |text: String| -> i64 {
        tx.query_row("SELECT id FROM terms WHERE text = ?1", [text], |row| row.get(0)).unwrap()
    };
    let names: Vec<i64> = (0..names).map(|name| number(format!("shop.task{name}"))).collect();
    let queues: Vec<i64> = (0..queues).map(|queue| number(format!("queue{queue}"))).collect();
    let mut random = Random(1);
    // A few rows of each type, used again and again: making millions of them takes longer than all else.
    let rows: Vec<Vec<Vec<u8>>> =
        (0..names.len() as u64).map(|name| (0..40).map(|_| row(&mut random, name)).collect()).collect();
    let sql = "INSERT INTO rollups (project, minute, name, queue, data) VALUES (1, ?1, ?2, ?3, ?4)";
    let mut insert = tx.prepare(sql).unwrap();
    let mut mark = tx.prepare("INSERT INTO unfolded (span, start, project, stamp) VALUES (1, ?1, 1, 0)").unwrap();
    let now = NOW.minute();
    // One minute a day of the year before, so that there are as many days.
    let old = (days + 1..365).rev().map(|day| now - day * 1_440);
    for minute in old.chain(now - days * 1_440..=now) {
        mark.execute([minute]).unwrap();
        for (at, name) in names.iter().enumerate() {
            for queue in &queues {
                let data = &rows[at][random.next() as usize % 40];
                insert.execute(params![minute, name, queue, data]).unwrap();
            }
        }
    }
    drop((insert, mark));
    tx.commit().unwrap();
}

fn summary(mut times: Vec<f64>) -> String {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    format!("p50 {:.2}, p99 {:.2}", at(0.5), at(0.99))
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, usual: u64| args.get(at).map_or(usual, |text| text.parse().unwrap());
    let folder = args.first().map_or("/tmp/taskplane-statistics", String::as_str);
    let (days, names, queues, rounds) = (number(1, 30), number(2, 50), number(3, 2), number(4, 200));
    let folder = Path::new(folder);
    let is_new = !SqliteStore::exists(folder);
    let store = SqliteStore::open(folder).unwrap();
    if is_new {
        let began = Instant::now();
        fill(folder, days.cast_signed(), names, queues);
        println!("filled in {:.1} s", began.elapsed().as_secs_f64());
    }
    let mut pieces = Vec::new();
    let began = Instant::now();
    loop {
        let began = Instant::now();
        if !store.fold_statistics(NOW).await.unwrap() {
            break;
        }
        pieces.push(began.elapsed().as_secs_f64() * 1e3);
    }
    println!("folded {} pieces in {:.1} s", pieces.len(), began.elapsed().as_secs_f64());
    if !pieces.is_empty() {
        println!("ms a piece: {}", summary(pieces));
    }
    let asked =
        [(None, None), (Some("shop.task7"), None), (None, Some("queue1")), (Some("shop.task7"), Some("queue1"))];
    for (what, window, step) in [
        ("1 h by minute", HOUR, 1),
        ("24 h by minute", DAY, 1),
        ("24 h by 30 min", DAY, 30),
        ("7 d by hour", 7 * DAY, 60),
        ("30 d by hour", 30 * DAY, 60),
        ("30 d by 40 min", 30 * DAY, 40),
        ("1 y by day", 365 * DAY, 1_440),
    ] {
        for (name, queue) in asked {
            let mut times = Vec::new();
            for round in 0..rounds {
                let until = NOW.plus(-(round.cast_signed() % 7) * MINUTE);
                let query = StatsQuery {
                    project: 1,
                    since: until.plus(-window),
                    until,
                    step_minutes: step,
                    name: name.map(str::to_owned),
                    queue: queue.map(str::to_owned),
                };
                let began = Instant::now();
                let points = store.stats(query).await.unwrap();
                times.push(began.elapsed().as_secs_f64() * 1e3);
                assert!(points.iter().any(|point| point.rollup.sent > 0));
            }
            let of = [name, queue].into_iter().flatten().collect::<Vec<_>>().join(" ");
            println!("{what}, {}: {}", if of.is_empty() { "all" } else { &of }, summary(times));
        }
    }
    for (what, window) in [("1 h", HOUR), ("24 h", DAY), ("7 d", 7 * DAY), ("30 d", 30 * DAY), ("1 y", 365 * DAY)] {
        let mut times = Vec::new();
        for round in 0..rounds {
            let until = NOW.plus(-(round.cast_signed() % 7) * MINUTE);
            let began = Instant::now();
            let types = store.task_types(1, until.plus(-window), until).await.unwrap();
            times.push(began.elapsed().as_secs_f64() * 1e3);
            assert_eq!(types.len() as u64, names);
        }
        println!("task types of {what}: {}", summary(times));
    }
}
