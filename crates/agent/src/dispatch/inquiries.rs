//! Commands that only ask: what a retry would send, and how tasks stand.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};

use super::args::Args;
use super::{Dispatcher, Outcome, in_time};
use crate::engine::{CommandError, Engine, RetryRequest};

/// How long a whole command has; the brain waits for 30 s.
const TIMEOUT: Duration = Duration::from_secs(25);
/// Retries that an engine looks at together. Of what takes too long, the rest is left out.
const TOGETHER: usize = 100;

impl Dispatcher {
    pub(super) async fn preview_retry(&self, engine: &dyn Engine, args: &Args<'_>) -> Outcome {
        let requests = args.retries()?;
        let with_values = requests.len() == 1;
        let until = Instant::now() + TIMEOUT;
        let (mut previews, mut failed) = (Map::new(), Map::new());
        let mut fail = |request: &RetryRequest, error: &CommandError| {
            let why = json!({"error": error.code(), "message": self.redactor.message(&error.to_string())});
            failed.insert(request.task_id.clone(), why);
        };
        for requests in requests.chunks(TOGETHER) {
            let answers = match timeout_at(until, in_time(engine.preview_retry(requests))).await {
                Ok(Ok(answers)) => answers,
                Ok(Err(error @ CommandError::Unsupported(_))) => return Err(error),
                Ok(Err(error)) => requests.iter().map(|_| Err(error.clone())).collect(),
                Err(_elapsed) => requests.iter().map(|_| Err(not_reached())).collect(),
            };
            for (request, answer) in requests.iter().zip(answers) {
                match answer {
                    Ok(preview) => {
                        previews.insert(request.task_id.clone(), self.redactor.preview(&preview, with_values));
                    }
                    Err(error) => fail(request, &error),
                }
            }
        }
        Ok((json!({"previews": previews, "failed": failed}), None))
    }

    pub(super) async fn query_state(&self, engine: &dyn Engine, args: &Args<'_>) -> Outcome {
        let ids = args.distinct_task_ids()?;
        let found = timeout_at(Instant::now() + TIMEOUT, in_time(engine.query_state(&ids))).await;
        let found = found.map_err(|_elapsed| {
            let text = format!("the engine did not answer within {} s", TIMEOUT.as_secs());
            CommandError::Engine(text)
        })??;
        let tasks: Map<String, Value> =
            found.tasks.iter().map(|(id, task)| (id.clone(), self.redactor.found(task, &found))).collect();
        Ok((Value::Object(tasks), None))
    }
}

fn not_reached() -> CommandError {
    CommandError::Busy("not looked at: the command took too long. Ask again for this task".into())
}
