use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use taskplane_model::Timestamp;
use tempfile::TempDir;

use super::collector::Tail;
use super::file::{HEADER_BYTES, Name};
use super::*;
use crate::buffer::MAX_EVENT_BYTES;

/// In memory where the system offers that.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    dir.expect("a folder")
}

fn small() -> CaptureOptions {
    CaptureOptions { file_bytes: 600, files: 3, ..CaptureOptions::default() }
}

fn writer(dir: &TempDir) -> Writer {
    Writer::open(dir.path(), small()).expect("opens")
}

fn leader(dir: &Path) -> Tail {
    Tail::try_lead(dir).expect("a folder").expect("nobody else leads")
}

/// What a collector handed over.
#[derive(Debug, Default)]
struct Sink {
    events: Vec<String>,
    originals: Vec<Vec<u8>>,
    lost: u64,
}

impl Sink {
    /// One step: hands over, and settles unless the collector is killed before.
    fn step(&mut self, tail: &mut Tail, settles: bool) -> bool {
        let mut haul = tail.read();
        let came = !haul.is_empty();
        for captured in haul.found.events.drain(..) {
            self.events.push(captured.event);
            self.originals.extend(captured.original);
        }
        self.lost += haul.found.lost;
        if settles {
            tail.settle(haul);
        }
        came
    }

    fn drain(&mut self, tail: &mut Tail) {
        while self.step(tail, true) {}
    }
}

fn write(writer: &mut Writer, numbers: std::ops::Range<u64>) {
    numbers.for_each(|number| writer.event(Timestamp(5), &format!("event {number:>30}")));
}

fn numbers(events: &[String]) -> Vec<u64> {
    events.iter().map(|event| event.rsplit(' ').next().expect("a word").parse().expect("a number")).collect()
}

fn capture_files(dir: &Path) -> usize {
    let names = fs::read_dir(dir).expect("reads").map(|entry| entry.expect("entry").file_name());
    names.filter(|name| Name::parse(name.to_str().expect("text")).is_some()).count()
}

#[test]
fn what_is_written_is_handed_over_once_in_order_and_the_files_of_the_dead_go() {
    let dir = folder();
    let mut tail = leader(dir.path());
    let (mut sink, mut one, mut other) = (Sink::default(), writer(&dir), writer(&dir));
    write(&mut one, 0..3);
    sink.drain(&mut tail);
    one.event_with_original(Some(b"\x00original"), Timestamp(5), "3");
    write(&mut one, 4..5);
    write(&mut other, 5..7);
    other.close();
    sink.drain(&mut tail);
    let mut seen = numbers(&sink.events);
    assert_eq!(&seen[..3], [0, 1, 2]);
    seen.sort_unstable();
    assert_eq!((seen, &sink.originals[..], sink.lost), ((0..7).collect(), &[b"\x00original".to_vec()][..], 0));
    let deadline = Instant::now() + Duration::from_secs(60);
    while capture_files(dir.path()) > 1 {
        assert!(Instant::now() < deadline, "the dead one's goes");
        sink.drain(&mut tail);
    }
    sink.drain(&mut tail);
    assert_eq!(capture_files(dir.path()), 1, "the living one's stays");
    drop((one, tail));
    sink.drain(&mut leader(dir.path()));
    assert_eq!((sink.events.len(), capture_files(dir.path())), (7, 0));
}

#[test]
fn a_successor_goes_on_where_the_killed_collector_had_settled() {
    let dir = folder();
    let mut writer = Writer::open(dir.path(), CaptureOptions::default()).expect("opens");
    let mut sink = Sink::default();
    write(&mut writer, 0..3);
    let mut tail = leader(dir.path());
    sink.drain(&mut tail);
    write(&mut writer, 3..5);
    sink.step(&mut tail, false);
    drop(tail);
    sink.drain(&mut leader(dir.path()));
    assert_eq!(numbers(&sink.events), [0, 1, 2, 3, 4, 3, 4]);
}

#[test]
fn without_a_collector_the_oldest_go_and_are_counted() {
    let dir = folder();
    let mut writer = writer(&dir);
    write(&mut writer, 0..1000);
    assert!(capture_files(dir.path()) <= small().files);
    writer.event(Timestamp(5), "the count comes along");
    let mut sink = Sink::default();
    sink.drain(&mut leader(dir.path()));
    sink.events.pop();
    let seen = numbers(&sink.events);
    assert!(seen.len() > 5);
    assert_eq!(seen, (1000 - seen.len() as u64..1000).collect::<Vec<_>>(), "the newest are there, in order");
    assert_eq!(sink.lost + seen.len() as u64, 1000);
}

#[test]
fn without_a_collector_the_dead_leave_no_more_than_a_bound_and_the_rest_is_counted() {
    let dir = folder();
    let options = CaptureOptions { group_bytes: 3000, ..small() };
    let living = writer(&dir);
    for process in 0..50 {
        let mut writer = Writer::open(dir.path(), options.clone()).expect("opens");
        write(&mut writer, process * 5..(process + 1) * 5);
    }
    let len = |entry: fs::DirEntry| entry.metadata().expect("metadata").len();
    let bytes: u64 = fs::read_dir(dir.path()).expect("reads").map(|entry| len(entry.expect("entry"))).sum();
    assert!(bytes <= 3000, "{bytes}");
    let mut sink = Sink::default();
    sink.drain(&mut leader(dir.path()));
    let mut seen = numbers(&sink.events);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((seen.last(), seen.len() as u64 + sink.lost), (Some(&249), 250));
    drop(living);
}

#[test]
fn a_file_in_the_hands_of_the_collector_is_not_dropped() {
    let dir = folder();
    let mut writer = writer(&dir);
    write(&mut writer, 0..2);
    let mut tail = leader(dir.path());
    let haul = tail.read();
    write(&mut writer, 2..1000);
    assert!(capture_files(dir.path()) <= small().files);
    let mut sink = Sink::default();
    let mut in_hand: Vec<String> = haul.found.events.iter().map(|captured| captured.event.clone()).collect();
    tail.settle(haul);
    writer.event(Timestamp(5), "event 1000");
    sink.drain(&mut tail);
    in_hand.append(&mut sink.events);
    assert_eq!(&numbers(&in_hand)[..3], [0, 1, 2]);
    assert_eq!(in_hand.len() as u64 + sink.lost, 1001);
}

#[test]
fn an_event_that_is_too_large_is_counted_and_the_next_one_tells() {
    let dir = folder();
    let (mut writer, mut tail, mut sink) = (writer(&dir), leader(dir.path()), Sink::default());
    let too_large = "x".repeat(MAX_EVENT_BYTES + 1);
    writer.event(Timestamp(5), &too_large);
    sink.drain(&mut tail);
    assert_eq!((writer.lost(), sink.lost), (1, 0));
    // What is too large to be kept costs no event.
    writer.event_with_original(Some(too_large.as_bytes()), Timestamp(5), &too_large[1..]);
    sink.drain(&mut tail);
    assert_eq!((writer.lost(), sink.lost, sink.events[0].len()), (0, 1, MAX_EVENT_BYTES));
    writer.event(Timestamp(5), &too_large);
    writer.close();
    sink.drain(&mut tail);
    assert_eq!((sink.lost, sink.originals.len()), (2, 0));
}

#[test]
fn a_folder_that_was_removed_is_made_again() {
    let dir = folder();
    let group = group_dir(dir.path(), "a").expect("a folder");
    let mut writer = Writer::open(&group, small()).expect("opens");
    fs::remove_dir_all(&group).expect("removes");
    write(&mut writer, 0..100);
    let mut sink = Sink::default();
    sink.drain(&mut leader(&group));
    assert_eq!(numbers(&sink.events).last(), Some(&99));
}

#[test]
fn while_no_file_can_be_begun_events_are_counted_and_hooks_do_not_try_each_time() {
    let dir = folder();
    let group = group_dir(dir.path(), "a").expect("a folder");
    let mut writer = Writer::open(&group, small()).expect("opens");
    fs::remove_dir_all(&group).expect("removes");
    fs::write(&group, "in the way").expect("writes");
    write(&mut writer, 0..1000);
    assert!(writer.lost() > 900, "{writer:?}");
    fs::remove_file(&group).expect("removes");
    let lost = writer.lost();
    write(&mut writer, 0..1);
    assert_eq!(writer.lost(), lost + 1);
}

#[test]
fn half_a_record_is_waited_for_while_its_writer_lives_and_passed_over_when_it_is_dead() {
    let dir = folder();
    let (mut writer, mut tail, mut sink) = (writer(&dir), leader(dir.path()), Sink::default());
    write(&mut writer, 0..1);
    let path = fs::read_dir(dir.path()).expect("reads").map(|entry| entry.expect("entry").path());
    let path = path.filter(|path| path.extension().is_some_and(|it| it == "capture")).last().expect("a file");
    let whole = fs::read(&path).expect("reads");
    let mut file = fs::OpenOptions::new().append(true).open(&path).expect("opens");
    file.write_all(&whole[HEADER_BYTES as usize..whole.len() - 1]).expect("writes");
    sink.drain(&mut tail);
    assert_eq!((sink.events.len(), capture_files(dir.path())), (1, 1));
    file.write_all(&whole[whole.len() - 1..]).expect("writes");
    file.write_all(&whole[HEADER_BYTES as usize..whole.len() - 1]).expect("writes");
    sink.drain(&mut tail);
    assert_eq!(sink.events.len(), 2);
    drop((writer, tail));
    sink.drain(&mut leader(dir.path()));
    assert_eq!((sink.events.len(), sink.lost, capture_files(dir.path())), (2, 0, 0));
}

#[test]
fn what_is_not_ours_or_newer_is_left_alone() {
    let dir = folder();
    let newer = Name { pid: 1, writer: 2, number: 3 }.path(dir.path());
    let odd = Name { pid: 1, writer: 3, number: 3 }.path(dir.path());
    fs::write(&newer, [&b"TPCAPTR9"[..], &[0; 100]].concat()).expect("writes");
    fs::write(&odd, [7; 100]).expect("writes");
    fs::write(dir.path().join("notes.txt"), "hello").expect("writes");
    let mut sink = Sink::default();
    let mut tail = leader(dir.path());
    sink.drain(&mut tail);
    sink.drain(&mut tail);
    assert_eq!((sink.events.len(), sink.lost, capture_files(dir.path())), (0, 0, 2));
    assert!(dir.path().join("notes.txt").exists());
}

#[test]
fn one_process_collects_and_another_takes_over_when_it_is_gone() {
    let dir = folder();
    let first = Collector::try_lead(dir.path()).expect("a folder").expect("leads");
    assert!(Collector::try_lead(dir.path()).expect("a folder").is_none());
    drop(first);
    assert!(Collector::try_lead(dir.path()).expect("a folder").is_some());
}

#[test]
fn groups_have_folders_of_their_own_for_their_owner_only() {
    let dir = folder();
    let (one, other) = (group_dir(dir.path(), "a").expect("a folder"), group_dir(dir.path(), "b").expect("a folder"));
    assert_ne!(one, other);
    assert_eq!(one, dir.path().join("captures/af63dc4c8601ec8c"), "the same in every version");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
        let _writer = Writer::open(&one, small()).expect("opens");
        let file = fs::read_dir(&one).expect("reads").next().expect("a file").expect("entry").path();
        assert_eq!((mode(&one), mode(&file)), (0o700, 0o600));
    }
}

#[test]
fn what_a_group_without_processes_has_left_is_collected_by_another_of_the_same_agent() {
    let dir = folder();
    let [own, abandoned, foreign, alive] =
        ["own", "abandoned", "foreign", "alive"].map(|key| group_dir(dir.path(), key).expect("a folder"));
    let lead_as = |group: &Path, name: &str| {
        Collector::try_lead(group).expect("a folder").expect("leads").adopting(name, Duration::ZERO, Duration::ZERO)
    };
    let mut living = Vec::new();
    for (number, (group, name)) in [(&abandoned, "web"), (&foreign, "other"), (&alive, "web")].into_iter().enumerate() {
        drop(lead_as(group, name));
        let mut writer = Writer::open(group, small()).expect("opens");
        write(&mut writer, number as u64..number as u64 + 1);
        living.push(writer);
    }
    living.drain(..2);
    let mut sink = Sink::default();
    let collector = lead_as(&own, "web");
    sink.drain(&mut collector.tail.lock().expect("not poisoned"));
    assert_eq!(numbers(&sink.events), [0]);
    assert!(!abandoned.exists() && foreign.exists() && alive.exists());
}

/// What happens in a group.
#[derive(Clone, Debug)]
enum Happening {
    Writes { who: usize, events: u64, long: bool },
    IsReplaced { who: usize },
    Collects { steps: usize },
    IsKilledBeforeSettling,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0usize..3, 1u64..30, any::<bool>())
            .prop_map(|(who, events, long)| Happening::Writes { who, events, long }),
        1 => (0usize..3).prop_map(|who| Happening::IsReplaced { who }),
        4 => (1usize..4).prop_map(|steps| Happening::Collects { steps }),
        1 => Just(Happening::IsKilledBeforeSettling),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_event_is_handed_over_in_order_or_counted(happenings in prop::collection::vec(happening(), 1..40)) {
        let dir = folder();
        let mut writers: Vec<(usize, Writer)> = (0..3).map(|id| (id, writer(&dir))).collect();
        let (mut ids, mut number) = (3, 0u64);
        let (mut tail, mut sink, mut kills) = (leader(dir.path()), Sink::default(), 0);
        for happening in happenings {
            match happening {
                Happening::Writes { who, events, long } => for _ in 0..events {
                    let (id, writer) = &mut writers[who];
                    let padding = "x".repeat(if long { 700 } else { 0 });
                    writer.event(Timestamp(5), &format!("{id} {padding} {number}"));
                    number += 1;
                },
                Happening::IsReplaced { who } => {
                    std::mem::replace(&mut writers[who], (ids, writer(&dir))).1.close();
                    ids += 1;
                }
                Happening::Collects { steps } => (0..steps).for_each(|_| { sink.step(&mut tail, true); }),
                Happening::IsKilledBeforeSettling => {
                    sink.step(&mut tail, false);
                    drop(tail);
                    tail = leader(dir.path());
                    kills += 1;
                }
            }
        }
        writers.drain(..).for_each(|(_, writer)| writer.close());
        drop(tail);
        sink.drain(&mut leader(dir.path()));
        prop_assert_eq!(capture_files(dir.path()), 0);

        let mut by_writer: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for event in &sink.events {
            let id = event.split(' ').next().unwrap_or_default().to_owned();
            by_writer.entry(id).or_default().push(numbers(std::slice::from_ref(event))[0]);
        }
        let mut different = std::collections::BTreeSet::new();
        for seen in by_writer.values() {
            different.extend(seen.iter().copied());
            let again = seen.windows(2).filter(|pair| pair[0] >= pair[1]).count();
            prop_assert!(again <= kills, "in order, but for what a killed collector had handed over");
        }
        let accounted = different.len() as u64 + sink.lost;
        prop_assert!(accounted >= number, "{} and {} lost of {number}", different.len(), sink.lost);
        if kills == 0 {
            prop_assert_eq!((accounted, sink.events.len()), (number, different.len()));
        }
    }

    #[test]
    fn any_bytes_under_our_name_do_no_harm(
        bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(1), any::<u8>()], 0..300),
        with_magic: bool,
        from in 0usize..60,
    ) {
        let dir = folder();
        let mut real = writer(&dir);
        write(&mut real, 0..2);
        drop(real);
        let path = fs::read_dir(dir.path()).expect("reads").next().expect("a file").expect("entry").path();
        let mut content = if with_magic { fs::read(&path).expect("reads") } else { Vec::new() };
        content.truncate(from.max(if with_magic { 8 } else { 0 }));
        content.extend_from_slice(&bytes);
        fs::write(&path, content).expect("writes");
        let mut tail = leader(dir.path());
        let mut sink = Sink::default();
        let steps = (0..100).take_while(|_| sink.step(&mut tail, true)).count();
        prop_assert!(steps < 100);
        prop_assert!(sink.events.is_empty() || with_magic);
    }
}
