//! Looks at messages that wait, without taking them: in queues, and in `unacked` (prefetched, delayed, or running with
//! late acknowledgement).

use std::{collections::HashMap, num::NonZeroUsize};

use lru::LruCache;
use redis::AsyncCommands as _;
use serde_json::Value;
use taskplane_model::Timestamp;

use super::{Link, layout::glob};
use crate::{broker::BrokerError, config::Watch, envelope::delivery_tag, message::TaskMessage};

/// The hash of delivered messages. One for all queues of a database.
pub(super) const UNACKED: &str = "unacked";
/// The right to look into it.
pub(super) fn unacked_right(link: &Link) -> String {
    format!("%R~{}", glob(&link.layout.key(UNACKED)))
}

/// With more entries than this, `unacked` is not looked into.
pub(super) const MAX_UNACKED: u64 = 10_000;
/// Delivery tags remembered.
const MAX_SEEN: NonZeroUsize = NonZeroUsize::new(50_000).unwrap();
/// How many messages one step reads: few at first, since mostly there is nothing new.
const STEPS: [usize; 4] = [1, 10, 50, 100];

/// What one sample may read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Budget {
    /// What one round of sampling may read.
    pub(crate) fn new() -> Self {
        Self { messages: 500, bytes: 4 << 20 }
    }

    pub(super) fn spend(&mut self, bytes: usize) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    pub(super) fn spent(self) -> bool {
        self.messages == 0 || self.bytes == 0
    }
}

/// Which end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Newest,
    Oldest,
}

impl End {
    fn range(self, offset: usize, count: usize) -> (isize, isize) {
        let (offset, count) = (offset.cast_signed(), count.cast_signed());
        match self {
            Self::Newest => (offset, offset + count - 1),
            Self::Oldest => (-(offset + count), -(offset + 1)),
        }
    }
}

/// What was looked at before, by delivery tag.
pub(crate) struct Waiting {
    watch: Watch,
    seen: LruCache<String, Timestamp>,
    /// Queue of each entry of `unacked` known so far.
    unacked: HashMap<String, String>,
}

/// Entries of `unacked` per queue, and the messages among them that were not seen before.
#[derive(Debug, Default)]
pub(crate) struct Unacked {
    /// `None` when there are too many to count, or some are not read yet.
    pub(crate) per_queue: Option<HashMap<String, u64>>,
    pub(crate) new: Vec<(String, TaskMessage)>,
}

impl Waiting {
    pub(crate) fn new(watch: Watch) -> Self {
        Self { watch, seen: LruCache::new(MAX_SEEN), unacked: HashMap::new() }
    }

    /// Messages of a list not seen before, from both of its ends, and when the oldest was first seen. The messages only where
    /// the broker is to tell of them.
    pub(crate) async fn peek(
        &mut self,
        link: &Link,
        key: &str,
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<(Vec<TaskMessage>, Option<Timestamp>), BrokerError> {
        let mut new = Vec::new();
        let oldest = self.walk(link, key, End::Oldest, now, budget, &mut new).await?;
        self.walk(link, key, End::Newest, now, budget, &mut new).await?;
        Ok((new, oldest))
    }

    /// Reads inwards from one end until everything is known. Gives when the message at that end was first seen.
    async fn walk(
        &mut self,
        link: &Link,
        key: &str,
        end: End,
        now: Timestamp,
        budget: &mut Budget,
        new: &mut Vec<TaskMessage>,
    ) -> Result<Option<Timestamp>, BrokerError> {
        let (mut offset, mut at_end) = (0, None);
        for step in 0.. {
            let count = STEPS[step.min(STEPS.len() - 1)];
            let (from, to) = end.range(offset, count);
            let right = format!("%R~{}", glob(key));
            let list: Vec<Vec<u8>> = link.run(&right, async |c| c.lrange(key, from, to).await).await?;
            let mut is_any_new = false;
            for raw in &list {
                budget.spend(raw.len());
                let Some(tag) = delivery_tag(raw) else { continue };
                let known = self.seen.get(tag.as_ref()).copied();
                at_end = at_end.or(known).or(Some(now));
                if known.is_none() {
                    is_any_new = true;
                    self.seen.put(tag.into_owned(), now);
                    new.extend(
                        Some(raw).filter(|_| self.watch == Watch::Everything).and_then(|raw| TaskMessage::read(raw)),
                    );
                }
            }
            offset += count;
            if list.len() < count || !is_any_new || budget.spent() {
                break;
            }
        }
        Ok(at_end)
    }

    /// Counts `unacked` per queue and reads what is new in it.
    pub(crate) async fn unacked(
        &mut self,
        link: &Link,
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<Unacked, BrokerError> {
        let (key, right) = (link.layout.key(UNACKED), unacked_right(link));
        let count: u64 = link.run(&right, async |c| c.hlen(&key).await).await?;
        if count > MAX_UNACKED {
            return Ok(Unacked::default());
        }
        let tags: Vec<String> = match count {
            0 => Vec::new(),
            _ => link.run(&right, async |c| c.hkeys(&key).await).await?,
        };
        let unknown: Vec<&String> = tags.iter().filter(|tag| !self.unacked.contains_key(*tag)).collect();
        let mut new = Vec::new();
        let mut read = 0;
        for chunk in unknown.chunks(50) {
            if budget.spent() {
                break;
            }
            let values: Vec<Option<Vec<u8>>> = link.run(&right, async |c| c.hmget(&key, chunk).await).await?;
            read += chunk.len();
            for (tag, raw) in chunk.iter().zip(values) {
                budget.spend(raw.as_ref().map_or(0, Vec::len));
                let Some((queue, message)) = raw.as_deref().and_then(read_unacked) else { continue };
                self.unacked.insert((*tag).clone(), queue.clone());
                self.seen.get_or_insert(message.delivery_tag.clone(), || now);
                new.push((queue, message));
            }
        }
        let complete = read == unknown.len();
        let present: std::collections::HashSet<&String> = tags.iter().collect();
        self.unacked.retain(|tag, _| present.contains(tag));
        let mut per_queue = HashMap::new();
        for queue in self.unacked.values() {
            *per_queue.entry(queue.clone()).or_default() += 1;
        }
        Ok(Unacked { per_queue: complete.then_some(per_queue), new })
    }
}

/// Reads `[message, exchange, routing_key]`. For a direct exchange the routing key is the queue.
pub(crate) fn read_unacked(raw: &[u8]) -> Option<(String, TaskMessage)> {
    let entry: Vec<Value> = serde_json::from_slice(raw).ok()?;
    let message = match entry.first()? {
        Value::String(text) => TaskMessage::read(text.as_bytes())?,
        message => TaskMessage::read(message.to_string().as_bytes())?,
    };
    let queue = entry.get(2).and_then(Value::as_str).filter(|q| !q.is_empty());
    Some((queue.unwrap_or(&message.routing_key).to_owned(), message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn an_unacked_entry_gives_its_task_and_queue() {
        let raw = samples::unacked_entry()["value"].to_string();
        let (queue, message) = read_unacked(raw.as_bytes()).expect("an entry");
        assert_eq!((queue.as_str(), message.id.as_str()), ("celery", "9dc69a9e-0e1b-4dc2-9ced-2a1afaaad3ba"));
        assert!(message.sent(&queue).eta.is_some());
    }

    #[test]
    fn foreign_entries_are_passed_over() {
        for raw in ["", "[]", "{}", "[1,2,3]", "[\"x\",\"\",\"q\"]", "[{},\"\",\"q\"]"] {
            assert!(read_unacked(raw.as_bytes()).is_none(), "{raw}");
        }
    }

    #[test]
    fn both_ends_of_a_list_are_addressed() {
        assert_eq!((End::Newest.range(0, 1), End::Newest.range(1, 10)), ((0, 0), (1, 10)));
        assert_eq!((End::Oldest.range(0, 1), End::Oldest.range(1, 10)), ((-1, -1), (-11, -2)));
    }
}
