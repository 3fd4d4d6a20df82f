//! Streams that dead processes have left behind.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::stream::{self, Claim, Stream, streams_dir};
use super::{Buffer, BufferError, BufferOptions};

/// Looks for streams of one agent that no living process has.
#[derive(Clone, Debug)]
pub struct Leftovers {
    streams: PathBuf,
    owner: String,
    options: BufferOptions,
    /// Streams of which it was said why they are left alone.
    said: HashSet<Uuid>,
}

impl Leftovers {
    /// Looks under `data_dir` for streams of the agent `owner`; an empty name is anybody.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn new(owner: &str, data_dir: &Path, options: BufferOptions) -> Result<Self, BufferError> {
        Ok(Self { streams: streams_dir(data_dir)?, owner: owner.to_owned(), options, said: HashSet::new() })
    }

    /// Takes over the next stream, whose buffer may be empty. Streams that cannot be used are left alone, which is said once.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn take_over(&mut self) -> Result<Option<Buffer>, BufferError> {
        for id in stream::existing(&self.streams)? {
            match self.stream(id) {
                Ok(Some(buffer)) => return Ok(Some(buffer)),
                Ok(None) => {}
                Err(error) => self.say(id, &format!("it cannot be used: {error}")),
            }
        }
        Ok(None)
    }

    fn stream(&mut self, id: Uuid) -> Result<Option<Buffer>, BufferError> {
        match Stream::claim(&self.streams, id, &self.owner)? {
            Claim::Ours(stream) => {
                let dir = stream.dir.clone();
                let buffer = Buffer::recovered(stream, self.options.clone());
                buffer.map(Some).map_err(|source| BufferError::unwritable(&dir, source))
            }
            Claim::Foreign(owner) => {
                self.say(id, &format!("it belongs to an agent of another name: {owner}"));
                Ok(None)
            }
            Claim::Taken | Claim::Empty => Ok(None),
        }
    }

    fn say(&mut self, id: Uuid, why: &str) {
        if self.said.insert(id) {
            tracing::warn!(stream = %id, why, "a stream in the data folder is left alone");
        }
    }
}
