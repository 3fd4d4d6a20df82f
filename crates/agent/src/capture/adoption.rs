//! What processes have captured whose group is no more: its configuration changed, or its role is gone from this host.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::Collector;
use super::collector::{Haul, Tail};
use super::file::{self, Opened};
use crate::buffer::stream::{read_owner, write_owner};

/// How often to look for such groups.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// How long nobody must have been there.
const ABANDONED_FOR: Duration = Duration::from_secs(60);

impl Collector {
    /// Collects in the name of the agent `name`: notes it in the folder, and from time to time also collects from the folders
    /// of other groups of the same agent in which no process is left.
    #[must_use]
    pub fn for_agent(self, name: &str) -> Self {
        self.adopting(name, LOOK_EVERY, ABANDONED_FOR)
    }

    pub(super) fn adopting(self, name: &str, look_every: Duration, abandoned_for: Duration) -> Self {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tail.folder.dir().to_owned();
        if read_owner(&dir).as_deref() != Some(name)
            && let Err(error) = write_owner(&dir, name)
        {
            tracing::warn!(%error, folder = %dir.display(), "whose captured events these are cannot be written down");
        }
        tail.adoption = Some(Adoption {
            owner: name.to_owned(),
            own: dir,
            look_every,
            abandoned_for,
            look_at: Instant::now(),
            abandoned: HashMap::new(),
            adopted: None,
        });
        drop(tail);
        self
    }
}

/// Groups besides the collector's own.
#[derive(Debug)]
pub(super) struct Adoption {
    owner: String,
    own: PathBuf,
    look_every: Duration,
    abandoned_for: Duration,
    look_at: Instant,
    /// Folders in which nobody was, and since when that is known.
    abandoned: HashMap<PathBuf, Instant>,
    /// The one that is being collected.
    adopted: Option<Box<Tail>>,
}

impl Adoption {
    /// True when there is something to read or to look for.
    pub(super) fn is_due(&self) -> bool {
        self.adopted.is_some() || Instant::now() >= self.look_at
    }

    /// Reads on in an adopted group, if there is one. Empty when there is none, or nothing left in it.
    pub(super) fn read(&mut self) -> Haul {
        if self.adopted.is_none() && Instant::now() >= self.look_at {
            self.look_at = Instant::now() + self.look_every;
            self.adopted = self.look();
        }
        let Some(adopted) = &mut self.adopted else { return Haul::default() };
        let haul = adopted.read();
        if haul.is_empty()
            && let Some(done) = self.adopted.take()
        {
            done.leave();
        }
        haul
    }

    pub(super) fn settle(&mut self, haul: Haul) {
        if let Some(adopted) = &mut self.adopted {
            adopted.settle(haul);
        }
    }

    /// Looks at all groups, and takes one in which nobody has been for long enough.
    fn look(&mut self) -> Option<Box<Tail>> {
        let groups = fs::read_dir(self.own.parent()?).ok()?;
        let mut abandoned = HashMap::new();
        let mut taken = None;
        for dir in groups.flatten().map(|group| group.path()) {
            if dir == self.own || read_owner(&dir).as_ref() != Some(&self.owner) {
                continue;
            }
            let Ok(Some(mut tail)) = Tail::try_lead(&dir) else { continue };
            if !has_only_dead(&mut tail) {
                continue;
            }
            let since = *self.abandoned.get(&dir).unwrap_or(&Instant::now());
            if taken.is_none() && since.elapsed() >= self.abandoned_for {
                tracing::info!(folder = %dir.display(), "collecting what processes of another configuration have left");
                taken = Some(Box::new(tail));
            } else {
                abandoned.insert(dir, since);
            }
        }
        self.abandoned = abandoned;
        taken
    }
}

/// True when no process writes there any more.
fn has_only_dead(tail: &mut Tail) -> bool {
    tail.folder.refresh().is_ok()
        && tail.folder.entries.values().all(|entry| matches!(file::open(&entry.path, true), Ok(Opened::Alone(_))))
}

impl Tail {
    /// Ends the collection of an adopted group, whose folder goes where nothing is left in it.
    fn leave(self: Box<Self>) {
        if self.files() > 0 {
            return;
        }
        let dir: &Path = self.folder.dir();
        // Who comes in this moment begins it anew, in whatever state it finds it.
        let _ = fs::remove_file(dir.join("owner"));
        let _ = fs::remove_file(dir.join("collector.lock"));
        let _ = fs::remove_dir(dir);
    }
}
