//! A Redis that speaks TLS alone and knows its clients by their certificates, with an application that has key prefixes,
//! and an agent whose user has the rights that it needs and no other. The engine's conformance suite runs there too.

use std::path::Path;

use serde_json::json;
use taskplane_agent::engine::{Engine as _, RetryRequest};
use taskplane_model::TaskEventKind;
use taskplane_testkit::{Authority, RedisServer, RedisSetup};

use crate::{
    chords::{self, Failed},
    harness::{Agent, Place, Publisher, Worker, blocking, config, eventually},
};

/// What the agent's user may do, for an application with the queue `celery` and the prefixes below. With other queues, one
/// `~shop:queue*` more for each; without prefixes, without them.
const RIGHTS: &str = "resetkeys resetchannels -@all \
    +ping +select +scan +type +exists +smembers +sismember +llen +lrange +hlen +hkeys +hmget +hscan +mget +strlen +pttl \
    +zrange +psubscribe +publish +sadd +srem +brpop +del +lpush +multi +exec \
    %R~shop:_kombu.binding.* ~shop:_kombu.binding.reply.celery.pidbox ~shop:*.reply.celery.pidbox \
    %R~shop:unacked ~shop:celery* %R~shop_celery-task-meta-* \
    %R~shop_celery-taskset-meta-* &shop:/0.celeryev* &shop:/0.celery.pidbox &shop_celery-task-meta-*";

/// The server, and the files of its clients.
pub(crate) struct Guarded {
    server: RedisServer,
}

impl Guarded {
    pub(crate) async fn start() -> Self {
        blocking(|| {
            let authority = Authority::new("redis").expect("an authority");
            let user = format!("user taskplane on >secret {RIGHTS}");
            let setup = RedisSetup {
                authority: Some(&authority),
                client_certificates: true,
                config: &[user],
                ..RedisSetup::default()
            };
            let server = RedisServer::start(&setup).expect("Redis");
            authority.client("a client").expect("signed").write(server.folder(), "client").expect("written");
            Self { server }
        })
        .await
    }

    fn url(&self, user: &str, more: &str) -> String {
        let (port, folder) = (self.port(), self.server.folder().display());
        format!(
            "rediss://{user}127.0.0.1:{port}/0?ssl_cert_reqs=required&ssl_ca_certs={folder}/ca.pem&\
             ssl_certfile={folder}/client.pem&ssl_keyfile={folder}/client.key{more}"
        )
    }

    /// Changes the rights of the agent's user.
    fn permit(&self, rights: &str) {
        let mut command = vec!["ACL", "SETUSER", "taskplane"];
        command.extend(rights.split_whitespace());
        let answer = self.server.run(&command);
        assert_eq!(answer.trim(), "OK", "{rights}");
        self.server.run(&["CLIENT", "KILL", "USER", "taskplane"]);
    }
}

impl Place for Guarded {
    fn broker_url(&self) -> String {
        self.url("", "")
    }

    fn results_url(&self) -> String {
        self.url("", "")
    }

    fn dir(&self) -> &Path {
        self.server.folder()
    }

    fn priorities(&self) -> (u8, u8) {
        (0, 9)
    }

    fn port(&self) -> u16 {
        self.server.tls_port().expect("TLS")
    }

    fn options(&self) -> (String, String) {
        // Celery separates the prefix of results by itself, and that of the broker not.
        (json!({"global_keyprefix": "shop:"}).to_string(), json!({"global_keyprefix": "shop"}).to_string())
    }

    fn observed_broker(&self) -> String {
        self.url("taskplane:secret@", "&global_keyprefix=shop:")
    }

    fn observed_results(&self) -> String {
        self.url("taskplane:secret@", "&global_keyprefix=shop")
    }
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_and_used_once_it_is_there() {
    let redis = Guarded::start().await;
    let _worker = Worker::default().start(&redis);
    let mut publisher = Publisher::start(&redis, &[]);
    let agent = Agent::begin(config(&redis));
    agent.knows("w1@test").await;
    agent.is_well().await;
    for (rights, missing) in [
        ("-scan", "add +scan to its ACL"),
        ("-publish", "add +publish to its ACL"),
        ("resetchannels &shop:/0.celery.pidbox", "add &shop:/0.celeryev* to its ACL"),
        ("resetkeys ~shop:celery* %R~shop:_kombu.binding.*", "add %R~shop:unacked to its ACL"),
    ] {
        redis.permit(rights);
        agent.says(missing).await;
        redis.permit(RIGHTS);
        agent.is_well().await;
    }
    let echo = publisher.task("floor.echo", json!([]));
    agent.saw(&echo, TaskEventKind::Succeeded).await;
    let refused: String = redis.server.run(&["ACL", "LOG", "3"]);
    assert!(refused.contains("taskplane"), "the server noted what was missing");
}

#[tokio::test]
async fn a_user_with_all_its_rights_is_refused_nothing() {
    let redis = Guarded::start().await;
    let _worker = Worker::default().start(&redis);
    let agent = Agent::start(&redis).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(&redis, &[]);
    let echo = publisher.task("floor.echo", json!([]));
    agent.saw(&echo, TaskEventKind::Succeeded).await;
    eventually("the queue", || agent.queue("celery").filter(|q| q.depth == Some(0))).await;
    let log = redis.server.run(&["ACL", "LOG"]);
    let refused = log.lines().skip_while(|line| *line != "object").nth(1);
    // While no worker was up, it looked whether they are on other channels: with more rights it could have told.
    assert!(refused.is_none_or(|what| what == "*celeryev*") && log.matches("object").count() < 2, "{log}");
}

#[tokio::test]
async fn the_body_of_a_chord_needs_the_right_to_read_what_its_members_returned() {
    let redis = Guarded::start().await;
    let file = chords::file(&redis);
    let Failed { members, body, agent, _worker } = chords::failed(&redis, chords::chord(&file)).await;
    let retry = async |id: &str| {
        let request = RetryRequest { task_id: id.into(), ..RetryRequest::default() };
        agent.engine.retry_task(&request).await
    };
    let others = "resetkeys ~shop:* %R~shop_celery-task-meta-*";
    for (rights, missing) in [("-zrange", "+zrange"), (others, "%R~shop_celery-taskset-meta-*")] {
        redis.permit(rights);
        let why = retry(&body).await.expect_err("refused").to_string();
        assert!(why.contains(&format!("add {missing} to its ACL")), "{why}");
        redis.permit(RIGHTS);
    }
    std::fs::write(&file, "").expect("written");
    // What the agent's connections missed while they were cut is not the point.
    let succeeded = async |id: &str| {
        let key = format!("shop_celery-task-meta-{id}");
        eventually("its result", || redis.server.run(&["GET", &key]).contains("SUCCESS").then_some(())).await;
    };
    succeeded(&retry(&members[1]).await.expect("published").new_task_id).await;
    succeeded(&retry(&body).await.expect("published").new_task_id).await;
    agent.stop().await;
}

#[tokio::test]
async fn certificates_are_read_again_for_each_connection() {
    let redis = Guarded::start().await;
    let agent = Agent::begin(config(&redis));
    agent.is_well().await;
    let files = ["client.pem", "client.key"].map(|name| redis.dir().join(name));
    let good = files.clone().map(|file| std::fs::read(file).expect("there"));
    let stranger = Authority::new("another").expect("an authority");
    stranger.client("a stranger").expect("signed").write(redis.dir(), "client").expect("written");
    redis.server.run(&["CLIENT", "KILL", "USER", "taskplane"]);
    agent.says("wants a certificate of the agent that it trusts").await;
    for (file, bytes) in files.iter().zip(good) {
        std::fs::write(file, bytes).expect("written");
    }
    agent.is_well().await;
}
