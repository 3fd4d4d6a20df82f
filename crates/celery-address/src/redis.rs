//! Where a Redis database is, and how it is reached.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use redis::{
    AsyncCommands as _, AsyncConnectionConfig, Client, ConnectionAddr, RedisConnectionInfo, RedisError, RedisResult,
    Value,
    aio::{MultiplexedConnection, PubSub},
};
use thiserror::Error;
use tokio::time::timeout;

use crate::{
    Url, explain, explain_on,
    sentinel::Sentinels,
    tls::{Tls, connection},
};

const DEFAULT_PORT: u16 = 6379;
/// How long a connection may take to come up.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Options of a URL that mean something here, or to those who ask for them. kombu and redis-py have more, which an agent
/// has no use for.
const KNOWN: [&str; 9] = [
    "ssl",
    "master_name",
    "service_name",
    "sentinel_username",
    "sentinel_password",
    "sentinel_ssl",
    "global_keyprefix",
    "fanout_prefix",
    "fanout_patterns",
];

/// Why an address cannot be used. Never shows it: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// The text is no such address.
    #[error("{0}")]
    Url(String),
    /// A file that it names cannot be used.
    #[error("the file {path} cannot be used: {why}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

/// One Redis database, on one server or on whichever is the master now, and its name for people.
#[derive(Clone)]
pub struct RedisAddress {
    place: Place,
    settings: RedisConnectionInfo,
    tls: Option<Tls>,
    shown: String,
    /// What two databases of one server have in common.
    server: (String, Option<String>),
    options: Vec<(String, String)>,
}

#[derive(Clone)]
enum Place {
    Server(String, u16),
    Master(Sentinels),
}

impl RedisAddress {
    /// Takes a URL as Celery writes it: `redis://`, `rediss://`, or several of `sentinel://` with semicolons between them.
    ///
    /// # Errors
    /// It is none, or names files that cannot be used.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let urls = urls(text)?;
        let Some(first) = urls.first() else { return Err(wrong("it is empty")) };
        let is_sentinel = matches!(first.scheme.as_str(), "sentinel" | "redis-sentinel");
        if !is_sentinel && urls.len() > 1 {
            return Err(wrong("several servers are named, which goes with sentinel:// alone"));
        }
        // Of several, each may say what holds for all; the first that says it counts.
        let mut url = first.clone();
        url.user = urls.iter().find_map(|url| url.user.clone());
        url.password = urls.iter().find_map(|url| url.password.clone());
        url.options = urls.iter().flat_map(|url| url.options.clone()).collect();
        url.path =
            urls.iter().map(|url| url.path.clone()).find(|path| !path.trim_matches('/').is_empty()).unwrap_or_default();
        let db = database(&url.path).ok_or_else(|| wrong("the database (after the last /) is not a number"))?;
        let tls = Tls::of(&url)?;
        let (place, server) = if is_sentinel {
            let sentinels = Sentinels::of(&urls, &url, tls.as_ref())?;
            let server = sentinels.shown();
            (Place::Master(sentinels), server)
        } else {
            let port = url.port.unwrap_or(DEFAULT_PORT);
            let server = format!("{}:{port}", url.host);
            (Place::Server(url.host.clone(), port), server)
        };
        let shown = format!("{server}/{db}");
        let settings = settings(db, url.user.as_deref(), url.password.as_deref());
        if is_new(&shown) {
            warn_of_unknown(&url);
            tls.iter().for_each(|tls| tls.warn(&shown));
        }
        let address = Self { place, settings, tls, shown, server: (server, url.user), options: url.options };
        if let Place::Server(host, port) = &address.place {
            address.client(host, *port)?;
        }
        Ok(address)
    }

    /// `host:port/db`, or the name of the master, without credentials.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The number of the database.
    pub fn db(&self) -> i64 {
        self.settings.db()
    }

    /// The value of an option of the URL.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// True when both lie on one server and are reached as the same user, so that one subscription serves both.
    pub fn same_server(&self, other: &Self) -> bool {
        self.server == other.server
    }

    /// A connection for commands. With `answer_within`, it gives up on an answer that takes longer.
    ///
    /// # Errors
    /// Why there is none, to stand behind "Redis at …".
    pub async fn connect(&self, answer_within: Option<Duration>) -> Result<MultiplexedConnection, String> {
        match &self.place {
            Place::Server(host, port) => self.reach(host, *port, answer_within).await,
            Place::Master(sentinels) => self.master(sentinels, answer_within).await.map(|(connection, _)| connection),
        }
    }

    /// A connection that subscribes to `patterns`.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn subscribe(&self, patterns: &[String]) -> Result<PubSub, String> {
        let client = match &self.place {
            Place::Server(host, port) => self.client(host, *port).map_err(|error| unusable(&error))?,
            // A replica would take the subscription as well, and stay silent once it is cut off.
            Place::Master(sentinels) => self.master(sentinels, Some(CONNECT_WITHIN)).await?.1,
        };
        let connect = async {
            let mut pubsub = client.get_async_pubsub().await.map_err(|error| self.unreached(&error))?;
            for pattern in patterns {
                let subscribed = pubsub.psubscribe(pattern).await;
                subscribed.map_err(|error| match error.code() {
                    Some(_) => explain_on(&error, &format!("&{pattern}")),
                    None => self.unreached(&error),
                })?;
            }
            Ok(pubsub)
        };
        timeout(CONNECT_WITHIN, connect).await.unwrap_or_else(|_| Err(self.late()))
    }

    /// A connection to the server that is the master, and what makes more of them.
    async fn master(
        &self,
        sentinels: &Sentinels,
        answer_within: Option<Duration>,
    ) -> Result<(MultiplexedConnection, Client), String> {
        let (host, port) = sentinels.master().await?;
        let named = |why: String| format!("has its master at {host}:{port}, which {why}");
        let mut connection = self.reach(&host, port, answer_within).await.map_err(named)?;
        let role: RedisResult<Value> = redis::cmd("ROLE").query_async(&mut connection).await;
        // Who may not ask has to believe the sentinels.
        let is_replica =
            matches!(&role, Ok(Value::Array(told)) if told.first() == Some(&Value::BulkString(b"slave".to_vec())));
        if is_replica {
            return Err(named("is a replica: a failover is under way".to_owned()));
        }
        let client = self.client(&host, port).map_err(|error| unusable(&error))?;
        Ok((connection, client))
    }

    async fn reach(
        &self,
        host: &str,
        port: u16,
        answer_within: Option<Duration>,
    ) -> Result<MultiplexedConnection, String> {
        let client = self.client(host, port).map_err(|error| unusable(&error))?;
        let mut connection = connect(&client, answer_within).await.map_err(|error| self.unreached(&error))?;
        // A server that wants TLS, or another certificate, shows it by the first answer. Who may not ask still gets one.
        let tried = timeout(CONNECT_WITHIN, connection.ping::<()>()).await.map_err(|_| self.late())?;
        match tried {
            Err(error) if error.code().is_none() => Err(self.unreached(&error)),
            _ => Ok(connection),
        }
    }

    fn client(&self, host: &str, port: u16) -> Result<Client, AddressError> {
        client(host, port, self.settings.clone(), self.tls.as_ref())
    }

    /// Why a connection did not come up, which often is because of TLS.
    fn unreached(&self, error: &RedisError) -> String {
        let why = explain(error);
        let hint = match &self.tls {
            None => ": if it wants TLS, write rediss://",
            Some(tls) if !tls.has_certificate() => {
                ": if it wants a certificate of the agent, name it with ssl_certfile=/path/cert.pem and \
                 ssl_keyfile=/path/key.pem in the URL"
            }
            Some(_) => "",
        };
        match why.as_str() {
            "closed the connection" => format!("{why}{hint}"),
            // A port without TLS waits for the end of what is no command to it.
            "did not answer in time" => self.late(),
            _ => why,
        }
    }

    fn late(&self) -> String {
        match &self.tls {
            Some(_) => "did not answer in time: if it does not speak TLS on this port, write redis://".to_owned(),
            None => "did not answer in time".to_owned(),
        }
    }
}

/// What makes connections to a server.
pub(crate) fn client(
    host: &str,
    port: u16,
    settings: RedisConnectionInfo,
    tls: Option<&Tls>,
) -> Result<Client, AddressError> {
    match tls {
        Some(tls) => tls.client(host, port, settings),
        None => {
            let addr = ConnectionAddr::Tcp(host.to_owned(), port);
            Client::open(connection(addr, settings)?).map_err(|_| wrong("the host cannot be used"))
        }
    }
}

pub(crate) async fn connect(client: &Client, answer_within: Option<Duration>) -> RedisResult<MultiplexedConnection> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_WITHIN)).set_response_timeout(answer_within);
    client.get_multiplexed_async_connection_with_config(&config).await
}

pub(crate) fn settings(db: i64, user: Option<&str>, password: Option<&str>) -> RedisConnectionInfo {
    // The name of the driver's library is of no use to anybody, and a right that few users have.
    let mut settings = RedisConnectionInfo::default().set_db(db).set_skip_set_lib_name();
    if let Some(user) = user {
        settings = settings.set_username(user);
    }
    if let Some(password) = password {
        settings = settings.set_password(password);
    }
    settings
}

pub(crate) fn unusable(error: &AddressError) -> String {
    format!("cannot be reached: {error}")
}

fn wrong(why: &str) -> AddressError {
    AddressError::Url(why.to_owned())
}

/// The URLs of a list; one that names no scheme has that of the first.
fn urls(text: &str) -> Result<Vec<Url>, AddressError> {
    let mut scheme = String::new();
    let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let url = match part.contains("://") || scheme.is_empty() {
                true => Url::parse(part),
                false => Url::parse(&format!("{scheme}://{part}")),
            };
            let url = url.map_err(wrong)?;
            scheme.clone_from(&url.scheme);
            Ok(url)
        })
        .collect()
}

fn database(path: &str) -> Option<i64> {
    match path.trim_matches('/') {
        "" => Some(0),
        db => db.parse().ok().filter(|db| (0..1_000_000).contains(db)),
    }
}

/// True for the first who asks: an address is read wherever it is needed, and warned of once.
fn is_new(shown: &str) -> bool {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(shown.to_owned())
}

/// A misspelt option would be left out silently. Names only: a value may be secret.
fn warn_of_unknown(url: &Url) {
    for (name, _) in &url.options {
        let close = KNOWN.iter().find(|known| {
            let bare = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
            bare(known) == bare(name) && *known != name
        });
        if let Some(close) = close {
            tracing::warn!(option = name, "an option of the Redis URL is not known: did you mean {close}?");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> RedisAddress {
        RedisAddress::parse(url).expect(url)
    }

    #[test]
    fn urls_are_read_as_celery_writes_them() {
        for (url, shown) in [
            ("redis://localhost", "localhost:6379/0"),
            ("redis://localhost:7000/3", "localhost:7000/3"),
            ("redis://:p%40ss@redis.internal:6379//2", "redis.internal:6379/2"),
            ("rediss://[::1]:6380/1?ssl_cert_reqs=none", "::1:6380/1"),
            ("redis:///4", "localhost:6379/4"),
        ] {
            assert_eq!(parse(url).shown(), shown);
        }
        let settings = parse("redis://bob:p%40s%3As@h/0").settings;
        assert_eq!((settings.username(), settings.password()), (Some("bob"), Some("p@s:s")));
    }

    #[test]
    fn several_sentinels_name_one_master() {
        let list = "sentinel://:pw@a:1;sentinel://b;c:3/2?master_name=main&sentinel_password=other";
        let address = parse(list);
        assert_eq!(address.shown(), "the master main of Sentinel a:1/2");
        assert_eq!((address.settings.password(), address.db()), (Some("pw"), 2));
        let error = RedisAddress::parse("sentinel://:hunter2@a:1/0").map(|a| a.shown).expect_err("no name").to_string();
        assert!(error.contains("master_name") && !error.contains("hunter2"), "{error}");
        assert!(RedisAddress::parse("redis://a;redis://b").is_err());
    }

    #[test]
    fn two_databases_of_one_server_share_a_subscription() {
        let a = parse("redis://h:1/0");
        assert!(a.same_server(&parse("redis://h:1/5")));
        assert!(!a.same_server(&parse("redis://h:2/0")));
    }

    #[test]
    fn files_of_tls_are_looked_at_before_anything_is_contacted() {
        let folder = tempfile::tempdir().expect("a folder");
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "nothing").expect("written");
        for (options, why) in [
            ("ssl_ca_certs=/no/such.pem".to_owned(), "/no/such.pem"),
            (format!("ssl_ca_certs={}", empty.display()), "no certificate"),
            ("ssl_keyfile=/k".to_owned(), "ssl_certfile"),
            ("ssl_cert_reqs=perhaps".to_owned(), "ssl_cert_reqs"),
        ] {
            let told = RedisAddress::parse(&format!("rediss://:hunter2@h?{options}")).map(|a| a.shown).expect_err(why);
            let told = told.to_string();
            assert!(told.contains(why) && !told.contains("hunter2"), "{told}");
        }
    }
}
