//! The durable hand-over between the processes of one host: hooks write, one process collects.
//!
//! # What it promises
//!
//! * An event is in the file before [`Writer::event`] returns: it survives `kill -9` of the process. It is not synced: the
//!   loss of power may take what the system had not written back.
//! * A hook waits for nobody: each record is one `write`, and no lock is shared with the collector. What cannot be written is
//!   counted, and the count goes along with the next record that can be.
//! * Each process's events are handed over in their order, at least once: the mark that says how far a file is drained
//!   advances after they are in the buffer's file. A collector that is killed in between leaves its successor to hand some
//!   over again, which changes nothing, since the fold is idempotent; counts of lost events may then be told twice.
//! * A process keeps a bounded number of files. Beyond it its oldest goes, and what was in it and not yet drained is counted.
//!   While nobody collects, dead processes leave a bounded number of bytes: who begins a file drops the oldest.
//! * Damage costs the record that it hit, or the rest of its file where no other record can be found; it is counted, as one
//!   event for each place. The torn last record of a killed process is passed over: its hook had not returned.
//!
//! # On disk
//!
//! ```text
//! <data_dir>/captures/<group>/collector.lock            locked by the process that collects
//! <data_dir>/captures/<group>/owner                     the agent's name: "crc32 name"
//! <data_dir>/captures/<group>/<pid>-<id>-<nr>.capture   the files of one process, numbered; pid is for people
//! file   = "TPCAPTR1" | mark | crc32(mark) u32, then records as in the buffer
//! mark   = offset u64 | events u64 | lost u64           up to here it is drained, with so many events, and so many told as lost
//! record = tag u32 | crc32(body) u32 | crc32(tag, crc) u32 | body; tag = kind << 24 | length of the body
//! body   = ts i64 | event                               kind 1: an event
//!        | bytes                                        kind 16: an original
//!        | events u64                                   kind 17: so many events were lost since this was last said
//! ```
//!
//! All numbers are little-endian. A file of a newer version (another digit) is left alone, which is said once.
//!
//! # Who may do what
//!
//! A process has its current file locked shared for as long as it writes to it; when it begins the next one it lets go. A
//! file is complete when it can be locked exclusively, or when its process has a later one. Only the collector drains, with a
//! lock on the file, shared with the living writer or exclusive. Only who has a file exclusively removes it: the collector when
//! it is drained, a writer when it has too many of its own, or when the folder has too much. So a writer never drops what is
//! being handed over, and both know from the mark what was.

mod adoption;
mod chunk;
mod collector;
mod file;
mod folder;
mod lead;
mod room;
mod run;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

pub use collector::Collector;
pub use lead::lead;
pub use run::collect;
pub use writer::Writer;

use crate::buffer::stream::create_dirs;

/// How much a process may write.
#[derive(Clone, Debug)]
pub struct CaptureOptions {
    /// A file is closed before it gets longer than this. A single record may be longer.
    pub file_bytes: u64,
    /// Most files of one process, at least two.
    pub files: usize,
    /// Most bytes in the folder of a group, beyond which the oldest files go that no process writes to any more.
    pub group_bytes: u64,
}

impl Default for CaptureOptions {
    fn default() -> Self {
        Self { file_bytes: 4 << 20, files: 8, group_bytes: 256 << 20 }
    }
}

/// The folder under `data_dir` through which the processes with the same `key` hand over their events. It is created, for its
/// owner only.
///
/// # Errors
/// The folder cannot be created.
pub fn group_dir(data_dir: &Path, key: &str) -> io::Result<PathBuf> {
    let dir = data_dir.join("captures").join(format!("{:016x}", stable_hash(key)));
    create_dirs(&dir)?;
    Ok(dir)
}

/// FNV-1a, 64 bits: the same in every version and process, and good enough to tell a handful of groups apart.
fn stable_hash(key: &str) -> u64 {
    key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;
