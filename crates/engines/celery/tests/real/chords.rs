//! Chords of which a member failed: the member is retried, and then the body.

use serde_json::{Value, json};
use taskplane_agent::engine::{ArgumentSource, CommandError, Engine as _, KnownTask, RetryPreview, RetryRequest};
use taskplane_engine_celery::CeleryConfig;
use taskplane_model::TaskEventKind;

use crate::harness::{Agent, Place, Process, Publisher, Redis, Worker, config, eventually, shown};

fn retry(id: &str) -> RetryRequest {
    RetryRequest { task_id: id.into(), ..RetryRequest::default() }
}

async fn preview(agent: &Agent, request: RetryRequest) -> Result<RetryPreview, CommandError> {
    agent.engine.preview_retry(&[request]).await.expect("an answer").pop().expect("one")
}

/// What the brain tells of a task.
fn named(name: &str) -> KnownTask {
    KnownTask { name: Some(name.into()), queue: Some("celery".into()), ..KnownTask::default() }
}

/// Says the same in advance as when it is tried.
async fn is_refused(agent: &Agent, id: &str, code: &str) -> String {
    let said = preview(agent, retry(id)).await.expect_err("refused");
    let tried = agent.engine.retry_task(&retry(id)).await.expect_err("refused");
    assert_eq!((tried.code(), tried.to_string()), (code, said.to_string()));
    said.to_string()
}

/// An agent that keeps what it needs on the disk.
fn keeping(place: &impl Place) -> CeleryConfig {
    CeleryConfig { payload_dir: Some(place.dir().join("payloads")), ..config(place) }
}

/// A chord that has failed: its members, its body, and what runs it.
pub(crate) struct Failed {
    pub(crate) members: Vec<String>,
    pub(crate) body: String,
    pub(crate) agent: Agent,
    pub(crate) _worker: Process,
}

/// Publishes a chord, has the agent see its messages, and lets it fail.
pub(crate) async fn failed(place: &impl Place, order: Value) -> Failed {
    let agent = Agent::with(keeping(place)).await;
    let mut publisher = Publisher::start(place, &[]);
    let ids = publisher.send(order);
    let mut ids: Vec<String> = ids.split_whitespace().map(str::to_owned).collect();
    let body = ids.pop().expect("a body");
    eventually("the messages", || {
        let told = agent.tasks();
        (told.iter().filter(|seen| seen.chord_id.as_ref() == Some(&body)).count() >= 2).then_some(())
    })
    .await;
    let worker = Worker::default().start(place);
    agent.saw(&body, TaskEventKind::Failed).await;
    Failed { members: ids, body, agent, _worker: worker }
}

pub(crate) fn file(place: &impl Place) -> String {
    place.dir().join("there").display().to_string()
}

pub(crate) fn chord(file: &str) -> Value {
    json!({"task": "floor.echo", "args": [7], "kwargs": {"k": "v"}, "header": [
        {"task": "floor.echo", "args": ["first"]},
        {"task": "floor.until", "args": [file, 0.5]},
        {"task": "floor.echo", "args": [null, {"deep": [1]}]},
    ]})
}

fn echoed(args: Value) -> Value {
    json!({"args": args, "kwargs": {}})
}

#[tokio::test]
async fn the_body_is_sent_with_all_results_when_the_failed_member_has_been_retried() {
    let redis = Redis::start().await;
    let file = file(&redis);
    let Failed { members, body, agent, _worker } = failed(&redis, chord(&file)).await;
    let [first, second, _] = members.as_slice() else { panic!("three members") };

    let why = is_refused(&agent, &body, "no_original_payload").await;
    assert!(why.contains(&format!("{second} failed (retry it first)")) && !why.contains(first.as_str()), "{why}");
    let copy = agent.engine.retry_task(&retry(second)).await.expect("published");
    let said = copy.message.expect("a message");
    assert!(said.contains(&format!("retry the chord's body {body}")), "{said}");
    agent.saw(&copy.new_task_id, TaskEventKind::Failed).await;
    let why = is_refused(&agent, &body, "no_original_payload").await;
    assert!(why.contains(&format!("sent again as {}, which failed as well", copy.new_task_id)), "{why}");

    std::fs::write(&file, "").expect("written");
    // A copy of the copy.
    let copy = agent.engine.retry_task(&retry(&copy.new_task_id)).await.expect("published").new_task_id;
    agent.saw(&copy, TaskEventKind::Succeeded).await;
    // What was sent again as what survives the agent.
    agent.stop().await;
    let agent = Agent::with(keeping(&redis)).await;
    agent.knows("w1@test").await;
    let results = json!([echoed(json!(["first"])), ["there", 0.5], echoed(json!([null, {"deep": [1]}]))]);
    let said = preview(&agent, retry(&body)).await.expect("a preview");
    assert_eq!((said.name.as_str(), said.source, said.lossless), ("floor.echo", ArgumentSource::Result, true));
    assert_eq!((json!(shown(&said).0), json!(shown(&said).1)), (json!([results, 7]), json!({"k": "v"})));
    let notes = said.notes.join("; ");
    assert!(
        notes.contains("results of the 3 members") && notes.contains("one of them that of a retried copy"),
        "{notes}"
    );

    let sent = agent.engine.retry_task(&retry(&body)).await.expect("published");
    assert_eq!(sent.message, Some(notes));
    let done = redis.result(&sent.new_task_id).await;
    assert_eq!(done["result"], json!({"args": [results, 7], "kwargs": {"k": "v"}}));
    agent.saw(&sent.new_task_id, TaskEventKind::Succeeded).await;
    let told = agent.task(&sent.new_task_id);
    assert_eq!(told.iter().filter(|seen| seen.kind == TaskEventKind::Sent).count(), 1, "{told:?}");

    let why = is_refused(&agent, &body, "invalid_args").await;
    assert!(why.contains(&format!("sent already, as {}, and that succeeded", sent.new_task_id)), "{why}");
    agent.stop().await;
    let agent = Agent::with(keeping(&redis)).await;
    assert_eq!(is_refused(&agent, &body, "invalid_args").await, why, "after a restart too");
    let runs = redis.run(&["KEYS", "celery-task-meta-*"]).lines().count();
    assert_eq!(runs, 7, "three members, the body, two copies of a member, one of the body");
}

#[tokio::test]
async fn of_two_who_send_the_body_at_once_one_is_refused() {
    let redis = Redis::start().await;
    let file = file(&redis);
    let Failed { members, body, agent, _worker } = failed(&redis, chord(&file)).await;
    std::fs::write(&file, "").expect("written");
    let copy = agent.engine.retry_task(&retry(&members[1])).await.expect("published").new_task_id;
    agent.saw(&copy, TaskEventKind::Succeeded).await;
    let request = retry(&body);
    let tries = futures_util::future::join_all((0..5).map(|_| agent.engine.retry_task(&request))).await;
    assert_eq!(tries.iter().filter(|tried| tried.is_ok()).count(), 1, "{tries:?}");
    agent.stop().await;
}

#[tokio::test]
async fn a_chain_in_the_header_and_a_body_that_takes_no_results() {
    let redis = Redis::start().await;
    let file = file(&redis);
    let order = json!({"task": "floor.echo", "args": ["alone"], "immutable": true, "options": {"queue": "celery"}, "header": [
        [{"task": "floor.until", "args": [file]}, {"task": "floor.echo", "args": [2]}],
        {"task": "floor.echo", "args": [3]},
        {"task": "floor.echo", "args": [4]},
    ]});
    let Failed { members, body, agent, _worker } = failed(&redis, order).await;
    let why = is_refused(&agent, &body, "no_original_payload").await;
    assert!(why.contains(&members[0]), "{why}");
    std::fs::write(&file, "").expect("written");
    // The first link failed; retried, it leads to the last one, which is the member.
    let told = agent.tasks();
    let link = told.iter().find(|seen| seen.name.as_deref() == Some("floor.until")).expect("the first link");
    agent.engine.retry_task(&retry(&link.task_id)).await.expect("published");
    eventually("the member", || has_succeeded(&redis, &members[0])).await;
    let sent = agent.engine.retry_task(&retry(&body)).await.expect("published");
    assert!(sent.message.expect("a message").contains("all its members have succeeded"));
    assert_eq!(redis.result(&sent.new_task_id).await["result"], echoed(json!(["alone"])));
    agent.stop().await;
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).expect("made");
    for entry in std::fs::read_dir(from).expect("lists") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

fn has_succeeded(redis: &Redis, id: &str) -> Option<()> {
    redis.run(&["GET", &format!("celery-task-meta-{id}")]).contains("SUCCESS").then_some(())
}

#[tokio::test]
async fn what_another_agent_retried_is_known_from_the_brain() {
    let redis = Redis::start().await;
    let file = file(&redis);
    let Failed { members, body, agent, _worker } = failed(&redis, chord(&file)).await;
    std::fs::write(&file, "").expect("written");
    let elsewhere = Agent::with(CeleryConfig { payload_dir: None, ..config(&redis) }).await;
    let supplied = RetryRequest {
        args: Some(vec![json!(file), json!("elsewhere")]),
        kwargs: Some(serde_json::Map::new()),
        known: named("floor.until"),
        ..retry(&members[1])
    };
    let copy = elsewhere.engine.retry_task(&supplied).await.expect("published").new_task_id;
    redis.result(&copy).await;
    assert!(is_refused(&agent, &body, "no_original_payload").await.contains("retry it first"));
    let copies = [(members[1].clone(), copy)].into();
    let told = RetryRequest { known: KnownTask { copies, ..KnownTask::default() }, ..retry(&body) };
    let said = preview(&agent, told.clone()).await.expect("a preview");
    assert_eq!(shown(&said).0[0][1], json!(["there", "elsewhere"]));
    // Another agent that knows the chord, and not that its body is sent in the meantime.
    let twin = redis.dir().join("twin");
    copy_folder(&redis.dir().join("payloads"), &twin);
    let twin = Agent::with(CeleryConfig { payload_dir: Some(twin), ..config(&redis) }).await;
    let sent = agent.engine.retry_task(&told).await.expect("published").new_task_id;
    redis.result(&sent).await;
    let mut copies = told.known.copies.clone();
    copies.insert(body.clone(), sent.clone());
    let again = RetryRequest { known: KnownTask { copies, ..KnownTask::default() }, ..retry(&body) };
    let why = preview(&twin, again).await.expect_err("refused");
    assert!(why.to_string().contains(&format!("sent already, as {sent}")), "{why}");
    twin.stop().await;
    let forgetful = Agent::with(CeleryConfig { payload_dir: Some(redis.dir().join("other")), ..config(&redis) }).await;
    let again = RetryRequest { known: named("floor.echo"), ..retry(&body) };
    let why = forgetful.engine.retry_task(&again).await.expect_err("refused");
    assert!(why.to_string().contains("no message of a member"), "{why}");
    forgetful.stop().await;
    agent.stop().await;
    elsewhere.stop().await;
}

#[tokio::test]
async fn without_its_members_messages_it_is_said_what_is_missing() {
    let redis = Redis::start().await;
    let _worker = Worker::default().start(&redis);
    let mut publisher = Publisher::start(&redis, &[]);
    let ids = publisher.send(chord(&file(&redis)));
    let body = ids.split_whitespace().last().expect("a body");
    redis.result(body).await;
    let agent = Agent::start(&redis).await;
    let why = is_refused(&agent, body, "not_found").await;
    assert!(why.contains("name"), "{why}");
    let told = RetryRequest { known: named("floor.echo"), ..retry(body) };
    let why = agent.engine.retry_task(&told).await.expect_err("no signature");
    assert_eq!(why.code(), "no_original_payload");
    assert!(why.to_string().contains("no message of a member"), "{why}");
    let supplied = RetryRequest { args: Some(vec![json!([1, 2])]), kwargs: Some(serde_json::Map::new()), ..told };
    let sent = agent.engine.retry_task(&supplied).await.expect("published").new_task_id;
    assert_eq!(redis.result(&sent).await["result"], echoed(json!([[1, 2]])));
    agent.stop().await;
}
