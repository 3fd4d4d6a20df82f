//! How fast the store takes batches in, and what that costs. Prints one line of JSON.
//!
//! ```text
//! cargo run --release -p taskplane-store-sqlite --example ingest_rate -- [events] [batches per transaction] [folder]
//! ```
//!
//! Every task has a random UUID and four events, all in one batch of 500 except for one task in fifty, whose end comes in the
//! next batch of its agent. The bodies are the events as JSON, compressed, so that the size of the file means something.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, not a program")]

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Instant;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use taskplane_model::{TaskEvent, TaskEventKind, TaskRecord, Timestamp};
use taskplane_store::ingest::{BatchToStore, StreamToOpen, TaskDelta, Verdict};
use taskplane_store::stats::StatsQuery;
use taskplane_store::{IngestStore, StatisticsStore};
use taskplane_store_sqlite::SqliteStore;

/// What the program uses.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const AGENTS: u64 = 16;
const TASKS_PER_BATCH: usize = 125;
const START: i64 = 1_795_000_000_000_000;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

struct Generator {
    random: Random,
    engine: Arc<str>,
    clock: i64,
    /// Ends that come with the agent's next batch.
    late: Vec<Vec<(TaskDelta, String)>>,
}

impl Generator {
    fn batch(&mut self, agent: u64, seq: u64) -> BatchToStore {
        let mut body = String::with_capacity(200_000);
        let mut tasks = Vec::with_capacity(TASKS_PER_BATCH + 4);
        for (delta, json) in std::mem::take(&mut self.late[agent as usize - 1]) {
            body.push_str(&json);
            tasks.push(delta);
        }
        for _ in 0..TASKS_PER_BATCH {
            // 16 agents at 25,000 tasks a second in all.
            self.clock += 40;
            self.task(agent, &mut tasks, &mut body);
        }
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body.as_bytes()).unwrap();
        BatchToStore {
            project: 1,
            agent,
            stream: agent,
            seq,
            digest: self.random.next(),
            received_at: Timestamp(self.clock),
            events: 500,
            compressed: encoder.finish().unwrap(),
            tasks,
            workers: Vec::new(),
            queues: Vec::new(),
            quarantined: Vec::new(),
        }
    }

    fn task(&mut self, agent: u64, tasks: &mut Vec<TaskDelta>, body: &mut String) {
        let random = &mut self.random;
        let id = uuid::Uuid::from_u128(u128::from(random.next()) << 64 | u128::from(random.next())).to_string();
        let kind = random.below(40);
        let name = format!("shop.tasks.area{}.do_work_{kind}", kind % 6);
        let queue = format!("queue-{}", kind % 8);
        let worker = format!("celery@worker-{}", agent * 4 + random.below(4));
        let kwargs =
            format!(r#"{{"order_id":{},"email":"user{}@example.com"}}"#, random.below(1 << 30), random.below(100_000));
        let args = format!("[{}]", random.below(1 << 20));
        let sent = self.clock - 80_000 - random.below(4_000_000).cast_signed();
        let wait = random.below(50_000).cast_signed() + 500;
        let run = random.below(400_000) + 1_000;
        let failed = random.below(50) == 0;
        let late = random.below(50) == 0;
        let result = format!(r#"{{"ok":true,"count":{}}}"#, random.below(1000));
        let base = TaskEvent { attempt: Some(0), root_id: Some(&id), ..TaskEvent::default() };
        let traceback = format!(
            "Traceback (most recent call last):\n  File \"/app/shop/tasks.py\", line {}, in run\n    charge(order)\n  File \"/app/shop/pay.py\", line 42, in charge\n    raise CardError(code)\nshop.pay.CardError: card declined\n",
            kind
        );
        let events = [
            TaskEvent {
                kind: TaskEventKind::Sent,
                ts: Timestamp(sent),
                name: Some(&name),
                args: Some(&args),
                kwargs: Some(&kwargs),
                queue: Some(&queue),
                routing_key: Some(&queue),
                exchange: Some(""),
                ..base.clone()
            },
            TaskEvent {
                kind: TaskEventKind::Received,
                ts: Timestamp(sent + wait),
                name: Some(&name),
                worker: Some(&worker),
                ..base.clone()
            },
            TaskEvent {
                kind: TaskEventKind::Started,
                ts: Timestamp(sent + wait + 900),
                worker: Some(&worker),
                ..base.clone()
            },
            TaskEvent {
                kind: if failed { TaskEventKind::Failed } else { TaskEventKind::Succeeded },
                ts: Timestamp(sent + wait + 900 + run.cast_signed()),
                worker: Some(&worker),
                runtime_us: Some(run),
                result: (!failed).then_some(&result),
                exception: failed.then_some("CardError"),
                exception_message: failed.then_some("card declined"),
                traceback: failed.then_some(&traceback),
                ..base
            },
        ];
        let mut record = TaskRecord::default();
        let mut tail = TaskRecord::default();
        let mut tail_json = String::new();
        for (at, event) in events.iter().enumerate() {
            let json = json(&id, event);
            if late && at == 3 {
                tail.apply(&id, event);
                tail_json = json;
            } else {
                record.apply(&id, event);
                body.push_str(&json);
            }
        }
        tasks.push(TaskDelta { engine: Arc::clone(&self.engine), task_id: id.clone(), record });
        if late {
            let delta = TaskDelta { engine: Arc::clone(&self.engine), task_id: id, record: tail };
            self.late[agent as usize - 1].push((delta, tail_json));
        }
    }
}

fn json(id: &str, event: &TaskEvent<'_>) -> String {
    let mut data = serde_json::Map::new();
    let mut put = |key: &str, value: Option<&str>| {
        if let Some(value) = value {
            data.insert(key.into(), value.into());
        }
    };
    put("name", event.name);
    put("args", event.args);
    put("kwargs", event.kwargs);
    put("queue", event.queue);
    put("worker", event.worker);
    put("result", event.result);
    put("exception", event.exception);
    put("exception_message", event.exception_message);
    put("traceback", event.traceback);
    put("root_id", event.root_id);
    let whole = serde_json::json!({
        "type": event.kind.wire_name(), "engine": "celery", "task_id": id, "ts": event.ts.to_string(), "attempt": 0, "data": data,
    });
    whole.to_string() + ","
}

/// CPU nanoseconds of a thread of this process, by name.
fn cpu_of(thread: &str) -> u64 {
    let mut sum = 0;
    for entry in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let comm = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if comm.trim() == &thread[..thread.len().min(15)] {
            let stat = std::fs::read_to_string(entry.path().join("schedstat")).unwrap_or_default();
            sum += stat.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    sum
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("").to_owned();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn main() {
    let mut args = std::env::args().skip(1);
    let events: u64 = args.next().map_or(2_000_000, |n| n.parse().unwrap());
    let group: usize = args.next().map_or(16, |n| n.parse().unwrap());
    let folder = args.next().unwrap_or_else(|| "/tmp/taskplane-ingest-rate".into());
    let folder = Path::new(&folder);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    runtime.block_on(measure(events, group, folder));
}

async fn measure(events: u64, group: usize, folder: &Path) {
    let fresh = !folder.exists();
    let opening = Instant::now();
    let store = SqliteStore::open(folder).unwrap();
    let opened = opening.elapsed();
    let mut last = vec![0; AGENTS as usize + 1];
    for agent in 1..=AGENTS {
        let stream = StreamToOpen {
            project: 1,
            agent_name: format!("agent-{agent}"),
            instance_id: String::new(),
            profile: taskplane_model::agent::AgentProfile::default(),
        };
        let opened = store.open_stream(stream, Timestamp(START)).await.unwrap();
        assert_eq!(opened.stream, agent);
        last[agent as usize] = opened.last_seq;
    }
    let (sender, receiver) = mpsc::sync_channel::<Vec<BatchToStore>>(4);
    let batches = events / 500;
    let before = last.iter().sum::<u64>().cast_signed();
    let generate = std::thread::spawn(move || {
        let mut generator = Generator {
            random: Random(before.cast_unsigned()),
            engine: "celery".into(),
            clock: START + before * 125 * 40,
            late: vec![Vec::new(); AGENTS as usize],
        };
        let mut pending = Vec::new();
        for number in 0..batches {
            let agent = number % AGENTS + 1;
            last[agent as usize] += 1;
            pending.push(generator.batch(agent, last[agent as usize]));
            if pending.len() == group || number + 1 == batches {
                // Each stream's batches stay in order: agents take turns.
                sender.send(std::mem::take(&mut pending)).unwrap();
            }
        }
        generator.clock
    });
    let (writer, checkpointer) = (cpu_of("store-writer"), cpu_of("store-checkpoint"));
    let began = Instant::now();
    let mut stalls = Vec::new();
    let mut waited = std::time::Duration::ZERO;
    loop {
        let asked = Instant::now();
        let Ok(batches) = tokio::task::block_in_place(|| receiver.recv()) else { break };
        waited += asked.elapsed();
        let sent = Instant::now();
        let recorded = store.record_batches(batches, false).await.unwrap();
        stalls.push(sent.elapsed());
        assert!(recorded.batches.iter().all(|(verdict, _)| *verdict == Verdict::Stored { lost: 0 }));
    }
    let seconds = began.elapsed().as_secs_f64();
    let busy = seconds - waited.as_secs_f64();
    let end = generate.join().unwrap();
    let cpu = [cpu_of("store-writer") - writer, cpu_of("store-checkpoint") - checkpointer].map(|ns| ns as f64 / 1e9);
    stalls.sort();
    let at = |share: f64| stalls[((stalls.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let resident = resident_kib() / 1024;
    let query = StatsQuery {
        project: 1,
        since: Timestamp(START).plus(-600_000_000),
        until: Timestamp(end).plus(60_000_000),
        step_minutes: 1_000_000,
        name: None,
        queue: None,
    };
    let stats = store.stats(query).await.unwrap();
    let sent: i64 = stats.iter().map(|point| point.rollup.sent).sum();
    drop(store);
    let bytes: u64 = std::fs::read_dir(folder).unwrap().flatten().map(|f| f.metadata().unwrap().len()).sum();
    let millions = events as f64 / 1e6;
    let report = serde_json::json!({
        "events": events, "batches_per_transaction": group, "seconds": seconds,
        "events_per_s": events as f64 / seconds, "events_per_busy_s": events as f64 / busy,
        "cpu_s_per_million_events": (cpu[0] + cpu[1]) / millions,
        "writer_cpu_s_per_million": cpu[0] / millions, "checkpoint_cpu_s_per_million": cpu[1] / millions,
        "transaction_ms": {"p50": at(0.5), "p99": at(0.99), "max": at(1.0)},
        "bytes_per_event": if fresh { Some(bytes as f64 / events as f64) } else { None }, "file_mib": bytes >> 20,
        "peak_rss_mib": resident, "open_ms": opened.as_secs_f64() * 1e3, "tasks_sent_in_stats": sent,
    });
    println!("{report}");
}
