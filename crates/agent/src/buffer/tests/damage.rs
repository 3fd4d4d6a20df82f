//! Whatever happens to the files: nothing panics, nothing is invented, nothing comes twice, and what is lost is counted.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

#[test]
fn damage_costs_the_record_it_hit() {
    let dir = folder();
    let mut buffer = open(&dir);
    for text in ["first", "damaged", "third"] {
        buffer.append(TS, text.as_bytes());
    }
    fill(&mut buffer, 2);
    let path = segment_files(&buffer).remove(0);
    drop(buffer);
    let mut bytes = fs::read(&path).expect("reads");
    let at = bytes.windows(7).position(|window| window == b"damaged").expect("there");
    bytes[at] ^= 1;
    fs::write(&path, bytes).expect("writes");
    let mut buffer = open(&dir);
    assert_eq!(buffer.damaged(), 1);
    let batches = all_after(&mut buffer, 0);
    assert_eq!(batches[0].events().take(2).collect::<Vec<_>>(), [&b"first"[..], b"third"]);
    assert_eq!(batches.len(), 2);
}

/// Batches of the specimen that are split.
const SPLIT: [u64; 2] = [5, 8];
const SPLITS: u64 = SPLIT.len() as u64;

/// A stream with several segments, a batch that was split, and events that were not sealed.
struct Specimen {
    dir: TempDir,
    stream: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
    events: BTreeSet<Vec<u8>>,
}

impl Specimen {
    fn new() -> Self {
        let dir = folder();
        let mut buffer = Buffer::open_for("web-1", dir.path(), small()).expect("opens");
        let mut events = BTreeSet::new();
        for batch in 0..12 {
            for n in 0..=(batch % 3) {
                let event = format!(r#"{{"batch":{batch},"n":{n},"text":"{}"}}"#, "x".repeat(250)).into_bytes();
                buffer.append(TS, &event);
                events.insert(event);
            }
            if batch != 11 {
                buffer.seal();
            }
            if SPLIT.contains(&batch) {
                assert!(buffer.split(buffer.last_sealed()));
            }
        }
        let stream = buffer.stream.dir.clone();
        assert!(segment_files(&buffer).len() >= 2);
        drop(buffer);
        let mut paths: Vec<PathBuf> =
            fs::read_dir(&stream).expect("reads").map(|entry| entry.expect("entry").path()).collect();
        paths.sort();
        let files = paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("reads"))).collect();
        Self { dir, stream, files, events }
    }

    /// Opens the stream with one file changed, and returns what is delivered, how much is counted as dropped and what is
    /// missing.
    fn opened_with(&self, changed: usize, content: &[u8]) -> Aftermath {
        for entry in fs::read_dir(&self.stream).expect("reads") {
            fs::remove_file(entry.expect("entry").path()).expect("removes");
        }
        for (index, (path, original)) in self.files.iter().enumerate() {
            fs::write(path, if index == changed { content } else { original }).expect("writes");
        }
        let mut buffer = Buffer::open_for("web-1", self.dir.path(), small()).expect("opens");
        assert_eq!(buffer.stream.dir, self.stream, "the stream is continued");
        let batches = all_after(&mut buffer, 0);
        assert!(batches.windows(2).all(|pair| pair[0].seq < pair[1].seq));
        let mut missing = self.events.clone();
        for batch in &batches {
            for event in batch.events() {
                assert!(missing.remove(event), "invented, or there twice: {}", String::from_utf8_lossy(event));
            }
        }
        let report = buffer.report();
        buffer.append(TS, b"later");
        let seq = buffer.seal().expect("it goes on");
        assert_eq!(buffer.next_after(seq - 1).expect("a batch").events().collect::<Vec<_>>(), [b"later"]);
        buffer.ack(seq);
        assert_eq!(buffer.report().dropped, report.dropped, "what is lost is counted once");
        Aftermath { missing: missing.len() as u64, dropped: report.dropped }
    }
}

struct Aftermath {
    missing: u64,
    dropped: u64,
}

#[test]
fn a_flipped_bit_anywhere_costs_at_most_the_event_it_hit() {
    let specimen = Specimen::new();
    let last = specimen.files.iter().rposition(|(path, _)| segment::first_seq(path).is_some()).expect("a segment");
    for (index, (path, original)) in specimen.files.iter().enumerate() {
        // Seven has nothing to do with the length of anything: in all files together, each field of each kind of record is hit.
        for at in (0..original.len()).step_by(7) {
            let mut content = original.clone();
            content[at] ^= 1 << (at % 8);
            let Aftermath { missing, dropped } = specimen.opened_with(index, &content);
            let what = format!("{} at {at}: {missing} missing, {dropped} counted", path.display());
            assert!(missing <= 1, "{what}");
            // The header of the last record in a log may as well be a torn write.
            assert!(dropped == missing || (index == last && dropped < missing), "{what}");
        }
    }
}

#[test]
fn a_segment_may_end_anywhere() {
    let specimen = Specimen::new();
    let last = specimen.files.iter().rposition(|(path, _)| segment::first_seq(path).is_some()).expect("a segment");
    for (index, (path, original)) in specimen.files.iter().enumerate() {
        for len in (0..original.len()).step_by(7) {
            let Aftermath { missing, dropped } = specimen.opened_with(index, &original[..len]);
            let what = format!("{} cut to {len}: {missing} missing, {dropped} counted", path.display());
            // Nobody can know how many events were in what is gone; that some were can be known of all but the newest. When a
            // moved half is gone, its number is missed, and its events are still where they were moved from.
            assert!(dropped <= missing + SPLITS && (dropped > 0 || missing == 0 || index == last), "{what}");
        }
    }
}

proptest! {
    #[test]
    fn damage_of_any_kind_is_survived(
        file in any::<Index>(),
        changes in prop::collection::vec((any::<Index>(), prop::collection::vec(any::<u8>(), 1..80), any::<bool>()), 1..6),
    ) {
        thread_local!(static SPECIMEN: Specimen = Specimen::new());
        SPECIMEN.with(|specimen| {
            let index = file.index(specimen.files.len());
            let mut content = specimen.files[index].1.clone();
            for (at, bytes, overwrites) in changes {
                let at = at.index(content.len() + 1);
                let end = if overwrites { (at + bytes.len()).min(content.len()) } else { at };
                content.splice(at..end, bytes);
            }
            specimen.opened_with(index, &content);
        });
    }
}
