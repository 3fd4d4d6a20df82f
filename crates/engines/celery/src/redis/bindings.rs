//! Which queues exist: learned from the routing tables, since an empty list has no key on Redis.

use std::collections::BTreeSet;

use redis::AsyncCommands as _;

use super::{Link, layout::glob};
use crate::{broker::BrokerError, control::REPLY_EXCHANGE, queues::carries_tasks};

/// Separates the parts of a routing table's members, and a queue's name from its priority step.
pub(crate) const SEPARATOR: &str = "\x06\x16";
/// The priority steps that have a list of their own besides the queue's.
const STEPS: [i64; 3] = [3, 6, 9];
const KEY_PREFIX: &str = "_kombu.binding.";
/// More queues than this are not sampled.
pub(crate) const MAX_QUEUES: usize = 1_000;
const MAX_TABLES: usize = 1_000;
/// Other prefixes than this many are not told.
const MAX_OTHERS: usize = 3;
/// Keys looked at in one step of the search for routing tables: a result backend may hold millions of others.
const SCAN_COUNT: usize = 1_000;
const SCANS_PER_ROUND: usize = 10;
/// A full search looks at half a million keys at most.
const FULL_SEARCH_ROUNDS: usize = 50;

/// The lists of a queue, without the application's prefix: priority 0 (also without priority), then the other steps.
pub(crate) fn keys(queue: &str) -> [String; 4] {
    let step = |n: usize| format!("{queue}{SEPARATOR}{}", STEPS[n]);
    [queue.to_owned(), step(0), step(1), step(2)]
}

/// The list for a message of this priority: that of the largest step not above it.
pub(crate) fn key_for(queue: &str, priority: Option<i64>) -> String {
    match STEPS.iter().rev().find(|step| **step <= priority.unwrap_or(0)) {
        Some(step) => format!("{queue}{SEPARATOR}{step}"),
        None => queue.to_owned(),
    }
}

/// The queues known so far, and the state of the search for more.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownQueues {
    pub(crate) names: BTreeSet<String>,
    tables: BTreeSet<String>,
    cursor: u64,
    complete: bool,
    /// There are routing tables under the application's own prefix, be it without queues.
    has_own: bool,
    /// Other prefixes that have routing tables.
    others: BTreeSet<String>,
}

impl KnownQueues {
    /// Searches on for routing tables, a bounded step at a time, and reads those known.
    pub(crate) async fn refresh(&mut self, link: &Link) -> Result<(), BrokerError> {
        self.search(link).await?;
        self.read_tables(link).await
    }

    /// True once all of the database was searched.
    pub(crate) fn complete(&self) -> bool {
        self.complete
    }

    /// What is wrong with the prefix, when all of the database was searched: nothing has it, and something has another.
    pub(crate) fn wrong_prefix(&self, link: &Link) -> Option<BrokerError> {
        if !self.complete || self.has_own || self.others.is_empty() {
            return None;
        }
        let named =
            |prefix: &str| if prefix.is_empty() { "no prefix".to_owned() } else { format!("the prefix {prefix}") };
        let others: Vec<String> = self.others.iter().map(|prefix| named(prefix)).collect();
        Some(link.failed(&format!(
            "has nothing of Celery under {}, but under {}: put the application's own at the end of the URL, as \
             ?global_keyprefix=…, and start a worker",
            named(&link.layout.prefix),
            others.join(" and ")
        )))
    }

    async fn search(&mut self, link: &Link) -> Result<(), BrokerError> {
        // Those of other prefixes cost no more to find, and tell of a wrong one.
        let pattern = format!("*{}*", glob(KEY_PREFIX));
        for _ in 0..SCANS_PER_ROUND {
            let cursor = self.cursor;
            let (next, found): (u64, Vec<Vec<u8>>) = link
                .run("+scan", async |c| {
                    let mut scan = redis::cmd("SCAN");
                    scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCAN_COUNT);
                    scan.query_async(c).await
                })
                .await?;
            let found = found.into_iter().filter_map(|key| String::from_utf8(key).ok());
            found.for_each(|key| self.note(key, &link.layout.prefix));
            self.cursor = next;
            if next == 0 {
                self.complete = true;
                return Ok(());
            }
        }
        Ok(())
    }

    fn note(&mut self, key: String, prefix: &str) {
        if let Some(bare) = key.strip_prefix(prefix).filter(|bare| bare.starts_with(KEY_PREFIX)) {
            // The agent itself is bound there for as long as it asks workers.
            self.has_own |= !bare.ends_with(REPLY_EXCHANGE);
            if is_task_table(bare) && self.tables.len() < MAX_TABLES {
                self.tables.insert(key);
            }
        } else if let Some((other, _)) = key.split_once(KEY_PREFIX)
            && self.others.len() < MAX_OTHERS
        {
            self.others.insert(other.to_owned());
        }
    }

    async fn read_tables(&mut self, link: &Link) -> Result<(), BrokerError> {
        if self.tables.is_empty() {
            return Ok(());
        }
        let tables: Vec<String> = self.tables.iter().take(MAX_TABLES).cloned().collect();
        let members: Vec<Vec<Vec<u8>>> = link
            .run(&right(link), async |c| {
                let mut pipe = redis::pipe();
                for table in &tables {
                    pipe.smembers(table);
                }
                pipe.query_async(c).await
            })
            .await?;
        let queues = members.iter().flatten().filter_map(|member| queue_of(member));
        for queue in queues.filter(|queue| carries_tasks(queue)) {
            if self.names.len() < MAX_QUEUES {
                self.names.insert(queue);
            }
        }
        Ok(())
    }
}

/// The right to read routing tables.
fn right(link: &Link) -> String {
    format!("%R~{}*", glob(&link.layout.key(KEY_PREFIX)))
}

fn is_task_table(key: &str) -> bool {
    key.strip_prefix(KEY_PREFIX).is_some_and(|exchange| !exchange.ends_with("pidbox") && exchange != "celeryev")
}

/// The queue in `routing_key \x06\x16 pattern \x06\x16 queue`.
fn queue_of(member: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(member).ok()?;
    text.splitn(3, SEPARATOR).nth(2).map(str::to_owned)
}

/// True when somebody declared the queue: it has messages, or it is in a routing table.
pub(crate) async fn is_declared(link: &Link, queue: &str) -> Result<bool, BrokerError> {
    // Celery declares a queue on an exchange of the same name, unless told otherwise.
    let usual = format!("{queue}{SEPARATOR}{SEPARATOR}{queue}");
    let table = link.layout.key(&format!("{KEY_PREFIX}{queue}"));
    let bound: bool = link.run(&right(link), async |c| c.sismember(&table, &usual).await).await?;
    if bound {
        return Ok(true);
    }
    Ok(all_queues(link).await?.contains(queue))
}

/// Searches all of the database for queues, at once: for commands, which cannot wait for the sampler to get there.
pub(crate) async fn all_queues(link: &Link) -> Result<BTreeSet<String>, BrokerError> {
    let mut known = KnownQueues::default();
    for _ in 0..FULL_SEARCH_ROUNDS {
        known.search(link).await?;
        if known.complete() {
            break;
        }
    }
    known.read_tables(link).await?;
    Ok(known.names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_goes_to_the_list_of_its_priority() {
        for (priority, key) in
            [(None, "q"), (Some(0), "q"), (Some(2), "q"), (Some(5), "q\x06\x163"), (Some(9), "q\x06\x169")]
        {
            assert_eq!(key_for("q", priority), key);
        }
        assert_eq!(keys("q")[1..], ["q\x06\x163", "q\x06\x166", "q\x06\x169"]);
    }

    #[test]
    fn celerys_own_routing_tables_are_left_out() {
        assert!(is_task_table("_kombu.binding.celery"));
        assert!(!is_task_table("_kombu.binding.celeryev") && !is_task_table("_kombu.binding.reply.celery.pidbox"));
    }

    #[test]
    fn routing_tables_of_another_prefix_tell_of_a_wrong_one() {
        let mut known = KnownQueues::default();
        known.note("app:_kombu.binding.celery".to_owned(), "");
        assert!(known.tables.is_empty() && !known.has_own && known.others.contains("app:"));
        known.note("_kombu.binding.celery.pidbox".to_owned(), "");
        known.note("_kombu.binding.celery".to_owned(), "");
        assert!(known.has_own && known.tables.contains("_kombu.binding.celery") && known.tables.len() == 1);
    }

    #[test]
    fn a_routing_table_names_its_queues() {
        assert_eq!(queue_of(b"celery\x06\x16\x06\x16celery").as_deref(), Some("celery"));
        assert_eq!(queue_of(b"nothing"), None);
        assert_eq!(queue_of(b"\xff\x06\x16\x06\x16q"), None);
    }
}
