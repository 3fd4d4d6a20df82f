//! One agent, several brokers.

use serde_json::json;
use taskplane_agent::engine::Engine as _;

use crate::harness::{Agent, Publisher, Redis, config, eventually};

#[tokio::test]
async fn a_queue_that_two_brokers_have_is_told_as_one_and_purged_on_neither() {
    let (a, b) = (Redis::start().await, Redis::start().await);
    let (mut to_a, mut to_b) = (Publisher::start(&a, &[]), Publisher::start(&b, &[]));
    for _ in 0..3 {
        to_a.task("floor.echo", json!([]));
    }
    for _ in 0..4 {
        to_b.task("floor.echo", json!([]));
    }
    let agent = Agent::begin_on(config(&a), vec![config(&b)]);
    agent.is_well().await;
    eventually("both queues as one", || agent.queue("celery").filter(|q| q.depth == Some(7))).await;
    // And so it stays: neither broker tells of its own alone again.
    to_a.task("floor.echo", json!([]));
    eventually("the change", || agent.queue("celery").filter(|q| q.depth == Some(8))).await;
    to_b.task("floor.echo", json!([]));
    eventually("the other change", || agent.queue("celery").filter(|q| q.depth == Some(9))).await;
    let depths: Vec<_> = agent.queues("celery").into_iter().filter_map(|q| q.depth).skip_while(|d| *d < 7).collect();
    assert!(depths.is_sorted(), "{depths:?}");
    let refused = agent.engine.purge_queue("celery").await.expect_err("which of them?");
    assert!(refused.to_string().contains("several brokers of this agent have a queue"), "{refused}");
}
