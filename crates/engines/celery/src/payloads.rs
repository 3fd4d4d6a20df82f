//! The arguments of failed tasks, kept on this host so that they can be retried when the broker has forgotten them.
//!
//! Beside them, which task was sent again as which: a chord's body is sent with the results of the copies of its members.
//!
//! JSON lines in append-only files of mode 0600, failures and retries apart so that many retries never push out
//! failures. Whole files are dropped, oldest first, when the store is full or they are old. A torn or foreign line is
//! passed over. Two agents on one directory do not disturb each other: each writes only files of its own.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    num::NonZeroUsize,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use lru::LruCache;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use taskplane_model::{Timestamp, time::DAY};

use crate::{
    message::{Embed, Payload},
    tracker::Known,
    verbatim::Verbatim,
};

/// What the store may take on disk.
const MAX_DISK: u64 = 64 << 20;
/// What it may take in memory, when there is no directory.
const MAX_MEMORY: usize = 16 << 20;
/// How long arguments are kept.
const MAX_AGE: i64 = 7 * DAY;
/// A record larger than this is not kept.
const MAX_RECORD: usize = 256 << 10;
/// Copies kept in memory, when there is no directory.
const MAX_COPIES: NonZeroUsize = NonZeroUsize::new(50_000).unwrap();
/// Files of each kind; their size follows from it.
const FILES: u64 = 8;

/// What is kept of one failed task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) at: Timestamp,
    pub(crate) failed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) args_repr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kwargs_repr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload: Option<Payload>,
    /// The body of its message, which cannot be read here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) verbatim: Option<Verbatim>,
    /// The task's own headers, when its message was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) headers: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) queue: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) worker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) root_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) chord_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) priority: Option<i64>,
}

impl Record {
    /// The chord body that waits for this task, or for the last of its chain.
    fn body_id(&self) -> Option<&str> {
        self.payload.as_ref()?.embed.body_id()
    }

    /// True when its message can be sent again, or its arguments can.
    pub(crate) fn has_original(&self) -> bool {
        self.payload.is_some() || self.verbatim.is_some()
    }

    /// True when it says anything of what the task was called with.
    fn tells_arguments(&self) -> bool {
        self.has_original() || self.args_repr.is_some() || self.kwargs_repr.is_some()
    }

    /// True when its arguments are those of a result alone, and `kept` has them with all that a message has.
    fn is_part_of(&self, kept: &Self) -> bool {
        let Some(payload) = self.payload.as_ref().filter(|payload| payload.embed == Embed::default()) else {
            return false;
        };
        match &kept.payload {
            Some(kept) => (&payload.args, &payload.kwargs) == (&kept.args, &kept.kwargs),
            None => kept.verbatim.is_some(),
        }
    }

    /// What to keep of a task of which `kept` is kept; `None` when that is it. An agent that starts reads old results again, which
    /// say that a task failed, and mostly not what it was called with.
    fn over(self, kept: Option<Self>) -> Option<Self> {
        let Some(kept) = kept.filter(Self::tells_arguments) else {
            return (self.tells_arguments() || self.name.is_some()).then_some(self);
        };
        match self.tells_arguments() && !self.is_part_of(&kept) {
            true => Some(self),
            // Failures are kept for longer.
            false => (self.failed && !kept.failed).then_some(Self { failed: true, at: self.at, ..kept }),
        }
    }

    /// What is known of a task, with its full arguments if a result told them.
    pub(crate) fn of(id: &str, at: Timestamp, failed: bool, known: &Known, extended: Option<Payload>) -> Self {
        let payload = known.payload.as_deref().cloned().or(extended);
        let verbatim = known.verbatim();
        // Next to the full arguments their reprs are of no use.
        let repr = |repr: &Option<String>| if payload.is_some() { None } else { repr.clone() };
        Self {
            id: id.to_owned(),
            at,
            failed,
            name: known.name.clone(),
            args_repr: repr(&known.args_repr),
            kwargs_repr: repr(&known.kwargs_repr),
            headers: (known.payload.is_some() || verbatim.is_some())
                .then(|| known.headers.as_deref().cloned())
                .flatten(),
            verbatim,
            queue: known.queue.clone(),
            worker: known.worker.clone(),
            root_id: known.root_id.clone(),
            parent_id: known.parent_id.clone(),
            group_id: known.group_id.clone(),
            chord_id: known.chord_id.clone(),
            priority: known.priority,
            payload,
        }
    }
}

/// A task that was sent again.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Copy {
    /// The new task.
    id: String,
    at: Timestamp,
    /// The task that it repeats.
    copy_of: String,
}

/// Where arguments are kept.
pub(crate) enum PayloadStore {
    /// In memory: gone with the agent.
    Memory {
        /// Record and size by id.
        records: LruCache<String, (Record, usize)>,
        /// Their size.
        bytes: usize,
        /// By the task that they repeat.
        copies: LruCache<String, String>,
    },
    /// In a directory.
    Disk(Directory),
}

impl PayloadStore {
    pub(crate) fn open(dir: Option<&Path>, now: Timestamp) -> io::Result<Self> {
        match dir {
            None => Ok(Self::Memory { records: LruCache::unbounded(), bytes: 0, copies: LruCache::new(MAX_COPIES) }),
            Some(dir) => Directory::open(dir, now, MAX_DISK).map(Self::Disk),
        }
    }

    /// Keeps a record, in place of what was known of that task before, unless that says more.
    pub(crate) fn put(&mut self, record: Record, now: Timestamp) -> io::Result<()> {
        let kept = self.get(&record.id, now);
        let Some(record) = record.over(kept) else { return Ok(()) };
        let line = serde_json::to_vec(&record)?;
        if line.len() > MAX_RECORD {
            return Ok(());
        }
        match self {
            Self::Disk(directory) => directory.put(&record, line, now),
            Self::Memory { records, bytes, .. } => {
                *bytes += line.len();
                if let Some((_, (_, size))) = records.push(record.id.clone(), (record, line.len())) {
                    *bytes -= size;
                }
                while *bytes > MAX_MEMORY {
                    let Some((_, (_, size))) = records.pop_lru() else { break };
                    *bytes -= size;
                }
                Ok(())
            }
        }
    }

    /// What is kept of a task.
    pub(crate) fn get(&mut self, id: &str, now: Timestamp) -> Option<Record> {
        let record = match self {
            Self::Memory { records, .. } => records.get(id).map(|(record, _)| record.clone()),
            Self::Disk(directory) => directory.get(id),
        };
        record.filter(|r| r.at.plus(MAX_AGE) > now)
    }

    /// A member of a chord whose message was seen, by the id of the chord's body.
    pub(crate) fn member_of(&mut self, body_id: &str, now: Timestamp) -> Option<Record> {
        let member = match self {
            Self::Memory { records, .. } => {
                records.iter().find(|(_, (record, _))| record.body_id() == Some(body_id)).map(|(id, _)| id.clone())
            }
            Self::Disk(directory) => directory.members.get(body_id).cloned(),
        };
        self.get(&member?, now).filter(|record| record.body_id() == Some(body_id))
    }

    /// Keeps that a task was sent again, in place of what it was sent as before. `None` takes that back.
    pub(crate) fn put_copy(&mut self, old: &str, new: Option<&str>, now: Timestamp) -> io::Result<()> {
        match self {
            Self::Memory { copies, .. } => {
                match new {
                    Some(new) => copies.put(old.to_owned(), new.to_owned()),
                    None => copies.pop(old),
                };
                Ok(())
            }
            Self::Disk(directory) => directory.put_copy(old, new.unwrap_or_default(), now),
        }
    }

    /// As what a task was last sent again.
    pub(crate) fn copy_of(&mut self, old: &str, now: Timestamp) -> Option<String> {
        match self {
            Self::Memory { copies, .. } => copies.get(old).cloned(),
            Self::Disk(directory) => directory.copy_of(old, now),
        }
    }
}

/// Failures or retries. They have budgets of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Series {
    Failed,
    Retried,
}

impl Series {
    fn prefix(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Retried => "retried",
        }
    }

    fn share(self, total: u64) -> u64 {
        match self {
            Self::Failed => total / 4 * 3,
            Self::Retried => total / 4,
        }
    }
}

/// A file, named after its series and the time it was begun, so that names sort by age.
type FileKey = (Series, i64);

struct Place {
    file: FileKey,
    offset: u64,
    len: usize,
}

/// The store in a directory.
pub(crate) struct Directory {
    dir: PathBuf,
    limit: u64,
    index: HashMap<String, Place>,
    /// Members of chords whose messages were seen, by the chord's body.
    members: HashMap<String, String>,
    /// By the task that they repeat: where they were noted, when, and their id, which is empty when that was taken back.
    copies: HashMap<String, (FileKey, Timestamp, String)>,
    sizes: BTreeMap<FileKey, u64>,
    open: HashMap<Series, (i64, File)>,
}

impl Directory {
    fn open(dir: &Path, now: Timestamp, limit: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut store = Self {
            dir: dir.to_owned(),
            limit,
            index: HashMap::new(),
            members: HashMap::new(),
            copies: HashMap::new(),
            sizes: BTreeMap::new(),
            open: HashMap::new(),
        };
        let mut keys: Vec<FileKey> =
            fs::read_dir(dir)?.filter_map(|entry| file_key(entry.ok()?.file_name().to_str()?)).collect();
        // Failures last, in the order of time: a later line about a task replaces the earlier.
        keys.sort_by_key(|(series, begun)| (*series == Series::Failed, *begun));
        for key in keys {
            store.load(key)?;
        }
        store.shrink(now);
        Ok(store)
    }

    fn path(&self, (series, begun): FileKey) -> PathBuf {
        self.dir.join(format!("{}-{begun:020}.jsonl", series.prefix()))
    }

    fn load(&mut self, key: FileKey) -> io::Result<()> {
        let mut reader = BufReader::new(File::open(self.path(key))?);
        let mut offset = 0u64;
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut reader).take(MAX_RECORD as u64 + 2).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            if let Ok(copy) = serde_json::from_slice::<Copy>(&line) {
                self.copies.insert(copy.copy_of, (key, copy.at, copy.id));
            } else if let Some((id, body)) = id_and_body(&line) {
                self.members.extend(body.map(|body| (body, id.clone())));
                self.index.insert(id, Place { file: key, offset, len: read });
            }
            offset += read as u64;
        }
        self.sizes.insert(key, offset);
        Ok(())
    }

    fn put(&mut self, record: &Record, line: Vec<u8>, now: Timestamp) -> io::Result<()> {
        let series = if record.failed { Series::Failed } else { Series::Retried };
        let place = self.append(series, line, now)?;
        self.members.extend(record.body_id().map(|body| (body.to_owned(), record.id.clone())));
        self.index.insert(record.id.clone(), place);
        Ok(())
    }

    fn put_copy(&mut self, old: &str, new: &str, now: Timestamp) -> io::Result<()> {
        // Known in any case, even when it cannot be written.
        let newest = self.sizes.keys().next_back().copied().unwrap_or((Series::Retried, now.0));
        self.copies.insert(old.to_owned(), (newest, now, new.to_owned()));
        let line = serde_json::to_vec(&Copy { id: new.to_owned(), at: now, copy_of: old.to_owned() })?;
        let place = self.append(Series::Retried, line, now)?;
        self.copies.insert(old.to_owned(), (place.file, now, new.to_owned()));
        Ok(())
    }

    fn copy_of(&self, old: &str, now: Timestamp) -> Option<String> {
        let (_, at, new) = self.copies.get(old)?;
        Some(new).filter(|new| !new.is_empty() && at.plus(MAX_AGE) > now).cloned()
    }

    fn append(&mut self, series: Series, mut line: Vec<u8>, now: Timestamp) -> io::Result<Place> {
        line.push(b'\n');
        let begun = self.writable(series, now)?;
        let Some((_, file)) = self.open.get_mut(&series) else { return Err(io::ErrorKind::NotFound.into()) };
        let key = (series, begun);
        if let Err(error) = file.write_all(&line) {
            // Whatever part was written stays behind as a torn line: begin a new file rather than guess offsets.
            self.open.remove(&series);
            return Err(error);
        }
        let size = self.sizes.entry(key).or_default();
        let place = Place { file: key, offset: *size, len: line.len() };
        *size += line.len() as u64;
        Ok(place)
    }

    /// The file to write to, begun anew when the last one is full.
    fn writable(&mut self, series: Series, now: Timestamp) -> io::Result<i64> {
        if let Some((begun, _)) = self.open.get(&series) {
            let full = self.sizes.get(&(series, *begun)).is_some_and(|size| *size >= series.share(self.limit) / FILES);
            if !full {
                return Ok(*begun);
            }
        }
        let newest = self.sizes.keys().filter(|(s, _)| *s == series).map(|(_, begun)| *begun).max();
        let begun = now.0.max(newest.unwrap_or(0) + 1);
        let mut options = OpenOptions::new();
        let file = options.create_new(true).append(true).mode(0o600).open(self.path((series, begun)))?;
        self.sizes.insert((series, begun), 0);
        self.open.insert(series, (begun, file));
        self.shrink(now);
        Ok(begun)
    }

    /// Drops files that are old, or too much.
    fn shrink(&mut self, now: Timestamp) {
        let mut dropped = Vec::new();
        for series in [Series::Failed, Series::Retried] {
            let files: Vec<(FileKey, u64)> =
                self.sizes.iter().filter(|((s, _), _)| *s == series).map(|(key, size)| (*key, *size)).collect();
            let mut total: u64 = files.iter().map(|(_, size)| size).sum();
            for (position, (key, size)) in files.iter().enumerate() {
                // A file is as old as the next one is begun: that is when its last line was written.
                let ended = files.get(position + 1).map_or(now.0, |((_, next), _)| *next);
                let many = files.len() - position > 4 * FILES as usize;
                if total <= series.share(self.limit) && now.0 - ended <= MAX_AGE && !many {
                    break;
                }
                total -= size;
                dropped.push(*key);
            }
        }
        for key in &dropped {
            let _ = fs::remove_file(self.path(*key));
            self.sizes.remove(key);
            if self.open.get(&key.0).is_some_and(|(begun, _)| *begun == key.1) {
                self.open.remove(&key.0);
            }
        }
        if !dropped.is_empty() {
            self.index.retain(|_, place| self.sizes.contains_key(&place.file));
            self.members.retain(|_, member| self.index.contains_key(member));
            self.copies.retain(|_, (file, ..)| self.sizes.contains_key(file));
        }
    }

    fn get(&self, id: &str) -> Option<Record> {
        let place = self.index.get(id)?;
        let mut file = File::open(self.path(place.file)).ok()?;
        file.seek(SeekFrom::Start(place.offset)).ok()?;
        let mut line = vec![0; place.len];
        file.read_exact(&mut line).ok()?;
        serde_json::from_slice::<Record>(&line).ok().filter(|record| record.id == id)
    }
}

fn file_key(name: &str) -> Option<FileKey> {
    let (prefix, rest) = name.split_once('-')?;
    let begun = rest.strip_suffix(".jsonl")?.parse().ok()?;
    [Series::Failed, Series::Retried].into_iter().find(|s| s.prefix() == prefix).map(|series| (series, begun))
}

/// The task of a line, and the chord body that waits for it.
fn id_and_body(line: &[u8]) -> Option<(String, Option<String>)> {
    #[derive(Deserialize)]
    struct Head {
        id: String,
        payload: Option<Bound>,
    }
    #[derive(Deserialize)]
    struct Bound {
        #[serde(default)]
        embed: Embed,
    }
    let Head { id, payload } = serde_json::from_slice(line).ok().filter(|head: &Head| !head.id.is_empty())?;
    let body = payload.and_then(|payload| payload.embed.body_id().map(str::to_owned));
    Some((id, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use std::os::unix::fs::PermissionsExt as _;

    const NOW: Timestamp = Timestamp(1_795_364_433_000_000);

    fn record(id: &str, failed: bool) -> Record {
        let args_repr = Some("('a secret',)".to_owned());
        Record { id: id.to_owned(), at: NOW, failed, args_repr, ..Record::default() }
    }

    fn open(dir: &Path) -> Directory {
        Directory::open(dir, NOW, MAX_DISK).expect("opens")
    }

    fn put(store: &mut Directory, record: &Record, now: Timestamp) {
        store.put(record, serde_json::to_vec(record).expect("writes"), now).expect("is kept");
    }

    #[test]
    fn arguments_survive_a_restart_and_nobody_else_may_read_them() {
        let temp = tempfile::tempdir().expect("a directory");
        let dir = temp.path().join("payloads");
        let mut full = record("b", true);
        full.payload = Some(Payload { args: vec![json!(1)], ..Payload::default() });
        let mut store = open(&dir);
        put(&mut store, &record("a", false), NOW);
        put(&mut store, &full, NOW);
        drop(store);
        let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
        assert_eq!(mode(&dir), 0o700);
        for file in fs::read_dir(&dir).expect("lists") {
            assert_eq!(mode(&file.expect("a file").path()), 0o600);
        }
        let store = open(&dir);
        assert_eq!((store.get("a"), store.get("b"), store.get("c")), (Some(record("a", false)), Some(full), None));
    }

    #[test]
    fn the_latest_word_on_a_task_counts() {
        let temp = tempfile::tempdir().expect("a directory");
        let mut store = open(temp.path());
        put(&mut store, &record("a", false), NOW);
        put(&mut store, &Record { queue: Some("q".into()), ..record("a", true) }, NOW);
        assert!(store.get("a").is_some_and(|r| r.failed));
        assert!(open(temp.path()).get("a").is_some_and(|r| r.failed && r.queue.as_deref() == Some("q")));
    }

    #[test]
    fn a_torn_tail_and_foreign_lines_cost_only_themselves() {
        let temp = tempfile::tempdir().expect("a directory");
        let mut store = open(temp.path());
        put(&mut store, &record("a", true), NOW);
        let path = store.path(*store.sizes.keys().next().expect("a file"));
        let mut file = OpenOptions::new().append(true).open(path).expect("opens");
        file.write_all(b"\xff\xfe garbage\n{\"id\":\"torn").expect("writes");
        let mut store = open(temp.path());
        assert!(store.get("a").is_some() && store.get("torn").is_none());
        put(&mut store, &record("b", true), NOW);
        assert!(open(temp.path()).get("b").is_some());
    }

    #[test]
    fn the_store_is_bounded_and_retries_never_push_out_failures() {
        let temp = tempfile::tempdir().expect("a directory");
        let mut store = Directory::open(temp.path(), NOW, 64 << 10).expect("opens");
        put(&mut store, &record("failure", true), NOW);
        for i in 0..2_000 {
            put(&mut store, &record(&format!("retry-{i}"), false), NOW.plus(i));
        }
        let on_disk: u64 = fs::read_dir(temp.path())
            .expect("lists")
            .map(|f| f.expect("a file").metadata().expect("its size").len())
            .sum();
        assert!(on_disk < 64 << 10, "{on_disk}");
        assert!(store.get("failure").is_some() && store.get("retry-1999").is_some());
        assert!(store.get("retry-0").is_none());
        assert!(store.index.len() < 1_000);
    }

    #[test]
    fn arguments_are_forgotten_after_a_week() {
        let temp = tempfile::tempdir().expect("a directory");
        let mut store = PayloadStore::open(Some(temp.path()), NOW).expect("opens");
        store.put(record("a", true), NOW).expect("is kept");
        assert!(store.get("a", NOW.plus(6 * DAY)).is_some());
        assert!(store.get("a", NOW.plus(8 * DAY)).is_none());
    }

    #[test]
    fn memory_is_bounded_too() {
        let mut store = PayloadStore::open(None, NOW).expect("opens");
        for i in 0..300 {
            let big = Record { args_repr: Some("x".repeat(200 << 10)), ..record(&format!("{i}"), true) };
            store.put(big, NOW).expect("is kept");
        }
        assert!(store.get("0", NOW).is_none() && store.get("299", NOW).is_some());
    }

    fn stores() -> (tempfile::TempDir, [PayloadStore; 2]) {
        let temp = tempfile::tempdir().expect("a directory");
        let on_disk = PayloadStore::open(Some(temp.path()), NOW).expect("opens");
        (temp, [on_disk, PayloadStore::open(None, NOW).expect("opens")])
    }

    #[test]
    fn a_result_that_is_read_again_costs_no_arguments() {
        let chain = Embed { chain: json!([{"task": "next"}]), ..Embed::default() };
        let whole = Payload { args: vec![json!(1)], embed: chain, ..Payload::default() };
        let of_result = Payload { args: vec![json!(1)], ..Payload::default() };
        let other = Payload { args: vec![json!(2)], ..Payload::default() };
        let with = |payload: &Payload| Record { payload: Some(payload.clone()), args_repr: None, ..record("a", true) };
        let bare = Record { args_repr: None, at: NOW.plus(5), ..record("a", true) };
        let (_temp, both) = stores();
        for mut store in both {
            let mut kept_after = |next: &Record| {
                store.put(next.clone(), NOW).expect("is kept");
                store.get("a", NOW)
            };
            assert_eq!(kept_after(&bare), None, "it says nothing at all");
            assert_eq!(kept_after(&record("a", false)), Some(record("a", false)));
            assert_eq!(kept_after(&bare), Some(Record { at: bare.at, ..record("a", true) }), "now it has failed");
            assert_eq!(kept_after(&with(&of_result)), Some(with(&of_result)));
            assert_eq!(kept_after(&with(&whole)), Some(with(&whole)));
            assert_eq!(kept_after(&with(&of_result)), Some(with(&whole)), "the rest of its chain is not in a result");
            assert_eq!(kept_after(&bare), Some(with(&whole)));
            assert_eq!(kept_after(&with(&other)), Some(with(&other)), "a retry may change the arguments");
        }
    }

    #[test]
    fn it_is_known_what_a_task_was_sent_again_as() {
        let (temp, both) = stores();
        for mut store in both {
            store.put(record("old", true), NOW).expect("is kept");
            store.put_copy("old", Some("new"), NOW).expect("is kept");
            store.put_copy("old", Some("newer"), NOW).expect("is kept");
            store.put_copy("taken back", Some("x"), NOW).expect("is kept");
            store.put_copy("taken back", None, NOW).expect("is kept");
            assert_eq!(store.copy_of("old", NOW).as_deref(), Some("newer"));
            assert_eq!(store.copy_of("taken back", NOW), None);
            assert!(store.get("old", NOW).is_some() && store.get("newer", NOW).is_none());
        }
        let mut again = PayloadStore::open(Some(temp.path()), NOW).expect("opens");
        assert_eq!((again.copy_of("old", NOW).as_deref(), again.copy_of("taken back", NOW)), (Some("newer"), None));
        assert!(again.get("old", NOW).is_some_and(|record| record.failed));
        assert_eq!(again.copy_of("old", NOW.plus(8 * DAY)), None);
    }

    #[test]
    fn the_members_of_a_chord_are_found_by_its_body() {
        let embed = Embed { chord: json!({"task": "total", "options": {"task_id": "body"}}), ..Embed::default() };
        let payload = Some(Payload { embed, ..Payload::default() });
        let member = Record { payload, group_id: Some("g".into()), ..record("m", true) };
        let (temp, both) = stores();
        for mut store in both {
            store.put(record("other", true), NOW).expect("is kept");
            store.put(member.clone(), NOW).expect("is kept");
            assert_eq!(store.member_of("body", NOW), Some(member.clone()));
            assert_eq!(store.member_of("another body", NOW), None);
        }
        let mut again = PayloadStore::open(Some(temp.path()), NOW).expect("opens");
        assert_eq!(again.member_of("body", NOW), Some(member));
    }

    proptest! {
        #[test]
        fn any_file_can_be_opened(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            let temp = tempfile::tempdir().expect("a directory");
            fs::write(temp.path().join("failed-00000000000000000001.jsonl"), bytes).expect("writes");
            open(temp.path());
        }
    }
}
