//! The bound on what a group may leave behind while nobody collects.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::CaptureOptions;
use super::chunk::{Ended, Found};
use super::collector::read_records;
use super::file::{self, Header, Name, Opened};

/// A file in the folder.
struct Present {
    modified: SystemTime,
    len: u64,
    path: PathBuf,
}

/// Makes room in `dir` for one more file: where it has too much, the oldest go that nobody writes to. Returns how many events
/// were lost with them.
pub(super) fn make_room(dir: &Path, options: &CaptureOptions) -> io::Result<u64> {
    let mut files = files(dir)?;
    let mut bytes = files.iter().fold(options.file_bytes, |sum, file| sum.saturating_add(file.len));
    if bytes <= options.group_bytes {
        return Ok(0);
    }
    files.sort_by_key(|file| file.modified);
    let mut lost = 0u64;
    for file in files {
        if bytes <= options.group_bytes {
            break;
        }
        if let Some(events) = discard(&file.path)? {
            lost = lost.saturating_add(events);
            bytes = bytes.saturating_sub(file.len);
        }
    }
    Ok(lost)
}

fn files(dir: &Path) -> io::Result<Vec<Present>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // One that is removed in this moment is gone.
        let (Some(_), Ok(metadata)) = (entry.file_name().to_str().and_then(Name::parse), entry.metadata()) else {
            continue;
        };
        files.push(Present { modified: metadata.modified()?, len: metadata.len(), path: entry.path() });
    }
    Ok(files)
}

/// Removes a file that nobody writes to, and returns how many events in it were not drained. `None` for any other.
fn discard(path: &Path) -> io::Result<Option<u64>> {
    let Opened::Alone(file) = file::open(path, true)? else { return Ok(None) };
    let Header::Ours(drained) = file::read_header(&file)? else { return Ok(None) };
    let (mut mark, mut buffer) = (drained, Vec::new());
    let mut ended = Ended::Full;
    while ended == Ended::Full {
        (mark, ended) = read_records(&file, mark, true, &mut buffer, &mut Found::default())?;
    }
    fs::remove_file(path)?;
    Ok(Some(mark.events.saturating_sub(drained.events).saturating_add(mark.lost.saturating_sub(drained.lost))))
}
