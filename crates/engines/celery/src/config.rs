//! What the engine is told: where the broker is, and how patient to be.

use std::{fmt, path::PathBuf, time::Duration};

use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};

/// How to reach one Celery deployment.
#[derive(Clone)]
pub struct CeleryConfig {
    /// `redis://[user:password@]host[:port][/db]`, as in the application's `broker_url`.
    pub broker_url: String,
    /// Where results are kept, when that is not the broker's own database.
    pub result_backend_url: Option<String>,
    /// Host-local directory for the arguments of failed tasks. Without it they are kept in memory only.
    pub payload_dir: Option<PathBuf>,
    /// How patient to be. The defaults suit production; tests shorten them.
    pub timings: Timings,
}

impl CeleryConfig {
    /// A configuration with nothing but the broker's URL.
    pub fn new(broker_url: impl Into<String>) -> Self {
        Self { broker_url: broker_url.into(), result_backend_url: None, payload_dir: None, timings: Timings::default() }
    }
}

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
    #[error("the {what} URL cannot be read: {why}. Write it as redis://[user:password@]host[:port][/db]")]
    BadUrl {
        /// Which URL.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The scheme is none that the engine speaks.
    #[error("the {what} URL starts with {scheme}://, but only redis:// is supported for Celery. {hint}")]
    UnsupportedScheme {
        /// Which URL.
        what: &'static str,
        /// Its scheme.
        scheme: String,
        /// What to do about it.
        hint: &'static str,
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

/// One Redis database, and its name for people.
#[derive(Clone)]
pub(crate) struct RedisAddress {
    pub(crate) client: Client,
    pub(crate) db: i64,
    /// `host:port/db`, without credentials.
    pub(crate) shown: String,
    /// What two databases of one server have in common.
    server: (String, Option<String>),
}

impl RedisAddress {
    /// Reads a URL as Celery writes it. `what` names it in errors.
    pub(crate) fn parse(what: &'static str, url: &str) -> Result<Self, ConfigError> {
        let bad = |why: &str| ConfigError::BadUrl { what, why: why.to_owned() };
        let (scheme, rest) = url.trim().split_once("://").ok_or_else(|| bad("it has no scheme"))?;
        if scheme != "redis" {
            return Err(unsupported(what, scheme));
        }
        let (rest, _options) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, host) = match authority.rsplit_once('@') {
            Some((credentials, host)) => (Some(credentials), host),
            None => (None, authority),
        };
        let (host, port) = host_and_port(host).ok_or_else(|| bad("the port is not a number from 1 to 65535"))?;
        let db = database(path).ok_or_else(|| bad("the database (after the last /) is not a number"))?;
        let (user, password) =
            split_credentials(credentials).ok_or_else(|| bad("the credentials are badly escaped"))?;
        let mut settings = RedisConnectionInfo::default().set_db(db);
        if let Some(user) = user.as_deref().filter(|u| !u.is_empty()) {
            settings = settings.set_username(user);
        }
        if let Some(password) = password.filter(|p| !p.is_empty()) {
            settings = settings.set_password(password);
        }
        let info: ConnectionInfo = ConnectionAddr::Tcp(host.clone(), port)
            .into_connection_info()
            .map_err(|_| bad("the host cannot be used"))?
            .set_redis_settings(settings);
        let client = Client::open(info).map_err(|_| bad("the host cannot be used"))?;
        let server = format!("{host}:{port}");
        Ok(Self { client, db, shown: format!("{server}/{db}"), server: (server, user) })
    }

    /// True when both lie on one server and are reached as the same user, so that one subscription serves both.
    pub(crate) fn same_server(&self, other: &Self) -> bool {
        self.server == other.server
    }
}

fn unsupported(what: &'static str, scheme: &str) -> ConfigError {
    let hint = match scheme {
        "rediss" => "Redis over TLS is not supported yet: let the agent reach Redis through a TLS tunnel on its host",
        "sentinel" => "Redis Sentinel is not supported yet: give the address of the current master",
        "amqp" | "amqps" | "pyamqp" => "RabbitMQ is not supported yet",
        _ => "Give the redis:// URL of the application's broker_url",
    };
    // The scheme may be a secret pasted in the wrong place: show it only when it looks like one.
    let plain = scheme.len() <= 20 && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    ConfigError::UnsupportedScheme { what, scheme: if plain { scheme.to_owned() } else { "…".to_owned() }, hint }
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    // An IPv6 address stands in brackets, and its colons are no port.
    let (host, port) = match text.strip_prefix('[').and_then(|t| t.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None | Some("") => 6379,
        Some(port) => port.parse().ok().filter(|p| *p > 0)?,
    };
    Some((if host.is_empty() { "localhost".to_owned() } else { host.to_owned() }, port))
}

fn database(path: &str) -> Option<i64> {
    match path.trim_matches('/') {
        "" => Some(0),
        db => db.parse().ok().filter(|db| (0..1_000_000).contains(db)),
    }
}

type Credentials = (Option<String>, Option<String>);

fn split_credentials(text: Option<&str>) -> Option<Credentials> {
    let Some(text) = text else { return Some((None, None)) };
    match text.split_once(':') {
        Some((user, password)) => Some((Some(percent_decode(user)?), Some(percent_decode(password)?))),
        None => Some((Some(percent_decode(text)?), None)),
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<RedisAddress, ConfigError> {
        RedisAddress::parse("broker", url)
    }

    #[test]
    fn urls_are_read_as_celery_writes_them() {
        for (url, shown) in [
            ("redis://localhost", "localhost:6379/0"),
            ("redis://localhost:7000/3", "localhost:7000/3"),
            ("redis://:p%40ss@redis.internal:6379//2", "redis.internal:6379/2"),
            ("redis://[::1]:6380/1?ssl_cert_reqs=none", "::1:6380/1"),
            ("redis:///4", "localhost:6379/4"),
        ] {
            assert_eq!(parse(url).expect(url).shown, shown);
        }
        let info = parse("redis://bob:p%40s%3As@h/0").expect("parses");
        let settings = info.client.get_connection_info().redis_settings().clone();
        assert_eq!((settings.username(), settings.password()), (Some("bob"), Some("p@s:s")));
    }

    #[test]
    fn a_bad_url_is_explained_without_its_password() {
        for url in
            ["redis://u:hunter2@h:notaport/0", "redis://u:hunter2@h/abc", "u:hunter2@h", "rediss://u:hunter2@h/0"]
        {
            let error = parse(url).err().expect("is refused").to_string();
            assert!(!error.contains("hunter2") && error.contains("broker URL"), "{error}");
        }
        let error = parse("amqp://guest:guest@h//").err().expect("is refused").to_string();
        assert!(error.contains("RabbitMQ is not supported yet"), "{error}");
        assert!(!format!("{:?}", CeleryConfig::new("redis://u:hunter2@h")).contains("hunter2"));
    }

    #[test]
    fn two_databases_of_one_server_share_a_subscription() {
        let a = parse("redis://h:1/0").expect("parses");
        assert!(a.same_server(&parse("redis://h:1/5").expect("parses")));
        assert!(!a.same_server(&parse("redis://h:2/0").expect("parses")));
    }
}
