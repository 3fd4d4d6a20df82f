//! `taskplane tasks retry --filter`: a bulk job.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::api::Api;
use crate::arguments::RetryMatchingOptions;
use crate::output;

/// How often a job that is waited for is looked at.
const EVERY: Duration = Duration::from_secs(1);

pub(super) async fn run(api: &Api, filter: &str, options: &RetryMatchingOptions, json: bool) -> Result<()> {
    let answer = api.bulk(&body(filter, options)).await?;
    if options.dry_run {
        return if json { output::json(&answer) } else { output::data(&would_do(&answer)) };
    }
    let id = answer["id"].as_str().unwrap_or_default().to_owned();
    if !json {
        output::data(&id)?;
    }
    let job = if options.wait { ended(api, &id, answer).await? } else { answer };
    if json {
        output::json(&job)?;
    } else {
        output::note(&sentence(&job));
    }
    ensure!(!options.wait || is_success(&job), "not every task was retried and succeeded: {}", sentence(&job));
    Ok(())
}

fn body(filter: &str, options: &RetryMatchingOptions) -> Value {
    json!({
        "cmd": "retry",
        "filter": {"q": filter},
        "dry_run": options.dry_run,
        "canary": options.canary,
        "rate_per_minute": options.rate,
        "stop_above_percent": options.stop_above,
    })
}

async fn ended(api: &Api, id: &str, mut job: Value) -> Result<Value> {
    let mut shown = String::new();
    while job["finished_at"].is_null() {
        tokio::time::sleep(EVERY).await;
        let now = api.get(&["bulk", id], &[]).await;
        job = now.with_context(|| format!("the job {id} was made and goes on, but its end was not heard"))?;
        let text = sentence(&job);
        if text != shown {
            output::progress(&text);
            shown = text;
        }
    }
    output::progress("");
    Ok(job)
}

fn is_success(job: &Value) -> bool {
    let counts = &job["counts"];
    job["state"] == "finished" && counts["succeeded"] == counts["total"]
}

/// How a job stands, in one line.
fn sentence(job: &Value) -> String {
    let count = |key: &str| job["counts"][key].as_u64().unwrap_or(0);
    let mut text = format!(
        "{}: {} of {} tasks retried, {} not",
        job["state"].as_str().unwrap_or("unknown"),
        count("accepted"),
        count("total"),
        count("refused"),
    );
    for (key, what) in
        [("unknown", "not known"), ("succeeded", "succeeded"), ("failed", "failed again"), ("awaited", "not ended yet")]
    {
        if count(key) > 0 {
            text.push_str(&format!(", {} {what}", count(key)));
        }
    }
    if let Some(wait) = job["waits_for"].as_str() {
        text.push_str(&format!("; waiting for {wait}"));
    }
    if let Some(reason) = job["reason"].as_str() {
        text.push_str(&format!(" ({reason})"));
    }
    text
}

/// A dry run, for people.
fn would_do(found: &Value) -> String {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let more = if found["truncated"] == true { " or more" } else { "" };
    // Of a sample only what is known of all of them is taken off.
    let cannot = found["preview"]["cannot"].as_array().filter(|_| found["preview"]["is_sample"] != true);
    let cannot: u64 = cannot.into_iter().flatten().map(|reason| number(&reason["count"])).sum();
    let retried = number(&found["retryable"]).saturating_sub(cannot);
    let mut lines = vec![format!("{}{more} tasks match; {retried} would be retried", number(&found["total"]))];
    for share in found["by_name"].as_array().into_iter().flatten() {
        lines.push(format!("{:>8}  {}", number(&share["count"]), share["value"].as_str().unwrap_or("name not known")));
    }
    let reasons = |lines: &mut Vec<String>, title: &str, list: &Value| {
        let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
        if !list.is_empty() {
            lines.push(title.to_owned());
        }
        for reason in list {
            let code = reason["code"].as_str().unwrap_or_default();
            let message = reason["message"].as_str().map(|text| format!(": {text}")).unwrap_or_default();
            lines.push(format!("{:>8}  {code}{message}", number(&reason["count"])));
        }
    };
    reasons(&mut lines, "would not be retried:", &found["not_retryable"]);
    let preview = &found["preview"];
    if number(&preview["asked"]) > 0 {
        let of = if preview["is_sample"] == true { "of a sample of" } else { "of" };
        let title = format!("{of} {} tasks the agents say that they cannot be retried:", number(&preview["asked"]));
        reasons(&mut lines, &title, &preview["cannot"]);
    }
    if number(&found["agent_offline"]) > 0 {
        lines.push(format!("{} would wait for their agent, which is not connected", number(&found["agent_offline"])));
    }
    lines.iter().map(|line| output::printable(line)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_is_told_in_lines() {
        let found = json!({
            "total": 5, "retryable": 3, "truncated": false, "by_name": [{"value": "shop.pay", "count": 3}],
            "not_retryable": [{"code": "already_retried", "count": 2, "message": "It was retried before."}],
            "preview": {"asked": 3, "cannot": [{"code": "no_original_payload", "count": 1}]}, "agent_offline": 0,
        });
        let expected = "\
5 tasks match; 2 would be retried
       3  shop.pay
would not be retried:
       2  already_retried: It was retried before.
of 3 tasks the agents say that they cannot be retried:
       1  no_original_payload";
        assert_eq!(would_do(&found), expected);
    }

    #[test]
    fn only_a_job_whose_tasks_all_succeeded_is_a_success() {
        let job = |state: &str, succeeded: u64| json!({"state": state, "counts": {"total": 2, "succeeded": succeeded}});
        assert!(is_success(&job("finished", 2)));
        assert!(!is_success(&job("finished", 1)) && !is_success(&job("stopped", 2)));
    }

    #[test]
    fn how_it_stands_fits_in_a_line() {
        let job = json!({"state": "running", "waits_for": "ends", "counts": {"total": 9, "accepted": 8, "refused": 1, "awaited": 8}});
        assert_eq!(sentence(&job), "running: 8 of 9 tasks retried, 1 not, 8 not ended yet; waiting for ends");
    }
}
