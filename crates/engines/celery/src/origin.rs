//! Finds what a task was called with, wherever that is still to be had: its message, its result, the worker that holds
//! it, or the text form in Celery's events.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Map, Value};
use taskplane_agent::engine::{ArgumentSource, CommandError, RetryRequest};
use taskplane_model::TaskEventKind;

use crate::{
    broker::{BrokerError, FoundMessage},
    clock,
    lookup::{self, Holding},
    message::{Embed, Payload, TaskMessage},
    payloads::Record,
    python_json::may_be_altered,
    python_literal::{Dialect, Fidelity, read},
    results::Meta,
    shared::{Shared, lock},
    tracker::Known,
    verbatim::Verbatim,
};

/// A repr this long or longer may have been cut by Celery, whose limit is 1,024.
const MAX_TRUSTED_REPR: usize = 1_000;

/// What is known of a task that is to run again.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Origin {
    pub(crate) name: Option<String>,
    pub(crate) args: Option<Vec<Value>>,
    pub(crate) kwargs: Option<Map<String, Value>>,
    pub(crate) embed: Embed,
    /// The body of its message, which cannot be read here. Whoever changes nothing loses nothing with it.
    pub(crate) verbatim: Option<Verbatim>,
    pub(crate) headers: Map<String, Value>,
    pub(crate) source: Option<ArgumentSource>,
    /// Arguments, what follows the task, and its own headers are those of its message.
    pub(crate) lossless: bool,
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
    /// It is the body of a chord that failed before it was sent.
    pub(crate) is_failed_chord: bool,
    /// Where the arguments of such a body come from, for people.
    pub(crate) assembled: Option<String>,
    /// Where the members of its chord went.
    pub(crate) queue_of_members: Option<String>,
    /// As what such a body was sent before, and failed.
    pub(crate) sent_before: Option<String>,
}

/// What the brain knows of a task, where nothing nearer tells: an agent that was killed has forgotten what it had in memory
/// alone.
pub(crate) fn with_told(request: &RetryRequest, origin: Option<Origin>) -> Option<Origin> {
    let told = &request.known;
    let mut origin = match origin {
        Some(origin) => origin,
        None => {
            told.name.as_ref()?;
            let why = "this agent has not seen the task itself, or has forgotten it since it was restarted, and neither the \
                       broker nor the result backend has them";
            Origin { why_not: Some(why.to_owned()), ..Origin::default() }
        }
    };
    origin.name = origin.name.or_else(|| told.name.clone());
    origin.queue = origin.queue.or_else(|| told.queue.clone());
    Some(origin)
}

/// Everything known of a task. `None` when it was never seen anywhere.
pub(crate) async fn find(shared: &Shared, task_id: &str) -> Result<Option<Origin>, CommandError> {
    Ok(find_all(shared, &[task_id]).await?.remove(task_id))
}

/// Everything known of the tasks, without those that were never seen anywhere.
pub(crate) async fn find_all(shared: &Shared, ids: &[&str]) -> Result<HashMap<String, Origin>, CommandError> {
    let failed = |error: BrokerError| CommandError::Engine(error.to_string());
    let mut traces: Vec<Traces> = known_and_kept(shared, ids).await;
    let mut results = lookup::results(shared, ids).await.map_err(failed)?;
    for traces in &mut traces {
        let raw = results.remove(&traces.task_id);
        traces.meta = raw.and_then(|raw| lookup::meta(&traces.task_id, &raw));
    }
    // What has ended has been acknowledged: its message is nowhere, and no worker holds it.
    let open = ids_where(&traces, |traces| !traces.has_ended());
    let mut messages = lookup::messages(shared, &borrowed(&open)).await.map_err(failed)?.by_task;
    for traces in &mut traces {
        traces.message = messages.remove(&traces.task_id);
    }
    let elsewhere = ids_where(&traces, |traces| !traces.has_ended() && traces.message.is_none());
    let mut held = lookup::held(shared, &borrowed(&elsewhere)).await.map_err(failed)?;
    for traces in &mut traces {
        traces.held = held.by_task.remove(&traces.task_id);
    }
    Ok(traces.into_iter().filter_map(|traces| Some((traces.task_id.clone(), traces.origin()?))).collect())
}

/// What tells of one task.
#[derive(Default)]
struct Traces {
    task_id: String,
    known: Option<Known>,
    record: Option<Record>,
    meta: Option<Meta>,
    message: Option<FoundMessage>,
    held: Option<Holding>,
}

fn ids_where(traces: &[Traces], is: impl Fn(&Traces) -> bool) -> Vec<String> {
    traces.iter().filter(|traces| is(traces)).map(|traces| traces.task_id.clone()).collect()
}

fn borrowed(ids: &[String]) -> Vec<&str> {
    ids.iter().map(String::as_str).collect()
}

/// What this agent remembers of tasks, and what it has kept of them on its host.
async fn known_and_kept(shared: &Shared, ids: &[&str]) -> Vec<Traces> {
    let (payloads, own) = (Arc::clone(&shared.payloads), ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>());
    let kept = tokio::task::spawn_blocking(move || {
        let (mut payloads, now) = (lock(&payloads), clock::now());
        own.iter().map(|id| payloads.get(id, now)).collect::<Vec<_>>()
    });
    let mut kept = kept.await.unwrap_or_default().into_iter();
    let tracker = lock(&shared.tracker);
    let traces = |id: &&str| Traces {
        task_id: (*id).to_owned(),
        known: tracker.get(id).map(|known| known.read().into_owned()),
        record: kept.next().flatten(),
        ..Traces::default()
    };
    ids.iter().map(traces).collect()
}

impl Traces {
    fn has_ended(&self) -> bool {
        let over = |kind: TaskEventKind| matches!(kind, TaskEventKind::Failed | TaskEventKind::Succeeded);
        self.known.as_ref().and_then(Known::end).is_some_and(over) || self.meta.as_ref().is_some_and(|m| over(m.kind))
    }

    /// The best of each.
    fn origin(self) -> Option<Origin> {
        let Self { task_id, known, record, meta, message, held } = self;
        if known.is_none() && record.is_none() && meta.is_none() && message.is_none() && held.is_none() {
            return None;
        }
        let mut origin = Origin { lives: message.is_some() || held.is_some(), ..Origin::default() };
        if let Some(FoundMessage { queue, message, .. }) = &message {
            origin.take_message(queue, message);
        }
        if let Some(known) = &known {
            let record = Record::of(&task_id, clock::now(), false, known, None);
            origin.take_record(&Record {
                args_repr: known.args_repr.clone(),
                kwargs_repr: known.kwargs_repr.clone(),
                ..record
            });
        }
        if let Some(record) = &record {
            origin.take_payload(record);
            origin.take_verbatim(record);
        }
        if let Some(meta) = &meta {
            origin.take_result(meta);
        }
        if let Some(Holding { worker, request, .. }) = &held {
            origin.take_request(worker, request);
        }
        if let Some(record) = &record {
            origin.take_record(record);
        }
        origin.read_reprs(known.as_ref(), record.as_ref(), meta.as_ref());
        Some(origin)
    }
}

impl Origin {
    pub(crate) fn take_arguments(&mut self, source: ArgumentSource, args: Vec<Value>, kwargs: Map<String, Value>) {
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
                self.take_arguments(ArgumentSource::Message, payload.args.clone(), payload.kwargs.clone());
                self.lossless = self.source.is_some();
            }
            Err(error) => self.why_not = Some(format!("its message was found, but {error}")),
        }
    }

    /// The message as it was seen while it waited, or the arguments of an extended result.
    fn take_payload(&mut self, record: &Record) {
        if let Some(Payload { args, kwargs, embed }) = &record.payload
            && self.source.is_none()
        {
            self.embed = embed.clone();
            self.take_arguments(ArgumentSource::PayloadStore, args.clone(), kwargs.clone());
            if self.source.is_some() && self.headers.is_empty() {
                self.headers = record.headers.clone().unwrap_or_default();
                self.lossless = record.headers.is_some();
            }
        }
    }

    /// A message that cannot be read, where it is not known what is in it.
    fn take_verbatim(&mut self, record: &Record) {
        if let (Some(verbatim), Some(headers)) = (&record.verbatim, &record.headers)
            && self.verbatim.is_none()
            && !self.lossless
        {
            self.verbatim = Some(verbatim.clone());
            self.headers = headers.clone();
        }
    }

    fn take_record(&mut self, record: &Record) {
        self.take_payload(record);
        self.take_verbatim(record);
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
        self.is_failed_chord = meta.is_of_failed_chord();
        if let (Some(args), Some(kwargs)) = (meta.args(), meta.kwargs()) {
            self.take_arguments(ArgumentSource::Result, args, kwargs);
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
            self.take_arguments(ArgumentSource::Worker, args.clone(), kwargs.clone());
        }
        self.name = self.name.take().or(text("/name"));
        self.queue = self.queue.take().or(text("/delivery_info/routing_key"));
        self.worker = self.worker.take().or(Some(worker.to_owned()));
        self.priority = self.priority.or(request.pointer("/delivery_info/priority").and_then(Value::as_i64));
    }

    /// The last resort: the text form, if it can only mean one thing.
    fn read_reprs(&mut self, known: Option<&Known>, record: Option<&Record>, meta: Option<&Meta>) {
        if self.source.is_some() {
            return;
        }
        let known = known.map(|k| (k.args_repr.as_deref(), k.kwargs_repr.as_deref()));
        let record = record.map(|r| (r.args_repr.as_deref(), r.kwargs_repr.as_deref()));
        let stored = meta.map(Meta::reprs);
        let stored = stored.as_ref().map(|(args, kwargs)| (args.as_deref(), kwargs.as_deref()));
        let told = [known, record, stored].into_iter().flatten().find(|(args, _)| args.is_some());
        let Some((Some(args), kwargs)) = told else {
            self.why_not.get_or_insert_with(|| "they were never seen".to_owned());
            return;
        };
        match (plain(args), plain(kwargs.unwrap_or("{}"))) {
            (Ok(Value::Array(args)), Ok(Value::Object(kwargs))) => {
                self.take_arguments(ArgumentSource::Events, args, kwargs)
            }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::samples;

    fn from_reprs(args: &str, kwargs: &str) -> Origin {
        let record = Record { args_repr: Some(args.into()), kwargs_repr: Some(kwargs.into()), ..Record::default() };
        let mut origin = Origin::default();
        origin.read_reprs(None, Some(&record), None);
        origin
    }

    #[test]
    fn a_plain_text_form_gives_the_arguments() {
        let origin = from_reprs("(1, 'a', (2, None))", "{'y': {'deep': [1.5]}}");
        assert_eq!(origin.source, Some(ArgumentSource::Events));
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
        assert_eq!((origin.source, origin.args), (Some(ArgumentSource::Message), Some(vec![json!(1), json!(1)])));
        assert!(origin.embed.has_chain());
    }

    #[test]
    fn a_worker_tells_what_it_holds() {
        let id = "9dc69a9e-0e1b-4dc2-9ced-2a1afaaad3ba";
        let request = samples::control_replies()["query_task"]["reply"]["w1@host"][id][1].clone();
        let mut origin = Origin::default();
        origin.take_request("w1@host", &request);
        assert_eq!((origin.source, origin.args), (Some(ArgumentSource::Worker), Some(vec![json!(7)])));
        assert_eq!(origin.queue.as_deref(), Some("celery"));
    }
}
