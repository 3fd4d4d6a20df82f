//! Finds what a task was called with, wherever that is still to be had: its message, its result, the worker that holds
//! it, or the text form in Celery's events.

use std::{collections::BTreeSet, sync::Arc};

use redis::AsyncCommands as _;
use serde_json::{Map, Value, json};
use taskplane_agent::engine::CommandError;
use taskplane_model::TaskEventKind;

use crate::{
    bindings::{all_queues, keys},
    clock,
    control::Call,
    link::LinkError,
    message::{Embed, Payload, TaskMessage},
    payloads::Record,
    python_json::may_be_altered,
    python_literal::{Dialect, Fidelity, read},
    results::{KEY_PREFIX, Meta},
    shared::{Shared, lock},
    tracker::Known,
    waiting::{Budget, find_in_list, find_unacked},
};

/// A repr this long or longer may have been cut by Celery, whose limit is 1,024.
const MAX_TRUSTED_REPR: usize = 1_000;

/// Where the arguments came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The task's message: everything is there.
    Message,
    /// The result backend, with `result_extended`.
    Result,
    /// The worker that holds the task.
    Worker,
    /// The text form in the events.
    Repr,
}

/// What is known of a task that is to run again.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Origin {
    pub(crate) name: Option<String>,
    pub(crate) args: Option<Vec<Value>>,
    pub(crate) kwargs: Option<Map<String, Value>>,
    pub(crate) embed: Embed,
    pub(crate) headers: Map<String, Value>,
    pub(crate) source: Option<Source>,
    /// Why there are no arguments.
    pub(crate) why_not: Option<String>,
    pub(crate) queue: Option<String>,
    pub(crate) worker: Option<String>,
    pub(crate) root_id: Option<String>,
    pub(crate) parent_id: Option<String>,
    pub(crate) group_id: Option<String>,
    pub(crate) chord_id: Option<String>,
    pub(crate) priority: Option<i64>,
    /// Its message still waits, or a worker still holds it.
    pub(crate) lives: bool,
}

/// Everything known of a task. `None` when it was never seen anywhere.
pub(crate) async fn find(shared: &Shared, task_id: &str) -> Result<Option<Origin>, CommandError> {
    let failed = |error: LinkError| CommandError::Engine(error.to_string());
    let known = lock(&shared.tracker).get(task_id).cloned();
    let record = stored(shared, task_id).await;
    let meta = result(shared, task_id).await.map_err(failed)?;
    let over = |kind: TaskEventKind| matches!(kind, TaskEventKind::Failed | TaskEventKind::Succeeded);
    let ended = known.as_ref().and_then(Known::end).is_some_and(over) || meta.as_ref().is_some_and(|m| over(m.kind));
    // What has ended has been acknowledged: its message is nowhere, and no worker holds it.
    let message = if ended { None } else { live_message(shared, task_id, known.as_ref()).await.map_err(failed)? };
    let held = if ended || message.is_some() { None } else { held_by_worker(shared, task_id).await.map_err(failed)? };
    if known.is_none() && record.is_none() && meta.is_none() && message.is_none() && held.is_none() {
        return Ok(None);
    }
    let mut origin = Origin { lives: message.is_some() || held.is_some(), ..Origin::default() };
    if let Some((queue, message)) = &message {
        origin.take_message(queue, message);
    }
    if let Some(known) = &known {
        let record = Record::of(task_id, clock::now(), false, known, None);
        origin.take_record(&Record {
            args_repr: known.args_repr.clone(),
            kwargs_repr: known.kwargs_repr.clone(),
            ..record
        });
    }
    if let Some(record) = &record {
        origin.take_payload(record);
    }
    if let Some(meta) = &meta {
        origin.take_result(meta);
    }
    if let Some((worker, request)) = &held {
        origin.take_request(worker, request);
    }
    if let Some(record) = &record {
        origin.take_record(record);
    }
    origin.read_reprs(known.as_ref(), record.as_ref());
    Ok(Some(origin))
}

impl Origin {
    fn take_arguments(&mut self, source: Source, args: Vec<Value>, kwargs: Map<String, Value>) {
        if self.source.is_some() {
            return;
        }
        let embedded = [&self.embed.callbacks, &self.embed.errbacks, &self.embed.chain];
        if args.iter().chain(kwargs.values()).chain(embedded).any(may_be_altered) {
            self.why_not = Some(
                "one of its values (a very large number, an infinity, or broken text) cannot be copied without loss"
                    .to_owned(),
            );
            return;
        }
        (self.source, self.args, self.kwargs) = (Some(source), Some(args), Some(kwargs));
    }

    fn take_message(&mut self, queue: &str, message: &TaskMessage) {
        let seen = message.sent(queue);
        self.name = seen.name;
        self.queue = seen.queue;
        self.priority = seen.priority;
        (self.root_id, self.parent_id) = (seen.root_id, seen.parent_id);
        (self.group_id, self.chord_id) = (seen.group_id, seen.chord_id);
        self.headers = message.headers.clone();
        match &message.payload {
            Ok(payload) => {
                self.embed = payload.embed.clone();
                self.take_arguments(Source::Message, payload.args.clone(), payload.kwargs.clone());
            }
            Err(error) => self.why_not = Some(format!("its message was found, but {error}")),
        }
    }

    /// The message as it was seen while it waited.
    fn take_payload(&mut self, record: &Record) {
        if let Some(Payload { args, kwargs, embed }) = &record.payload
            && self.source.is_none()
        {
            self.embed = embed.clone();
            self.take_arguments(Source::Message, args.clone(), kwargs.clone());
        }
    }

    fn take_record(&mut self, record: &Record) {
        self.take_payload(record);
        let fill = |slot: &mut Option<String>, value: &Option<String>| {
            if slot.is_none() {
                slot.clone_from(value);
            }
        };
        fill(&mut self.name, &record.name);
        fill(&mut self.queue, &record.queue);
        fill(&mut self.worker, &record.worker);
        fill(&mut self.root_id, &record.root_id);
        fill(&mut self.parent_id, &record.parent_id);
        fill(&mut self.group_id, &record.group_id);
        fill(&mut self.chord_id, &record.chord_id);
        self.priority = self.priority.or(record.priority);
    }

    fn take_result(&mut self, meta: &Meta) {
        if let (Some(args), Some(kwargs)) = (meta.args(), meta.kwargs()) {
            self.take_arguments(Source::Result, args, kwargs);
        }
        let seen = meta.seen();
        self.name = self.name.take().or(seen.name);
        self.queue = self.queue.take().or(seen.queue);
        self.worker = self.worker.take().or(seen.worker);
        self.parent_id = self.parent_id.take().or(seen.parent_id);
        self.group_id = self.group_id.take().or(seen.group_id);
    }

    fn take_request(&mut self, worker: &str, request: &Value) {
        let text = |pointer: &str| request.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        if let (Some(args), Some(kwargs)) = (request["args"].as_array(), request["kwargs"].as_object()) {
            self.take_arguments(Source::Worker, args.clone(), kwargs.clone());
        }
        self.name = self.name.take().or(text("/name"));
        self.queue = self.queue.take().or(text("/delivery_info/routing_key"));
        self.worker = self.worker.take().or(Some(worker.to_owned()));
    }

    /// The last resort: the text form, if it can only mean one thing.
    fn read_reprs(&mut self, known: Option<&Known>, record: Option<&Record>) {
        if self.source.is_some() {
            return;
        }
        let known = known.map(|k| (k.args_repr.as_deref(), k.kwargs_repr.as_deref()));
        let record = record.map(|r| (r.args_repr.as_deref(), r.kwargs_repr.as_deref()));
        let told = [known, record].into_iter().flatten().find(|(args, _)| args.is_some());
        let Some((Some(args), kwargs)) = told else {
            self.why_not.get_or_insert_with(|| "they were never seen".to_owned());
            return;
        };
        match (plain(args), plain(kwargs.unwrap_or("{}"))) {
            (Ok(Value::Array(args)), Ok(Value::Object(kwargs))) => self.take_arguments(Source::Repr, args, kwargs),
            (Err(why), _) | (_, Err(why)) => {
                let why = format!("only their text form was seen in Celery's events, and {why}");
                self.why_not.get_or_insert(why);
            }
            _ => {
                self.why_not.get_or_insert_with(|| "their text form is not that of arguments".to_owned());
            }
        }
    }
}

/// The value of a repr that is the original beyond doubt, or why there is doubt.
fn plain(repr: &str) -> Result<Value, &'static str> {
    if repr.len() >= MAX_TRUSTED_REPR {
        return Err("it is so long that it may have been cut off");
    }
    let reading = read(repr, Dialect::Saferepr);
    match reading.fidelity {
        Fidelity::Lossy(why) => Err(why),
        Fidelity::Exact if masked(&reading.value) => Err("part of it is masked"),
        Fidelity::Exact => Ok(reading.value),
    }
}

/// Applications hide secrets by giving a text form of their own, mostly with asterisks.
fn masked(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("***"),
        Value::Array(items) => items.iter().any(masked),
        Value::Object(map) => map.values().any(masked),
        _ => false,
    }
}

async fn stored(shared: &Shared, task_id: &str) -> Option<Record> {
    let (payloads, id) = (Arc::clone(&shared.payloads), task_id.to_owned());
    tokio::task::spawn_blocking(move || lock(&payloads).get(&id, clock::now())).await.ok().flatten()
}

async fn result(shared: &Shared, task_id: &str) -> Result<Option<Meta>, LinkError> {
    let raw: Option<Vec<u8>> = shared.results.run(async |c| c.get(format!("{KEY_PREFIX}{task_id}")).await).await?;
    Ok(raw.and_then(|raw| Meta::parse(&raw)).filter(|meta| meta.task_id == task_id))
}

/// The task's message, in a queue or delivered. The queue it was seen in is searched first.
async fn live_message(
    shared: &Shared,
    task_id: &str,
    known: Option<&Known>,
) -> Result<Option<(String, TaskMessage)>, LinkError> {
    if let Some(found) = find_unacked(&shared.broker, task_id).await? {
        return Ok(Some(found));
    }
    let mut budget = Budget { messages: 20_000, bytes: 64 << 20 };
    let first: BTreeSet<String> = known.and_then(|k| k.queue.clone()).into_iter().collect();
    let sampled: BTreeSet<String> = lock(&shared.queues).names.difference(&first).cloned().collect();
    if let Some(found) = find_in_queues(shared, task_id, first.iter().chain(&sampled), &mut budget).await? {
        return Ok(Some(found));
    }
    if known.is_some() {
        return Ok(None);
    }
    // Never heard of: it may wait in a queue that is not known yet either.
    let all = all_queues(&shared.broker).await?;
    find_in_queues(shared, task_id, all.difference(&sampled), &mut budget).await
}

async fn find_in_queues(
    shared: &Shared,
    task_id: &str,
    queues: impl Iterator<Item = &String>,
    budget: &mut Budget,
) -> Result<Option<(String, TaskMessage)>, LinkError> {
    for queue in queues {
        for key in keys(queue) {
            if let Some(message) = find_in_list(&shared.broker, &key, task_id, budget).await? {
                return Ok(Some((queue.clone(), message)));
            }
        }
    }
    Ok(None)
}

/// The task as the worker that holds it tells it.
async fn held_by_worker(shared: &Shared, task_id: &str) -> Result<Option<(String, Value)>, LinkError> {
    let call = Call {
        method: "query_task",
        arguments: json!({"ids": [task_id]}),
        to: None,
        wait: shared.timings.control_wait,
    };
    let replies = shared.control.call(&call).await?;
    Ok(replies.by_worker.into_iter().find_map(|(worker, mut reply)| {
        // `{id: [state, request]}`
        let request = reply.get_mut(task_id)?.get_mut(1)?.take();
        request.is_object().then_some((worker, request))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn from_reprs(args: &str, kwargs: &str) -> Origin {
        let record = Record { args_repr: Some(args.into()), kwargs_repr: Some(kwargs.into()), ..Record::default() };
        let mut origin = Origin::default();
        origin.read_reprs(None, Some(&record));
        origin
    }

    #[test]
    fn a_plain_text_form_gives_the_arguments() {
        let origin = from_reprs("(1, 'a', (2, None))", "{'y': {'deep': [1.5]}}");
        assert_eq!(origin.source, Some(Source::Repr));
        assert_eq!(origin.args, Some(vec![json!(1), json!("a"), json!([2, null])]));
        assert_eq!(origin.kwargs, json!({"y": {"deep": [1.5]}}).as_object().cloned());
    }

    #[test]
    fn a_doubtful_text_form_gives_nothing_but_the_reason() {
        for (args, kwargs, why) in [
            ("('hello...',)", "{}", "shortened"),
            ("(1, {'a': [...]})", "{}", "cut off"),
            ("(<User: bob>,)", "{}", "Python object"),
            ("(1,)", "{'t': datetime.datetime(2026, 1, 1)}", "Python object"),
            ("('***',)", "{}", "masked"),
            ("('C:\\new',)", "{}", "backslash"),
            ("'just text'", "{}", "not that of arguments"),
        ] {
            let origin = from_reprs(args, kwargs);
            assert_eq!((origin.args, origin.source), (None, None), "{args}");
            assert!(origin.why_not.as_deref().is_some_and(|w| w.contains(why)), "{args}: {:?}", origin.why_not);
        }
        assert_eq!(from_reprs(&format!("('{}',)", "x".repeat(1_000)), "{}").source, None);
    }

    #[test]
    fn the_message_beats_every_other_source() {
        let raw = samples::task_message("chain_head").to_string();
        let message = TaskMessage::read(raw.as_bytes()).expect("a task message");
        let mut origin = Origin::default();
        origin.take_message("rawq", &message);
        let value = samples::results()[0]["value"].to_string();
        origin.take_result(&Meta::parse(value.as_bytes()).expect("a result"));
        assert_eq!((origin.source, origin.args), (Some(Source::Message), Some(vec![json!(1), json!(1)])));
        assert!(origin.embed.has_chain());
    }

    #[test]
    fn a_worker_tells_what_it_holds() {
        let id = "9dc69a9e-0e1b-4dc2-9ced-2a1afaaad3ba";
        let request = samples::control_replies()["query_task"]["reply"]["w1@host"][id][1].clone();
        let mut origin = Origin::default();
        origin.take_request("w1@host", &request);
        assert_eq!((origin.source, origin.args), (Some(Source::Worker), Some(vec![json!(7)])));
        assert_eq!(origin.queue.as_deref(), Some("celery"));
    }
}
