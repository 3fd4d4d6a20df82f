//! Finds the messages of tasks that wait, or that a worker has not acknowledged.

use std::collections::{BTreeSet, HashSet};

use redis::AsyncCommands as _;
use serde::{Deserialize, de::IgnoredAny};

use super::{
    Link, Redis,
    bindings::{all_queues, keys},
    layout::glob,
    waiting::{Budget, MAX_UNACKED, UNACKED, read_unacked, unacked_right},
};
use crate::{
    broker::{BrokerError, FoundMessage, FoundMessages, Search},
    message::TaskMessage,
    shared::lock,
};

/// Messages read in one step.
const STEP: usize = 100;

/// The messages that a search is after. The queues they were seen in are searched first.
pub(super) async fn find_messages(redis: &Redis, search: &Search) -> Result<FoundMessages, BrokerError> {
    let mut finding = Finding {
        missing: search.ids.iter().map(String::as_str).collect(),
        found: FoundMessages::default(),
        budget: Budget { messages: 20_000, bytes: 64 << 20 },
    };
    finding.look_at_unacked(&redis.link).await?;
    let sampled: BTreeSet<String> = lock(&redis.known).names.difference(&search.queues).cloned().collect();
    finding.look_at_queues(&redis.link, search.queues.iter().chain(&sampled)).await?;
    if !search.heard_of && !finding.is_over() {
        // Never heard of: it may wait in a queue that is not known yet either.
        let all = all_queues(&redis.link).await?;
        let others = all.iter().filter(|queue| !search.queues.contains(*queue) && !sampled.contains(*queue));
        finding.look_at_queues(&redis.link, others).await?;
    }
    finding.found.waiting_left = !finding.missing.is_empty() && finding.budget.spent();
    Ok(finding.found)
}

/// A search, a bounded number of messages long.
struct Finding<'s> {
    missing: HashSet<&'s str>,
    found: FoundMessages,
    budget: Budget,
}

impl Finding<'_> {
    fn is_over(&self) -> bool {
        self.missing.is_empty() || self.budget.spent()
    }

    async fn look_at_unacked(&mut self, link: &Link) -> Result<(), BrokerError> {
        let (key, mut cursor) = (link.layout.key(UNACKED), 0u64);
        for _ in 0..(MAX_UNACKED / 200) {
            let (next, fields): (u64, Vec<Vec<u8>>) = link
                .run(&unacked_right(link), async |c| {
                    redis::cmd("HSCAN").arg(&key).arg(cursor).arg("COUNT").arg(200).query_async(c).await
                })
                .await?;
            for raw in fields.into_iter().skip(1).step_by(2) {
                if self.may_be_sought(&raw, unacked_id)
                    && let Some((queue, message)) = read_unacked(&raw)
                {
                    self.take(queue, message, true);
                }
            }
            cursor = next;
            if cursor == 0 || self.missing.is_empty() {
                break;
            }
        }
        self.found.delivered_left = cursor != 0 && !self.missing.is_empty();
        Ok(())
    }

    async fn look_at_queues(&mut self, link: &Link, queues: impl Iterator<Item = &String>) -> Result<(), BrokerError> {
        for queue in queues {
            for key in keys(queue) {
                self.look_at_list(link, queue, &link.layout.key(&key)).await?;
            }
        }
        Ok(())
    }

    async fn look_at_list(&mut self, link: &Link, queue: &str, key: &str) -> Result<(), BrokerError> {
        let mut offset = 0;
        while !self.is_over() {
            let from = isize::try_from(offset).unwrap_or(isize::MAX);
            let to = from.saturating_add(STEP.cast_signed() - 1);
            let right = format!("%R~{}", glob(key));
            let list: Vec<Vec<u8>> = link.run(&right, async |c| c.lrange(key, from, to).await).await?;
            for raw in &list {
                self.budget.spend(raw.len());
                if self.may_be_sought(raw, message_id)
                    && let Some(message) = TaskMessage::read(raw)
                {
                    self.take(queue.to_owned(), message, false);
                }
            }
            if list.len() < STEP {
                break;
            }
            offset += STEP;
        }
        Ok(())
    }

    /// A quick look before the whole message is read: what has its id in an unusual place may be sought as well.
    fn may_be_sought(&self, raw: &[u8], id: impl FnOnce(&[u8]) -> Option<String>) -> bool {
        !self.missing.is_empty() && id(raw).is_none_or(|id| self.missing.contains(id.as_str()))
    }

    fn take(&mut self, queue: String, message: TaskMessage, is_delivered: bool) {
        if self.missing.remove(message.id.as_str()) {
            self.found.messages.push(FoundMessage { queue, message, is_delivered });
        }
    }
}

#[derive(Deserialize)]
struct Head {
    headers: Headers,
}

#[derive(Deserialize)]
struct Headers {
    id: Option<String>,
}

fn message_id(raw: &[u8]) -> Option<String> {
    serde_json::from_slice::<Head>(raw).ok()?.headers.id
}

/// Of `[message, exchange, routing_key]`.
fn unacked_id(raw: &[u8]) -> Option<String> {
    serde_json::from_slice::<(Head, IgnoredAny, IgnoredAny)>(raw).ok()?.0.headers.id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn the_quick_look_sees_the_id_that_the_whole_message_has() {
        let raw = samples::task_message("chain_head").to_string();
        let message = TaskMessage::read(raw.as_bytes()).expect("a task message");
        assert_eq!(message_id(raw.as_bytes()), Some(message.id));
        let raw = samples::unacked_entry()["value"].to_string();
        let (_, message) = read_unacked(raw.as_bytes()).expect("an entry");
        assert_eq!(unacked_id(raw.as_bytes()), Some(message.id));
    }

    #[test]
    fn foreign_text_has_no_id() {
        for raw in ["", "[]", "{}", "[1,2,3]", r#"{"headers":{}}"#, r#"{"headers":{"id":7}}"#] {
            assert_eq!((message_id(raw.as_bytes()), unacked_id(raw.as_bytes())), (None, None), "{raw}");
        }
    }
}
