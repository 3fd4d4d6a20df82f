//! `taskplane tasks cancel`.

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::{Api, failure};
use crate::arguments::CancelOptions;
use crate::output;

pub(super) async fn run(api: &Api, options: &CancelOptions, json: bool) -> Result<()> {
    let mut args = json!({"engine": options.engine, "task_id": options.id, "terminate": options.terminate});
    if let Some(signal) = &options.signal {
        args["signal"] = Value::from(signal.as_str());
    }
    let command = api.command("cancel_task", args).await?;
    if json {
        output::json(&command)?;
    }
    if let Some(failure) = failure(&command) {
        return Err(failure);
    }
    if !json {
        output::data(command["result"]["state"].as_str().unwrap_or_default())?;
    }
    // What that means: killed, or dropped when a worker receives it.
    if let Some(message) = command["message"].as_str() {
        output::note(message);
    }
    Ok(())
}
