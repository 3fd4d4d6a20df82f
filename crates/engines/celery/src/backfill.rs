//! The results that lay in the backend before the agent came: read once, slowly, and told where nothing else told of
//! them.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    broker::{BrokerError, Incoming},
    lookup,
    redis::Backend,
    result_backend::ResultBackend,
    shared::{Shared, lock},
};

/// Most results told.
const MAX_RESULTS: usize = 10_000;
/// A result larger than this is passed over.
const MAX_BYTES: u64 = 256 << 10;
/// Keys that one step looks at, and results that one step reads.
const KEYS_AT_ONCE: usize = 200;
const RESULTS_AT_ONCE: usize = 20;
/// Between two steps, so that neither Redis nor the agent's buffer notices.
const PAUSE: Duration = Duration::from_millis(20);
/// Most steps: a database of twenty million keys is looked through.
const MAX_STEPS: usize = 100_000;
/// Tells of the results in the backend, newest first, once it can be read.
pub(crate) async fn backfill(shared: Arc<Shared>, incoming: mpsc::Sender<Incoming>, stop: CancellationToken) {
    let Some(results) = &shared.results else { return };
    let work = async {
        loop {
            // What is happening goes first.
            sleep(shared.timings.control_wait * 2).await;
            match tell_newest(&shared, results, &incoming).await {
                Ok(0) => return,
                Ok(count) => return tracing::info!(count, "results that were stored before were told"),
                Err(error) => tracing::debug!(%error, "the results that were stored before cannot be read yet"),
            }
            sleep(shared.timings.reconnect.1).await;
        }
    };
    stop.run_until_cancelled(work).await;
}

async fn tell_newest(
    shared: &Shared,
    results: &ResultBackend,
    incoming: &mpsc::Sender<Incoming>,
) -> Result<usize, BrokerError> {
    let newest = match results {
        ResultBackend::Redis(results) => newest(shared, results).await?,
        #[cfg(feature = "database")]
        ResultBackend::Database(results) => results.newest(MAX_RESULTS).await?,
    };
    tell(shared, &newest, incoming).await
}

/// The ids of the newest results on Redis, newest first, of tasks never heard of. All results live equally long, so the one that
/// has the most of its life before it is the newest.
async fn newest(shared: &Shared, results: &Backend) -> Result<Vec<String>, BrokerError> {
    let mut newest: BinaryHeap<Reverse<(i64, String)>> = BinaryHeap::new();
    let mut cursor = 0u64;
    for _ in 0..MAX_STEPS {
        let (next, keys): (u64, Vec<Vec<u8>>) = results
            .link
            .run("+scan", async |c| {
                let mut scan = redis::cmd("SCAN");
                scan.arg(cursor).arg("MATCH").arg(results.pattern()).arg("COUNT").arg(KEYS_AT_ONCE);
                scan.query_async(c).await
            })
            .await?;
        let keys = strangers(shared, results, keys);
        for (key, ttl) in small(results, keys).await? {
            newest.push(Reverse((ttl, key)));
            if newest.len() > MAX_RESULTS {
                newest.pop();
            }
        }
        cursor = next;
        if cursor == 0 {
            break;
        }
        sleep(PAUSE).await;
    }
    let newest = newest.into_sorted_vec().into_iter();
    Ok(newest.filter_map(|Reverse((_, key))| results.task(&key).map(str::to_owned)).collect())
}

/// The keys of tasks that nothing else told of.
fn strangers(shared: &Shared, results: &Backend, keys: Vec<Vec<u8>>) -> Vec<String> {
    let tracker = lock(&shared.tracker);
    let keys = keys.into_iter().filter_map(|key| String::from_utf8(key).ok());
    keys.filter(|key| results.task(key).is_some_and(|id| !tracker.contains(id))).collect()
}

/// Those that are not too large, with how long they still live, in milliseconds.
async fn small(results: &Backend, keys: Vec<String>) -> Result<Vec<(String, i64)>, BrokerError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let told: Vec<(Option<u64>, i64)> = results
        .link
        .run(&results.right(), async |c| {
            let mut pipe = redis::pipe();
            for key in &keys {
                pipe.strlen(key).pttl(key);
            }
            let flat: Vec<i64> = pipe.query_async(c).await?;
            Ok(flat.chunks_exact(2).map(|pair| (u64::try_from(pair[0]).ok(), pair[1])).collect())
        })
        .await?;
    let small =
        keys.into_iter().zip(told).filter(|(_, (bytes, _))| bytes.is_some_and(|b| (1..=MAX_BYTES).contains(&b)));
    Ok(small.map(|(key, (_, ttl))| (key, ttl)).collect())
}

/// Hands the results to the intake, which tells of each by itself.
async fn tell(shared: &Shared, ids: &[String], incoming: &mpsc::Sender<Incoming>) -> Result<usize, BrokerError> {
    let mut count = 0;
    for ids in ids.chunks(RESULTS_AT_ONCE) {
        let strangers: Vec<&str> = {
            let tracker = lock(&shared.tracker);
            ids.iter().map(String::as_str).filter(|id| !tracker.contains(id)).collect()
        };
        for (id, raw) in lookup::results(shared, &strangers).await? {
            let ran = lookup::has_run(&id, &raw);
            if ran && incoming.send(Incoming::StoredResult(raw)).await.is_err() {
                return Ok(count);
            }
            count += usize::from(ran);
        }
        sleep(PAUSE).await;
    }
    Ok(count)
}
