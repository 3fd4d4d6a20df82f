//! Agents within applications, beside one another and beside a sidecar: one history, and each command where it is done best.

use serde_json::{Value, json};
use taskplane_brain::clock;
use taskplane_model::Timestamp;

use crate::agent::{Agent, rich};
use crate::brain::{PATIENCE, TestBrain, until};
use crate::commands::retry;
use crate::events::{event, event_with};

/// The hello of an agent in a process of that role on that host, which keeps the messages that workers receive.
fn inside(name: &str, host: &str, role: &str) -> Value {
    let mut hello = rich(name, &format!("{name}-{host}-{role}"));
    hello["engines"] = json!(["celery"]);
    hello["worker_role"] = json!(role);
    hello["capabilities"] = json!({ "celery": { "originals": "captured", "in_process": true, "preview_retry": true } });
    hello["metadata"] = json!({ "hostname": host });
    hello
}

fn beside(name: &str) -> Value {
    let mut hello = rich(name, name);
    hello["engines"] = json!(["celery"]);
    hello["metadata"] = json!({ "hostname": "elsewhere" });
    hello
}

fn failed_on(host: &str, task_id: &str) -> Value {
    event_with("task_failed", task_id, json!({ "worker": format!("celery@{host}"), "retries": 0 }))
}

#[tokio::test]
async fn a_retry_goes_to_the_host_that_ran_the_task_whoever_else_has_told_of_it() {
    let brain = TestBrain::start().await;
    // As by default, every process of a host has the host's name; then as where all hosts have one name.
    for (names, task) in [(["a", "b", "a"], "named-by-host"), (["shop", "shop", "shop"], "named-alike")] {
        let mut on_a = Agent::open(&brain, &inside(names[0], "a", "worker"), 0).await;
        let mut on_b = Agent::open(&brain, &inside(names[1], "b", "worker"), 0).await;
        let mut web = Agent::open(&brain, &inside(names[2], "a", "web"), 0).await;
        let mut sidecar = Agent::open(&brain, &beside(&format!("beside-{task}")), 0).await;
        web.tell(1, json!([event("task_sent", task)])).await;
        on_b.tell(1, json!([event("task_sent", "another")])).await;
        on_a.tell(1, json!([failed_on("a", task)])).await;
        sidecar.tell(1, json!([failed_on("a", task)])).await;

        let row = brain.command(&retry(task)).await;
        let frame = on_a.command().await;
        assert_eq!(frame["cmd_id"], row["id"]);
        on_a.answer(&frame["cmd_id"], json!({ "ok": false, "error": "busy" })).await;
        brain.ended(&row).await;

        // What needs no original goes to who hears all workers.
        let cancel = json!({ "cmd": "cancel_task", "args": { "engine": "celery", "task_id": task } });
        let row = brain.command(&cancel).await;
        let frame = sidecar.command().await;
        assert_eq!(frame["cmd_id"], row["id"]);
        sidecar.answer(&frame["cmd_id"], json!({ "ok": false, "error": "busy" })).await;
        brain.ended(&row).await;

        // Without the one that has the original, another that keeps originals, and has told of it, does what it can.
        on_a.vanish();
        until("it is gone", PATIENCE, async || {
            let row = brain.command(&retry(task)).await;
            let ended = brain.ended_or_sent(&row).await;
            (ended["status"] == "sent").then_some(())
        })
        .await;
        let frame = web.command().await;
        assert_eq!(frame["cmd"], "retry_task");
        let agents = [on_b, web, sidecar];
        agents.into_iter().for_each(Agent::vanish);
    }
}

#[tokio::test]
async fn a_job_sends_each_task_to_the_host_that_ran_it() {
    let brain = TestBrain::start().await;
    let hosts = ["a", "b", "c"];
    let mut workers = Vec::new();
    for host in hosts {
        // All by one name: only their hosts tell them apart.
        workers.push(Agent::open(&brain, &inside("shop", host, "worker"), 0).await);
    }
    let mut sidecar = Agent::open(&brain, &beside("beside"), 0).await;
    let of_host = |host: &str| (0..5).map(|n| format!("{host}{n}")).collect::<Vec<_>>();
    let mut all = Vec::new();
    for (worker, host) in workers.iter_mut().zip(hosts) {
        let told: Vec<Value> = of_host(host).iter().map(|id| failed_on(host, id)).collect();
        worker.tell(1, json!(told)).await;
        all.extend(told);
    }
    sidecar.tell(1, json!(all)).await;
    let body = json!({ "cmd": "retry", "filter": { "state": "failed" } });
    let answer = brain.request(reqwest::Method::POST, "bulk").json(&body).send().await.expect("an answer");
    assert_eq!(answer.status(), 202);
    for (worker, host) in workers.iter_mut().zip(hosts) {
        let frame = worker.command().await;
        let mut ids: Vec<String> = serde_json::from_value(frame["args"]["task_ids"].clone()).expect("ids");
        ids.sort_unstable();
        assert_eq!((&frame["cmd"], ids), (&json!("bulk_retry"), of_host(host)));
        let retried: Value = of_host(host).into_iter().map(|id| (id.clone(), json!(format!("n{id}")))).collect();
        worker.answer(&frame["cmd_id"], json!({ "ok": true, "result": { "retried": retried, "failed": {} } })).await;
    }
    let done = async || {
        let jobs = brain.items("bulk").await;
        (jobs[0]["counts"]["accepted"] == 15).then_some(())
    };
    until("all are retried", PATIENCE, done).await;
}

/// A task that is retried once, as hooks tell it, and as a sidecar does: a little later, without numbers where Celery has none, and
/// with a guess where it came from.
fn seen_by_both(task_id: &str, began: Timestamp) -> [Vec<Value>; 2] {
    let at = |ms: i64, kind: &str, more: Value| {
        let mut event = event_with(kind, task_id, more);
        event["ts"] = json!(began.plus(ms * 1_000).to_string());
        event
    };
    let hooks = |ms, kind, retries: u32, pid: u32, more: Value| {
        let mut told = at(ms, kind, more);
        let known = json!({ "name": "mail.send", "worker": "celery@a", "queue": "mail", "routing_key": "mail",
            "args_redacted": [1, { "deep": [2, 3] }], "kwargs_redacted": { "to": "<email>" }, "retries": retries, "pid": pid });
        told.as_object_mut().expect("an object").extend(known.as_object().expect("an object").clone());
        told
    };
    let events = |ms, kind, more: Value| {
        let mut told = at(ms, kind, more);
        told["worker"] = json!("celery@a");
        told["pid"] = json!(1);
        told["queue"] = json!("guessed");
        told
    };
    let inside = vec![
        hooks(0, "task_sent", 0, 7, json!({})),
        hooks(5, "task_received", 0, 1, json!({})),
        hooks(10, "task_started", 0, 2, json!({})),
        // The child sends the next attempt before it tells of this one's end.
        hooks(18, "task_received", 1, 1, json!({})),
        hooks(20, "task_retry", 0, 2, json!({ "exception": "OSError", "exception_message": "reset" })),
        hooks(30, "task_started", 1, 2, json!({})),
        hooks(60, "task_succeeded", 1, 2, json!({ "runtime_ms": 30.0, "result_redacted": { "total": 3 } })),
    ];
    let beside = vec![
        events(6, "task_received", json!({ "retries": 0, "args_redacted": [1, "..."], "name": "mail.send" })),
        events(13, "task_started", json!({})),
        events(19, "task_received", json!({ "retries": 1 })),
        events(22, "task_retry", json!({ "exception": "OSError" })),
        events(33, "task_started", json!({ "retries": 1 })),
        events(64, "task_succeeded", json!({})),
        events(
            61,
            "task_succeeded",
            json!({ "known_by": "result_backend", "retries": 1, "result_redacted": { "total": 3 } }),
        ),
    ];
    [inside, beside]
}

#[tokio::test]
async fn what_both_tell_is_one_history() {
    let brain = TestBrain::start().await;
    let began = clock::now().plus(-60_000_000);
    let mut inside = Agent::open(&brain, &inside("a", "a", "worker"), 0).await;
    let mut beside = Agent::open(&brain, &beside("beside"), 0).await;
    let (mut told, mut heard) = (0, 0);
    let next = |seq: &mut u64| {
        *seq += 1;
        *seq
    };
    for (order, task_id) in ["inside-first", "beside-first", "one-by-one", "alone"].into_iter().enumerate() {
        let [hooks, mut events] = seen_by_both(task_id, began);
        match order {
            0 => {
                inside.tell(next(&mut told), hooks.into()).await;
                beside.tell(next(&mut heard), events.into()).await;
            }
            1 => {
                beside.tell(next(&mut heard), events.into()).await;
                inside.tell(next(&mut told), hooks.into()).await;
            }
            2 => {
                events.reverse();
                for (hook, event) in hooks.into_iter().zip(events) {
                    beside.tell(next(&mut heard), json!([event])).await;
                    inside.tell(next(&mut told), json!([hook])).await;
                }
            }
            _ => inside.tell(next(&mut told), hooks.into()).await,
        }
    }
    let shown = async |task_id: &str| {
        let mut task = brain.task(task_id).await;
        for key in ["task_id", "agent", "first_seen_at"] {
            task.as_object_mut().expect("an object").remove(key);
        }
        task
    };
    let expected = shown("inside-first").await;
    assert_eq!((&expected["state"], &expected["attempt"]), (&json!("succeeded"), &json!(1)));
    assert_eq!((&expected["queue"], &expected["result_redacted"]), (&json!("mail"), &json!({ "total": 3 })));
    assert_eq!((&expected["args_redacted"], &expected["runtime_ms"]), (&json!([1, { "deep": [2, 3] }]), &json!(30.0)));
    let attempts = expected["attempts"].as_array().expect("attempts");
    let starts: Vec<_> = attempts.iter().map(|attempt| attempt["starts"].as_array().map(Vec::len)).collect();
    assert_eq!(starts, [Some(1), Some(1)]);
    for task_id in ["beside-first", "one-by-one"] {
        assert_eq!(shown(task_id).await, expected, "{task_id}");
    }
    let alone = shown("alone").await;
    for key in [
        "state",
        "attempt",
        "queue",
        "args_redacted",
        "kwargs_redacted",
        "result_redacted",
        "started_twice",
        "started_at",
    ] {
        assert_eq!(alone[key], expected[key], "{key}");
    }
    let totals = brain.totals().await;
    assert_eq!(totals, json!({ "sent": 4, "started": 8, "succeeded": 4, "failed": 0, "retried": 4 }));
}

#[tokio::test]
async fn a_queue_that_both_sample_is_one_queue() {
    let brain = TestBrain::start().await;
    let mut inside = Agent::open(&brain, &inside("a", "a", "worker"), 0).await;
    let mut beside = Agent::open(&brain, &beside("beside"), 0).await;
    let began = clock::now().plus(-10_000_000);
    let sample = |seconds: i64, depth: u64, consumers: Option<u64>| {
        let mut told = json!({ "event_type": "queue_stats", "engine": "celery", "queue": "mail", "depth": depth,
            "ts": began.plus(seconds * 1_000_000).to_string() });
        if let Some(consumers) = consumers {
            told["consumers"] = json!(consumers);
        }
        json!([told])
    };
    beside.tell(1, sample(0, 7, Some(3))).await;
    inside.tell(1, sample(1, 8, None)).await;
    let queues = brain.items("queues").await;
    assert_eq!(queues.len(), 1, "{queues:?}");
    assert_eq!((&queues[0]["depth"], &queues[0]["consumers"]), (&json!(8), &json!(3)));
    // Late, and no news.
    beside.tell(2, sample(0, 1, Some(2))).await;
    assert_eq!(brain.items("queues").await[0]["depth"], 8);
}
