//! What processes capture survives their death and that of the collector: written by real processes, killed by `kill -9`.

#![cfg(unix)]
#![expect(clippy::expect_used, reason = "what is expected here is what the test is about")]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use taskplane_agent::capture::{CaptureOptions, Writer, collect, lead};
use taskplane_agent::engine::{HandedOver, Observer};
use taskplane_model::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Says to a child, which is this same program, where to capture, under which name, and where to note what it collects.
const GROUP: &str = "TASKPLANE_TEST_GROUP";
const NAME: &str = "TASKPLANE_TEST_NAME";
const NOTES: &str = "TASKPLANE_TEST_NOTES";

/// Longer than anything takes; reached only when a test fails.
const A_WHILE: Duration = Duration::from_secs(60);

/// Not a test: what a capturing child does. Says every number on its error output after capturing it.
#[test]
#[ignore = "run by the tests below, in a process of its own"]
fn captures_until_it_is_killed() {
    let (Ok(group), Ok(name)) = (std::env::var(GROUP), std::env::var(NAME)) else { return };
    let options = CaptureOptions { file_bytes: 64 << 10, files: 100_000, ..CaptureOptions::default() };
    let mut writer = Writer::open(Path::new(&group), options).expect("opens");
    for number in 0u64.. {
        // Some are longer than a page, so that a kill may hit them half written.
        let padding = "x".repeat(if number % 7 == 0 { 20_000 } else { 300 });
        writer.event(Timestamp(0), &format!("{name} {padding} {number}"));
        writeln!(std::io::stderr().lock(), "captured {number}").expect("writes");
    }
}

/// Not a test: what a collecting child does. Notes each event in a file.
#[tokio::test]
#[ignore = "run by the tests below, in a process of its own"]
async fn collects_until_it_is_killed() {
    let (Ok(group), Ok(notes)) = (std::env::var(GROUP), std::env::var(NOTES)) else { return };
    let (observer, mut handed_over) = observer();
    let mut notes = OpenOptions::new().create(true).append(true).open(notes).expect("opens");
    let taking = async move {
        while let Some(handed) = handed_over.recv().await {
            assert_eq!(handed.lost, 0);
            let lines: String = handed.events.iter().map(|(_, event)| format!("{event}\n")).collect();
            notes.write_all(lines.as_bytes()).expect("writes");
            writeln!(std::io::stderr().lock(), "collected {}", handed.events.len()).expect("writes");
            handed.taken();
        }
    };
    let stop = CancellationToken::new();
    tokio::join!(collect(Path::new(&group), observer, |_, _| {}, stop), taking);
}

fn observer() -> (Observer, mpsc::Receiver<HandedOver>) {
    let (handing, handed_over) = mpsc::channel(2);
    (Observer::new("celery", mpsc::channel(1).0, mpsc::channel(1).0).with_hand_over(handing), handed_over)
}

/// A child that runs one of the above.
struct Running {
    child: Child,
    said: Box<dyn Iterator<Item = u64>>,
}

impl Running {
    fn start(what: &str, says: &'static str, group: &Path, name: &str, notes: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("a program"))
            .args(["--exact", what, "--ignored", "--nocapture", "--test-threads=1"])
            .env(GROUP, group)
            .env(NAME, name)
            .env(NOTES, notes)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let said = lines.filter_map(move |line| line.strip_prefix(says)?.trim().parse().ok());
        Self { child, said: Box::new(said) }
    }

    fn capturing(group: &Path, name: &str) -> Self {
        Self::start("captures_until_it_is_killed", "captured", group, name, Path::new(""))
    }

    /// The last number of the next so many that it says.
    fn says(&mut self, times: usize) -> u64 {
        self.said.by_ref().take(times).last().expect("it lives")
    }

    /// Kills it; returns the last number that it said.
    fn kill(mut self, last: u64) -> u64 {
        self.child.kill().expect("kills");
        self.child.wait().expect("is dead");
        self.said.last().unwrap_or(last)
    }
}

/// Collects in this process, as soon as it leads, until `is_enough`.
async fn collect_until(group: &Path, is_enough: impl Fn(&[String]) -> bool) -> Vec<String> {
    let (observer, mut handed_over) = observer();
    let stop = CancellationToken::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let note = move |event: &str| noted.lock().expect("sound").push(event.to_owned());
    let taking = async {
        let mut all = Vec::new();
        while let Ok(Some(handed)) = tokio::time::timeout(A_WHILE, handed_over.recv()).await {
            assert_eq!(handed.lost, 0);
            all.extend(handed.events.iter().map(|(_, event)| event.clone()));
            handed.taken();
            if is_enough(&all) {
                stop.cancel();
            }
        }
        stop.cancel();
        all
    };
    let ((), all) = tokio::join!(collect(group, observer, |_, event| note(event), stop.clone()), taking);
    assert_eq!(*seen.lock().expect("sound"), all, "who listens sees the same");
    all
}

fn by_name(events: impl IntoIterator<Item = String>) -> BTreeMap<String, Vec<u64>> {
    let mut all: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for event in events {
        let (name, number) = (event.split(' ').next().expect("a name"), event.rsplit(' ').next().expect("a number"));
        all.entry(name.to_owned()).or_default().push(number.parse().expect("a number"));
    }
    all
}

fn capture_files(group: &Path) -> usize {
    let names = fs::read_dir(group).expect("reads").map(|entry| entry.expect("entry").path());
    names.filter(|path| path.extension().is_some_and(|extension| extension == "capture")).count()
}

/// The files of the dead go as soon as nobody has them open; a process that is just being started may have, for a moment.
async fn nothing_is_left(group: &Path) {
    let deadline = Instant::now() + A_WHILE;
    let at_once = CancellationToken::new();
    at_once.cancel();
    while capture_files(group) > 0 {
        assert!(Instant::now() < deadline, "{} files are left", capture_files(group));
        let (observer, mut handed_over) = observer();
        collect(group, observer, |_, _| {}, at_once.clone()).await;
        assert!(handed_over.try_recv().is_err(), "everything was collected");
    }
}

#[tokio::test]
async fn what_killed_processes_have_captured_is_collected_once_and_in_order() {
    let dir = tempfile::tempdir().expect("dir");
    let mut last = BTreeMap::new();
    for round in 0..6 {
        let name = format!("p{round}");
        let mut child = Running::capturing(dir.path(), &name);
        let said = child.says(150 * (round + 1));
        last.insert(name, child.kill(said));
    }
    let wanted = last.clone();
    let collected = collect_until(dir.path(), move |events| {
        let events = by_name(events.iter().cloned());
        wanted.iter().all(|(name, last)| events.get(name).is_some_and(|seen| seen.len() as u64 > *last))
    });
    let collected = by_name(collected.await);
    assert_eq!(collected.len(), last.len());
    for (name, seen) in collected {
        assert_eq!(seen, (0..seen.len() as u64).collect::<Vec<_>>(), "each is there once and in order");
        let (there, said) = (seen.len() as u64, last[&name]);
        assert!(there > said && there <= said + 2, "{said} was captured, and {there} are there");
    }
    nothing_is_left(dir.path()).await;
}

#[tokio::test]
async fn when_the_collector_is_killed_another_process_goes_on_and_nothing_is_lost() {
    let dir = tempfile::tempdir().expect("dir");
    let (group, notes) = (dir.path().join("group"), dir.path().join("notes"));
    let mut writers = ["a", "b"].map(|name| Running::capturing(&group, name));
    let mut collector = Running::start("collects_until_it_is_killed", "collected", &group, "", &notes);
    for round in 0..2 {
        collector.says(5);
        let successor = Running::start("collects_until_it_is_killed", "collected", &group, "", &notes);
        writers.iter_mut().for_each(|writer| {
            writer.says(200);
        });
        std::mem::replace(&mut collector, successor).kill(round);
    }
    collector.says(2);
    collector.kill(0);
    let last = writers.map(|mut writer| {
        let said = writer.says(100);
        writer.kill(said)
    });
    let notes = fs::read_to_string(&notes).expect("reads");
    let noted: Vec<String> = notes.lines().map(str::to_owned).collect();
    let is_enough = |events: &[String]| {
        let all = by_name(noted.iter().chain(events).cloned());
        all.values().zip(last).all(|(seen, last)| seen.contains(&last))
    };
    let here = collect_until(&group, is_enough).await;
    nothing_is_left(&group).await;
    let all = noted.into_iter().chain(here);
    for ((_, seen), last) in by_name(all).into_iter().zip(last) {
        let mut different = seen.clone();
        different.sort_unstable();
        different.dedup();
        assert!(different.len() as u64 > last && different.iter().copied().eq(0..different.len() as u64));
        let again = seen.windows(2).filter(|pair| pair[0] >= pair[1]).count();
        assert!(again <= 3, "in order, but for what a killed collector had handed over: {again}");
    }
}

#[tokio::test]
async fn who_stands_by_waits_until_it_is_stopped() {
    let dir = tempfile::tempdir().expect("dir");
    let never = CancellationToken::new();
    let leader = lead(dir.path(), &never).await.expect("nobody else leads");
    let stop = CancellationToken::new();
    let mut standing_by = std::pin::pin!(lead(dir.path(), &stop));
    let waited = tokio::time::timeout(Duration::from_millis(50), standing_by.as_mut()).await;
    assert!(waited.is_err());
    drop(leader);
    assert!(standing_by.await.is_some());
    let leader = lead(dir.path(), &never).await.expect("it was given up");
    stop.cancel();
    assert!(lead(dir.path(), &stop).await.is_none());
    drop(leader);
}
