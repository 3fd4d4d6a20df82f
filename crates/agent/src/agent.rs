//! The agent as a whole: wires observation, buffer, connection and commands together.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use taskplane_protocol::frame::Hello;
use taskplane_protocol::limits::MAX_NAME_BYTES;
use taskplane_protocol::version;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::buffer::{Buffer, BufferError, BufferOptions, Leftovers, Spool};
use crate::connection::{
    Brain, Connection, Courier, Dialer, DialerError, Endpoint, EndpointError, Outdated, Oversize, ProxySettings,
    ReconnectTimes, TlsOptions, TokenSource, Ways,
};
use crate::dispatch::Dispatcher;
use crate::engine::Engine;
use crate::health::HealthBoard;
use crate::leftovers::Heir;
use crate::observers::{Observed, Outlets, observe_all};
use crate::recorder::{Inlets, record};
use crate::redact::{RedactionConfig, RedactionError, Redactor};
use crate::scheduler::{ScheduleEntry, Scheduler};
use crate::schedules::ScheduleBoard;

/// Observations that wait for the buffer; an engine that sees more waits.
const WAITING_OBSERVATIONS: usize = 1024;
/// States of schedulers that wait to be redacted.
const WAITING_LISTINGS: usize = 4;
/// Changes of health that wait to be noted.
const WAITING_HEALTH: usize = 64;
/// Hand-overs of encoded events that wait for the buffer; each has some hundred.
const WAITING_HAND_OVERS: usize = 2;
/// How long the agent may take to stop, unless it is told otherwise.
const STOP_WITHIN: Duration = Duration::from_secs(9);
/// How long it tries to deliver what is left when it stops, at most.
const LAST_DELIVERY: Duration = Duration::from_secs(2);

/// What an agent must know.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Where the brain is: `wss://host[:port][/base]`, or `ws://…` without TLS.
    pub brain_url: String,
    /// Whom to trust, and who we are, where the URL says TLS.
    pub tls: TlsOptions,
    /// Proxies on the way; by default those of the environment.
    pub proxy: ProxySettings,
    /// The agent's token.
    pub token: TokenSource,
    /// The agent's name, unique in its project; 1 to 512 bytes.
    pub name: String,
    /// The version of this program. One that the brain does not speak with stays away until it is another one.
    pub version: String,
    /// Folder of the buffer. Several agents may share it: each process has a stream of its own, and delivers what dead ones of
    /// the same name have left.
    pub data_dir: PathBuf,
    /// Rules of redaction besides the built-in ones.
    pub redaction: RedactionConfig,
    /// Bounds of the buffer.
    pub buffer: BufferOptions,
    /// Times of reconnecting.
    pub reconnect: ReconnectTimes,
    /// How long [`Agent::run`] may take to return once it is told to stop. A third of it is for the engines, another for
    /// bringing what they saw to the disk, and what is then left, at most two seconds, for delivering it to the brain.
    pub stop_within: Duration,
    /// Framework of the host process.
    pub framework: String,
    /// Its version.
    pub framework_version: Option<String>,
    /// What the host process does, such as `worker`.
    pub worker_role: Option<String>,
    /// Said of the agent besides host name, process id and operating system.
    pub metadata: Map<String, Value>,
}

impl AgentConfig {
    /// A sidecar with all defaults.
    pub fn new(
        brain_url: impl Into<String>,
        token: TokenSource,
        name: impl Into<String>,
        data_dir: impl Into<PathBuf>,
    ) -> Self {
        Self {
            brain_url: brain_url.into(),
            tls: TlsOptions::default(),
            proxy: ProxySettings::from_env(),
            token,
            name: name.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            data_dir: data_dir.into(),
            redaction: RedactionConfig::default(),
            buffer: BufferOptions::default(),
            reconnect: ReconnectTimes::default(),
            stop_within: STOP_WITHIN,
            framework: "sidecar".into(),
            framework_version: None,
            worker_role: None,
            metadata: Map::new(),
        }
    }
}

/// Why an agent cannot be started.
#[derive(Debug, Error)]
pub enum AgentError {
    /// The name is empty or too long.
    #[error("the agent's name must have 1 to {MAX_NAME_BYTES} bytes")]
    Name,
    /// Nothing to observe.
    #[error("the agent has no engine to observe")]
    NoEngine,
    /// Commands could not be told apart.
    #[error("the agent has two engines named {0}")]
    TwoEngines(&'static str),
    /// Their schedules could not be told apart.
    #[error("the agent has two schedulers named {0}")]
    TwoSchedulers(&'static str),
    /// Not a brain's URL.
    #[error(transparent)]
    Url(#[from] EndpointError),
    /// Certificates or the proxy cannot be used.
    #[error(transparent)]
    Way(#[from] DialerError),
    /// A rule of redaction is wrong.
    #[error(transparent)]
    Redaction(#[from] RedactionError),
    /// The buffer cannot be opened.
    #[error(transparent)]
    Buffer(#[from] BufferError),
}

/// An agent, ready to run.
pub struct Agent {
    dialer: Arc<Dialer>,
    token: TokenSource,
    reconnect: ReconnectTimes,
    stop_within: Duration,
    hello: Hello,
    outdated: Outdated,
    stream_id: Uuid,
    observed: Observed,
    redactor: Arc<Redactor>,
    spool: Spool,
    leftovers: Leftovers,
}

impl Agent {
    /// Checks `config` and opens the buffer. Reads the disk; nothing is sent yet.
    ///
    /// # Errors
    /// The URL, the name or a rule is wrong, or the data folder cannot be used.
    pub fn new(
        config: AgentConfig,
        engines: Vec<Arc<dyn Engine>>,
        schedulers: Vec<Arc<dyn Scheduler>>,
    ) -> Result<Self, AgentError> {
        let name = config.name.trim();
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(AgentError::Name);
        }
        if engines.is_empty() {
            return Err(AgentError::NoEngine);
        }
        if let Some(name) = twice(engines.iter().map(|engine| engine.name())) {
            return Err(AgentError::TwoEngines(name));
        }
        if let Some(name) = twice(schedulers.iter().map(|scheduler| scheduler.name())) {
            return Err(AgentError::TwoSchedulers(name));
        }
        let endpoint: Endpoint = config.brain_url.parse()?;
        let endpoint_url = endpoint.to_string();
        let dialer = Arc::new(Dialer::new(endpoint, config.tls.clone(), &config.proxy)?);
        let redactor = Arc::new(Redactor::new(&config.redaction)?);
        let outdated = Outdated::new(&config.data_dir, &config.version, &endpoint_url);
        let buffer = Buffer::open_for(name, &config.data_dir, config.buffer.clone())?;
        let leftovers = Leftovers::new(name, &config.data_dir, config.buffer.clone())?;
        let stream_id = buffer.stream_id();
        let hello = hello(&config, name, stream_id, &engines);
        Ok(Self {
            dialer,
            token: config.token,
            reconnect: config.reconnect,
            stop_within: config.stop_within,
            hello,
            outdated,
            stream_id,
            observed: Observed { engines: engines.into(), schedulers: schedulers.into() },
            redactor,
            spool: Spool::new(buffer),
            leftovers,
        })
    }

    /// The stream that this process continues or began, `hello.instance_id`.
    pub fn stream_id(&self) -> Uuid {
        self.stream_id
    }

    /// Observes, delivers and executes commands until `stop`. Then everything that was seen is brought to the disk, and as
    /// much of it to the brain as two seconds allow. Returns within [`AgentConfig::stop_within`], by default nine seconds.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            dialer,
            token,
            reconnect,
            stop_within,
            hello,
            outdated,
            stream_id,
            observed: adapters,
            redactor,
            spool,
            leftovers,
        } = self;
        let url = dialer.endpoint().to_string();
        tracing::info!(brain = url, %stream_id, agent = hello.agent_name, "agent started");
        let (observations, observed) = mpsc::channel(WAITING_OBSERVATIONS);
        let (handed_over, taken_over) = mpsc::channel(WAITING_HAND_OVERS);
        let (health, mut healths) = mpsc::channel(WAITING_HEALTH);
        let (restarts, restarted) = watch::channel(0);

        let (listings, mut listed) = mpsc::channel::<(_, Vec<ScheduleEntry>)>(WAITING_LISTINGS);
        let configured = adapters.schedulers.iter().filter(|scheduler| scheduler.is_configured());
        let names = adapters.engines.iter().map(|engine| engine.name()).chain(configured.map(|found| found.name()));
        let board = HealthBoard::new(names, Arc::clone(&redactor));
        let schedules = ScheduleBoard::new(Arc::clone(&adapters.schedulers), Arc::clone(&redactor));
        let listing = {
            let schedules = schedules.clone();
            AbortOnDropHandle::new(tokio::spawn(async move {
                while let Some((scheduler, entries)) = listed.recv().await {
                    schedules.list(scheduler, &entries);
                }
            }))
        };
        let noting = {
            let board = board.clone();
            AbortOnDropHandle::new(tokio::spawn(async move {
                while let Some((engine, health)) = healths.recv().await {
                    board.note(engine, &health);
                }
            }))
        };
        let recording = {
            let (redactor, spool, runtime) = (Arc::clone(&redactor), spool.clone(), Handle::current());
            let inlets = Inlets { observations: observed, handed_over: taken_over };
            AbortOnDropHandle::new(tokio::task::spawn_blocking(move || record(inlets, &redactor, &spool, &runtime)))
        };
        let (dispatcher, answers) = Dispatcher::new(Arc::clone(&adapters.engines), redactor);
        let dispatcher = dispatcher.with_schedulers(Arc::clone(&adapters.schedulers));
        let is_live = watch::Sender::new(false);
        let every = reconnect.leftover_check;
        let ways = Arc::new(Ways::new(&dialer));
        let brain = Arc::new(Brain { url, ways, token, times: reconnect, outdated, restarts });
        let heir = Heir {
            leftovers,
            brain: Arc::clone(&brain),
            hello: hello.clone(),
            health: board.clone(),
            dispatcher: dispatcher.clone(),
            schedules: schedules.clone(),
            is_live: is_live.subscribe(),
            every,
        };
        let inheriting = AbortOnDropHandle::new(tokio::spawn(heir.run(stop.clone())));
        let oversize = Oversize::default();
        let courier = Courier {
            hello,
            spool,
            health: board,
            dispatcher,
            answers,
            oversize,
            is_live,
            is_leftover: false,
            schedules,
        };
        let connection = Connection::new(brain, courier);
        let last_call = CancellationToken::new();
        let last_delivery = watch::Sender::new(LAST_DELIVERY);
        let delivering = connection.run(last_call.clone(), last_delivery.subscribe());
        let delivering = AbortOnDropHandle::new(tokio::spawn(delivering));

        // In the order of an event's way: each part ends when the one before it has handed over everything.
        let outlets = Outlets { observations, handed_over, listings, health };
        let told = async {
            stop.cancelled().await;
            Instant::now()
        };
        let observing = observe_all(adapters, outlets, restarted, stop_within / 3, stop.clone());
        let ((), told_at) = tokio::join!(observing, told);
        let recorded_by = told_at + stop_within * 2 / 3;
        let gone_by = told_at + stop_within;
        tokio::join!(
            finish("the buffer", recording, recorded_by),
            finish("the delivery of what was left behind", inheriting, recorded_by)
        );
        // A little of the time is for leaving.
        let time_left = gone_by.saturating_duration_since(Instant::now()).mul_f64(0.8);
        last_delivery.send_replace(time_left.min(LAST_DELIVERY));
        last_call.cancel();
        finish("the connection", delivering, gone_by).await;
        drop((noting, listing));
        tracing::info!("agent stopped");
    }
}

async fn finish(part: &'static str, mut task: AbortOnDropHandle<()>, by: Instant) {
    match timeout_at(by, &mut task).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "{part} failed"),
        Err(_) => tracing::warn!("{part} did not finish in time"),
    }
}

/// A name that is there twice.
fn twice(names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let mut names: Vec<&'static str> = names.collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

fn hello(config: &AgentConfig, name: &str, stream_id: Uuid, engines: &[Arc<dyn Engine>]) -> Hello {
    let mut metadata = config.metadata.clone();
    metadata.insert("hostname".into(), hostname().into());
    metadata.insert("pid".into(), std::process::id().into());
    metadata.insert("os".into(), std::env::consts::OS.into());
    let capabilities: Map<String, Value> =
        engines.iter().map(|engine| (engine.name().to_owned(), engine.capabilities())).collect();
    Hello {
        protocol: version::CURRENT.into(),
        agent_name: name.into(),
        instance_id: stream_id.to_string(),
        framework: Some(config.framework.clone()),
        framework_version: config.framework_version.clone(),
        agent_version: Some(config.version.clone()),
        worker_role: config.worker_role.clone(),
        engines: engines.iter().map(|engine| engine.name().to_owned()).collect(),
        schedulers: Vec::new(),
        capabilities: Value::Object(capabilities),
        extensions: Vec::new(),
        metadata: Value::Object(metadata),
    }
}

/// Where the system says it; `None` where it does not.
fn hostname() -> Option<String> {
    let from_kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = from_kernel.or_else(|| std::env::var("HOSTNAME").ok())?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}
