//! The body of a chord of which a member failed.
//!
//! Celery gives such a body the failure ChordError and never sends it, whatever becomes of the member afterwards. Retried, it
//! is sent with what Celery would have sent: the results of all members in their order, those of the retried ones being the
//! results of their copies. Until all of them have succeeded it is refused, and so it is while a copy of it may run.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};
use taskplane_agent::engine::{ArgumentSource, CommandError, RetryRequest};
use taskplane_model::TaskEventKind;

use crate::{
    chord_results::{self, Member},
    clock, lookup,
    message::Embed,
    origin::Origin,
    result_backend::ResultBackend,
    shared::{Shared, lock},
};

/// Copies of copies that are followed.
const MAX_COPIES: usize = 100;
/// Members that a sentence names.
const MAX_NAMED: usize = 3;

/// What a member's message tells of its chord.
struct Chord {
    signature: Value,
    group_id: Option<String>,
    /// The queue of the member.
    queue: Option<String>,
}

/// Fills in what the body of a failed chord is sent with, or why it cannot be. Other tasks are left as they are.
pub(crate) async fn complete(
    shared: &Shared,
    request: &RetryRequest,
    origin: Option<Origin>,
) -> Result<Option<Origin>, CommandError> {
    let (is_failed_chord, is_unknown) = origin
        .as_ref()
        .map_or((false, true), |origin| (origin.is_failed_chord, origin.source.is_none() && origin.verbatim.is_none()));
    // Without results nothing tells of the failure either.
    if !is_unknown || !(is_failed_chord || shared.results.is_none()) {
        return Ok(origin);
    }
    let chord = find(shared, &request.task_id).await;
    if chord.is_none() && !is_failed_chord {
        return Ok(origin);
    }
    let mut origin = origin.unwrap_or_default();
    match fill(shared, request, chord, &mut origin).await? {
        Ok(()) => {}
        Err(why) => origin.why_not = Some(why),
    }
    Ok(Some(origin))
}

/// `Err` inside says why there are no arguments.
async fn fill(
    shared: &Shared,
    request: &RetryRequest,
    chord: Option<Chord>,
    origin: &mut Origin,
) -> Result<Result<(), String>, CommandError> {
    let Some(chord) = chord else {
        return Ok(Err(
            "it is the body of a chord that failed before it was sent, and the agent has seen no message of a \
                       member, which would tell what to send it with"
                .to_owned(),
        ));
    };
    let body = match Body::read(&chord.signature) {
        Ok(body) => body,
        Err(why) => return Ok(Err(why.to_owned())),
    };
    body.describe(origin);
    origin.queue_of_members = chord.queue;
    if request.args.is_some() && request.kwargs.is_some() {
        return Ok(Ok(()));
    }
    let before = match copy_before(shared, request).await? {
        Before::MayRun(why) => return Err(CommandError::InvalidArgs(why)),
        Before::Failed(copy) => Some(copy),
        Before::None => None,
    };
    let Some(results) = shared.results.as_ref().and_then(ResultBackend::redis) else {
        return Ok(Err(
            "it is the body of a chord, and only on Redis does the result backend tell which results are those of its members"
                .to_owned(),
        ));
    };
    let Some(group_id) = chord.group_id else {
        return Ok(Err("it is the body of a chord whose group the agent has not seen".to_owned()));
    };
    let members = match chord_results::read(results, &group_id, body.size).await {
        Ok(Ok(members)) => members,
        Ok(Err(why)) => return Ok(Err(why)),
        Err(error) => return Err(CommandError::Engine(error.to_string())),
    };
    let (of_copies, values) = match completed(shared, request, members).await? {
        Ok(completed) => completed,
        Err(why) => return Ok(Err(why)),
    };
    origin.sent_before = before;
    origin.assembled = Some(told(values.len(), of_copies, body.is_immutable));
    let args = if body.is_immutable { body.args } else { [vec![Value::Array(values)], body.args].concat() };
    origin.take_arguments(ArgumentSource::Result, args, body.kwargs);
    origin.lossless = origin.source.is_some();
    Ok(Ok(()))
}

fn told(members: usize, of_copies: usize, is_immutable: bool) -> String {
    let copies = match of_copies {
        0 => String::new(),
        1 => ", one of them that of a retried copy".to_owned(),
        count => format!(", {count} of them those of retried copies"),
    };
    let alone = if is_immutable { "; it takes no results, but all its members have succeeded" } else { "" };
    match is_immutable {
        true => format!("with its own arguments{alone}"),
        false => format!("with the results of the {members} members of its chord, in their order{copies}"),
    }
}

/// A copy of the body that was sent before.
enum Before {
    None,
    Failed(String),
    MayRun(String),
}

async fn copy_before(shared: &Shared, request: &RetryRequest) -> Result<Before, CommandError> {
    let copies = copies_of(shared, request, &request.task_id).await;
    if copies.is_empty() {
        return Ok(Before::None);
    }
    let ends = ends(shared, &copies).await?;
    let is_over = |copy: &&String| {
        matches!(ends.get(*copy).map(|end| end.kind), Some(TaskEventKind::Failed | TaskEventKind::Revoked))
    };
    match copies.iter().find(|copy| !is_over(copy)) {
        None => Ok(copies.last().cloned().map_or(Before::None, Before::Failed)),
        Some(copy) => Ok(Before::MayRun(match ends.get(copy).map(|end| end.kind) {
            Some(TaskEventKind::Succeeded) => {
                format!(
                    "the body of this chord was sent already, as {copy}, and that succeeded: to run it again, retry {copy}"
                )
            }
            _ => format!(
                "the body of this chord was sent already, as {copy}, and nothing tells yet how that ended: it is not sent twice. If \
                 you know better, supply args and kwargs to send it with those"
            ),
        })),
    }
}

/// How a task ended.
struct End {
    kind: TaskEventKind,
    result: Option<Value>,
}

/// How tasks ended, as far as that is known.
async fn ends(shared: &Shared, ids: &[String]) -> Result<HashMap<String, End>, CommandError> {
    let borrowed: Vec<&str> = ids.iter().map(String::as_str).collect();
    let raws = lookup::results(shared, &borrowed).await.map_err(|error| CommandError::Engine(error.to_string()))?;
    let mut ends = HashMap::new();
    for id in ids {
        let meta = raws.get(id).and_then(|raw| lookup::meta(id, raw));
        let told = lock(&shared.tracker).get(id).and_then(|known| known.end());
        if let Some(kind) = meta.as_ref().map(|meta| meta.kind).or(told) {
            let result = meta.and_then(|meta| meta.result().cloned());
            ends.insert(id.clone(), End { kind, result });
        }
    }
    Ok(ends)
}

/// The copies of a task, those of its copies too, in the order in which they were made.
async fn copies_of(shared: &Shared, request: &RetryRequest, id: &str) -> Vec<String> {
    let told = &request.known.copies;
    let payloads = std::sync::Arc::clone(&shared.payloads);
    let (id, told) = (id.to_owned(), told.clone());
    let follow = move || {
        let (mut payloads, now) = (lock(&payloads), clock::now());
        let (mut copies, mut seen) = (Vec::new(), HashSet::from([id.clone()]));
        let mut open = vec![id];
        while let Some(next) = open.pop().filter(|_| copies.len() < MAX_COPIES) {
            for copy in [payloads.copy_of(&next, now), told.get(&next).cloned()].into_iter().flatten() {
                if seen.insert(copy.clone()) {
                    copies.push(copy.clone());
                    open.push(copy);
                }
            }
        }
        copies
    };
    tokio::task::spawn_blocking(follow).await.unwrap_or_default()
}

/// The results of all members and how many of them are those of copies, or which members lack one.
async fn completed(
    shared: &Shared,
    request: &RetryRequest,
    members: Vec<Member>,
) -> Result<Result<(usize, Vec<Value>), String>, CommandError> {
    let (mut values, mut of_copies, mut lacking) = (Vec::with_capacity(members.len()), 0, Vec::new());
    for member in members {
        if let Some(result) = member.result {
            values.push(result);
            continue;
        }
        let copies = copies_of(shared, request, &member.id).await;
        // The last link of a chain runs under its own id when an earlier one was retried.
        let runs: Vec<String> = std::iter::once(member.id.clone()).chain(copies).collect();
        let mut ends = ends(shared, &runs).await?;
        let done = runs
            .iter()
            .rev()
            .find(|id| ends.get(*id).is_some_and(|end| end.kind == TaskEventKind::Succeeded && end.result.is_some()));
        match done {
            Some(id) => {
                values.extend(ends.remove(id).and_then(|end| end.result));
                of_copies += 1;
            }
            None => lacking.push(missing(&runs, &ends)),
        }
    }
    if lacking.is_empty() {
        return Ok(Ok((of_copies, values)));
    }
    let more = lacking.len().saturating_sub(MAX_NAMED);
    lacking.truncate(MAX_NAMED);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    Ok(Err(format!(
        "it is the body of a chord, which takes the results of all members, and some have none yet: {}{more}",
        lacking.join("; ")
    )))
}

/// `runs` are the member and its copies.
fn missing(runs: &[String], ends: &HashMap<String, End>) -> String {
    let [member, copies @ ..] = runs else { return String::new() };
    let Some(copy) = copies.last() else { return format!("{member} failed (retry it first)") };
    let how = match ends.get(copy).map(|end| end.kind) {
        Some(TaskEventKind::Succeeded) => "which succeeded, but its result is not to be had",
        Some(TaskEventKind::Failed | TaskEventKind::Revoked) => "which failed as well (retry that one)",
        _ => "which has not ended yet",
    };
    format!("{member}, sent again as {copy}, {how}")
}

/// What the messages of its members tell of a chord.
async fn find(shared: &Shared, body_id: &str) -> Option<Chord> {
    let (payloads, id) = (std::sync::Arc::clone(&shared.payloads), body_id.to_owned());
    let kept = tokio::task::spawn_blocking(move || lock(&payloads).member_of(&id, clock::now())).await.ok().flatten();
    if let Some(record) = kept {
        return of_member(&record.payload?.embed, record.group_id, record.queue);
    }
    let tracker = lock(&shared.tracker);
    tracker.iter().find_map(|(_, known)| {
        let known = known.read();
        let payload = known.payload.as_ref().filter(|payload| payload.embed.body_id() == Some(body_id))?;
        of_member(&payload.embed, known.group_id.clone(), known.queue.clone())
    })
}

fn of_member(embed: &Embed, group_id: Option<String>, queue: Option<String>) -> Option<Chord> {
    let signature = embed.body()?.clone();
    let told = |signature: &Value| signature.pointer("/options/group_id").and_then(Value::as_str).map(str::to_owned);
    // Of a chain the last link is the member, not the one whose message this is.
    let of_link = if embed.has_chord() { None } else { embed.last_link().and_then(told) };
    let group_id = of_link.or(group_id).or_else(|| told(&signature));
    Some(Chord { signature, group_id, queue })
}

/// The signature of a body.
struct Body {
    task: String,
    args: Vec<Value>,
    kwargs: Map<String, Value>,
    options: Map<String, Value>,
    is_immutable: bool,
    /// How many members the chord had when it was sent; newer versions tell it.
    size: Option<u64>,
}

impl Body {
    fn read(signature: &Value) -> Result<Self, &'static str> {
        let broken = "it is the body of a chord, and its signature in the message of a member cannot be read";
        let kind = signature.get("subtask_type").and_then(Value::as_str);
        if kind.is_some_and(|kind| !kind.is_empty()) {
            return Err(
                "it is the body of a chord and not one task but several (a group or a chain), which only Celery takes apart",
            );
        }
        let map = |key: &str| match signature.get(key) {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(map)) => Ok(map.clone()),
            Some(_) => Err(broken),
        };
        let args = match signature.get("args") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(args)) => args.clone(),
            Some(_) => return Err(broken),
        };
        Ok(Self {
            task: signature
                .get("task")
                .and_then(Value::as_str)
                .filter(|task| !task.is_empty())
                .ok_or(broken)?
                .to_owned(),
            args,
            kwargs: map("kwargs")?,
            options: map("options")?,
            is_immutable: signature.get("immutable").and_then(Value::as_bool).unwrap_or(false),
            size: signature.get("chord_size").and_then(Value::as_u64),
        })
    }

    /// All but the arguments.
    fn describe(&self, origin: &mut Origin) {
        let option = |key: &str| self.options.get(key).filter(|value| !value.is_null());
        let text = |key: &str| option(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        let list = |key: &str| match option(key) {
            None => Value::Null,
            Some(Value::Array(items)) => Value::Array(items.clone()),
            Some(one) => Value::Array(vec![one.clone()]),
        };
        origin.name = Some(self.task.clone());
        origin.queue = text("queue").or(origin.queue.take());
        origin.root_id = text("root_id").or(origin.root_id.take());
        origin.priority = option("priority").and_then(Value::as_i64).or(origin.priority);
        origin.embed = Embed {
            callbacks: list("link"),
            errbacks: list("link_error"),
            chain: list("chain"),
            chord: option("chord").cloned().unwrap_or_default(),
        };
        origin.headers = self.headers();
    }

    /// The headers that Celery makes of options.
    fn headers(&self) -> Map<String, Value> {
        let mut headers = self.options.get("headers").and_then(Value::as_object).cloned().unwrap_or_default();
        let option = |key: &str| self.options.get(key).filter(|value| !value.is_null()).cloned();
        let (hard, soft) = (option("time_limit"), option("soft_time_limit"));
        if hard.is_some() || soft.is_some() {
            let limits = [hard, soft].map(Option::unwrap_or_default);
            headers.insert("timelimit".to_owned(), Value::Array(limits.to_vec()));
        }
        for key in ["shadow", "ignore_result", "expires"] {
            headers.extend(option(key).map(|value| (key.to_owned(), value)));
        }
        if let Some(stamped) = option("stamped_headers") {
            let names: Vec<&str> = stamped.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let stamps: Map<String, Value> =
                names.iter().filter_map(|name| Some(((*name).to_owned(), option(name)?))).collect();
            headers.insert("stamps".to_owned(), Value::Object(stamps));
            headers.insert("stamped_headers".to_owned(), stamped);
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_body_has_the_options_of_its_signature() {
        let signature = json!({"task": "shop.total", "args": [7], "kwargs": {"k": 1}, "immutable": true, "chord_size": 3,
            "subtask_type": null, "options": {"queue": "q", "task_id": "body", "group_id": "g", "priority": 5, "root_id": "r",
            "link": {"task": "then"}, "chain": [{"task": "last"}, {"task": "next"}], "time_limit": 60,
            "headers": {"tenant": "t7"}, "stamped_headers": ["release"], "release": "1.2", "shadow": null}});
        let body = Body::read(&signature).expect("a body");
        assert_eq!((body.size, body.is_immutable, &body.args), (Some(3), true, &vec![json!(7)]));
        let mut origin = Origin::default();
        body.describe(&mut origin);
        assert_eq!((origin.name.as_deref(), origin.queue.as_deref()), (Some("shop.total"), Some("q")));
        assert_eq!((origin.root_id.as_deref(), origin.priority), (Some("r"), Some(5)));
        assert_eq!(origin.embed.callbacks, json!([{"task": "then"}]));
        assert_eq!(origin.embed.chain, json!([{"task": "last"}, {"task": "next"}]));
        assert!(!origin.embed.has_chord());
        let headers = json!({"tenant": "t7", "timelimit": [60, null], "stamped_headers": ["release"],
            "stamps": {"release": "1.2"}});
        assert_eq!(json!(origin.headers), headers);
    }

    #[test]
    fn what_is_not_one_task_is_refused() {
        for (signature, why) in [
            (json!({"task": "celery.group", "subtask_type": "group"}), "takes apart"),
            (json!({"task": ""}), "cannot be read"),
            (json!({"task": "t", "args": 5}), "cannot be read"),
            (json!("text"), "cannot be read"),
        ] {
            let told = Body::read(&signature).err().unwrap_or_default();
            assert!(told.contains(why), "{told}");
        }
    }

    #[test]
    fn the_last_link_of_a_chain_is_the_member() {
        let body = json!({"task": "total", "options": {"task_id": "body"}});
        let last = json!({"task": "b", "options": {"task_id": "m", "group_id": "g", "chord": body}});
        let embed = Embed { chain: json!([last, {"task": "a2"}]), ..Embed::default() };
        assert_eq!(embed.body_id(), Some("body"));
        let chord = of_member(&embed, Some("another".into()), None).expect("a chord");
        assert_eq!((chord.group_id.as_deref(), &chord.signature), (Some("g"), &body));
    }

    #[test]
    fn it_is_said_what_a_member_lacks() {
        let runs = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let ends = |kind| HashMap::from([("c".to_owned(), End { kind, result: None })]);
        assert_eq!(missing(&runs(&["m"]), &HashMap::new()), "m failed (retry it first)");
        for (kind, told) in [
            (TaskEventKind::Failed, "failed as well"),
            (TaskEventKind::Succeeded, "not to be had"),
            (TaskEventKind::Started, "not ended yet"),
        ] {
            let said = missing(&runs(&["m", "c"]), &ends(kind));
            assert!(said.starts_with("m, sent again as c, ") && said.contains(told), "{said}");
        }
    }
}
