//! A single task.

use anyhow::{Result, ensure};

use super::Order;
use super::preview::preview;
use crate::api::{Api, failure};
use crate::output;

/// Gives the command and tells what came of it.
pub(super) async fn run(api: &Api, order: Order, dry_run: bool, json: bool) -> Result<()> {
    let command = api.command(order.cmd, order.args).await?;
    if json {
        output::json(&command)?;
    }
    if let Some(failure) = failure(&command) {
        return Err(failure);
    }
    let result = &command["result"];
    if dry_run {
        let (told, failed) = (&result["previews"][&order.task_id], &result["failed"][&order.task_id]);
        if !json {
            output::data(&preview(&order.task_id, told, failed))?;
        }
        ensure!(told.is_object(), "1 of 1 tasks cannot be retried");
        return Ok(());
    }
    if !json {
        output::data(result["new_task_id"].as_str().unwrap_or_default())?;
    }
    if let Some(message) = command["message"].as_str() {
        output::note(message);
    }
    Ok(())
}
