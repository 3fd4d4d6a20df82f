//! Enqueuing: a new task, as the application itself would send it.

use serde_json::json;
use taskplane_agent::engine::{CommandError, EnqueueRequest, EnqueuedTask};

use crate::{
    acceptable::{own_types, unknown_type},
    message::{Body, Embed, NewTask, Payload},
    publish::publish,
    purge,
    queues::carries_tasks,
    shared::{Shared, lock},
};

/// Where Celery sends a task that nothing is said of.
const DEFAULT_QUEUE: &str = "celery";

/// Publishes a new task.
pub(crate) async fn enqueue(shared: &Shared, request: &EnqueueRequest) -> Result<EnqueuedTask, CommandError> {
    if request.name.is_empty() {
        return Err(CommandError::InvalidArgs("the name of the task is empty".to_owned()));
    }
    let (queue, message) = queue(shared, request);
    if !carries_tasks(&queue) {
        return Err(CommandError::InvalidArgs(format!("{queue:?} is not the name of a task queue")));
    }
    if !purge::exists(shared, &queue).await? {
        let say = if request.queue.is_some() { "" } else { ". Say which queue to send it to" };
        let text = format!("nobody declared the queue {queue:?}: no worker would ever take the task from it{say}");
        return Err(CommandError::InvalidArgs(text));
    }
    if let Some(kind) = own_types(&json!([request.args, request.kwargs])).first() {
        return Err(CommandError::InvalidArgs(unknown_type(kind)));
    }
    let new = new_task(request, queue);
    new.check_against(&lock(&shared.workers))?;
    publish(shared, &new).await?;
    Ok(EnqueuedTask { new_task_id: new.id, message })
}

/// The queue, and what to say when it had to be guessed.
fn queue(shared: &Shared, request: &EnqueueRequest) -> (String, Option<String>) {
    if let Some(queue) = &request.queue {
        return (queue.clone(), None);
    }
    if let Some(queue) = lock(&shared.tracker).routes.queue(&request.name) {
        return (queue.to_owned(), None);
    }
    let mut consumed = lock(&shared.workers).queues().into_iter();
    let guess = match (consumed.next(), consumed.next()) {
        (Some(only), None) => only,
        _ => DEFAULT_QUEUE.to_owned(),
    };
    let message = format!("sent to {guess:?}: where the application sends such tasks was not seen yet");
    (guess, Some(message))
}

fn new_task(request: &EnqueueRequest, queue: String) -> NewTask {
    let id = uuid::Uuid::new_v4().to_string();
    NewTask {
        root_id: id.clone(),
        id,
        name: request.name.clone(),
        body: Body::Read(Payload {
            args: request.args.clone(),
            kwargs: request.kwargs.clone(),
            embed: Embed::default(),
        }),
        headers: request.headers.clone(),
        parent_id: None,
        queue,
        priority: request.priority.map(i64::from),
        eta: request.eta,
        expires: request.expires,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use taskplane_model::Timestamp;

    #[test]
    fn a_new_task_is_its_own_root_and_keeps_the_headers_it_is_given() {
        let request = EnqueueRequest {
            name: "a.b".into(),
            args: vec![json!(1)],
            headers: json!({"periodic_task_name": "nightly"}).as_object().cloned().expect("a map"),
            expires: Some(Timestamp(1_795_365_356_000_000)),
            priority: Some(3),
            ..EnqueueRequest::default()
        };
        let new = new_task(&request, "q".into());
        let message = new.outgoing().expect("valid").message;
        assert_eq!((message.id.as_str(), message.routing_key.as_str()), (new.id.as_str(), "q"));
        assert_eq!(message.headers["root_id"], json!(new.id));
        assert_eq!((&message.headers["parent_id"], &message.headers["group"]), (&Value::Null, &Value::Null));
        assert_eq!(message.headers["periodic_task_name"], "nightly");
        assert_eq!((message.sent("q").expires, message.priority), (request.expires, Some(3)));
    }
}
