//! What the engine is told: where the broker is, and how patient to be.

use std::{fmt, path::PathBuf, time::Duration};

use taskplane_celery_address::AddressError;

/// How to reach one Celery deployment.
#[derive(Clone)]
pub struct CeleryConfig {
    /// `redis[s]://[user:password@]host[:port][/db]`, `sentinel://host[:port][;…][/db]?master_name=NAME` or
    /// `amqp[s]://[user:password@]host[:port][/vhost]`, as in the application's `broker_url`; with kombu's `ssl_` options
    /// behind a question mark and, for Redis, the application's transport options `global_keyprefix` and `fanout_prefix`.
    pub broker_url: String,
    /// Where results are kept, as in the application's `result_backend`, when that is not the broker's own Redis
    /// database, or their keys have a `global_keyprefix`; or in a database, `db+postgresql://…`, `db+mysql://…` or
    /// `db+sqlite:////…`, and for django-celery-results that of the application behind `django-db+`. With RabbitMQ and none
    /// given, results are known from events alone.
    pub result_backend_url: Option<String>,
    /// Host-local directory for the arguments of failed tasks. Without it they are kept in memory only.
    pub payload_dir: Option<PathBuf>,
    /// Have the workers send task events.
    pub task_events: bool,
    /// What is watched by the engine itself.
    pub watch: Watch,
    /// Most memory for what is remembered of tasks, in bytes, by estimate.
    pub memory: usize,
    /// How patient to be. The defaults suit production; tests shorten them.
    pub timings: Timings,
}

impl CeleryConfig {
    /// A configuration for an agent in the application's own process, which tells what happens there.
    pub fn inside(broker_url: impl Into<String>) -> Self {
        // Every host of the application has such an agent: each looks less often than one that is alone beside it.
        let timings = Timings { sample_every: Duration::from_secs(5), ..Timings::default() };
        Self { watch: Watch::Queues, memory: INSIDE_MEMORY, timings, ..Self::new(broker_url) }
    }

    /// A configuration with nothing but the broker's URL.
    pub fn new(broker_url: impl Into<String>) -> Self {
        Self {
            broker_url: broker_url.into(),
            result_backend_url: None,
            payload_dir: None,
            task_events: true,
            watch: Watch::default(),
            memory: BESIDE_MEMORY,
            timings: Timings::default(),
        }
    }
}

/// Where the engine learns of tasks and workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watch {
    /// From the broker: it listens to events and results, and asks the workers.
    #[default]
    Everything,
    /// From inside the application, which tells it ([`told`](crate::CeleryEngine::told)): it samples the queues
    /// itself, and nothing else. Workers are asked only for the sake of a command.
    Queues,
}

/// Memory for tasks beside the application, and within it, in bytes.
const BESIDE_MEMORY: usize = 48 << 20;
const INSIDE_MEMORY: usize = 16 << 20;

impl fmt::Debug for CeleryConfig {
    /// URLs may carry passwords: only what is safe to log is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CeleryConfig").field("payload_dir", &self.payload_dir).finish_non_exhaustive()
    }
}

/// How long the engine waits for things.
#[derive(Clone, Debug)]
pub struct Timings {
    /// How long a result waits for the event that tells of the same thing.
    pub result_hold: Duration,
    /// Between two samples of the queues.
    pub sample_every: Duration,
    /// A queue that does not change is told again after this long.
    pub sample_repeat: Duration,
    /// Between two rounds of `enable_events`, `stats` and `active_queues`.
    pub control_every: Duration,
    /// The same while no events are wanted: what workers hold is then known from asking alone.
    pub inspect_every: Duration,
    /// Between two looks for new results in a database.
    pub results_every: Duration,
    /// How long replies of workers are awaited.
    pub control_wait: Duration,
    /// A worker silent for this long (or four of its heartbeats, if that is longer) counts as gone.
    pub worker_silence: Duration,
    /// The same for the `solo` pool, which sends nothing while a task runs.
    pub solo_silence: Duration,
    /// Heartbeats of a worker are passed on at most this often when nothing changed.
    pub heartbeat_every: Duration,
    /// The same when its counters changed.
    pub heartbeat_changed: Duration,
    /// Shortest and longest pause before connecting again.
    pub reconnect: (Duration, Duration),
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            result_hold: Duration::from_secs(2),
            sample_every: Duration::from_secs(2),
            sample_repeat: Duration::from_secs(10),
            control_every: Duration::from_secs(60),
            inspect_every: Duration::from_secs(10),
            results_every: Duration::from_secs(3),
            control_wait: Duration::from_secs(1),
            worker_silence: Duration::from_secs(15),
            solo_silence: Duration::from_secs(600),
            heartbeat_every: Duration::from_secs(10),
            heartbeat_changed: Duration::from_secs(2),
            reconnect: (Duration::from_millis(500), Duration::from_secs(30)),
        }
    }
}

/// Why the configuration cannot be used. Never shows a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The URL is none.
    #[error(
        "the {what} URL cannot be read: {why}. Write it as redis://[user:password@]host[:port][/db], \
         sentinel://host[:port];host[:port]/db?master_name=NAME or amqp://[user:password@]host[:port][/vhost] (rediss:// \
         and amqps:// with TLS), with % escapes in what is special in a URL"
    )]
    BadUrl {
        /// Which URL.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The scheme is none that the engine speaks.
    #[error("the {what} URL starts with {scheme}://, which is not supported. {hint}")]
    UnsupportedScheme {
        /// Which URL.
        what: &'static str,
        /// Its scheme.
        scheme: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// A file that the URL names cannot be used.
    #[error(
        "the {what} URL names the file {path}, which cannot be used: {why}. Give a PEM file that the agent may read"
    )]
    TlsFile {
        /// Which URL.
        what: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The URL of a database with results cannot be used.
    #[error(
        "the result backend URL cannot be used: {why}. Write it as db+postgresql://user:password@host:5432/database, \
         db+mysql://user:password@host:3306/database or db+sqlite:////absolute/path.db, and with django-db+ in front where \
         django-celery-results keeps them: django-db+postgresql://user:password@host/database, django-db+sqlite:///absolute/path.db"
    )]
    ResultDatabase {
        /// What is wrong with it.
        why: String,
    },
    /// The directory for arguments cannot be used.
    #[error("the payload directory {dir} cannot be used: {why}. Give a directory that the agent may write to")]
    PayloadDir {
        /// The directory.
        dir: String,
        /// What is wrong with it.
        why: String,
    },
}

/// An address that cannot be used.
pub(crate) fn unusable(what: &'static str, error: AddressError) -> ConfigError {
    match error {
        AddressError::Url(why) => ConfigError::BadUrl { what, why },
        AddressError::File { path, why } => ConfigError::TlsFile { what, path, why },
    }
}

/// A scheme that is none of those spoken.
pub(crate) fn unsupported(what: &'static str, scheme: &str) -> ConfigError {
    let hint =
        "Give the redis://, rediss://, sentinel://, amqp:// or amqps:// URL that the application has as its broker_url";
    // The scheme may be a secret pasted in the wrong place: show it only when it looks like one.
    let plain = scheme.len() <= 20 && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    ConfigError::UnsupportedScheme { what, scheme: if plain { scheme.to_owned() } else { "…".to_owned() }, hint }
}
