//! What the agent does when the brain refuses it or closes the connection.

use std::time::{Duration, Instant};

use taskplane_agent::AgentConfig;
use taskplane_agent::connection::TokenSource;

use crate::brain::{ScriptedBrain, task_ids};
use crate::engine::{config, ids, start};

/// Many times the longest wait of the agents in these tests.
const A_WHILE: Duration = Duration::from_millis(400);

#[tokio::test]
async fn a_refused_token_is_tried_again_until_it_is_taken() {
    let dir = tempfile::tempdir().expect("dir");
    let brain = ScriptedBrain::start().await;
    let agent = start(config(&brain.url(), dir.path()));
    brain.refuse().await;
    brain.refuse().await;
    agent.sees_tasks(0, 1).await;
    let mut visit = brain.welcome(0).await;
    assert_eq!(task_ids(&visit.batch().await.1), ids(0, 1));
    visit.ack(1).await;
    agent.stop().await;
}

#[tokio::test]
async fn most_closes_are_followed_by_another_connection() {
    let dir = tempfile::tempdir().expect("dir");
    let brain = ScriptedBrain::start().await;
    let agent = start(config(&brain.url(), dir.path()));
    for code in [1000, 1001, 1007, 1009, 1013, 4000, 4008, 4009, 4999] {
        brain.welcome(0).await.close(code).await;
    }
    brain.welcome(0).await;
    agent.stop().await;
}

#[tokio::test]
async fn another_version_of_the_protocol_is_not_tried_again_but_observation_goes_on() {
    let dir = tempfile::tempdir().expect("dir");
    let brain = ScriptedBrain::start().await;
    let agent = start(config(&brain.url(), dir.path()));
    brain.visit().await.close(4001).await;
    agent.sees_tasks(0, 3000).await;
    assert!(brain.is_left_alone_for(A_WHILE).await);
    assert!(agent.is_running());
    agent.stop().await;

    let same = start(config(&brain.url(), dir.path()));
    same.sees_tasks(3000, 3001).await;
    assert!(brain.is_left_alone_for(A_WHILE).await, "a restart changes nothing");
    same.stop().await;

    let upgraded = start(AgentConfig { version: "99.0.0".into(), ..config(&brain.url(), dir.path()) });
    let mut visit = brain.welcome(0).await;
    assert_eq!(visit.takes(3001).await, ids(0, 3001));
    upgraded.stop().await;
}

#[tokio::test]
async fn another_brain_may_speak_with_a_version_that_one_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let (brain, other) = (ScriptedBrain::start().await, ScriptedBrain::start().await);
    let agent = start(config(&brain.url(), dir.path()));
    brain.visit().await.close(4001).await;
    assert!(brain.is_left_alone_for(A_WHILE).await);
    agent.stop().await;
    let agent = start(config(&other.url(), dir.path()));
    other.welcome(0).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_brain_that_asks_for_room_gets_it() {
    for code in [1013, 4009] {
        let dir = tempfile::tempdir().expect("dir");
        let brain = ScriptedBrain::start().await;
        let mut config = config(&brain.url(), dir.path());
        config.reconnect.max = A_WHILE;
        let agent = start(config);
        let visit = brain.welcome(0).await;
        // Before the agent can have begun to wait.
        let began = Instant::now();
        visit.close(code).await;
        brain.welcome(0).await;
        assert!(began.elapsed() >= A_WHILE * 9 / 10, "{code}: {:?}", began.elapsed());
        agent.stop().await;
    }
}

#[tokio::test]
async fn a_brain_that_says_when_to_come_back_is_obeyed() {
    let dir = tempfile::tempdir().expect("dir");
    let brain = ScriptedBrain::start().await;
    let agent = start(config(&brain.url(), dir.path()));
    let began = brain.answer("429 Too Many Requests", "Retry-After: 1\r\n").await;
    brain.welcome(0).await;
    assert!(began.elapsed() >= Duration::from_millis(950), "{:?}", began.elapsed());
    agent.stop().await;
}

#[tokio::test]
async fn a_batch_that_is_called_malformed_comes_again() {
    let dir = tempfile::tempdir().expect("dir");
    let brain = ScriptedBrain::start().await;
    let agent = start(config(&brain.url(), dir.path()));
    let mut visit = brain.welcome(0).await;
    agent.sees_tasks(0, 1).await;
    let batch = visit.batch().await;
    visit.close(1007).await;
    assert_eq!(brain.welcome(0).await.batch().await, batch);
    agent.stop().await;
}

#[tokio::test]
async fn a_revoked_token_is_tried_again_only_when_its_file_changes() {
    let dir = tempfile::tempdir().expect("dir");
    let file = dir.path().join("token");
    std::fs::write(&file, "tp_old\n").expect("writes");
    let brain = ScriptedBrain::start().await;
    let mut config = config(&brain.url(), dir.path());
    config.token = TokenSource::File(file.clone());
    let agent = start(config);
    let visit = brain.visit().await;
    assert_eq!(visit.authorization, "Bearer tp_old");
    visit.close(4003).await;
    assert!(brain.is_left_alone_for(A_WHILE).await);
    std::fs::write(&file, "tp_new\n").expect("writes");
    assert_eq!(brain.visit().await.authorization, "Bearer tp_new");
    agent.stop().await;
}

#[tokio::test]
async fn a_revoked_token_that_was_given_literally_ends_the_attempts() {
    let dir = tempfile::tempdir().expect("dir");
    let brain = ScriptedBrain::start().await;
    let agent = start(config(&brain.url(), dir.path()));
    brain.visit().await.close(4003).await;
    assert!(brain.is_left_alone_for(A_WHILE).await);
    agent.stop().await;
}
