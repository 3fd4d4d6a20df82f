//! RedBeat's keys on Redis.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands as _, RedisError, RedisResult, Script};
use serde_json::{Map, Value};
use taskplane_agent::scheduler::MAX_SCHEDULES;
use taskplane_celery_address::{RedisAddress, explain_on};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::definition::Stored;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Hashes that are read at once.
const AT_ONCE: usize = 500;

/// Makes a schedule, unless there is one of that name.
const CREATE: &str = "if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'definition', ARGV[1], 'meta', ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[3], KEYS[1])
return 1";
/// Changes a definition, unless somebody else has changed it since it was read; and the last run, when one is given.
const CHANGE: &str = "if redis.call('HGET', KEYS[1], 'definition') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'definition', ARGV[2])
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'meta', ARGV[3]) end
if ARGV[4] ~= '' then redis.call('ZADD', KEYS[2], ARGV[4], KEYS[1]) end
return 1";

/// The database, and the prefix of the keys.
pub(super) struct Link {
    address: RedisAddress,
    prefix: String,
    connection: Mutex<Option<MultiplexedConnection>>,
}

/// The names of schedules with their scores, and which of them are defined in code.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Index {
    pub(super) scores: BTreeMap<String, f64>,
    pub(super) from_code: BTreeSet<String>,
    pub(super) are_more: bool,
}

/// A schedule, and its definition as it was written.
pub(super) struct Found {
    pub(super) stored: Stored,
    text: String,
}

impl Link {
    pub(super) fn new(address: RedisAddress, prefix: String) -> Self {
        Self { address, prefix, connection: Mutex::new(None) }
    }

    /// All names; `None` when RedBeat keeps nothing here.
    pub(super) async fn index(&self) -> Result<Option<Index>, String> {
        let (schedule, statics) = (self.schedule_key(), self.key(":statics"));
        let (scores, from_code): (Vec<(String, f64)>, BTreeSet<String>) = self
            .run(async |c| {
                let last = isize::try_from(MAX_SCHEDULES).unwrap_or(isize::MAX);
                redis::pipe().zrange_withscores(&schedule, 0, last).smembers(&statics).query_async(c).await
            })
            .await?;
        if scores.is_empty() && from_code.is_empty() {
            return Ok(None);
        }
        let are_more = scores.len() > MAX_SCHEDULES;
        let named = |(key, score): (String, f64)| Some((key.strip_prefix(&self.prefix)?.to_owned(), score));
        let scores = scores.into_iter().take(MAX_SCHEDULES).filter_map(named).collect();
        Ok(Some(Index { scores, from_code, are_more }))
    }

    /// The schedules of these names. Those that are gone by now, or hold no JSON, are left out.
    pub(super) async fn read(&self, scores: &BTreeMap<String, f64>) -> Result<Vec<Stored>, String> {
        let mut read = Vec::with_capacity(scores.len());
        let names: Vec<(&String, &f64)> = scores.iter().collect();
        for some in names.chunks(AT_ONCE) {
            let kept: Vec<(Option<String>, Option<String>)> = self
                .run(async |c| {
                    let mut pipe = redis::pipe();
                    for (name, _) in some {
                        pipe.hmget(self.key(name), &["definition", "meta"]);
                    }
                    pipe.query_async(c).await
                })
                .await?;
            let pairs = some.iter().zip(kept);
            read.extend(pairs.filter_map(|((name, score), kept)| stored(name, kept, Some(**score))));
        }
        Ok(read)
    }

    pub(super) async fn one(&self, name: &str) -> Result<Option<Found>, String> {
        let (key, schedule) = (self.key(name), self.schedule_key());
        let (kept, score): ((Option<String>, Option<String>), Option<f64>) = self
            .run(async |c| {
                redis::pipe().hmget(&key, &["definition", "meta"]).zscore(&schedule, &key).query_async(c).await
            })
            .await?;
        let text = kept.0.clone().unwrap_or_default();
        Ok(stored(name, kept, score).map(|stored| Found { stored, text }))
    }

    /// False when there is one of that name.
    pub(super) async fn create(&self, stored: &Stored, due: i64) -> Result<bool, String> {
        let script = Script::new(CREATE);
        let mut call = script.key(self.key(&stored.name));
        call.key(self.schedule_key()).arg(json(&stored.definition)).arg(json(&stored.meta)).arg(due);
        self.run(async |c| call.invoke_async(c).await).await
    }

    /// False when somebody else has changed it since it was read.
    pub(super) async fn change(
        &self,
        found: &Found,
        changed: &Stored,
        begins: bool,
        due: Option<i64>,
    ) -> Result<bool, String> {
        let script = Script::new(CHANGE);
        let mut call = script.key(self.key(&changed.name));
        call.key(self.schedule_key()).arg(&found.text).arg(json(&changed.definition));
        call.arg(if begins { json(&changed.meta) } else { String::new() });
        call.arg(due.map(|due| due.to_string()).unwrap_or_default());
        self.run(async |c| call.invoke_async(c).await).await
    }

    /// False when there was none.
    pub(super) async fn delete(&self, name: &str) -> Result<bool, String> {
        let (key, schedule) = (self.key(name), self.schedule_key());
        let (_, deleted): (i64, i64) =
            self.run(async |c| redis::pipe().atomic().zrem(&schedule, &key).del(&key).query_async(c).await).await?;
        Ok(deleted > 0)
    }

    pub(super) async fn is_from_code(&self, name: &str) -> Result<bool, String> {
        let statics = self.key(":statics");
        self.run(async |c| c.sismember(&statics, name).await).await
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn schedule_key(&self) -> String {
        self.key(":schedule")
    }

    async fn run<T>(&self, work: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>) -> Result<T, String> {
        let mut slot = self.connection.lock().await;
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => self.address.connect(Some(ANSWER_WITHIN)).await.map_err(|why| self.told(&why))?,
        };
        let late = || self.told("did not answer in time");
        let outcome = timeout(ANSWER_WITHIN * 2, work(&mut connection)).await.map_err(|_| late())?;
        // A server that was the master when it was connected to may be none now.
        let is_suspect = |e: &RedisError| {
            e.is_io_error() || e.is_unrecoverable_error() || e.is_timeout() || e.code() == Some("READONLY")
        };
        if !outcome.as_ref().is_err_and(is_suspect) {
            *slot = Some(connection);
        }
        outcome.map_err(|error| self.why(&error))
    }

    fn told(&self, why: &str) -> String {
        format!("Redis at {} {why}", self.address.shown())
    }

    fn why(&self, error: &RedisError) -> String {
        match error.code() {
            Some("WRONGTYPE") => self.told("holds something else under RedBeat's keys: correct --redbeat-prefix"),
            _ => self.told(&explain_on(error, &format!("~{}*", self.prefix))),
        }
    }
}

fn stored(name: &str, (definition, meta): (Option<String>, Option<String>), score: Option<f64>) -> Option<Stored> {
    let object = |text: Option<String>| serde_json::from_str::<Map<String, Value>>(text.as_deref()?).ok();
    Some(Stored {
        name: name.to_owned(),
        definition: object(definition)?,
        meta: object(meta).unwrap_or_default(),
        score,
    })
}

fn json(object: &Map<String, Value>) -> String {
    Value::from(object.clone()).to_string()
}
