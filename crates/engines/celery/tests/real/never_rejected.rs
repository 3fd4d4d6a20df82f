//! No message that Taskplane writes is one that a worker rejects, drops or dies of.
//!
//! Messages are made in every way that Taskplane has, out of arguments that are as odd as JSON allows, always the same ones. What
//! cannot be sent is refused before it is. A real worker takes all the rest.

use std::{collections::HashMap, fs};

use proptest::{
    prelude::{Just, Strategy, any, prop_oneof},
    strategy::{BoxedStrategy, ValueTree as _},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Map, Value, json};
use taskplane_agent::engine::{
    CommandError, Engine as _, EnqueueRequest, RetryRequest, WorkerAction, WorkerControlRequest,
};
use taskplane_engine_celery::CeleryConfig;
use taskplane_model::{TaskEventKind, Timestamp};

use crate::harness::{Agent, Place, Publisher, Rabbit, Redis, Worker, config, eventually};

const SEED: [u8; 32] = *b"the same odd arguments each time";
const QUEUES: (&str, &str) = ("TEST_QUEUES", "celery,mail,other");

#[tokio::test]
async fn on_redis() {
    let redis = Redis::start().await;
    raw_messages(&redis);
    let written = nothing_is_rejected(&redis).await;
    assert!(written > 100, "only {written} messages were written");
    for queue in ["celery", "mail", "celery\x06\x163", "mail\x06\x163"] {
        eventually("an empty queue", || (redis.run(&["LLEN", queue]).trim() == "0").then_some(())).await;
    }
    eventually("only what is for later", || (redis.run(&["HLEN", "unacked"]).trim() == "2").then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_rabbitmq() {
    let written = nothing_is_rejected(&Rabbit::start().await).await;
    assert!(written > 40, "only {written} messages were written");
}

/// Messages as other producers write them: a body that is no base64, and what only Python takes for JSON.
fn raw_messages(redis: &Redis) {
    for (number, argument) in
        ["\"plain\"", "NaN", "\"\\ud800\"", "123456789012345678901234567890", "-Infinity"].iter().enumerate()
    {
        let id = format!("raw-{number}");
        let envelope = json!({
            "body": format!("[[{argument}], {{}}, {{\"callbacks\": null, \"errbacks\": null, \"chain\": null, \"chord\": null}}]"),
            "content-encoding": "utf-8", "content-type": "application/json",
            "headers": {"lang": "py", "task": "floor.echo", "id": id, "root_id": id, "retries": 0, "argsrepr": "()", "kwargsrepr": "{}"},
            "properties": {"correlation_id": id, "reply_to": "", "delivery_mode": 2, "priority": 0, "delivery_tag": id,
                "delivery_info": {"exchange": "", "routing_key": "celery"}},
        });
        redis.run(&["LPUSH", "celery", &envelope.to_string()]);
    }
}

/// Has messages written in every way and taken by a worker; returns how many they were.
async fn nothing_is_rejected(place: &impl Place) -> usize {
    let config = CeleryConfig { payload_dir: Some(place.dir().join("payloads")), ..config(place) };
    // On RabbitMQ there is nothing to listen to before a worker has come.
    let _other = Worker { name: "w0", args: &["--pool", "solo", "-Q", "other"], env: &[QUEUES] }.start(place);
    let agent = Agent::with(config).await;
    let mut writing = Writing { agent, odd: Odd::new(), written: Vec::new(), refused: 0 };
    let originals = originals(place, &mut writing.odd);

    // While they wait: from the message, where it can be looked at.
    writing.retry_all(&originals).await;
    let env = [QUEUES, ("TEST_RESULT_EXTENDED", "1")];
    let args = ["--pool", "prefork", "--concurrency", "2", "-Q", "celery,mail", "-E"];
    let _worker = Worker { name: "w1", args: &args, env: &env }.start(place);
    writing.agent.knows("w1@test").await;
    let mut publisher = Publisher::start(place, &env);
    let held = publisher.send(json!({"task": "floor.slow", "args": [3, {"held": [1.5]}]}));
    writing.agent.saw(&held, TaskEventKind::Started).await;
    writing.retry(&held).await;
    for id in originals.iter().chain([&held]) {
        ends(&writing.agent, id).await;
    }
    // When they have ended: from results, events and what the agent kept.
    writing.retry_all(&originals).await;
    writing.enqueue_all().await;
    writing.later().await;
    writing.order(place).await;
    for id in &writing.written {
        ends(&writing.agent, id).await;
    }
    assert!(writing.refused > 5, "what no worker could take is among what was tried: {} refused", writing.refused);
    nothing_in_the_log(place);
    writing.written.len()
}

/// Tasks as an application sends them, by both protocols.
fn originals(place: &impl Place, odd: &mut Odd) -> Vec<String> {
    let mut publishers =
        [Publisher::start(place, &[QUEUES]), Publisher::start(place, &[QUEUES, ("TEST_TASK_PROTOCOL", "1")])];
    // Only some result backends can do chords.
    let chord = if place.results_url().starts_with("redis") { json!({"members": [[1], [2], [3]]}) } else { json!({}) };
    let forms = [
        json!({"options": {"priority": 3}}),
        json!({"options": {"queue": "mail", "expires": 3_600}}),
        json!({"options": {"headers": {"x-own": [1, null]}, "compression": "zlib"}}),
        json!({"options": {"shadow": "other", "time_limit": 60, "soft_time_limit": 50.5, "ignore_result": false}}),
        json!({"then": ["floor.echo", "floor.echo"]}),
        chord,
    ];
    let mut ids: Vec<String> = Vec::new();
    for number in 0..32 {
        let name = if number % 4 == 3 { "floor.fail" } else { "floor.echo" };
        let mut order = forms[number % forms.len()].clone();
        order["task"] = json!(name);
        order["args"] = json!(odd.args(false));
        order["kwargs"] = json!(odd.kwargs(false));
        // Protocol 1 knows no chains and no chords of more than one level.
        let old = usize::from(number % 6 < 4 && number % 5 == 0);
        ids.push(publishers[old].send(order));
    }
    ids
}

/// Waits until a worker has run the task.
async fn ends(agent: &Agent, id: &str) {
    use TaskEventKind::{Failed, Succeeded};
    let ended = || agent.task(id).into_iter().find(|seen| matches!(seen.kind, Succeeded | Failed));
    eventually(&format!("the end of {id}: {:?}", agent.task(id)), ended).await;
}

/// What a worker says when it does not take a message as it is.
fn nothing_in_the_log(place: &impl Place) {
    let log = fs::read_to_string(place.dir().join("w1.log")).expect("a log");
    // What its tasks do of themselves is none of the message's doing.
    let of_tasks =
        ["raised unexpected: ValueError", "Task floor.slow[", "] Chord '", "Rate limit attempt for unknown task"];
    let is_bad = |line: &&str| {
        (line.contains("ERROR/") || line.contains("CRITICAL/")) && !of_tasks.iter().any(|words| line.contains(words))
    };
    let bad: Vec<&str> = log.lines().filter(is_bad).collect();
    assert_eq!(bad, [""; 0]);
    for words in
        ["unknown message", "unregistered task", "Unrecoverable", "Connection to broker lost", "unknown control"]
    {
        assert!(!log.contains(words), "{words}");
    }
    assert_eq!(log.matches("w1@test ready.").count(), 1, "it was never started again");
}

struct Writing {
    agent: Agent,
    odd: Odd,
    written: Vec<String>,
    refused: usize,
}

impl Writing {
    async fn retry_all(&mut self, ids: &[String]) {
        for id in ids {
            self.retry(id).await;
            self.retry(id).await;
        }
        for number in 0..5 {
            self.retry(&format!("raw-{number}")).await;
        }
    }

    async fn retry(&mut self, id: &str) {
        let request = self.odd.request(id);
        let outcome = self.agent.engine.retry_task(&request).await.map(|retried| retried.new_task_id);
        self.note(outcome);
    }

    /// Also what "run now" of a schedule does.
    async fn enqueue_all(&mut self) {
        for _ in 0..60 {
            let request = EnqueueRequest {
                name: "floor.echo".into(),
                args: self.odd.args(true),
                kwargs: self.odd.kwargs(true),
                queue: self.odd.queue(),
                eta: self.odd.eta(),
                expires: self.odd.pick([None, Some(later(3_600))]),
                priority: self.odd.pick([None, Some(0), Some(5), Some(255)]),
                headers: self.odd.headers(),
            };
            let outcome = self.agent.engine.enqueue_task(&request).await.map(|enqueued| enqueued.new_task_id);
            self.note(outcome);
        }
    }

    /// Two that wait with their worker for a very long time.
    async fn later(&self) {
        let eta = Timestamp::parse_rfc3339("9999-12-29T00:00:00Z");
        for queue in ["celery", "mail"] {
            let request = EnqueueRequest {
                name: "floor.echo".into(),
                queue: Some(queue.into()),
                eta,
                ..EnqueueRequest::default()
            };
            let enqueued = self.agent.engine.enqueue_task(&request).await.expect("published");
            self.agent.saw(&enqueued.new_task_id, TaskEventKind::Received).await;
        }
    }

    /// Orders to workers are messages too.
    async fn order(&self, place: &impl Place) {
        let odd = "é \u{1f600} \" \\ {} % \n";
        for action in [
            WorkerAction::Ping,
            WorkerAction::RateLimit { task_name: "floor.echo".into(), rate: "1000/s".into() },
            WorkerAction::RateLimit { task_name: odd.into(), rate: "0".into() },
            WorkerAction::CancelConsumer { queue: odd.trim().into() },
            WorkerAction::PoolGrow(1),
        ] {
            let request = WorkerControlRequest { workers: vec!["w1@test".into()], action };
            match self.agent.engine.worker_control(&request).await {
                Ok(told) => assert_eq!(told.silent, Vec::<String>::new(), "{request:?} on port {}", place.port()),
                Err(error) => assert!(matches!(error, CommandError::InvalidArgs(_)), "{request:?}: {error}"),
            }
        }
    }

    fn note(&mut self, outcome: Result<String, CommandError>) {
        match outcome {
            Ok(id) => self.written.push(id),
            // Headers are narrower in AMQP than in JSON.
            Err(CommandError::Engine(why)) => assert!(why.contains("nothing was sent"), "{why}"),
            Err(_) => self.refused += 1,
        }
    }
}

fn later(seconds: i64) -> Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
    Timestamp(i64::try_from(now.as_micros()).expect("fits") + seconds * 1_000_000)
}

/// Makes odd things, always the same ones.
struct Odd {
    runner: TestRunner,
    plain: BoxedStrategy<Value>,
    with_types: BoxedStrategy<Value>,
}

impl Odd {
    fn new() -> Self {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &SEED);
        Self {
            runner: TestRunner::new_with_rng(Config::default(), rng),
            plain: values(false),
            with_types: values(true),
        }
    }

    fn draw<T: std::fmt::Debug>(&mut self, strategy: &impl Strategy<Value = T>) -> T {
        strategy.new_tree(&mut self.runner).expect("a value").current()
    }

    fn pick<T: Clone, const N: usize>(&mut self, all: [T; N]) -> T {
        all[self.draw(&(0..N))].clone()
    }

    fn value(&mut self, types: bool) -> Value {
        let strategy = if types { self.with_types.clone() } else { self.plain.clone() };
        self.draw(&strategy)
    }

    fn args(&mut self, types: bool) -> Vec<Value> {
        let count = self.draw(&(0..4_usize));
        (0..count).map(|_| self.value(types)).collect()
    }

    fn kwargs(&mut self, types: bool) -> Map<String, Value> {
        let count = self.draw(&(0..3_usize));
        // Not "self": no task of Celery's can be called with that.
        let names = ["k", "", "task_id", "__type__", "é\u{1f600}", "a b\"\\\n"];
        (0..count).map(|_| (self.pick(names).to_owned(), self.value(types))).collect()
    }

    fn queue(&mut self) -> Option<String> {
        self.pick([
            None,
            None,
            None,
            None,
            None,
            None,
            Some("mail"),
            Some("mail"),
            Some("celery"),
            Some("no such queue"),
        ])
        .map(str::to_owned)
    }

    fn eta(&mut self) -> Option<Timestamp> {
        let text =
            ["0001-01-01T00:00:00Z", "1971-01-01T00:00:00Z", "9999-12-31T23:59:59Z"].map(Timestamp::parse_rfc3339);
        let soon = Some(later(1));
        self.pick([None, None, None, None, None, None, None, soon, soon, text[0], text[1], text[2]])
    }

    fn request(&mut self, id: &str) -> RetryRequest {
        let edits = self.draw(&(0..4));
        RetryRequest {
            task_id: id.to_owned(),
            args: (edits & 1 == 1).then(|| self.args(true)),
            kwargs: (edits & 2 == 2).then(|| self.kwargs(true)),
            queue: self.queue(),
            eta: self.eta(),
            ..RetryRequest::default()
        }
    }

    fn headers(&mut self) -> Map<String, Value> {
        let odd = self.value(true);
        let long = "x".repeat(300);
        let headers = [
            json!({}),
            json!({"x-own": odd}),
            json!({"periodic_task_name": "nightly", "é\u{1f600}": [1, {"a": null}]}),
            json!({"timelimit": [60, 50.5]}),
            json!({"timelimit": odd}),
            json!({"shadow": odd}),
            json!({"stamps": {"by": ["me"]}, "stamped_headers": ["by"]}),
            json!({"stamps": odd}),
            json!({"stamped_headers": odd}),
            json!({"ignore_result": odd}),
            json!({"id": odd, "task": odd, "eta": odd, "retries": odd, "expires": odd, "compression": odd, "group": odd}),
            json!({"redelivered": true, "root_id": odd, "parent_id": odd, "lang": odd, "origin": odd, "argsrepr": odd}),
            json!({long: 1}),
        ];
        self.pick(headers).as_object().cloned().expect("a map")
    }
}

fn values(types: bool) -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(Some(number).filter(|n| n.is_finite()))),
        any::<String>().prop_map(Value::from),
        "[a-z' \"\\\\%{}]{0,30}".prop_map(Value::from),
        "x{1100,1200}".prop_map(Value::from),
    ];
    let marked = prop_oneof![
        Just(json!({"__type__": "datetime", "__value__": "2026-11-22T17:35:22+00:00"})),
        Just(json!({"__type__": "datetime", "__value__": "yesterday"})),
        Just(json!({"__type__": "uuid", "__value__": {"hex": "0123456789abcdef0123456789abcdef"}})),
        Just(json!({"__type__": "decimal", "__value__": "1.5"})),
        Just(json!({"__type__": "decimal", "__value__": []})),
        Just(json!({"__type__": "nobody's", "__value__": 1})),
        Just(json!({"__type__": ["odd"], "__value__": 1})),
    ];
    let leaf = if types { prop_oneof![12 => leaf, 1 => marked].boxed() } else { leaf.boxed() };
    let nested = leaf.prop_recursive(8, 40, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map("[a-z ]{0,4}|\\PC{0,3}", inner, 0..4).prop_map(
                |fields: HashMap<String, Value>| {
                    let mut fields: Vec<_> = fields.into_iter().collect();
                    fields.sort_by(|a, b| a.0.cmp(&b.0));
                    Value::Object(fields.into_iter().collect())
                }
            ),
        ]
    });
    nested.boxed()
}
