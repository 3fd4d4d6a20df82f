//! Redis that Sentinel watches: the agent follows the master.

use std::{path::Path, sync::Arc};

use serde_json::json;
use taskplane_agent::engine::{Engine as _, RetryRequest};
use taskplane_engine_celery::CeleryConfig;
use taskplane_model::TaskEventKind;
use taskplane_testkit::{Authority, RedisServer, RedisSetup, Sentinels};

use crate::harness::{Agent, Place, Publisher, Worker, blocking, config, eventually};

/// The passwords of the servers and of the sentinels.
const SERVERS: &str = "of-servers";
const SENTINELS: &str = "of-sentinels";

/// A master, its replica, and the sentinels of both.
struct Watched {
    servers: [Arc<RedisServer>; 2],
    sentinels: Arc<Sentinels>,
    is_secure: bool,
}

impl Watched {
    async fn start() -> Self {
        Self::with(None).await
    }

    /// All over TLS, with certificates of an authority.
    async fn with(authority: Option<Authority>) -> Self {
        let is_secure = authority.is_some();
        blocking(move || {
            let setup = |config: &[String]| {
                let authority = authority.as_ref();
                RedisServer::start(&RedisSetup { config, authority, password: Some(SERVERS), ..RedisSetup::default() })
            };
            let follow: &[String] = if is_secure { &["tls-replication yes".to_owned()] } else { &[] };
            let master = setup(follow).expect("Redis");
            let of = format!("replicaof 127.0.0.1 {}", master.tls_port().unwrap_or(master.port()));
            let replica = setup(&[follow, &[of]].concat()).expect("a replica");
            let sentinels = Sentinels::start(&master, "main", Some(SENTINELS)).expect("Sentinel");
            Self { servers: [Arc::new(master), Arc::new(replica)], sentinels: Arc::new(sentinels), is_secure }
        })
        .await
    }

    fn url(&self) -> String {
        let ports = if self.is_secure { self.sentinels.tls_ports() } else { self.sentinels.ports() }.iter();
        ports.map(|port| format!("sentinel://:{SERVERS}@127.0.0.1:{port}")).collect::<Vec<_>>().join(";")
    }

    /// The certificate of the authority.
    fn ca(&self) -> String {
        self.dir().join("ca.pem").display().to_string()
    }

    /// Waits until this server follows the other: Sentinel takes its time to tell an old master that it is none.
    async fn replica(&self, number: usize) {
        let server = &self.servers[number];
        let follows = |role: String| role.starts_with("slave") && role.contains("connected");
        eventually("the replica", || follows(server.run(&["ROLE"])).then_some(())).await;
    }

    /// Waits until this server is the master.
    async fn master(&self, number: usize) {
        let server = &self.servers[number];
        eventually("the failover", || server.run(&["ROLE"]).starts_with("master").then_some(())).await;
    }
}

impl Place for Watched {
    fn broker_url(&self) -> String {
        self.url()
    }

    fn results_url(&self) -> String {
        self.url()
    }

    fn dir(&self) -> &Path {
        self.servers[0].folder()
    }

    fn priorities(&self) -> (u8, u8) {
        (0, 9)
    }

    fn port(&self) -> u16 {
        self.servers[0].port()
    }

    fn options(&self) -> (String, String) {
        let mut sentinels = json!({"password": SENTINELS});
        if self.is_secure {
            sentinels["ssl"] = json!(true);
            sentinels["ssl_ca_certs"] = json!(self.ca());
        }
        let options = json!({"master_name": "main", "sentinel_kwargs": sentinels}).to_string();
        (options.clone(), options)
    }

    fn observed_broker(&self) -> String {
        let tls = if self.is_secure { format!("&ssl_ca_certs={}&sentinel_ssl=true", self.ca()) } else { String::new() };
        format!("{}/0?master_name=main&sentinel_password={SENTINELS}{tls}", self.url())
    }

    fn observed_results(&self) -> String {
        self.observed_broker()
    }
}

#[tokio::test]
async fn the_master_is_followed_when_it_moves_and_when_it_dies() {
    is_followed(&Watched::start().await, &[]).await;
}

#[tokio::test]
async fn the_master_is_followed_over_tls_too() {
    let place = Watched::with(Some(Authority::new("ours").expect("an authority"))).await;
    let ca = place.ca();
    is_followed(&place, &[("TEST_CA", &ca)]).await;
    let plain = place.observed_broker().replace("&sentinel_ssl=true", "");
    let lost = Agent::begin(CeleryConfig { broker_url: plain, result_backend_url: None, ..config(&place) });
    lost.says("cannot be found: Sentinel at 127.0.0.1").await;
}

async fn is_followed(place: &Watched, env: &[(&str, &str)]) {
    let _worker = Worker { env, ..Worker::default() }.start(place);
    let agent = Agent::start(place).await;
    agent.knows("w1@test").await;
    let mut publisher = Publisher::start(place, env);
    let failed = publisher.task("floor.fail", json!([1]));
    agent.saw(&failed, TaskEventKind::Failed).await;

    // Moved by hand: the old master lives on, as a replica.
    place.sentinels.run(0, &["SENTINEL", "FAILOVER", "main"]);
    place.master(1).await;
    place.replica(0).await;
    seen_again(&agent, &mut publisher).await;
    let again = RetryRequest { task_id: failed.clone(), ..RetryRequest::default() };
    let retried = agent.engine.retry_task(&again).await.expect("published on the new master");
    agent.saw(&retried.new_task_id, TaskEventKind::Failed).await;

    // Killed.
    let dying = Arc::clone(&place.servers[1]);
    blocking(move || dying.crash()).await;
    agent.says("the master main of Sentinel").await;
    place.master(0).await;
    seen_again(&agent, &mut publisher).await;
    agent.stop().await;
}

/// Waits until a task is seen from its start to its end: the worker comes back in its own time.
async fn seen_again(agent: &Agent, publisher: &mut Publisher) {
    agent.is_well().await;
    let mut sent = Vec::new();
    eventually("a task on the new master", || {
        sent.push(publisher.task("floor.echo", json!([])));
        sent.iter()
            .find(|id| {
                agent.at(id, TaskEventKind::Started).is_some() && agent.at(id, TaskEventKind::Succeeded).is_some()
            })
            .cloned()
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_the_sentinels_is_said() {
    let place = Watched::start().await;
    let with = |from: &str, to: &str| {
        let url = place.observed_broker().replace(from, to);
        Agent::begin(CeleryConfig { broker_url: url, result_backend_url: None, ..config(&place) })
    };
    with("master_name=main", "master_name=other").says("Sentinel knows no master named \"other\"").await;
    with(&format!("sentinel_password={SENTINELS}"), "x=y").says("as sentinel_password").await;
    with(&format!("={SENTINELS}"), "=wrong").says("does not accept the sentinel_password").await;
    with(&format!(":{SERVERS}@"), ":wrong@").says("does not accept the user or password").await;
    // One that is gone takes nothing away from what the others know.
    place.sentinels.crash(0);
    with("", "").is_well().await;
    let ports = place.sentinels.ports();
    let nobody = ports.iter().fold(place.observed_broker(), |url, port| url.replace(&format!(":{port}"), ":1"));
    let lost = Agent::begin(CeleryConfig { broker_url: nobody, result_backend_url: None, ..config(&place) });
    lost.says("cannot be found: Sentinel at 127.0.0.1:1 refuses connections").await;
    let no_sentinel = format!("sentinel://127.0.0.1:{}/0?master_name=main", place.port());
    let none = Agent::begin(CeleryConfig { broker_url: no_sentinel, result_backend_url: None, ..config(&place) });
    none.says("cannot be found: Sentinel at").await;
}
