//! `taskplane tasks retry`.

mod one;
mod preview;
mod several;

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};

use crate::api::Api;
use crate::arguments::RetryOptions;
use crate::wrong_usage::WrongUsage;

pub(super) async fn run(api: &Api, options: RetryOptions, json: bool) -> Result<()> {
    let dry_run = options.matching.dry_run;
    let orders = orders(options)?;
    match <[Order; 1]>::try_from(orders) {
        Ok([order]) => one::run(api, order, dry_run, json).await,
        Err(orders) => several::run(api, orders, dry_run, json).await,
    }
}

/// A command about one task. Tasks of one engine may belong to different agents, and a command goes to one of them: so each task has its
/// own.
#[derive(Debug, PartialEq)]
struct Order {
    task_id: String,
    cmd: &'static str,
    args: Value,
}

/// A command for each task, in the order in which they were named.
fn orders(options: RetryOptions) -> Result<Vec<Order>> {
    let (engine, dry_run) = (options.engine, options.matching.dry_run);
    let given = [
        ("args", options.args),
        ("kwargs", options.kwargs),
        ("queue", options.queue.map(Value::String)),
        ("eta", options.eta.map(Value::String)),
    ];
    let overrides: Map<String, Value> =
        given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    let mut ids: Vec<String> = Vec::new();
    for id in options.ids {
        // Named twice it would run twice.
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    if ids.len() > 1 && !overrides.is_empty() {
        bail!(WrongUsage(
            "--args, --kwargs, --queue and --eta are for a single task: retry the tasks one by one, or leave these out"
                .to_owned()
        ));
    }
    let order = |task_id: String| {
        let (cmd, mut args) = if dry_run {
            ("preview_retry", json!({"engine": engine, "task_ids": [task_id]}))
        } else {
            ("retry_task", json!({"engine": engine, "task_id": task_id}))
        };
        if !overrides.is_empty() {
            args["override"] = Value::Object(overrides.clone());
        }
        Order { task_id, cmd, args }
    };
    Ok(ids.into_iter().map(order).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::RetryMatchingOptions;

    fn options(ids: &[&str], queue: Option<&str>, dry_run: bool) -> RetryOptions {
        RetryOptions {
            ids: ids.iter().map(|&id| id.to_owned()).collect(),
            engine: "celery".into(),
            matching: RetryMatchingOptions { dry_run, ..RetryMatchingOptions::default() },
            args: None,
            kwargs: None,
            queue: queue.map(str::to_owned),
            eta: None,
        }
    }

    fn given(options: RetryOptions) -> Vec<(&'static str, Value)> {
        orders(options).expect("orders").into_iter().map(|order| (order.cmd, order.args)).collect()
    }

    #[test]
    fn each_task_is_retried_by_a_command_of_its_own() {
        let retry = |id: &str| ("retry_task", json!({"engine": "celery", "task_id": id}));
        assert_eq!(given(options(&["a"], None, false)), [retry("a")]);
        assert_eq!(given(options(&["a", "a"], None, false)), [retry("a")]);
        assert_eq!(given(options(&["b", "a", "b"], None, false)), [retry("b"), retry("a")]);
        let other = json!({"engine": "celery", "task_id": "a", "override": {"queue": "q"}});
        assert_eq!(given(options(&["a"], Some("q"), false)), [("retry_task", other)]);
    }

    #[test]
    fn a_dry_run_asks_what_would_be_sent_for_each_task() {
        let preview = |id: &str| ("preview_retry", json!({"engine": "celery", "task_ids": [id]}));
        assert_eq!(given(options(&["a", "b"], None, true)), [preview("a"), preview("b")]);
        let later = RetryOptions { eta: Some("2026-11-23T20:30:00Z".into()), ..options(&["a"], None, true) };
        let args = json!({"engine": "celery", "task_ids": ["a"], "override": {"eta": "2026-11-23T20:30:00Z"}});
        assert_eq!(given(later), [("preview_retry", args)]);
    }

    #[test]
    fn other_arguments_are_for_one_task_only() {
        for dry_run in [false, true] {
            assert!(orders(options(&["a", "b"], Some("q"), dry_run)).expect_err("refused").is::<WrongUsage>());
        }
    }
}
