//! What the engine does when Redis goes away.

use serde_json::json;
use taskplane_agent::engine::Health;
use taskplane_model::TaskEventKind::{Received, Started, Succeeded};

use crate::harness::{Agent, Publisher, Redis, Worker, eventually};

#[tokio::test]
async fn a_restart_of_redis_is_reported_and_healed() {
    let mut redis = Redis::start().await;
    let _worker = Worker::default().start(&redis);
    let agent = Agent::start(&redis).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(&redis, &[]);
    let before: Vec<String> = (0..5).map(|number| publisher.task("floor.echo", json!([number]))).collect();
    // All that there is to be told of each: a result may be told before the events.
    for id in &before {
        for kind in [Received, Started, Succeeded] {
            agent.saw(id, kind).await;
        }
    }
    let told: Vec<usize> = before.iter().map(|id| agent.task(id).len()).collect();
    redis.down();
    let down = eventually("down", || agent.health().into_iter().find(|h| matches!(h, Health::Down(_)))).await;
    assert!(matches!(&down, Health::Down(why) if why.contains("127.0.0.1")), "{down:?}");
    redis.up().await;
    eventually("well again", || (agent.health().last() == Some(&Health::Ok)).then_some(())).await;
    let mut publisher = Publisher::start(&redis, &[]);
    let echo = publisher.task("floor.echo", json!([]));
    // The worker comes back in its own time, and its events with it.
    agent.saw(&echo, Started).await;
    agent.saw(&echo, Succeeded).await;
    let again: Vec<usize> = before.iter().map(|id| agent.task(id).len()).collect();
    assert_eq!(again, told, "what was told before is not told again");
    agent.stop().await;
}
