//! Orders to workers.

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};

use crate::api::{Api, failure};
use crate::arguments::WorkerOrder;
use crate::output;
use crate::table::{self, Column};
use crate::wrong_usage::WrongUsage;

pub(super) async fn run(api: &Api, order: &WorkerOrder, as_json: bool) -> Result<()> {
    if let WorkerOrder::Shutdown(options) = order
        && !options.yes
    {
        let names = options.workers.join(", ");
        bail!(WrongUsage(format!(
            "nothing was done: {names} would finish what is running and end, and come back only if something starts it \
             again; to do it, say the same with --yes"
        )));
    }
    let command = api.command("worker_control", args(order)).await?;
    if as_json {
        output::json(&command)?;
    }
    if let Some(failure) = failure(&command) {
        return Err(failure);
    }
    let replies = replies(&command["result"]);
    if !as_json {
        if replies.is_empty() {
            bail!("no worker replied, and none is known to be up");
        }
        output::data(&table::list(&columns(), &replies, output::width()))?;
    }
    let refused = replies.iter().filter(|reply| reply["state"] != "ok").count();
    match refused {
        0 => Ok(()),
        1 => bail!("1 worker did not do it"),
        count => bail!("{count} workers did not do it"),
    }
}

/// The arguments of the command.
fn args(order: &WorkerOrder) -> Value {
    let (of, workers, mut args) = match order {
        WorkerOrder::Ping(options) => (&options.of, &options.workers, json!({"action": "ping"})),
        WorkerOrder::Grow(options) => (&options.of, &options.workers, json!({"action": "pool_grow", "n": options.by})),
        WorkerOrder::Shrink(options) => {
            (&options.of, &options.workers, json!({"action": "pool_shrink", "n": options.by}))
        }
        WorkerOrder::RateLimit(options) => {
            let args = json!({"action": "rate_limit", "task_name": options.task_name, "rate": options.rate});
            (&options.of, &options.workers, args)
        }
        WorkerOrder::AddConsumer(options) => {
            (&options.of, &options.workers, json!({"action": "add_consumer", "queue": options.queue}))
        }
        WorkerOrder::CancelConsumer(options) => {
            (&options.of, &options.workers, json!({"action": "cancel_consumer", "queue": options.queue}))
        }
        WorkerOrder::Shutdown(options) => (&options.of, &options.workers, json!({"action": "shutdown"})),
    };
    args["engine"] = Value::from(of.engine.as_str());
    if !workers.is_empty() {
        args["workers"] = json!(workers);
    }
    args
}

/// A row for each worker that replied, and for each that did not.
fn replies(result: &Value) -> Vec<Value> {
    let none = Map::new();
    let replied = result["replies"].as_object().unwrap_or(&none).iter().map(|(worker, reply)| {
        let done = reply["ok"] == true;
        let said = if done { &reply["reply"] } else { &reply["error"] };
        json!({"worker": worker, "state": if done { "ok" } else { "refused" }, "reply": said})
    });
    let silent = result["silent"].as_array().into_iter().flatten();
    let silent = silent.map(|worker| json!({"worker": worker, "state": "silent", "reply": "did not reply in time"}));
    replied.chain(silent).collect()
}

fn columns() -> Vec<Column> {
    vec![Column::field("WORKER", "worker"), Column::field("STATE", "state").whole(), Column::field("REPLY", "reply")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_worker_that_was_asked_has_a_line() {
        let result = json!({"replies": {"w1@h": {"ok": true, "reply": "pong"}, "w2@h": {"ok": false, "error": "no"}},
            "silent": ["w3@h"]});
        let expected = "\
WORKER  STATE    REPLY
w1@h    ok       pong
w2@h    refused  no
w3@h    silent   did not reply in time";
        assert_eq!(table::list(&columns(), &replies(&result), None), expected);
    }
}
