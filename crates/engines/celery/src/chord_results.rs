//! What the members of a chord have returned, as Celery keeps it in Redis until the body is sent.
//!
//! `<group>.j` has one entry for each member that ended, `[1, id, state, result]`: a sorted set in the order of the members, or
//! a list in the order of their ends where the application wants it so.

use std::collections::HashMap;

use redis::{RedisResult, aio::MultiplexedConnection};
use serde_json::Value;

use crate::{broker::BrokerError, python_json::read_leniently, redis::Backend};

/// Most members of a chord.
const MAX_MEMBERS: u64 = 10_000;
/// What their results may take, in bytes.
const MAX_BYTES: usize = 8 << 20;
/// Entries read in one step: each may be large.
const STEP: isize = 100;

/// A member of a chord.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) id: String,
    /// What it returned, if it succeeded.
    pub(crate) result: Option<Value>,
}

/// The members of a chord, in their order. `Err` inside says why they cannot be told; `size` is how many there were when the
/// chord was sent.
pub(crate) async fn read(
    results: &Backend,
    group_id: &str,
    size: Option<u64>,
) -> Result<Result<Vec<Member>, String>, BrokerError> {
    let key = |suffix| results.group_key(group_id, suffix);
    let (kept, kind): ((Option<Vec<u8>>, Option<u64>), String) = results
        .link
        .run(&results.groups_right(), async |c| {
            let mut pipe = redis::pipe();
            pipe.mget(&[key(""), key(".t")]).cmd("TYPE").arg(key(".j"));
            pipe.query_async(c).await
        })
        .await?;
    let (group, added) = kept;
    if group.is_some_and(|raw| is_nested(&raw)) {
        return Ok(Err(
            "it is the body of a chord with groups within its group, whose results only Celery can put together"
                .to_owned(),
        ));
    }
    let is_ordered =
        match kind.as_str() {
            "zset" => true,
            "list" => false,
            _ => return Ok(Err(
                "it is the body of a chord, and the result backend does not have the results of its members any more"
                    .to_owned(),
            )),
        };
    let entries = match entries(results, group_id, is_ordered).await? {
        Some(entries) => entries,
        None => {
            return Ok(Err(format!(
                "it is the body of a chord whose results are too large ({MAX_MEMBERS} members, {} MiB together)",
                MAX_BYTES >> 20
            )));
        }
    };
    Ok(members(entries, size.map(|size| size + added.unwrap_or(0))))
}

/// The entries with their place; `None` when they are too large.
async fn entries(
    results: &Backend,
    group_id: &str,
    is_ordered: bool,
) -> Result<Option<Vec<(Vec<u8>, String)>>, BrokerError> {
    let key = results.group_key(group_id, ".j");
    let (mut all, mut bytes) = (Vec::new(), 0);
    loop {
        let from = isize::try_from(all.len()).unwrap_or(isize::MAX);
        let to = from.saturating_add(STEP - 1);
        let look = async |c: &mut MultiplexedConnection| -> RedisResult<Vec<(Vec<u8>, String)>> {
            match is_ordered {
                true => redis::cmd("ZRANGE").arg(&key).arg(from).arg(to).arg("WITHSCORES").query_async(c).await,
                false => {
                    let plain: Vec<Vec<u8>> = redis::cmd("LRANGE").arg(&key).arg(from).arg(to).query_async(c).await?;
                    Ok(plain.into_iter().map(|raw| (raw, String::new())).collect())
                }
            }
        };
        let step = results.link.run(&results.groups_right(), look).await?;
        let is_last = step.len() < STEP.unsigned_abs();
        bytes += step.iter().map(|(raw, _)| raw.len()).sum::<usize>();
        all.extend(step);
        if bytes > MAX_BYTES || all.len() as u64 > MAX_MEMBERS {
            return Ok(None);
        }
        if is_last {
            return Ok(Some(all));
        }
    }
}

/// Entries to members: one that ended twice counts once, with its success.
fn members(entries: Vec<(Vec<u8>, String)>, size: Option<u64>) -> Result<Vec<Member>, String> {
    let mut members: Vec<Member> = Vec::with_capacity(entries.len());
    let mut places: HashMap<(String, String), usize> = HashMap::new();
    for (raw, place) in entries {
        let member = member(&raw)?;
        match places.get(&(member.id.clone(), place.clone())).and_then(|at| members.get_mut(*at)) {
            Some(known) => known.result = known.result.take().or(member.result),
            None => {
                places.insert((member.id.clone(), place), members.len());
                members.push(member);
            }
        }
    }
    match size {
        Some(size) if size != members.len() as u64 => Err(format!(
            "it is the body of a chord with {size} members, and the result backend has what {} of them returned",
            members.len()
        )),
        _ => Ok(members),
    }
}

fn member(raw: &[u8]) -> Result<Member, String> {
    if raw.first() == Some(&0x80) {
        return Err(
            "it is the body of a chord whose results are Python pickles, which the agent does not read".to_owned()
        );
    }
    let unreadable = || "it is the body of a chord, and the result of a member cannot be read".to_owned();
    let entry: (Value, String, String, Value) = read_leniently(raw).map_err(|_| unreadable())?;
    let (_, id, state, result) = entry;
    Ok(Member { id, result: (state == "SUCCESS").then_some(result) })
}

/// True unless the stored group is a plain list of tasks: `{"result": [[id, parent], [[[id, parent], null], …]]}`.
fn is_nested(raw: &[u8]) -> bool {
    let Ok(stored) = read_leniently::<Value>(raw) else { return true };
    let Some(tasks) = stored.pointer("/result/1").and_then(Value::as_array) else { return true };
    tasks.iter().any(|task| task.get(1).is_none_or(|within| !within.is_null()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn entry(id: &str, state: &str, result: Value, place: &str) -> (Vec<u8>, String) {
        (json!([1, id, state, result]).to_string().into_bytes(), place.to_owned())
    }

    #[test]
    fn members_have_their_order_and_their_results() {
        let failure = json!({"exc_type": "ValueError", "exc_message": ["no"], "exc_module": "builtins"});
        let entries = vec![
            entry("a", "SUCCESS", json!(1), "0"),
            entry("b", "FAILURE", failure.clone(), "1"),
            entry("c", "SUCCESS", Value::Null, "2"),
            // Older versions count a member twice that ended twice.
            entry("b", "SUCCESS", json!("again"), "1"),
            // One frozen signature may be two members.
            entry("a", "SUCCESS", json!(1), "3"),
        ];
        let read = members(entries, Some(4)).expect("members");
        let results: Vec<_> = read.iter().map(|member| (member.id.as_str(), member.result.clone())).collect();
        let one = Some(json!(1));
        assert_eq!(results, [("a", one.clone()), ("b", Some(json!("again"))), ("c", Some(Value::Null)), ("a", one)]);
        let failed = members(vec![entry("b", "FAILURE", failure, "1")], None).expect("members");
        assert_eq!(failed, [Member { id: "b".into(), result: None }]);
    }

    #[test]
    fn what_cannot_be_told_is_said() {
        let refused = |entries, size| members(entries, size).expect_err("refused");
        assert!(refused(vec![entry("a", "SUCCESS", json!(1), "0")], Some(2)).contains("2 members"));
        assert!(refused(vec![(b"\x80\x04\x95".to_vec(), "0".into())], None).contains("pickles"));
        for raw in ["", "{}", "[1]", r#"[1,2,"SUCCESS",3]"#] {
            assert!(refused(vec![(raw.into(), "0".into())], None).contains("cannot be read"), "{raw}");
        }
    }

    #[test]
    fn groups_within_groups_are_seen() {
        let group = |tasks: Value| json!({"result": [["g", null], tasks]}).to_string().into_bytes();
        assert!(!is_nested(&group(json!([[["a", null], null], [["b", null], null]]))));
        assert!(is_nested(&group(json!([[["a", null], null], [["g2", null], [[["b", null], null]]]]))));
        assert!(is_nested(b"\x80\x04"));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = member(&bytes);
            is_nested(&bytes);
        }
    }
}
