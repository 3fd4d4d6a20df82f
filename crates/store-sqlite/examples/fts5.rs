//! What SQLite's own full-text search (FTS5) would cost for tasks as `ingest_rate` makes them: the reason for an index of our own.
//!
//! ```text
//! cargo run --release -p taskplane-store-sqlite --example fts5 -- [tasks] [file]
//! ```

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, not a program")]

use std::time::Instant;

use rusqlite::{Connection, params};

fn main() {
    let mut args = std::env::args().skip(1);
    let tasks: u64 = args.next().map_or(500_000, |n| n.parse().unwrap());
    let file = args.next().unwrap_or_else(|| "/tmp/taskplane-fts5.db".into());
    for tokenizer in ["unicode61", "trigram"] {
        let _ = std::fs::remove_file(&file);
        measure(tasks, &file, tokenizer);
        let _ = std::fs::remove_file(&file);
    }
}

fn measure(tasks: u64, file: &str, tokenizer: &str) {
    let db = Connection::open(file).unwrap();
    db.pragma_update(None, "page_size", 8192).unwrap();
    db.pragma_update(None, "journal_mode", "WAL").unwrap();
    db.execute_batch(&format!(
        "CREATE VIRTUAL TABLE t USING fts5(body, content='', contentless_delete=1, detail=none, tokenize='{tokenizer}')"
    ))
    .unwrap();
    let mut random = 1u64;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random >> 24
    };
    let began = Instant::now();
    // As many as would come in a second.
    for group in 0..tasks / 2_500 {
        db.execute_batch("BEGIN").unwrap();
        let mut insert = db.prepare_cached("INSERT INTO t (rowid, body) VALUES (?1, ?2)").unwrap();
        for number in group * 2_500..(group + 1) * 2_500 {
            let kind = next() % 40;
            let id = uuid::Uuid::from_u128(u128::from(next()) << 88 | u128::from(next()) << 44 | u128::from(next()));
            let failure = if next() % 50 == 0 { " CardError card declined" } else { "" };
            let needle = if number % 100_000 == 77_777 { " needle in a haystack" } else { "" };
            let body = format!(
                r#"shop.tasks.area{}.do_work_{kind} {id} [{}] {{"order_id":{},"email":"user{}@example.com"}}{failure}{needle}"#,
                kind % 6,
                next() % (1 << 20),
                next() % (1 << 30),
                next() % 100_000
            );
            insert.execute(params![number.cast_signed(), body]).unwrap();
        }
        db.execute_batch("COMMIT").unwrap();
    }
    let seconds = began.elapsed().as_secs_f64();
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let bytes = std::fs::metadata(file).unwrap().len();
    let mut latencies = serde_json::Map::new();
    for query in ["example", "needle", "example needle", "declined"] {
        let sql = "SELECT rowid FROM t WHERE t MATCH ?1 ORDER BY rowid DESC LIMIT 50";
        let mut select = db.prepare_cached(sql).unwrap();
        let began = Instant::now();
        let found = select.query_map([query], |row| row.get::<_, i64>(0)).unwrap().count();
        latencies.insert(format!("{query} ({found})"), (began.elapsed().as_secs_f64() * 1e3).into());
    }
    let report = serde_json::json!({
        "tokenizer": tokenizer, "tasks": tasks, "tasks_per_s": tasks as f64 / seconds,
        "us_per_task": seconds * 1e6 / tasks as f64, "bytes_per_task": bytes as f64 / tasks as f64,
        "latency_ms": latencies,
    });
    println!("{report}");
}
