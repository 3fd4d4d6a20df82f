//! What dropping old tasks costs agents who wait for their acks. Prints one line of JSON.
//!
//! ```text
//! cargo run --release -p taskplane-store-sqlite --example retention -- [tasks] [events a second] [folder]
//! ```
//!
//! Fills a database, half with tasks of ten days ago, half with tasks of an hour ago. Then stores batches of 500 events at a
//! steady rate, first alone, then while the old half is dropped with its raw events, as the brain does it: in small steps,
//! with a pause as long as each step. Latency is counted from when a batch was due, so that waiting in line counts.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, not a program")]

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use taskplane_model::time::{DAY, MINUTE};
use taskplane_model::{TaskEvent, TaskEventKind, TaskRecord, Timestamp};
use taskplane_store::ingest::{BatchToStore, StreamToOpen, TaskDelta};
use taskplane_store::retention::Kept;
use taskplane_store::{IngestStore, RetentionStore};
use taskplane_store_sqlite::SqliteStore;

/// What the program uses.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TASKS_PER_BATCH: u64 = 125;
const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

struct Generator {
    random: u64,
    agent: u64,
    stream: u64,
    seq: u64,
}

impl Generator {
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Tasks that begin 40 µs apart, in chains of five.
    fn batch(&mut self, begin: Timestamp) -> BatchToStore {
        let mut body = String::with_capacity(200_000);
        let mut chain = String::new();
        let tasks = (0..TASKS_PER_BATCH).map(|number| {
            let id = uuid::Uuid::from_u128(u128::from(self.next()) << 64 | u128::from(self.next())).to_string();
            if number % 5 == 0 {
                chain.clone_from(&id);
            }
            self.task(id, &chain, begin.plus(number.cast_signed() * 40), &mut body)
        });
        let tasks: Vec<TaskDelta> = tasks.collect();
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body.as_bytes()).unwrap();
        self.seq += 1;
        BatchToStore {
            project: 1,
            agent: self.agent,
            stream: self.stream,
            seq: self.seq,
            digest: self.seq,
            received_at: begin.plus(MINUTE),
            events: 4 * TASKS_PER_BATCH as u32,
            compressed: encoder.finish().unwrap(),
            tasks,
            workers: Vec::new(),
            queues: Vec::new(),
            quarantined: Vec::new(),
        }
    }

    fn task(&mut self, id: String, root: &str, sent: Timestamp, body: &mut String) -> TaskDelta {
        let kind = self.next() % 40;
        let (name, queue) = (format!("shop.tasks.do_work_{kind}"), format!("queue-{}", kind % 8));
        let worker = format!("celery@worker-{}", self.next() % 64);
        let kwargs = format!(r#"{{"order_id":{},"note":"<str len=24>"}}"#, self.next() % (1 << 30));
        let fails = self.next().is_multiple_of(50);
        let end = if fails { TaskEventKind::Failed } else { TaskEventKind::Succeeded };
        let mut record = TaskRecord::default();
        for (at, kind) in
            [TaskEventKind::Sent, TaskEventKind::Received, TaskEventKind::Started, end].into_iter().enumerate()
        {
            let is_first = at == 0;
            let event = TaskEvent {
                kind,
                ts: sent.plus(at as i64 * 20_000),
                attempt: Some(0),
                name: is_first.then_some(&name),
                queue: is_first.then_some(&queue),
                kwargs: is_first.then_some(&kwargs),
                root_id: Some(root),
                worker: (!is_first).then_some(&worker),
                exception: (kind == TaskEventKind::Failed).then_some("CardError"),
                ..TaskEvent::default()
            };
            record.apply(&id, &event);
            let ts = event.ts;
            std::fmt::Write::write_fmt(body, format_args!(
                r#"{{"type":"task.{kind:?}","engine":"celery","task_id":"{id}","ts":"{ts}","attempt":0,"data":{{"name":"{name}","queue":"{queue}","kwargs":{kwargs},"worker":"{worker}","root_id":"{root}"}}}},"#
            )).unwrap();
        }
        TaskDelta { engine: Arc::from("celery"), task_id: id, record }
    }
}

/// Stores batches at a steady rate until `is_over`. Returns how long each took, sorted, in milliseconds.
async fn steadily(
    store: &SqliteStore,
    generator: &mut Generator,
    events_per_s: u64,
    clock: &mut Timestamp,
    is_over: impl Fn(Duration) -> bool,
) -> Vec<f64> {
    let every = Duration::from_secs_f64(4.0 * TASKS_PER_BATCH as f64 / events_per_s as f64);
    let began = Instant::now();
    let mut took = Vec::new();
    let mut due = began;
    while !is_over(began.elapsed()) {
        let batch = generator.batch(*clock);
        *clock = clock.plus(5_000);
        tokio::time::sleep(due.saturating_duration_since(Instant::now())).await;
        store.record_batches(vec![batch], false).await.unwrap();
        took.push(due.elapsed().as_secs_f64() * 1e3);
        due += every;
    }
    took.sort_by(f64::total_cmp);
    took
}

/// Drops all before `horizon` as the brain does it. Returns rows, seconds, and the longest step in milliseconds.
async fn drop_old(store: &SqliteStore, what: Kept, horizon: Timestamp) -> (u64, f64, f64) {
    let (began, mut limit, mut count, mut longest) = (Instant::now(), 500, 0, Duration::ZERO);
    loop {
        let step = Instant::now();
        let dropped = store.drop_before(what, horizon, limit).await.unwrap();
        pause(step.elapsed(), &mut limit).await;
        longest = longest.max(step.elapsed() / 2);
        count += dropped.count;
        if !dropped.more {
            return (count, began.elapsed().as_secs_f64(), longest.as_secs_f64() * 1e3);
        }
    }
}

/// The brain's rule: `duties/retention.rs`.
async fn pause(took: Duration, limit: &mut usize) {
    if took > Duration::from_millis(20) {
        *limit = (*limit / 2).max(250);
    } else if took < Duration::from_millis(8) {
        *limit = (*limit + *limit / 4).min(2_000);
    }
    let pause = took.max(Duration::from_millis(2));
    tokio::time::sleep(if took > Duration::from_millis(60) { 3 * pause } else { pause }).await;
}

fn at(sorted: &[f64], share: f64) -> f64 {
    sorted.get(((sorted.len().max(1) - 1) as f64 * share) as usize).copied().unwrap_or_default()
}

fn summary(sorted: &[f64]) -> serde_json::Value {
    serde_json::json!({
        "batches": sorted.len(), "p50_ms": at(sorted, 0.5), "p99_ms": at(sorted, 0.99), "max_ms": at(sorted, 1.0)
    })
}

fn main() {
    let mut args = std::env::args().skip(1);
    let tasks: u64 = args.next().map_or(2_000_000, |n| n.parse().unwrap());
    let events_per_s: u64 = args.next().map_or(20_000, |n| n.parse().unwrap());
    let folder = args.next().unwrap_or_else(|| "/tmp/taskplane-retention".into());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(measure(tasks, events_per_s, Path::new(&folder)));
}

async fn measure(tasks: u64, events_per_s: u64, folder: &Path) {
    assert!(!folder.exists(), "{} is there already: remove it, or name another folder", folder.display());
    let store = Arc::new(SqliteStore::open(folder).unwrap());
    let profile = taskplane_model::agent::AgentProfile::default();
    let stream = StreamToOpen { project: 1, agent_name: "a".into(), instance_id: String::new(), profile };
    let opened = store.open_stream(stream, NOW).await.unwrap();
    let mut generator = Generator { random: 1, agent: opened.agent, stream: opened.stream, seq: 0 };
    let groups = tasks / TASKS_PER_BATCH / 16;
    let mut clock = NOW.plus(-10 * DAY);
    for group in 0..groups {
        if group == groups / 2 {
            clock = NOW.plus(-60 * MINUTE);
        }
        let mut batches = Vec::new();
        for _ in 0..16 {
            batches.push(generator.batch(clock));
            clock = clock.plus(5_000);
        }
        store.record_batches(batches, false).await.unwrap();
    }
    let seconds = Duration::from_secs(20);
    steadily(&store, &mut generator, events_per_s, &mut clock, |at| at > seconds / 4).await;
    let alone = steadily(&store, &mut generator, events_per_s, &mut clock, |at| at > seconds).await;
    let before = store.storage().await.unwrap();

    let dropping = {
        let store = Arc::clone(&store);
        let horizon = NOW.plus(-DAY);
        tokio::spawn(async move {
            let events = drop_old(&store, Kept::Events, horizon).await;
            let tasks = drop_old(&store, Kept::Tasks, horizon).await;
            let (began, mut limit) = (Instant::now(), 500);
            loop {
                let step = Instant::now();
                let more = store.forget_dropped(limit).await.unwrap();
                pause(step.elapsed(), &mut limit).await;
                if !more {
                    break;
                }
            }
            (events, tasks, began.elapsed().as_secs_f64())
        })
    };
    let beside = steadily(&store, &mut generator, events_per_s, &mut clock, |_| dropping.is_finished()).await;
    let (events, tasks_dropped, forgetting) = dropping.await.unwrap();

    let began = Instant::now();
    let giving = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut limit = 500;
            loop {
                let step = Instant::now();
                let more = store.give_back_space().await.unwrap();
                pause(step.elapsed(), &mut limit).await;
                if !more {
                    break;
                }
            }
        })
    };
    let beside_giving = steadily(&store, &mut generator, events_per_s, &mut clock, |_| giving.is_finished()).await;
    let giving_s = began.elapsed().as_secs_f64();
    // The file becomes shorter with the next copy of the log.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = Instant::now();
    let after = store.storage().await.unwrap();
    let report = serde_json::json!({
        "tasks": tasks, "events_per_s": events_per_s,
        "alone": summary(&alone), "while_dropping": summary(&beside), "while_giving_back": summary(&beside_giving),
        "batches_dropped": {"count": events.0, "seconds": events.1, "longest_step_ms": events.2},
        "tasks_dropped": {"count": tasks_dropped.0, "seconds": tasks_dropped.1, "longest_step_ms": tasks_dropped.2,
            "seconds_per_million": tasks_dropped.1 / (tasks_dropped.0 as f64 / 1e6)},
        "forgetting_s": forgetting, "giving_back_s": giving_s, "storage_ms": asked.elapsed().as_secs_f64() * 1e3,
        "file_mib": {"before": before.file_bytes >> 20, "after": after.file_bytes >> 20},
        "used_mib": {"before": before.used_bytes >> 20, "after": after.used_bytes >> 20},
        "free_mib_after": after.free_bytes >> 20,
    });
    println!("{report}");
}
