//! A host's data folder with real buffers in it, and what a loss of power leaves of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use taskplane_agent::buffer::{Buffer, BufferOptions};
use uuid::Uuid;

use crate::chance::Chance;
use crate::failure::Violation;

/// Bytes at the beginning of a segment that are no records.
const SEGMENT_HEADER: usize = 28;
/// Bytes before a record's body.
const RECORD_HEADER: usize = 12;
/// The kinds of records that seal a batch.
const SEALS: [u32; 2] = [2, 5];

/// The data folder of one host. Several agents may share it.
pub(crate) struct Home {
    dir: PathBuf,
    /// Streams whose names come from the seed.
    named: BTreeSet<Uuid>,
    /// Streams that no process has opened since the power failed: what is on the disk stays.
    torn: BTreeSet<Uuid>,
}

impl Home {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, named: BTreeSet::new(), torn: BTreeSet::new() }
    }

    /// Opens a buffer as a starting process does. The name of a new stream is drawn again from the seed, because the order of
    /// names decides which one of several a process continues.
    pub(crate) fn open(
        &mut self,
        owner: &str,
        options: &BufferOptions,
        chance: &mut Chance,
    ) -> Result<Buffer, Violation> {
        let buffer = self.claim(owner, options)?;
        let id = buffer.stream_id();
        if self.named.contains(&id) {
            self.torn.remove(&id);
            return Ok(buffer);
        }
        drop(buffer);
        let bytes = chance.bytes(16).try_into().unwrap_or_default();
        let name = uuid::Builder::from_random_bytes(bytes).into_uuid();
        self.named.insert(name);
        let streams = self.dir.join("streams");
        fs::rename(streams.join(id.to_string()), streams.join(name.to_string())).map_err(Violation::io)?;
        self.claim(owner, options)
    }

    fn claim(&self, owner: &str, options: &BufferOptions) -> Result<Buffer, Violation> {
        Buffer::open_for(owner, &self.dir, options.clone())
            .map_err(|error| Violation::new(format!("a buffer did not open: {error}")))
    }

    /// The power has failed while no process lives any more: of what was not synced, an arbitrary beginning is left, perhaps
    /// followed by nonsense. With `disk_lies`, not even the last sealed batch is safe.
    pub(crate) fn lose_power(&mut self, chance: &mut Chance, disk_lies: bool) -> Result<(), Violation> {
        for stream in &self.named {
            if !self.torn.insert(*stream) {
                continue;
            }
            let dir = self.dir.join("streams").join(stream.to_string());
            let Some(active) = newest_segment(&dir)? else { continue };
            let bytes = fs::read(&active).map_err(Violation::io)?;
            let safe = if disk_lies { SEGMENT_HEADER.min(bytes.len()) } else { synced(&bytes) };
            let left = safe + chance.index(bytes.len() - safe + 1);
            let mut torn = bytes[..left].to_vec();
            let gone = bytes.len() - left;
            match chance.index(3) {
                0 => {}
                1 => torn.resize(left + gone, 0),
                _ => torn.extend(chance.bytes(gone)),
            }
            fs::write(&active, torn).map_err(Violation::io)?;
        }
        Ok(())
    }
}

fn newest_segment(dir: &Path) -> Result<Option<PathBuf>, Violation> {
    let mut newest = None;
    for entry in fs::read_dir(dir).map_err(Violation::io)? {
        let path = entry.map_err(Violation::io)?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            newest = newest.max(Some(path));
        }
    }
    Ok(newest)
}

/// How many bytes of a segment were synced: everything up to its last seal.
fn synced(bytes: &[u8]) -> usize {
    let mut at = SEGMENT_HEADER.min(bytes.len());
    let mut synced = at;
    while let Some(tag) = bytes.get(at..at + 4).and_then(|tag| tag.try_into().ok()).map(u32::from_le_bytes) {
        let end = at + RECORD_HEADER + (tag & 0x00ff_ffff) as usize;
        if end > bytes.len() {
            break;
        }
        if SEALS.contains(&(tag >> 24)) {
            synced = end;
        }
        at = end;
    }
    synced
}
