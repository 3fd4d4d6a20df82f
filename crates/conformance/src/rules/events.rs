//! Events that are odd, and events that are poison.

use serde_json::{Value, json};

use crate::probe::{Probe, event, sent};
use crate::rule::rules;
use crate::verdict::{Failure, Verdict};

rules! {
    "event.poison", "events", "An event that cannot be understood does not block its batch: it is set aside, the rest is stored.", poison;
    "event.aliases", "events", "task_success, task_failure and task_retried are task_succeeded, task_failed and task_retry.", aliases;
    "event.unknown-type", "events", "An event of a type that nobody knows is accepted.", unknown_type;
    "event.fleet", "events", "Events of workers, queues and schedules are accepted.", fleet;
    "event.times", "heartbeats-and-time", "A missing or absurd time never makes an event unreadable.", times;
    "event.numbers", "events", "Numbers of any size in arguments and results are accepted.", numbers;
    "event.nesting", "limits", "Arguments nested ever so deep do not block a batch.", nesting;
    "event.text", "events", "Any text is accepted: escapes, every plane of Unicode, long messages.", text;
}

/// Sends `events` as a batch, text by text, and waits for its ack.
async fn deliver(probe: &Probe, events: &[String]) -> Result<(), Failure> {
    let mut socket = probe.open_new().await?;
    socket.send_text(format!(r#"{{"type":"event_batch","seq":1,"events":[{}]}}"#, events.join(","))).await?;
    socket.acked(1).await.map(|_| ())
}

/// That the API shows a task; says how that was seen.
async fn shows(probe: &Probe, task: &str) -> Result<&'static str, Failure> {
    match probe.stored_task(task).await? {
        None => Ok("acked"),
        Some(stored) if stored.is_object() => Ok("acked, and the API shows the others"),
        Some(_) => Err(Failure::broken("acked, but the API does not show the good event of the batch")),
    }
}

async fn poison(probe: Probe) -> Verdict {
    let good = probe.task("good");
    let poison = [
        json!({}),
        json!({"task_id": good}),
        json!({"event_type": "task_sent", "engine": "conformance"}),
        json!({"event_type": "task_sent", "engine": "conformance", "task_id": 7}),
        json!({"event_type": ["task_sent"], "engine": "conformance", "task_id": "x"}),
        json!("task_sent"),
        json!(["task_sent", "x"]),
        json!(null),
    ];
    let mut events: Vec<String> = poison.iter().map(Value::to_string).collect();
    events.push(sent(&good).to_string());
    deliver(&probe, &events).await?;
    let seen = shows(&probe, &good).await?;
    let count = poison.len() as u64;
    Ok(match probe.counted("quarantined_events", count).await? {
        Some(_) => format!("{seen}; the API counts {count} in quarantine"),
        None => seen.to_owned(),
    })
}

async fn aliases(probe: Probe) -> Verdict {
    let cases = [("task_success", "succeeded"), ("task_failure", "failed"), ("task_retried", "retrying")];
    let events: Vec<String> = cases.iter().map(|(alias, state)| event(alias, &probe.task(state)).to_string()).collect();
    deliver(&probe, &events).await?;
    for (alias, state) in cases {
        match probe.stored_task(&probe.task(state)).await? {
            None => return Ok("acked (what was made of them is seen only with an API key)".to_owned()),
            Some(task) if task["state"] == state => {}
            Some(task) => return Err(Failure::broken(format!("after {alias} the API shows {}", task["state"]))),
        }
    }
    Ok("the API shows the three states".to_owned())
}

async fn unknown_type(probe: Probe) -> Verdict {
    let (good, odd) = (probe.task("good"), probe.task("odd"));
    deliver(&probe, &[event("task_levitated", &odd).to_string(), sent(&good).to_string()]).await?;
    let seen = shows(&probe, &good).await?;
    probe.counted("quarantined_events", 0).await?;
    Ok(seen.to_owned())
}

async fn fleet(probe: Probe) -> Verdict {
    let mut events = Vec::new();
    for event_type in ["worker_online", "worker_heartbeat", "worker_offline"] {
        let mut event = event(event_type, "");
        event["worker"] = "w1@conformance".into();
        event["concurrency"] = 4.into();
        event["queues"] = json!(["conformance"]);
        event["software"] = json!({"name": "celery", "version": "5"});
        event["loadavg"] = json!([0.1, 0.2, 0.3]);
        events.push(event.to_string());
    }
    let mut sample = event("queue_stats", "");
    sample["depth"] = 17.into();
    sample["oldest_age_ms"] = json!(12.5);
    events.push(sample.to_string());
    let mut fired = event("schedule_fired", &probe.task("fired"));
    fired["schedule_id"] = "42".into();
    fired["scheduler"] = "conformance-scheduler".into();
    events.push(fired.to_string());
    deliver(&probe, &events).await?;
    probe.counted("quarantined_events", 0).await?;
    Ok("acked".to_owned())
}

async fn times(probe: Probe) -> Verdict {
    let oddities = [
        "null",
        "7",
        "[]",
        "\"\"",
        "\"yesterday\"",
        "\"1970-01-01T00:00:00Z\"",
        "\"9999-12-31T23:59:59Z\"",
        "\"2026-02-30T00:00:00Z\"",
        "\"2026-11-22T18:20:00\"",
        "\"2026-11-22T19:20:00+01:00\"",
        "\"2026-11-22t18:20:00.123456789z\"",
        "\"2016-12-31T23:59:60Z\"",
        "\"+012026-11-22T18:20:00Z\"",
    ];
    let mut events = Vec::new();
    for (index, oddity) in oddities.iter().enumerate() {
        let task = probe.task(&format!("time-{index}"));
        // Other times must be text to be read.
        let eta = if oddity.starts_with('"') { oddity } else { "null" };
        events.push(format!(
            r#"{{"event_type":"task_sent","task_id":"{task}","engine":"conformance","ts":{oddity},"eta":{eta}}}"#
        ));
    }
    deliver(&probe, &events).await?;
    for index in 0..oddities.len() {
        let task = probe.task(&format!("time-{index}"));
        match probe.stored_task(&task).await? {
            None => return Ok(format!("{} odd times were acked", oddities.len())),
            Some(stored) if stored.is_object() => {}
            Some(_) => {
                return Err(Failure::broken(format!("acked, but the API shows no task for ts {}", oddities[index])));
            }
        }
    }
    Ok(format!("{} odd times were acked, and the API shows all their tasks", oddities.len()))
}

async fn numbers(probe: Probe) -> Verdict {
    let task = probe.task("numbers");
    let digits = "9".repeat(400);
    let args = format!("[{digits},-{digits},1e400,-0,0.1e-400,18446744073709551616,{{\"n\":{digits}}}]");
    let event = format!(
        r#"{{"event_type":"task_succeeded","task_id":"{task}","engine":"conformance","args_redacted":{args},"result_redacted":{digits},"runtime_ms":1e300}}"#
    );
    deliver(&probe, &[event]).await?;
    Ok(shows(&probe, &task).await?.to_owned())
}

async fn nesting(probe: Probe) -> Verdict {
    let good = probe.task("good");
    let mut events = Vec::new();
    for depth in [100, 1_000, 100_000] {
        let task = probe.task(&format!("deep-{depth}"));
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        events.push(format!(
            r#"{{"event_type":"task_sent","task_id":"{task}","engine":"conformance","args_redacted":{open}{close}}}"#
        ));
        let (open, close) = (r#"{"a":"#.repeat(depth), "}".repeat(depth));
        events.push(format!(
            r#"{{"event_type":"task_sent","task_id":"{task}-o","engine":"conformance","from_the_future":{open}1{close}}}"#
        ));
    }
    events.push(sent(&good).to_string());
    deliver(&probe, &events).await?;
    Ok(shows(&probe, &good).await?.to_owned())
}

async fn text(probe: Probe) -> Verdict {
    let good = probe.task("good");
    let fields = [
        r#""name":"\ud83d\udc22 \u017c\u00f3\u0142w \"\\\/\b\f\n\r\t""#,
        r#""name":"🐢 żółw \u0000 \u001b[2J""#,
        // Half of a pair: no text at all. The event may be set aside, and nothing more.
        r#""name":"\ud800""#,
        r#""args_redacted":["\udfff"]"#,
        r#""name":"first","name":"second""#,
    ];
    let mut events: Vec<String> = fields
        .iter()
        .enumerate()
        .map(|(index, field)| {
            let task = probe.task(&format!("text-{index}"));
            format!(r#"{{"event_type":"task_sent","task_id":"{task}","engine":"conformance",{field}}}"#)
        })
        .collect();
    let mut failed = event("task_failed", &probe.task("long"));
    failed["exception_message"] = "long ".repeat(20_000).into();
    failed["traceback"] = "line\n".repeat(20_000).into();
    events.push(failed.to_string());
    events.push(sent(&good).to_string());
    deliver(&probe, &events).await?;
    Ok(shows(&probe, &good).await?.to_owned())
}
