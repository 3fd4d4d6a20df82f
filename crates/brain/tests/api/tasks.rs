//! Tasks: lists, filters, counts, one task, its events and its workflow.

use serde_json::{Value, json};

use crate::brain::{TestBrain, event};

async fn with_tasks(count: usize) -> TestBrain {
    let brain = TestBrain::start().await;
    for i in 1..=count {
        let id = format!("t{i}");
        let name = if i % 2 == 0 { "mail.send" } else { "billing.charge" };
        let mut events =
            vec![event("task_sent", &id, json!({ "name": name, "queue": "emails", "kwargs_redacted": {"n": i} }))];
        if i == 1 {
            let more = json!({ "worker": "w1", "exception": "CardError", "exception_message": "card declined" });
            events.push(event("task_started", &id, json!({ "worker": "w1" })));
            events.push(event("task_failed", &id, more));
        }
        brain.tell(i as u64, Value::from(events)).await;
    }
    brain
}

fn ids(page: &Value) -> Vec<String> {
    page["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|task| task["task_id"].as_str().expect("an id").into())
        .collect()
}

#[tokio::test]
async fn pages_follow_each_other_newest_first() {
    let brain = with_tasks(5).await;
    let tasks = brain.pages("tasks", 2).await;
    let seen: Vec<_> = tasks.iter().map(|task| &task["task_id"]).collect();
    assert_eq!(seen, ["t5", "t4", "t3", "t2", "t1"]);
}

#[tokio::test]
async fn limits_and_cursors_that_make_no_sense_are_refused() {
    let brain = TestBrain::start().await;
    for limit in ["0", "201"] {
        assert_eq!(brain.get(&format!("tasks?limit={limit}")).await.problem(400), "bad_limit");
    }
    assert_eq!(brain.get("tasks?limit=many").await.problem(400), "bad_query");
    assert_eq!(brain.get("tasks?cursor=nonsense").await.problem(400), "bad_cursor");
    assert_eq!(brain.get("tasks?limit=200&cursor=").await.status, 200);
}

#[tokio::test]
async fn filters_narrow_lists_and_counts_alike() {
    let brain = with_tasks(5).await;
    let cases: &[(&str, &[&str])] = &[
        ("state=failed", &["t1"]),
        ("state=pending,failed&name=billing.*", &["t5", "t3", "t1"]),
        ("q=state:failed%20%22card%20declined%22", &["t1"]),
        ("q=arg:n=4", &["t4"]),
        ("q=id:t2,t3", &["t3", "t2"]),
        ("queue=emails&worker=w1", &["t1"]),
        ("queue=other", &[]),
        ("since=1h&name=mail.send", &["t4", "t2"]),
        ("until=1h", &[]),
        ("state=&name=&q=", &["t5", "t4", "t3", "t2", "t1"]),
    ];
    for (query, expected) in cases {
        assert_eq!(ids(&brain.get(&format!("tasks?{query}")).await.json()), *expected, "{query}");
        let counts = brain.get(&format!("task-counts?{query}")).await.json();
        assert_eq!(counts["total"], json!({ "count": expected.len(), "more": false }), "{query}");
        assert_eq!(counts["counts"].as_object().map(serde_json::Map::len), Some(9));
    }
}

#[tokio::test]
async fn a_filter_that_is_not_understood_names_the_word() {
    let brain = TestBrain::start().await;
    for (query, word) in
        [("q=stat:failed", "stat"), ("state=broken", "broken"), ("since=soon", "soon"), ("q=%22open", "quote")]
    {
        for list in ["tasks", "task-counts"] {
            let answer = brain.get(&format!("{list}?{query}")).await;
            assert_eq!(answer.problem(400), "bad_filter");
            assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.contains(word)), "{}", answer.text());
        }
    }
}

#[tokio::test]
async fn one_task_has_its_attempts_and_timeline() {
    let brain = with_tasks(1).await;
    let task = brain.get("tasks/celery/t1").await.json();
    assert_eq!((&task["state"], &task["exception"]), (&json!("failed"), &json!("CardError")));
    assert_eq!(task["kwargs_redacted"], json!({ "n": 1 }));
    assert_eq!((&task["agent"], &task["worker"]), (&json!("web"), &json!("w1")));
    assert_eq!(task["attempts"].as_array().map(Vec::len), Some(1));
    let timeline: Vec<&str> =
        task["timeline"].as_array().expect("a list").iter().filter_map(|e| e["event"].as_str()).collect();
    assert_eq!(timeline, ["task_sent", "task_started", "task_failed"]);
    assert!(task["finished_at"].is_string() && task["runtime_ms"].is_number() && task["wait_ms"].is_number());
    assert!(task.get("eta").is_some_and(Value::is_null), "what is not known is null");
    assert_eq!(brain.get("tasks/celery/t9").await.problem(404), "task_not_found");
    assert_eq!(brain.get("tasks/other/t1").await.problem(404), "task_not_found");
}

#[tokio::test]
async fn ids_may_have_any_characters() {
    let brain = TestBrain::start().await;
    brain.tell(1, json!([event("task_sent", "a/b c?ü", json!({}))])).await;
    let task = brain.get("tasks/celery/a%2Fb%20c%3F%C3%BC").await.json();
    assert_eq!(task["task_id"], "a/b c?ü");
}

#[tokio::test]
async fn events_come_back_as_they_were_sent() {
    let brain = with_tasks(1).await;
    brain.tell(2, json!([event("task_progress", "t1", json!({ "done": 1, "unheard_of": [1] }))])).await;
    let first = brain.get("tasks/celery/t1/events?limit=2").await.json();
    let types = |page: &Value| -> Vec<String> {
        page["items"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|e| e["event_type"].as_str().expect("a type").into())
            .collect()
    };
    assert_eq!(types(&first), ["task_sent", "task_started"]);
    let item = &first["items"][0];
    assert_eq!((&item["agent"], &item["seq"]), (&json!("web"), &json!(1)));
    assert_eq!(item["event"]["kwargs_redacted"], json!({ "n": 1 }));
    let cursor = first["next_cursor"].as_str().expect("there are more");
    let second = brain.get(&format!("tasks/celery/t1/events?limit=2&cursor={cursor}")).await.json();
    assert_eq!(types(&second), ["task_failed", "task_progress"]);
    assert_eq!(second["items"][1]["event"]["unheard_of"], json!([1]));
    assert_eq!(second["next_cursor"], json!(null));
    assert_eq!(brain.get("tasks/celery/t9/events").await.problem(404), "task_not_found");
}

#[tokio::test]
async fn a_workflow_is_given_with_its_edges() {
    let brain = TestBrain::start().await;
    let child = |id, more: Value| {
        let mut links = json!({ "root_id": "root", "parent_id": "root" });
        if let (Some(links), Value::Object(more)) = (links.as_object_mut(), more) {
            links.extend(more);
        }
        event("task_sent", id, links)
    };
    brain
        .tell(
            1,
            json!([
                event("task_sent", "root", json!({ "root_id": "root" })),
                child("plain", json!({})),
                child("member", json!({ "group_id": "g" })),
            ]),
        )
        .await;
    let tree = brain.get("tasks/celery/plain/tree").await.json();
    assert_eq!(ids(&tree), ["root", "plain", "member"]);
    let edges = [("member", "group"), ("plain", "parent")];
    assert_eq!(
        tree["edges"],
        json!(edges.map(|(child, kind)| json!({ "parent": "root", "child": child, "kind": kind })))
    );
    assert_eq!(tree["truncated"], false);
    assert_eq!(brain.get("tasks/celery/t9/tree").await.problem(404), "task_not_found");
}
