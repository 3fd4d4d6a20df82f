//! `taskplane tasks retry`.

use anyhow::{Result, bail, ensure};
use serde_json::{Map, Value, json};

use crate::api::{Api, failure};
use crate::arguments::RetryOptions;
use crate::output;
use crate::wrong_usage::WrongUsage;

pub(super) async fn run(api: &Api, options: RetryOptions, json: bool) -> Result<()> {
    let (cmd, args) = command(options)?;
    let ids = args["task_ids"].as_array().cloned();
    let command = api.command(cmd, args).await?;
    if json {
        output::json(&command)?;
    }
    match ids {
        None => one(&command, json),
        Some(ids) => many(&command, &ids, json),
    }
}

/// The command and its arguments.
fn command(options: RetryOptions) -> Result<(&'static str, Value)> {
    let engine = options.engine;
    let overrides: Map<String, Value> =
        [("args", options.args), ("kwargs", options.kwargs), ("queue", options.queue.map(Value::String))]
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)))
            .collect();
    let mut ids: Vec<String> = Vec::new();
    for id in options.ids {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    match (&ids[..], overrides.is_empty()) {
        ([id], true) => Ok(("retry_task", json!({"engine": engine, "task_id": id}))),
        ([id], false) => Ok(("retry_task", json!({"engine": engine, "task_id": id, "override": overrides}))),
        (_, true) => Ok(("bulk_retry", json!({"engine": engine, "task_ids": ids}))),
        (_, false) => bail!(WrongUsage(
            "--args, --kwargs and --queue are for a single task: retry the tasks one by one, or leave these out"
                .to_owned()
        )),
    }
}

fn one(command: &Value, json: bool) -> Result<()> {
    if let Some(failure) = failure(command) {
        return Err(failure);
    }
    if !json {
        output::data(command["result"]["new_task_id"].as_str().unwrap_or_default())?;
    }
    remark(command);
    Ok(())
}

/// The new ids in the order of the old ones; what was not retried is told beside.
fn many(command: &Value, ids: &[Value], json: bool) -> Result<()> {
    let result = &command["result"];
    let old: Vec<&str> = ids.iter().filter_map(Value::as_str).collect();
    let new: Vec<&str> = old.iter().filter_map(|id| result["retried"][id].as_str()).collect();
    if !json && !new.is_empty() {
        output::data(&new.join("\n"))?;
    }
    for id in &old {
        if let Some(why) = result["failed"][id].as_str() {
            output::note(&format!("{id} was not retried: {why}"));
        }
    }
    if let Some(failure) = failure(command) {
        return Err(failure);
    }
    remark(command);
    let missed = old.len() - new.len();
    ensure!(missed == 0, "{missed} of {} tasks were not retried", old.len());
    Ok(())
}

fn remark(command: &Value) {
    if let Some(message) = command["message"].as_str() {
        output::note(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::RetryMatchingOptions;

    fn options(ids: &[&str], queue: Option<&str>) -> RetryOptions {
        RetryOptions {
            ids: ids.iter().map(|&id| id.to_owned()).collect(),
            engine: "celery".into(),
            matching: RetryMatchingOptions::default(),
            args: None,
            kwargs: None,
            queue: queue.map(str::to_owned),
        }
    }

    #[test]
    fn one_task_is_a_retry_and_several_are_a_bulk_retry() {
        let task = json!({"engine": "celery", "task_id": "a"});
        assert_eq!(command(options(&["a"], None)).expect("a command"), ("retry_task", task.clone()));
        assert_eq!(command(options(&["a", "a"], None)).expect("a command"), ("retry_task", task));
        let many = json!({"engine": "celery", "task_ids": ["b", "a"]});
        assert_eq!(command(options(&["b", "a", "b"], None)).expect("a command"), ("bulk_retry", many));
        let other = json!({"engine": "celery", "task_id": "a", "override": {"queue": "q"}});
        assert_eq!(command(options(&["a"], Some("q"))).expect("a command"), ("retry_task", other));
    }

    #[test]
    fn other_arguments_are_for_one_task_only() {
        assert!(command(options(&["a", "b"], Some("q"))).expect_err("refused").is::<WrongUsage>());
    }

    #[test]
    fn a_bulk_retry_succeeds_only_if_all_were_retried() {
        let ids = [json!("a"), json!("b")];
        let command = |failed: Value, retried: Value| json!({"status": "succeeded", "result": {"retried": retried, "failed": failed}});
        assert!(many(&command(json!({}), json!({"a": "x", "b": "y"})), &ids, true).is_ok());
        let error = many(&command(json!({"b": "unknown"}), json!({"a": "x"})), &ids, true).expect_err("one failed");
        assert_eq!(error.to_string(), "1 of 2 tasks were not retried");
    }
}
