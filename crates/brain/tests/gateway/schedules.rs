//! What agents tell of schedulers, and what is shown of it.

use reqwest::Method;
use serde_json::{Value, json};
use taskplane_brain::clock;
use taskplane_model::Timestamp;
use taskplane_model::time::{MINUTE, SECOND};

use crate::agent::{Agent, plain, rich};
use crate::brain::{PATIENCE, TestBrain, until};
use crate::events::{event_with, life};

fn sync(full: bool, schedules: Value, removed: Value) -> Value {
    json!({
        "type": "schedule_sync", "scheduler": "celery-beat", "full": full, "schedules": schedules, "removed": removed
    })
}

/// The schedules once everything that was sent before has been read.
async fn shown(brain: &TestBrain, agent: &mut Agent, seq: u64) -> Vec<Value> {
    agent.tell(seq, life(&format!("t{seq}"))).await;
    brain.items("schedules").await
}

#[tokio::test]
async fn schedules_are_shown_as_their_agent_last_told_them() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    let report = json!({
        "id": "report", "name": "nightly report", "task": "shop.report", "engine": "celery", "kind": "crontab",
        "expression": "0 3 * * mon-fri", "timezone": "Europe/Berlin", "args_redacted": [7], "kwargs_redacted": {},
        "enabled": true, "next_run_at": "2026-11-23T02:00:00.000000Z", "total_run_count": 12, "color": "blue"
    });
    let clean = json!({ "id": "clean", "kind": "interval", "expression": "5m" });
    agent.send(&sync(true, json!([report, clean, { "name": "has no id" }, 7, ["x"]]), json!([]))).await;
    let schedules = shown(&brain, &mut agent, 1).await;
    let ids: Vec<&Value> = schedules.iter().map(|schedule| &schedule["id"]).collect();
    assert_eq!(ids, ["clean", "report"]);
    for (field, value) in report.as_object().expect("an object") {
        let expected = if field == "color" { &Value::Null } else { value };
        assert_eq!(&schedules[1][field], expected, "{field}");
    }
    assert_eq!((&schedules[1]["agent"], &schedules[1]["scheduler"]), (&json!("web"), &json!("celery-beat")));

    agent.send(&sync(false, json!([{ "id": "clean", "enabled": false }]), json!(["report"]))).await;
    let schedules = shown(&brain, &mut agent, 2).await;
    assert_eq!((schedules.len(), &schedules[0]["enabled"]), (1, &json!(false)));
}

fn minutely(last_run_at: Timestamp, runs: u64) -> Value {
    json!({
        "id": "1", "name": "minutely", "task": "shop.tick", "engine": "celery", "kind": "crontab", "expression": "* * * * *",
        "timezone": "Europe/Berlin", "enabled": true, "last_run_at": last_run_at.to_string(), "total_run_count": runs
    })
}

/// Judges as the duty does, at a time of the test's own.
async fn look(brain: &TestBrain, now: Timestamp) {
    taskplane_brain::schedules::look(&brain.brain, 1, now).await.expect("can be looked at");
}

async fn minutely_now(brain: &TestBrain) -> Value {
    brain.get("schedules/celery-beat/1").await
}

fn next_minute(now: Timestamp) -> Timestamp {
    Timestamp((now.0 / MINUTE + 1) * MINUTE)
}

#[tokio::test]
async fn runs_that_do_not_come_are_overdue_then_missed_until_the_scheduler_is_back() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    let now = clock::now();
    let due = next_minute(now);
    agent.send(&sync(true, json!([minutely(now.plus(-MINUTE), 7)]), json!([]))).await;
    shown(&brain, &mut agent, 1).await;
    look(&brain, now).await;
    let shown_now = minutely_now(&brain).await;
    assert_eq!((&shown_now["problem"], &shown_now["last_runs"]), (&json!(null), &json!([])));
    assert_eq!(shown_now["words"], "Every minute in Europe/Berlin");
    assert_eq!(shown_now["next_runs"].as_array().expect("a list").len(), 5);

    // A scheduler may write its record every few minutes: until then nobody worries.
    look(&brain, due.plus(265 * SECOND)).await;
    assert_eq!(minutely_now(&brain).await["problem"], json!(null));
    look(&brain, due.plus(272 * SECOND)).await;
    let overdue = minutely_now(&brain).await;
    assert_eq!(overdue["last_runs"][0]["state"], "overdue");
    assert_eq!(overdue["problem"]["kind"], "scheduler_silent");
    let scheduler = &brain.items("schedulers").await[0];
    assert_eq!(
        (&scheduler["silent"], &scheduler["overdue"], &scheduler["missed"]),
        (&json!(true), &json!(1), &json!(0))
    );

    look(&brain, due.plus(290 * SECOND)).await;
    assert_eq!(minutely_now(&brain).await["last_runs"][0]["state"], "missed");
    assert_eq!(brain.items("schedulers").await[0]["missed"], json!(1));

    // It is back: what it names was seen, and what was missed stays missed.
    let back = due.plus(5 * MINUTE);
    agent.send(&sync(false, json!([minutely(back, 8)]), json!([]))).await;
    shown(&brain, &mut agent, 2).await;
    look(&brain, back.plus(SECOND)).await;
    let seen = minutely_now(&brain).await;
    assert_eq!(seen["problem"], json!(null));
    let run = &seen["last_runs"][0];
    assert_eq!((&run["due"], &run["state"], &run["evidence"]), (&json!(back), &json!("seen"), &json!("last_run_at")));
    let states: Vec<&Value> = seen["last_runs"].as_array().expect("a list").iter().map(|run| &run["state"]).collect();
    assert!(states.contains(&&json!("missed")), "{states:?}");
    let scheduler = &brain.items("schedulers").await[0];
    assert_eq!((&scheduler["silent"], &scheduler["last_seen_at"]), (&json!(false), &json!(back)));
}

#[tokio::test]
async fn a_task_at_its_time_shows_a_run_and_one_that_still_runs_overlaps() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    let now = clock::now();
    let due = next_minute(now);
    agent.send(&sync(true, json!([minutely(now.plus(-MINUTE), 7)]), json!([]))).await;
    shown(&brain, &mut agent, 1).await;
    look(&brain, now).await;
    let tick = |kind: &str, id: &str, at: Timestamp| {
        event_with(kind, id, json!({ "name": "shop.tick", "ts": at.to_string() }))
    };
    agent.tell(2, json!([tick("task_sent", "first", due), tick("task_started", "first", due.plus(SECOND))])).await;
    look(&brain, due.plus(5 * SECOND)).await;
    let run = minutely_now(&brain).await["last_runs"][0].clone();
    assert_eq!((&run["state"], &run["evidence"], &run["task_id"]), (&json!("seen"), &json!("task"), &json!("first")));

    let second = due.plus(MINUTE);
    // One that somebody else has sent between the times is none of its runs.
    agent.tell(3, json!([tick("task_sent", "other", due.plus(30 * SECOND))])).await;
    agent.tell(4, json!([tick("task_sent", "second", second)])).await;
    look(&brain, second.plus(5 * SECOND)).await;
    let shown_now = minutely_now(&brain).await;
    let run = &shown_now["last_runs"][0];
    assert_eq!((&run["task_id"], &run["overlapping"]), (&json!("second"), &json!(true)));
    assert_eq!(shown_now["problem"]["kind"], "overlapping");

    // Tasks are prompt: their absence is noticed after half a minute.
    let third = second.plus(MINUTE);
    look(&brain, third.plus(35 * SECOND)).await;
    assert_eq!(minutely_now(&brain).await["problem"]["kind"], "scheduler_silent");
    look(&brain, third.plus(36 * SECOND)).await;
    assert_eq!(minutely_now(&brain).await["last_runs"][0]["state"], "overdue");
}

#[tokio::test]
async fn while_the_agent_is_away_runs_are_unknown() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    let now = clock::now();
    agent.send(&sync(true, json!([minutely(now.plus(-MINUTE), 7)]), json!([]))).await;
    shown(&brain, &mut agent, 1).await;
    look(&brain, now).await;
    agent.vanish();
    until("the agent is gone", PATIENCE, async || (minutely_now(&brain).await["connected"] == false).then_some(()))
        .await;
    look(&brain, next_minute(now).plus(10 * MINUTE)).await;
    let shown_now = minutely_now(&brain).await;
    assert_eq!(shown_now["problem"]["kind"], "agent_away");
    assert!(shown_now["last_runs"].as_array().expect("a list").iter().any(|run| run["state"] == "unknown"));
    assert_eq!(brain.items("schedulers").await[0]["silent"], false);
}

#[tokio::test]
async fn agents_beside_one_scheduler_tell_of_one_schedule_and_either_takes_its_commands() {
    let brain = TestBrain::start().await;
    let mut one = Agent::open(&brain, &rich("one", "i"), 0).await;
    let mut two = Agent::open(&brain, &rich("two", "i"), 0).await;
    let schedule = minutely(clock::now(), 1);
    for agent in [&mut one, &mut two] {
        agent.send(&sync(true, json!([schedule]), json!([]))).await;
        agent.tell(1, life("t")).await;
    }
    let schedules = brain.items("schedules").await;
    assert_eq!((schedules.len(), schedules[0]["agents"].as_array().map(Vec::len)), (1, Some(2)));
    let pause = json!({ "cmd": "schedule_pause", "args": { "scheduler": "celery-beat", "id": "1" } });
    let row = brain.command(&pause).await;
    assert_eq!(row["agent"], "two", "the one that was opened last");
    let mut paused = schedule.clone();
    paused["enabled"] = json!(false);
    two.command().await;
    two.answer(&row["id"], json!({ "ok": true, "result": { "schedule": paused } })).await;
    assert_eq!(brain.ended(&row).await["status"], "succeeded");
    let shown_now = minutely_now(&brain).await;
    assert_eq!((&shown_now["enabled"], &shown_now["next_runs"]), (&json!(false), &json!([])), "at once");

    let delete = json!({ "cmd": "schedule_delete", "args": { "scheduler": "celery-beat", "id": "1" } });
    let row = brain.command(&delete).await;
    two.command().await;
    two.answer(&row["id"], json!({ "ok": true, "result": {} })).await;
    brain.ended(&row).await;
    assert!(brain.items("schedules").await.is_empty(), "by nobody's word");
}

#[tokio::test]
async fn which_of_two_schedulers_of_one_name_has_to_be_said() {
    let brain = TestBrain::start().await;
    let mut one = Agent::open(&brain, &rich("one", "i"), 0).await;
    let mut two = Agent::open(&brain, &rich("two", "i"), 0).await;
    let mut other = minutely(clock::now(), 1);
    one.send(&sync(true, json!([other.clone()]), json!([]))).await;
    other["task"] = json!("shop.other");
    two.send(&sync(true, json!([other]), json!([]))).await;
    one.tell(1, life("t")).await;
    two.tell(1, life("t")).await;
    assert_eq!(minutely_now(&brain).await["differing_agents"], json!(["one"]));
    let run = |agent: Value| json!({ "cmd": "schedule_run_now", "args": { "scheduler": "celery-beat", "id": "1" }, "agent": agent });
    let refused = brain.request(Method::POST, "commands").json(&run(json!(null))).send().await.expect("an answer");
    assert_eq!(refused.status(), 409);
    let problem: Value = refused.json().await.expect("JSON");
    assert_eq!(problem["code"], "which_agent", "{problem}");
    assert_eq!(brain.command(&run(json!("one"))).await["agent"], "one");
    one.command().await;
}

#[tokio::test]
async fn what_people_put_into_a_schedule_goes_to_the_agent_and_is_not_kept() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    agent.send(&sync(true, json!([minutely(clock::now(), 1)]), json!([]))).await;
    agent.tell(1, life("t")).await;
    let schedule = json!({ "name": "nightly", "task": "shop.report", "kind": "crontab", "expression": "0 3 * * *",
        "timezone": "Europe/Berlin", "kwargs": { "card": "4111" } });
    let create = json!({ "cmd": "schedule_create", "args": { "scheduler": "celery-beat", "schedule": schedule } });
    let row = brain.command(&create).await;
    assert_eq!(row["args"]["schedule"]["kwargs"], "<not kept>");
    assert_eq!(agent.command().await["args"]["schedule"], schedule);
    let made = json!({ "id": "2", "name": "nightly", "task": "shop.report", "kind": "crontab", "expression": "0 3 * * *",
        "timezone": "Europe/Berlin", "kwargs_redacted": { "card": "<card>" } });
    agent.answer(&row["id"], json!({ "ok": true, "result": { "schedule": made } })).await;
    brain.ended(&row).await;
    let made = brain.get("schedules/celery-beat/2").await;
    assert_eq!(made["words"], "Every day at 03:00 in Europe/Berlin");
    assert_eq!(made["kwargs_redacted"], json!({ "card": "<card>" }));

    let unknown = json!({ "cmd": "schedule_run_now", "args": { "scheduler": "celery-beat", "id": "99" } });
    let row = brain.command(&unknown).await;
    assert_eq!((&row["status"], &row["error"]), (&json!("failed"), &json!("agent_not_connected")));
    assert!(row["message"].as_str().is_some_and(|message| message.contains("99")), "{row}");
}

#[tokio::test]
async fn schedules_come_in_pages() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    let many: Vec<Value> =
        (0..5).map(|id| json!({ "id": format!("s/{id}"), "kind": "interval", "expression": "5m" })).collect();
    agent.send(&sync(true, json!(many), json!([]))).await;
    agent.tell(1, life("t")).await;
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = brain.get(&format!("schedules?limit=2&cursor={cursor}")).await;
        ids.extend(page["items"].as_array().expect("items").iter().map(|item| item["id"].clone()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(ids, ["s/0", "s/1", "s/2", "s/3", "s/4"]);
    assert_eq!(brain.get("schedules/celery-beat/s%2F3").await["words"], "Every 5 minutes");
    let missing = brain.request(Method::GET, "schedules/celery-beat/s%2F9").send().await.expect("an answer");
    assert_eq!(missing.status(), 404);
}

#[tokio::test]
async fn a_timing_can_be_looked_at_before_it_is_kept() {
    let brain = TestBrain::start().await;
    let preview = async |body: Value| {
        let answer = brain.request(Method::POST, "schedules/preview").json(&body).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    let nightly = json!({ "kind": "crontab", "expression": "30 2 * * mon-fri", "timezone": "Europe/Berlin" });
    let (status, shown) = preview(nightly).await;
    assert_eq!((status, &shown["words"]), (200, &json!("Every Monday to Friday at 02:30 in Europe/Berlin")));
    assert_eq!(shown["next_runs"].as_array().map(Vec::len), Some(5));
    let (_, both) = preview(json!({ "kind": "crontab", "expression": "0 0 13 * fri" })).await;
    assert!(both["warnings"][0].as_str().is_some_and(|warning| warning.contains("both")), "{both}");
    for wrong in [
        json!({ "kind": "crontab", "expression": "0 25 * * *" }),
        json!({ "kind": "weekly", "expression": "x" }),
        json!({ "kind": "crontab", "expression": "* * * * *", "timezone": "Mars/Olympus" }),
    ] {
        let (status, problem) = preview(wrong).await;
        assert_eq!((status, &problem["code"]), (422, &json!("invalid_schedule")), "{problem}");
    }
}
