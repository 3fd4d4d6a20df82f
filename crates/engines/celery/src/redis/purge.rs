//! Purging a queue on Redis: its four lists, counted and dropped in one transaction.

use taskplane_agent::engine::CommandError;

use super::{Link, bindings::keys, layout::glob};
use crate::{broker::Purged, message::TaskMessage};

/// Most messages of one list that are told as cancelled, since Celery itself tells nobody. Of a longer list the oldest.
const MAX_TOLD: isize = 10_000;

/// Drops all waiting messages of a queue that exists.
pub(super) async fn purge(link: &Link, queue: &str) -> Result<Purged, CommandError> {
    let lists = keys(queue).map(|key| link.layout.key(&key));
    let right = format!("~{}*", glob(&link.layout.key(queue)));
    refuse_other_types(link, &lists, &right).await?;
    let dropped: Vec<(u64, Vec<Vec<u8>>)> = link
        .run_once(&right, async |c| {
            let mut pipe = redis::pipe();
            pipe.atomic();
            for key in &lists {
                pipe.llen(key);
                pipe.lrange(key, -MAX_TOLD, -1);
            }
            pipe.del(&lists[..]).ignore();
            let (a, b, c2, d, e, f, g, h) = pipe.query_async(c).await?;
            Ok(vec![(a, b), (c2, d), (e, f), (g, h)])
        })
        .await
        .map_err(|error| CommandError::Engine(error.to_string()))?;
    let count = dropped.iter().map(|(count, _)| count).sum();
    let messages = dropped.iter().flat_map(|(_, raw)| raw).filter_map(|raw| TaskMessage::read(raw)).collect();
    Ok(Purged { count, messages })
}

/// Redis deletes a key of any type: a transaction does not stop at the command that finds the wrong one.
async fn refuse_other_types(link: &Link, lists: &[String], right: &str) -> Result<(), CommandError> {
    let types: Vec<String> = link
        .run(right, async |c| {
            let mut pipe = redis::pipe();
            for key in lists {
                pipe.cmd("TYPE").arg(key);
            }
            pipe.query_async(c).await
        })
        .await
        .map_err(|error| CommandError::Engine(error.to_string()))?;
    match types.iter().find(|kind| !matches!(kind.as_str(), "list" | "none")) {
        Some(kind) => Err(CommandError::InvalidArgs(format!("a key of that name is no queue but a Redis {kind}"))),
        None => Ok(()),
    }
}
