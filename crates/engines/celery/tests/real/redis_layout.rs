//! Applications that lay themselves out on Redis in another way than kombu's own.

use std::path::Path;

use serde_json::{Value, json};
use taskplane_agent::engine::Engine as _;
use taskplane_engine_celery::CeleryConfig;
use taskplane_model::TaskEventKind;

use crate::harness::{Agent, Place, Publisher, Redis, Worker, config, eventually};

/// An application with transport options, of which the agent may be told or not.
struct Unusual {
    redis: Redis,
    options: Value,
    told: &'static str,
}

impl Place for Unusual {
    fn broker_url(&self) -> String {
        self.redis.broker_url()
    }

    fn results_url(&self) -> String {
        self.redis.results_url()
    }

    fn dir(&self) -> &Path {
        self.redis.dir()
    }

    fn priorities(&self) -> (u8, u8) {
        self.redis.priorities()
    }

    fn port(&self) -> u16 {
        self.redis.port()
    }

    fn options(&self) -> (String, String) {
        (self.options.to_string(), "{}".to_owned())
    }

    fn observed_broker(&self) -> String {
        format!("{}?{}", self.broker_url(), self.told)
    }
}

/// Tells the agent of nothing: what it says then. Then of all, as it said: it sees events, and workers answer it.
async fn is_told_apart(options: Value, told: &'static str, says: &str) {
    let place = Unusual { redis: Redis::start().await, options, told };
    let _worker = Worker::default().start(&place);
    let log = place.dir().join("w1.log");
    eventually("the worker is up", || std::fs::read_to_string(&log).ok()?.contains(" ready.").then_some(())).await;
    let untold = Agent::begin(CeleryConfig { broker_url: place.broker_url(), ..config(&place) });
    let said = untold.says(says).await;
    assert!(said.contains(told) || told.starts_with("global"), "{said}");
    untold.stop().await;

    let agent = Agent::start(&place).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(&place, &[]);
    let echo = publisher.task("floor.echo", json!([1]));
    let received = agent.saw(&echo, TaskEventKind::Received).await;
    assert_eq!(received.worker.as_deref(), Some("w1@test"), "an event told of it");
    agent.saw(&echo, TaskEventKind::Succeeded).await;
    assert_eq!(agent.engine.purge_queue("celery").await, Ok(0));
    agent.stop().await;
}

#[tokio::test]
async fn without_a_fanout_prefix_and_patterns() {
    let options = json!({"fanout_prefix": false, "fanout_patterns": false});
    is_told_apart(options, "fanout_prefix=false", "workers that send their events on celeryev").await;
}

#[tokio::test]
async fn with_a_fanout_prefix_of_its_own() {
    let options = json!({"fanout_prefix": "/shop."});
    is_told_apart(options, "fanout_prefix=/shop.", "workers that send their events on /shop.celeryev").await;
}

#[tokio::test]
async fn with_a_key_prefix() {
    let options = json!({"global_keyprefix": "shop:"});
    is_told_apart(
        options,
        "global_keyprefix=shop:",
        "has nothing of Celery under no prefix, but under the prefix shop:",
    )
    .await;
}
