//! Batches on their way to the disk: bounded memory, and one transaction for what comes within two milliseconds.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use taskplane_brain::ingest::FoldedBatch;
use taskplane_store::ingest::BatchToStore;

use crate::failure::{Violation, hold};
use crate::network::Line;

/// How long the first batch of a group waits for others.
pub(crate) const GATHER: Duration = Duration::from_millis(2);
/// Most batches in one transaction.
const GROUP_BATCHES: usize = 64;
/// How long the store is left alone after a failure, at first …
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// … and at most.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A batch, and who waits for it.
pub(crate) struct Waiting {
    pub(crate) line: Line,
    pub(crate) ticket: u64,
    pub(crate) batch: BatchToStore,
    bytes: usize,
}

pub(crate) struct Ingest {
    memory: usize,
    used: usize,
    /// Batches of connections that wait for memory, one each.
    outside: VecDeque<Waiting>,
    inside: VecDeque<Waiting>,
    is_busy: bool,
    tickets: u64,
    /// A group that the store refused, and how long it was left alone.
    pub(crate) held: Option<(Vec<Waiting>, Duration)>,
    /// Connections of which a batch was refused. A later batch of theirs must not be stored: the ack of it would cover the
    /// refused one.
    refused: BTreeSet<Line>,
    /// Since when every transaction has failed.
    pub(crate) failing_since: Option<Duration>,
}

impl Ingest {
    pub(crate) fn new(memory: usize) -> Self {
        let (outside, inside) = (VecDeque::new(), VecDeque::new());
        Self {
            memory,
            used: 0,
            outside,
            inside,
            is_busy: false,
            tickets: 0,
            held: None,
            refused: BTreeSet::new(),
            failing_since: None,
        }
    }

    /// A connection brings a batch, and reads nothing more until it is let in. Returns the number under which the answer
    /// will come.
    pub(crate) fn bring(&mut self, line: Line, folded: FoldedBatch) -> u64 {
        self.tickets += 1;
        let bytes = folded.memory.clamp(1, self.memory);
        self.outside.push_back(Waiting { line, ticket: self.tickets, batch: folded.batch, bytes });
        self.tickets
    }

    /// A connection is gone, with the batch that it could not hand over.
    pub(crate) fn forget(&mut self, line: Line) {
        self.outside.retain(|waiting| waiting.line != line);
    }

    /// Lets in what there is room for, in the order in which it came. Returns whose batches.
    pub(crate) fn let_in(&mut self, without_bounds: bool) -> Result<Vec<Line>, Violation> {
        let mut admitted = Vec::new();
        while self.outside.front().is_some_and(|first| without_bounds || self.used + first.bytes <= self.memory) {
            let Some(first) = self.outside.pop_front() else { break };
            self.used += first.bytes;
            admitted.push(first.line);
            self.inside.push_back(first);
        }
        let (used, most) = (self.used, self.memory);
        hold!(used <= most, "the brain holds {used} bytes of batches in memory, and {most} are allowed");
        Ok(admitted)
    }

    /// True when a group should begin to gather.
    pub(crate) fn begins(&mut self) -> bool {
        let begins = !self.is_busy && !self.inside.is_empty();
        self.is_busy |= begins;
        begins
    }

    /// The group that goes to the disk.
    pub(crate) fn gathered(&mut self) -> Vec<Waiting> {
        let mut group = Vec::new();
        while let Some(next) = self.inside.pop_front() {
            if self.refused.contains(&next.line) {
                self.used -= next.bytes;
                continue;
            }
            group.push(next);
            if group.len() == GROUP_BATCHES {
                break;
            }
        }
        group.sort_by_key(|waiting| (waiting.batch.stream, waiting.batch.seq));
        group
    }

    /// A group is given up, and what its connections have brought after it.
    pub(crate) fn refuse(&mut self, group: &[Waiting]) {
        self.refused.extend(group.iter().map(|waiting| waiting.line));
        self.done(group);
    }

    /// A group has left the memory.
    pub(crate) fn done(&mut self, group: &[Waiting]) {
        self.used -= group.iter().map(|waiting| waiting.bytes).sum::<usize>();
        self.is_busy = false;
    }
}
