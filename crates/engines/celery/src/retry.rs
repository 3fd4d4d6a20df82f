//! Retrying: a new message with the original arguments and a new id.
//!
//! A new id, because workers silently drop an id that was ever revoked, and Celery keeps the old result of one that
//! succeeded.

use std::{io, sync::Arc, time::Duration};

use serde_json::{Map, Value, json};
use taskplane_agent::engine::{ArgumentSource, CommandError, RetriedTask, RetryRequest};
use tokio::time::{Instant, sleep};

use crate::{
    acceptable::{own_types, unknown_type},
    broker::PublishError,
    chord, clock,
    message::{Body, Embed, NewTask, Payload},
    origin::{self, Origin},
    publish::publish,
    purge,
    queues::carries_tasks,
    shared::{Shared, lock},
    verbatim::Verbatim,
};

/// Workers are met in a round of questions that takes at most so many times as long as one is waited for …
const ROUND: u32 = 6;
/// … and so often it is looked whether it is over.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Publishes the task again.
pub(crate) async fn retry(shared: &Shared, request: &RetryRequest) -> Result<RetriedTask, CommandError> {
    let found = origin::find(shared, &request.task_id).await?;
    let plan = Plan::new(shared, request, found).await?;
    if !purge::exists(shared, &plan.new.queue).await? {
        return Err(plan.no_queue());
    }
    if plan.origin.assembled.is_some() {
        claim(shared, request, &plan).await?;
    }
    match publish(shared, &plan.new).await {
        Ok(()) => {}
        Err(PublishError::NotSent(error)) if plan.origin.assembled.is_some() => {
            note_copy(shared, &request.task_id, plan.origin.sent_before.as_deref()).await;
            return Err(error);
        }
        Err(error) => return Err(error.into()),
    }
    if plan.origin.assembled.is_none() {
        note_copy(shared, &request.task_id, Some(&plan.new.id)).await;
    }
    Ok(RetriedTask { message: Some(plan.notes(request).join("; ")), new_task_id: plan.new.id })
}

/// Notes, before it is sent, as what the body of a chord is: of two who send it at once, one finds it noted.
async fn claim(shared: &Shared, request: &RetryRequest, plan: &Plan) -> Result<(), CommandError> {
    let (payloads, old, new) = (Arc::clone(&shared.payloads), request.task_id.clone(), plan.new.id.clone());
    // What the brain alone knows of was not noted here.
    let before = [None, plan.origin.sent_before.clone()];
    let claimed = tokio::task::spawn_blocking(move || {
        let (mut payloads, now) = (lock(&payloads), clock::now());
        let is_first = before.contains(&payloads.copy_of(&old, now));
        if is_first {
            tell_if_lost(payloads.put_copy(&old, Some(&new), now));
        }
        is_first
    });
    match claimed.await.unwrap_or(false) {
        true => Ok(()),
        false => Err(CommandError::Busy("the body of this chord is being sent by another command just now".to_owned())),
    }
}

/// Notes as what a task was sent again: its chord may be sent with the result.
async fn note_copy(shared: &Shared, old: &str, new: Option<&str>) {
    let (payloads, old, new) = (Arc::clone(&shared.payloads), old.to_owned(), new.map(str::to_owned));
    let note = move || tell_if_lost(lock(&payloads).put_copy(&old, new.as_deref(), clock::now()));
    // A panic in there was logged.
    let _ = tokio::task::spawn_blocking(note).await;
}

fn tell_if_lost(noted: io::Result<()>) {
    if let Err(error) = noted {
        tracing::warn!(error = %error.kind(), "what a task was sent again as cannot be kept beyond a restart of the agent");
    }
}

/// A retry that could be published as it is, if its queue exists.
pub(crate) struct Plan {
    pub(crate) new: NewTask,
    pub(crate) origin: Origin,
    queue_is_known: bool,
}

impl Plan {
    pub(crate) async fn new(
        shared: &Shared,
        request: &RetryRequest,
        found: Option<Origin>,
    ) -> Result<Self, CommandError> {
        if request.task_id.is_empty() {
            return Err(CommandError::InvalidArgs("the task id is empty".to_owned()));
        }
        let completed = chord::complete(shared, request, found).await?;
        let Some(mut origin) = origin::with_told(request, completed) else {
            let text = format!("the task {} was never seen on this broker", request.task_id);
            return Err(CommandError::NotFound(text));
        };
        if request.queue.is_none() && origin.queue.is_none() {
            workers_are_met(shared).await;
        }
        let queue_is_known = request.queue.is_some() || deduce_queue(shared, &mut origin);
        let new = new_task(request, &origin)?;
        new.check_against(&lock(&shared.workers))?;
        Ok(Self { new, origin, queue_is_known })
    }

    /// Where the arguments come from.
    pub(crate) fn source(&self, request: &RetryRequest) -> ArgumentSource {
        if let Body::Verbatim(_) = self.new.body {
            return ArgumentSource::PayloadStore;
        }
        match (&request.args, &request.kwargs, self.origin.source) {
            (Some(_), Some(_), _) | (_, _, None) => ArgumentSource::Supplied,
            (_, _, Some(source)) => source,
        }
    }

    /// Where the arguments come from, what comes along, and what is left behind; for people.
    pub(crate) fn notes(&self, request: &RetryRequest) -> Vec<String> {
        let mut notes = match &self.new.body {
            Body::Verbatim(verbatim) => verbatim_notes(verbatim, &self.origin),
            Body::Read(_) => notes(request, &self.origin),
        };
        if !self.queue_is_known {
            let queue = &self.new.queue;
            let why = match self.origin.queue_of_members {
                Some(_) => "where its chord's members went",
                None => "which its worker consumes",
            };
            notes.push(format!("sent to {queue:?}, {why}: its own queue is not known"));
        }
        notes
    }

    pub(crate) fn no_queue(&self) -> CommandError {
        let queue = &self.new.queue;
        let text = format!("nobody declared the queue {queue:?}: no worker would ever take the task from it");
        CommandError::InvalidArgs(text)
    }
}

fn new_task(request: &RetryRequest, origin: &Origin) -> Result<NewTask, CommandError> {
    let Some(name) = origin.name.clone() else {
        return Err(CommandError::NotFound(format!(
            "the name of the task {} is not known: it was only seen as a result",
            request.task_id
        )));
    };
    Ok(NewTask {
        id: uuid::Uuid::new_v4().to_string(),
        name,
        body: body(request, origin)?,
        headers: origin.headers.clone(),
        root_id: origin.root_id.clone().unwrap_or_else(|| request.task_id.clone()),
        parent_id: origin.parent_id.clone(),
        queue: queue(request, origin)?,
        priority: origin.priority,
        eta: request.eta,
        expires: None,
    })
}

fn body(request: &RetryRequest, origin: &Origin) -> Result<Body, CommandError> {
    // A chord that it names is not counted for: Celery looks for the group first, which is in the headers, and left out there.
    if let (None, None, Some(verbatim)) = (&request.args, &request.kwargs, &origin.verbatim) {
        return Ok(Body::Verbatim(verbatim.clone()));
    }
    let args = request.args.clone().or_else(|| origin.args.clone());
    let kwargs = request.kwargs.clone().or_else(|| origin.kwargs.clone());
    let (Some(args), Some(kwargs)) = (args, kwargs) else { return Err(no_payload(request, origin)) };
    check_types(request, origin)?;
    // As a member it could not bring its chord back to life, and would disturb the count of a group that still runs.
    let embed = Embed { chord: serde_json::Value::Null, ..origin.embed.clone() };
    Ok(Body::Read(Payload { args, kwargs, embed }))
}

/// Types that kombu does not know may be the application's own, if it sent them itself; a worker drops a message with any other.
fn check_types(request: &RetryRequest, origin: &Origin) -> Result<(), CommandError> {
    let of = |args: &Option<Vec<Value>>, kwargs: &Option<Map<String, Value>>| {
        own_types(&json!([args.as_deref().unwrap_or_default(), kwargs.clone().unwrap_or_default()]))
    };
    let (supplied, original) = (of(&request.args, &request.kwargs), of(&origin.args, &origin.kwargs));
    match supplied.difference(&original).next() {
        Some(kind) => Err(CommandError::InvalidArgs(unknown_type(kind))),
        None => Ok(()),
    }
}

fn no_payload(request: &RetryRequest, origin: &Origin) -> CommandError {
    let unread =
        origin.verbatim.as_ref().map(|body| format!("its message is there, but cannot be read here ({})", body.kind()));
    let why = unread.as_deref().or(origin.why_not.as_deref()).unwrap_or("they were never seen");
    let supply = match (&request.args, &request.kwargs) {
        (Some(_), None) => "Supply kwargs as well ({} for none)",
        (None, Some(_)) => "Supply args as well ([] for none)",
        _ => "Supply args and kwargs to retry it with those",
    };
    CommandError::NoOriginalPayload(format!("the original arguments are not to be had: {why}. {supply}"))
}

/// An agent that has just started may be asked for a retry before its workers have said what they consume.
async fn workers_are_met(shared: &Shared) {
    let until = Instant::now() + shared.timings.control_wait * ROUND;
    while !lock(&shared.workers).were_met() && Instant::now() < until {
        sleep(LOOK_AGAIN).await;
    }
}

/// Fills in the queue where it was not told; false when it had to be guessed, or there is not even a guess.
fn deduce_queue(shared: &Shared, origin: &mut Origin) -> bool {
    let worker = origin.worker.as_deref();
    if origin.queue.is_none() {
        origin.queue = worker.and_then(|worker| lock(&shared.workers).only_queue(worker).map(str::to_owned));
    }
    if origin.queue.is_none() {
        let usual = origin.name.as_deref().and_then(|name| lock(&shared.tracker).routes.queue(name).map(str::to_owned));
        // One that its worker does not consume is that of other tasks of its type.
        let workers = lock(&shared.workers);
        origin.queue = usual.filter(|queue| worker.is_none_or(|worker| workers.may_take_from(worker, queue)));
    }
    if origin.queue.is_some() {
        return true;
    }
    // The worker that ran it has its code, so any queue of that worker will do; better than not to retry at all.
    origin.queue = worker.and_then(|worker| lock(&shared.workers).any_queue(worker).map(str::to_owned));
    // The body of a chord never had one; where the members went, it may be known too.
    origin.queue = origin.queue.take().or_else(|| origin.queue_of_members.clone());
    false
}

fn queue(request: &RetryRequest, origin: &Origin) -> Result<String, CommandError> {
    let queue = request.queue.clone().or_else(|| origin.queue.clone()).ok_or_else(|| {
        CommandError::InvalidArgs("the queue of the task is not known: say which queue to send it to".to_owned())
    })?;
    if carries_tasks(&queue) {
        Ok(queue)
    } else {
        Err(CommandError::InvalidArgs(format!("{queue:?} is not the name of a task queue")))
    }
}

fn notes(request: &RetryRequest, origin: &Origin) -> Vec<String> {
    let mut notes = vec![source_note(request, origin)];
    let mut note = |text: &str| notes.push(text.to_owned());
    if let Some(copy) = &origin.sent_before {
        note(&format!("it was sent before, as {copy}, which failed"));
    }
    if origin.embed.has_chain() {
        note("the rest of its chain runs after it");
    }
    if origin.embed.has_callbacks() {
        note("its callbacks are kept");
    }
    match (origin.lossless, &origin.verbatim) {
        (true, _) => {}
        (false, Some(body)) => {
            let kind = body.kind();
            note(&format!(
                "its message cannot be read here ({kind}): a chain or callbacks that it had are left behind"
            ));
        }
        (false, None) => note("its message was not seen: a chain, callbacks or headers that it had are left behind"),
    }
    match origin.chord_id.as_deref().or(origin.embed.chord_id()) {
        Some(body) => note(&format!(
            "it runs outside its chord: when all members have succeeded, retry the chord's body {body}, which is then sent with \
             their results"
        )),
        None if origin.embed.has_chord() => note("it runs outside its chord, whose body does not wait for it"),
        None if origin.group_id.is_some() => note("it runs outside its group"),
        None => {}
    }
    notes.extend(differences(origin));
    notes
}

/// Of a message that is sent as it was.
fn verbatim_notes(verbatim: &Verbatim, origin: &Origin) -> Vec<String> {
    let mut notes = vec![
        format!("its message, as it was ({}; not readable here)", verbatim.kind()),
        "a chain and callbacks that it has run after it".to_owned(),
    ];
    match (&origin.chord_id, &origin.group_id) {
        (Some(_), _) => notes.push("it runs outside its chord, whose body does not wait for it".to_owned()),
        (None, Some(_)) => {
            notes.push(
                "it runs outside its group, and outside the chord if it was in one, which does not wait for it"
                    .to_owned(),
            );
        }
        (None, None) => {}
    }
    notes.extend(differences(origin));
    notes
}

/// What else is different from the original.
fn differences(origin: &Origin) -> Vec<String> {
    let expires = origin.headers.get("expires").is_some_and(|expires| !expires.is_null());
    let notes = [
        (expires, "it does not expire, as the original would have"),
        (origin.lives, "the original still waits or runs"),
    ];
    notes.into_iter().filter(|(holds, _)| *holds).map(|(_, note)| note.to_owned()).collect()
}

/// Where the arguments come from.
fn source_note(request: &RetryRequest, origin: &Origin) -> String {
    if let (None, None, Some(assembled)) = (&request.args, &request.kwargs, &origin.assembled) {
        return assembled.clone();
    }
    match (&request.args, &request.kwargs, origin.source) {
        (Some(_), Some(_), _) => "with the arguments that were supplied",
        (Some(_), None, _) => "with the supplied args and the original kwargs",
        (None, Some(_), _) => "with the supplied kwargs and the original args",
        (None, None, Some(ArgumentSource::Message)) => "with the arguments of its message",
        (None, None, Some(ArgumentSource::PayloadStore)) => "with its original arguments, which the agent kept",
        (None, None, Some(ArgumentSource::Result)) => "with the arguments kept by the result backend",
        (None, None, Some(ArgumentSource::Worker)) => "with the arguments its worker holds",
        (None, None, _) => {
            "with the arguments read from their text form in Celery's events (tuples become lists, as in JSON)"
        }
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use taskplane_agent::engine::KnownTask;

    fn origin() -> Origin {
        Origin {
            name: Some("a.b".into()),
            args: Some(vec![json!(1)]),
            kwargs: Some(serde_json::Map::new()),
            source: Some(ArgumentSource::Message),
            lossless: true,
            queue: Some("q".into()),
            ..Origin::default()
        }
    }

    fn request() -> RetryRequest {
        RetryRequest { task_id: "old".into(), ..RetryRequest::default() }
    }

    #[test]
    fn a_chord_member_runs_again_on_its_own() {
        let chord = json!({"task": "sum", "options": {"task_id": "body"}});
        let member = Origin {
            embed: Embed { chord, chain: json!([{"task": "next"}]), ..Embed::default() },
            group_id: Some("g".into()),
            headers: json!({"group": "g", "group_index": 1}).as_object().cloned().expect("a map"),
            ..origin()
        };
        let new = new_task(&request(), &member).expect("a new task");
        let Body::Read(payload) = &new.body else { panic!("is built") };
        assert_eq!(payload.embed.chord, Value::Null);
        assert!(payload.embed.has_chain());
        let copy = new.outgoing().expect("valid").message;
        assert_eq!((copy.group_id(), copy.headers["group_index"].clone()), (None, Value::Null));
        let told = notes(&request(), &member).join("; ");
        assert!(told.contains("rest of its chain") && told.contains("outside its chord"), "{told}");
        assert!(told.contains("retry the chord's body body"), "{told}");
    }

    #[test]
    fn the_body_of_a_chord_says_where_its_arguments_come_from() {
        let body = Origin {
            assembled: Some("with the results of the 3 members".into()),
            sent_before: Some("x".into()),
            source: Some(ArgumentSource::Result),
            ..origin()
        };
        let told = notes(&request(), &body);
        assert_eq!(told, ["with the results of the 3 members", "it was sent before, as x, which failed"]);
        let supplied = RetryRequest { args: Some(vec![]), kwargs: Some(Map::new()), ..request() };
        assert!(notes(&supplied, &body)[0].contains("supplied"));
    }

    #[test]
    fn what_the_brain_knows_fills_gaps_alone() {
        let known = KnownTask { name: Some("told".into()), queue: Some("told".into()), ..KnownTask::default() };
        let told = RetryRequest { known, ..request() };
        assert_eq!(origin::with_told(&told, Some(origin())), Some(origin()));
        assert_eq!(origin::with_told(&request(), None), None);
        let forgotten = origin::with_told(&told, None).expect("an origin");
        assert_eq!((forgotten.name.as_deref(), forgotten.queue.as_deref()), (Some("told"), Some("told")));
        assert_eq!(new_task(&told, &forgotten).expect_err("no arguments").code(), "no_original_payload");
    }

    #[test]
    fn lineage_is_kept() {
        let new = new_task(&request(), &origin()).expect("a new task");
        assert_eq!((new.root_id.as_str(), new.parent_id.as_deref()), ("old", None));
        let child = Origin { root_id: Some("r".into()), parent_id: Some("p".into()), ..origin() };
        let new = new_task(&request(), &child).expect("a new task");
        assert_eq!((new.root_id.as_str(), new.parent_id.as_deref()), ("r", Some("p")));
    }

    #[test]
    fn what_is_missing_is_said() {
        let bare = Origin { args: None, kwargs: None, why_not: Some("they were cut".into()), ..origin() };
        let error = new_task(&request(), &bare).expect_err("no arguments");
        assert_eq!(error.code(), "no_original_payload");
        assert!(error.to_string().contains("they were cut. Supply args and kwargs"), "{error}");
        let half = RetryRequest { args: Some(vec![]), ..request() };
        assert!(new_task(&half, &bare).expect_err("no kwargs").to_string().contains("Supply kwargs as well"));
        let whole = RetryRequest { kwargs: Some(serde_json::Map::new()), ..half };
        assert!(new_task(&whole, &bare).is_ok());

        let nameless = Origin { name: None, ..origin() };
        assert_eq!(new_task(&request(), &nameless).expect_err("no name").code(), "not_found");
        let nowhere = Origin { queue: None, ..origin() };
        assert_eq!(new_task(&request(), &nowhere).expect_err("no queue").code(), "invalid_args");
    }
}
