//! One agent: keeps to the protocol with as little memory and work as possible, because it shares the machine with the brain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use taskplane_model::Timestamp;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::sources::Sources;
use super::tally::Tally;
use super::waits::{Waits, dice};
use crate::brain_process;

/// How long connecting may take, and how long the brain may take for its first ack.
const CONNECT: Duration = Duration::from_secs(10);
/// Silence, pings included, after which the brain is given up.
const SILENCE: Duration = Duration::from_secs(60);

/// What all agents have in common.
pub(super) struct Fleet {
    pub(super) brain: SocketAddr,
    pub(super) token: String,
    pub(super) heartbeat: Duration,
    /// Bytes of a batch beside its events.
    pub(super) batch_bytes: usize,
    pub(super) sources: Sources,
    pub(super) tally: Arc<Tally>,
}

/// What the agents are to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Orders {
    /// How many batches each shall have sealed.
    pub(super) batches: u64,
    /// Within which time, each at a moment of its own.
    pub(super) seal_within: Duration,
}

/// Why an attempt or a connection ended.
enum Ended {
    /// The brain asked for room, for so long.
    Busy(Option<Duration>),
    /// Anything else, after so long with a welcome.
    Lost(Duration),
}

type Socket = WebSocketStream<TcpStream>;

struct Agent {
    fleet: Arc<Fleet>,
    number: usize,
    orders: watch::Receiver<Orders>,
    /// Batches whose events are there.
    sealed: u64,
    /// The next one is sealed at this time.
    seal_at: Option<tokio::time::Instant>,
    acked: u64,
}

/// Lives until the program ends.
pub(super) async fn run(fleet: Arc<Fleet>, number: usize, first_wait: Duration, orders: watch::Receiver<Orders>) {
    tokio::time::sleep(first_wait).await;
    let mut agent = Agent { fleet, number, orders, sealed: 1, seal_at: None, acked: 0 };
    let mut waits = Waits::new();
    loop {
        agent.fleet.tally.attempts.fetch_add(1, Ordering::Relaxed);
        let wait = match agent.connection().await {
            Ended::Busy(asked) => waits.next_busy(asked),
            Ended::Lost(lived) => waits.next(lived),
        };
        agent.collect_for(wait).await;
    }
}

impl Agent {
    /// Waits without a connection. Orders are followed all the same: events do not stop because the brain is away.
    async fn collect_for(&mut self, wait: Duration) {
        let until = tokio::time::Instant::now() + wait;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                _ = self.orders.changed() => self.plan(),
                () = at(self.seal_at) => self.seal(),
            }
        }
    }

    /// From an attempt to connect to the end of the connection.
    async fn connection(&mut self) -> Ended {
        // Boxed: what connecting needs is not carried along by every idle agent.
        let connected = timeout(CONNECT, Box::pin(connect(&self.fleet, self.number))).await;
        let mut socket = match connected {
            Ok(Ok(socket)) => socket,
            Ok(Err(refusal)) => {
                self.fleet.tally.note_trouble(refusal.reason);
                if refusal.is_busy {
                    self.fleet.tally.busy.fetch_add(1, Ordering::Relaxed);
                    return Ended::Busy(refusal.retry_after);
                }
                return Ended::Lost(Duration::ZERO);
            }
            Err(_) => return self.timed_out("no handshake within 10 s"),
        };
        match timeout(CONNECT, Box::pin(self.greet(&mut socket))).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                self.fleet.tally.note_trouble(format!("{error:#}"));
                return Ended::Lost(Duration::ZERO);
            }
            Err(_) => return self.timed_out("no welcome within 10 s"),
        }
        let began = Instant::now();
        self.fleet.tally.welcomed();
        let ended = self.live(&mut socket).await;
        self.fleet.tally.disconnected();
        if let Err(error) = ended {
            self.fleet.tally.note_trouble(format!("{error:#}"));
        }
        Ended::Lost(began.elapsed())
    }

    fn timed_out(&self, what: &str) -> Ended {
        self.fleet.tally.timeouts.fetch_add(1, Ordering::Relaxed);
        self.fleet.tally.note_trouble(what.into());
        Ended::Lost(Duration::ZERO)
    }

    /// Says hello, takes the welcome, and sends what it does not cover.
    async fn greet(&mut self, socket: &mut Socket) -> Result<()> {
        socket.send(Message::text(hello(self.number))).await?;
        let welcome = loop {
            if let Some(seq) = frame(socket.next().await)? {
                break seq;
            }
        };
        if welcome < self.acked || welcome > self.sealed {
            self.fleet.tally.acks_failed.fetch_add(self.acked.abs_diff(welcome), Ordering::Relaxed);
        }
        self.take_ack(welcome);
        for seq in self.acked + 1..=self.sealed {
            socket.send(Message::text(batch(self.number, seq, self.fleet.batch_bytes))).await?;
        }
        Ok(())
    }

    async fn live(&mut self, socket: &mut Socket) -> Result<()> {
        // Each at a moment of its own, as agents are that were not all started at once.
        let mut heartbeat_at = tokio::time::Instant::now() + self.fleet.heartbeat.mul_f64(dice());
        let mut silent_at = tokio::time::Instant::now() + SILENCE;
        loop {
            tokio::select! {
                came = socket.next() => {
                    silent_at = tokio::time::Instant::now() + SILENCE;
                    if let Some(seq) = frame(came)? {
                        self.take_ack(seq);
                    }
                }
                () = tokio::time::sleep_until(heartbeat_at) => {
                    heartbeat_at += self.fleet.heartbeat;
                    socket.send(Message::text(heartbeat())).await?;
                    self.fleet.tally.heartbeats.fetch_add(1, Ordering::Relaxed);
                }
                _ = self.orders.changed() => self.plan(),
                () = at(self.seal_at) => {
                    self.seal();
                    socket.send(Message::text(batch(self.number, self.sealed, self.fleet.batch_bytes))).await?;
                }
                () = tokio::time::sleep_until(silent_at) => bail!("nothing was heard for 60 s"),
            }
        }
    }

    fn take_ack(&mut self, seq: u64) {
        if seq > self.acked {
            self.fleet.tally.acked(seq - self.acked);
            self.acked = seq;
        }
    }

    fn plan(&mut self) {
        let orders = *self.orders.borrow_and_update();
        if orders.batches > self.sealed {
            self.seal_at = Some(tokio::time::Instant::now() + orders.seal_within.mul_f64(dice()));
        }
    }

    fn seal(&mut self) {
        self.seal_at = None;
        self.sealed += 1;
    }
}

async fn at(when: Option<tokio::time::Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// Why there is no connection.
struct Refusal {
    reason: String,
    is_busy: bool,
    retry_after: Option<Duration>,
}

async fn connect(fleet: &Fleet, number: usize) -> Result<Socket, Refusal> {
    let lost = |reason: String| Refusal { reason, is_busy: false, retry_after: None };
    let stream = dial(fleet, number).await.map_err(|error| lost(error.to_string()))?;
    let mut request =
        format!("ws://{}/ws", fleet.brain).into_client_request().map_err(|error| lost(error.to_string()))?;
    let bearer = format!("Bearer {}", fleet.token).parse().map_err(|_| lost("the token is no header value".into()))?;
    request.headers_mut().insert("Authorization", bearer);
    let config = WebSocketConfig::default().read_buffer_size(512).write_buffer_size(0);
    match tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(Refusal {
            reason: format!("HTTP {}", response.status()),
            is_busy: matches!(response.status().as_u16(), 429 | 503),
            retry_after: response
                .headers()
                .get("Retry-After")
                .and_then(|seconds| seconds.to_str().ok()?.parse().ok())
                .map(Duration::from_secs),
        }),
        Err(error) => Err(lost(error.to_string())),
    }
}

async fn dial(fleet: &Fleet, number: usize) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if fleet.sources.count() > 1 {
        socket.bind(SocketAddr::new(fleet.sources.of(number), 0))?;
    }
    let stream = socket.connect(fleet.brain).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The number of an ack; `None` for what needs no answer of ours.
fn frame(came: Option<Result<Message, Error>>) -> Result<Option<u64>> {
    #[derive(serde::Deserialize)]
    struct Ack {
        seq: u64,
    }
    match came {
        Some(Ok(Message::Text(text))) => {
            Ok(Some(serde_json::from_str::<Ack>(&text).with_context(|| format!("not an ack: {text}"))?.seq))
        }
        Some(Ok(Message::Close(frame))) => bail!("the brain closed the connection: {frame:?}"),
        Some(Ok(_)) => Ok(None),
        Some(Err(error)) => Err(error.into()),
        None => bail!("the connection ended"),
    }
}

fn name(number: usize) -> String {
    format!("bench-{number:05}")
}

fn hello(number: usize) -> String {
    serde_json::json!({
        "type": "hello", "protocol": "v1", "agent_name": name(number), "instance_id": format!("{number:032x}"),
        "framework": "django", "framework_version": "5.2.1", "agent_version": "0.1.0", "worker_role": "worker",
        "engines": ["celery"], "schedulers": ["celery-beat"], "extensions": ["progress", "query_state", "enqueue_task"],
        "capabilities": {
            "celery": {"native_retry": false, "native_cancel": true, "bulk_retry": true, "purge": true, "chord_aware": true},
            "celery-beat": {"schedule_crud": true, "writable_backend": true},
        },
        "metadata": {"hostname": format!("web-{number:05}.example.com"), "pid": 4_000 + number, "python": "3.11.2"},
    })
    .to_string()
}

fn heartbeat() -> String {
    format!(
        r#"{{"type":"heartbeat","ts":"{}","buffer":{{"events":0,"bytes":0,"dropped":0}},"adapters":{{"celery":"ok","celery-beat":"ok"}}}}"#,
        brain_process::now(),
    )
}

/// The four events of one task. The same number gives the same text, however often it is asked for: a sealed batch does not
/// change. A field that no brain knows makes it `bytes` long or longer.
fn batch(number: usize, seq: u64, bytes: usize) -> String {
    let ts = Timestamp(first_ts() + i64::try_from(number).unwrap_or(0));
    let event = |kind: &str, rest: &str| {
        format!(
            r#"{{"event_type":"{kind}","ts":"{ts}","engine":"celery","task_id":"{seq:08x}-{number:024x}","name":"orders.confirm","hostname":"web-{number:05}"{rest}}}"#
        )
    };
    let padding = " ".repeat(bytes);
    format!(
        r#"{{"type":"event_batch","padding":"{padding}","seq":{seq},"events":[{},{},{},{}]}}"#,
        event("task_sent", r#","queue":"default","args_redacted":[1,"<email>"]"#),
        event("task_received", r#","worker":"celery@w""#),
        event("task_started", r#","worker":"celery@w""#),
        event("task_succeeded", r#","worker":"celery@w","runtime_ms":12.5,"result_redacted":"ok""#),
    )
}

/// One time for all batches of a run.
fn first_ts() -> i64 {
    static FIRST: std::sync::OnceLock<i64> = std::sync::OnceLock::new();
    *FIRST.get_or_init(|| brain_process::now().0)
}
