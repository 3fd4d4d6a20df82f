//! Orders to workers.

use serde_json::{Map, Value, json};

use super::args::Args;
use super::{Dispatcher, Outcome, in_time};
use crate::engine::Engine;

impl Dispatcher {
    pub(super) async fn worker_control(&self, engine: &dyn Engine, args: &Args<'_>) -> Outcome {
        let told = in_time(engine.worker_control(&args.worker_control()?)).await?;
        let reply = |reply: &Result<String, String>| match reply {
            Ok(text) => json!({"ok": true, "reply": self.redactor.message(text)}),
            Err(text) => json!({"ok": false, "error": self.redactor.message(text)}),
        };
        let replies: Map<String, Value> = told.replies.iter().map(|(name, told)| (name.clone(), reply(told))).collect();
        Ok((json!({"replies": replies, "silent": told.silent}), None))
    }
}
