//! `taskplane queues purge`.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::api::{Api, failure};
use crate::arguments::PurgeOptions;
use crate::output;
use crate::wrong_usage::WrongUsage;

pub(super) async fn run(api: &Api, options: &PurgeOptions, json: bool) -> Result<()> {
    let PurgeOptions { name, engine, yes } = options;
    if !yes {
        bail!(WrongUsage(unconfirmed(&api.list("queues").await?, options)?));
    }
    let command = api.command("purge_queue", json!({"engine": engine, "queue": name})).await?;
    if json {
        output::json(&command)?;
    }
    if let Some(failure) = failure(&command) {
        return Err(failure);
    }
    if !json {
        let purged = messages(&command["result"]["purged"]);
        output::data(&format!("{purged} of the queue {name} deleted"))?;
    }
    Ok(())
}

/// What would be done, and how to have it done.
fn unconfirmed(queues: &[Value], options: &PurgeOptions) -> Result<String> {
    let PurgeOptions { name, engine, .. } = options;
    let queue = queues.iter().find(|queue| queue["name"] == **name && queue["engine"] == **engine);
    let queue = queue.with_context(|| {
        format!("no {engine} queue called \"{name}\" is known: `taskplane queues list` names those that are")
    })?;
    Ok(format!(
        "nothing was deleted: the {engine} queue {name} holds {}, and purging deletes for good; to do it, say the same with \
         --yes",
        messages(&queue["depth"])
    ))
}

fn messages(count: &Value) -> String {
    match count.as_u64() {
        Some(1) => "1 message".to_owned(),
        Some(count) => format!("{count} messages"),
        None => "an unknown number of messages".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(name: &str) -> PurgeOptions {
        PurgeOptions { name: name.into(), engine: "celery".into(), yes: false }
    }

    #[test]
    fn without_yes_it_is_said_what_would_be_lost() {
        let queues = [
            json!({"name": "emails", "engine": "other", "depth": 1}),
            json!({"name": "emails", "engine": "celery", "depth": 7}),
        ];
        let text = unconfirmed(&queues, &options("emails")).expect("a sentence");
        assert!(text.contains("7 messages") && text.contains("--yes"), "{text}");
        let error = unconfirmed(&queues, &options("emial")).expect_err("not known");
        assert!(error.to_string().contains("queues list"), "{error}");
    }
}
