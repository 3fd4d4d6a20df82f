//! Which capture files a folder has. Listed again only when the folder has changed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::file::{Mark, Name, UNFINISHED};

/// A change this close to the time of the last listing may come after it under the same time.
const TIME_IS_COARSE: Duration = Duration::from_millis(100);
/// How often the folder is listed even if it does not say that it has changed.
const LIST_EVERY: Duration = Duration::from_secs(5);
/// A file that was begun so long ago and is not finished never will be.
const UNFINISHED_FOR: Duration = Duration::from_secs(60);

/// A file's place in the order: a writer's files by number.
pub(super) type Key = (u64, u64);

/// What is known of a file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    /// `None` before its header was read.
    pub(super) mark: Option<Mark>,
    /// How long it was when it was last read to its end.
    pub(super) read_len: Option<u64>,
    /// When to see whether its writer is gone.
    pub(super) look_at: Instant,
    /// Not a file that we can read.
    pub(super) is_left_alone: bool,
}

/// The files of one folder.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    pub(super) entries: BTreeMap<Key, Entry>,
    changed: Option<SystemTime>,
    listed_at: Option<(Instant, SystemTime)>,
}

impl Folder {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), entries: BTreeMap::new(), changed: None, listed_at: None }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Learns of files that came and went.
    pub(super) fn refresh(&mut self) -> io::Result<()> {
        let changed = match self.changed_at() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.entries.clear();
                return Ok(());
            }
            changed => changed?,
        };
        if self.is_known(changed) {
            return Ok(());
        }
        // Before it is listed: what comes meanwhile changes the time again.
        self.changed = Some(changed);
        self.listed_at = Some((Instant::now(), SystemTime::now()));
        self.list()
    }

    /// True when there may be something to read or to remove. Asks the system only for what it has in memory.
    pub(super) fn has_news(&self) -> bool {
        let now = Instant::now();
        let has_news = |entry: &Entry| {
            let len = || fs::metadata(&entry.path).ok().map(|metadata| metadata.len());
            !entry.is_left_alone && (now >= entry.look_at || len() != entry.read_len)
        };
        !self.changed_at().is_ok_and(|changed| self.is_known(changed)) || self.entries.values().any(has_news)
    }

    fn changed_at(&self) -> io::Result<SystemTime> {
        fs::metadata(&self.dir)?.modified()
    }

    /// True when the files of the folder are known as they were when it last changed.
    fn is_known(&self, changed: SystemTime) -> bool {
        self.changed == Some(changed)
            && self.listed_at.is_some_and(|(listed, by_clock)| {
                let is_settled = by_clock.duration_since(changed).is_ok_and(|before| before > TIME_IS_COARSE);
                is_settled && listed.elapsed() < LIST_EVERY
            })
    }

    fn list(&mut self) -> io::Result<()> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let file_name = entry.file_name();
            let Some(name) = file_name.to_str().and_then(Name::parse) else {
                remove_unfinished(&entry.path());
                continue;
            };
            let key = (name.writer, name.number);
            let known = self.entries.remove(&key).unwrap_or_else(|| Entry {
                path: name.path(&self.dir),
                mark: None,
                read_len: None,
                look_at: Instant::now(),
                is_left_alone: false,
            });
            found.insert(key, known);
        }
        self.entries = found;
        Ok(())
    }
}

/// Removes a file that a process was killed over before it had its name.
fn remove_unfinished(path: &Path) {
    let is_ours = path.extension().is_some_and(|extension| extension == UNFINISHED)
        && path.with_extension("capture").file_name().and_then(|name| name.to_str()).and_then(Name::parse).is_some();
    let age = || fs::metadata(path).ok()?.modified().ok()?.elapsed().ok();
    if is_ours && age().is_some_and(|age| age > UNFINISHED_FOR) {
        let _ = fs::remove_file(path);
    }
}
