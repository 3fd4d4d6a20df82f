//! What a retry would publish: found the same way, and not published.

use std::collections::HashMap;

use taskplane_agent::engine::{CommandError, RetryPreview, RetryRequest};

use crate::{
    deployments::Deployments,
    message::{Body, Payload},
    origin::{self, Origin},
    purge,
    retry::Plan,
    shared::Shared,
};

/// The preview of each retry, in their order.
pub(crate) async fn preview(
    deployments: &Deployments,
    requests: &[RetryRequest],
) -> Result<Vec<Result<RetryPreview, CommandError>>, CommandError> {
    if let Some(only) = deployments.only() {
        return on_one(only, &requests.iter().collect::<Vec<_>>()).await;
    }
    let mut previews = Vec::with_capacity(requests.len());
    for request in requests {
        previews.push(match deployments.of_retry(request).await {
            Ok(shared) => {
                one(shared, request, origin::find(shared, &request.task_id).await?, &mut HashMap::new()).await
            }
            Err(error) => Err(error),
        });
    }
    Ok(previews)
}

async fn on_one(
    shared: &Shared,
    requests: &[&RetryRequest],
) -> Result<Vec<Result<RetryPreview, CommandError>>, CommandError> {
    let ids: Vec<&str> = requests.iter().map(|request| request.task_id.as_str()).collect();
    let mut origins = origin::find_all(shared, &ids).await?;
    // Many tasks go to few queues.
    let mut queues = HashMap::new();
    let mut previews = Vec::with_capacity(requests.len());
    for request in requests {
        previews.push(one(shared, request, origins.remove(&request.task_id), &mut queues).await);
    }
    Ok(previews)
}

async fn one(
    shared: &Shared,
    request: &RetryRequest,
    origin: Option<Origin>,
    queues: &mut HashMap<String, bool>,
) -> Result<RetryPreview, CommandError> {
    let plan = Plan::new(shared, request, origin).await?;
    let exists = match queues.get(&plan.new.queue) {
        Some(exists) => *exists,
        None => {
            let exists = purge::exists(shared, &plan.new.queue).await?;
            queues.insert(plan.new.queue.clone(), exists);
            exists
        }
    };
    if !exists {
        return Err(plan.no_queue());
    }
    // What cannot be written, or reads back as another task, would not be sent either.
    plan.new.outgoing().map_err(|error| CommandError::Engine(error.to_string()))?;
    let is_edited = request.args.is_some() || request.kwargs.is_some();
    let (source, notes) = (plan.source(request), plan.notes(request));
    let (lossless, arguments) = match plan.new.body {
        Body::Read(Payload { args, kwargs, .. }) => (plan.origin.lossless && !is_edited, Some((args, kwargs))),
        Body::Verbatim(_) => (true, None),
    };
    Ok(RetryPreview {
        source,
        lossless,
        notes,
        name: plan.new.name,
        queue: plan.new.queue,
        eta: plan.new.eta,
        arguments,
    })
}
