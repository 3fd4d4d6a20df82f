//! What the agent does when the brain refuses it or closes the connection.

use std::time::Duration;

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
    for code in [1000, 1001, 1009, 1013, 4000, 4008, 4009, 4999] {
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

    let upgraded = start(config(&brain.url(), dir.path()));
    let mut visit = brain.welcome(0).await;
    let arrived: Vec<String> = visit.batches_of(3000).await.iter().flat_map(|(_, text)| task_ids(text)).collect();
    assert_eq!(arrived, ids(0, 3000));
    upgraded.stop().await;
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
