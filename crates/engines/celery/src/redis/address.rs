//! Where a Redis database is.

use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};

use crate::{broker::url::Url, config::ConfigError};

const DEFAULT_PORT: u16 = 6379;

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
    /// Takes a URL as Celery writes it. `what` names it in errors.
    pub(crate) fn new(what: &'static str, url: Url) -> Result<Self, ConfigError> {
        let bad = |why: &str| ConfigError::BadUrl { what, why: why.to_owned() };
        let db = database(&url.path).ok_or_else(|| bad("the database (after the last /) is not a number"))?;
        let port = url.port.unwrap_or(DEFAULT_PORT);
        let mut settings = RedisConnectionInfo::default().set_db(db);
        if let Some(user) = url.user.as_deref() {
            settings = settings.set_username(user);
        }
        if let Some(password) = url.password.as_deref() {
            settings = settings.set_password(password);
        }
        let info: ConnectionInfo = ConnectionAddr::Tcp(url.host.clone(), port)
            .into_connection_info()
            .map_err(|_| bad("the host cannot be used"))?
            .set_redis_settings(settings);
        let client = Client::open(info).map_err(|_| bad("the host cannot be used"))?;
        let server = format!("{}:{port}", url.host);
        Ok(Self { client, db, shown: format!("{server}/{db}"), server: (server, url.user) })
    }

    /// True when both lie on one server and are reached as the same user, so that one subscription serves both.
    pub(crate) fn same_server(&self, other: &Self) -> bool {
        self.server == other.server
    }
}

fn database(path: &str) -> Option<i64> {
    match path.trim_matches('/') {
        "" => Some(0),
        db => db.parse().ok().filter(|db| (0..1_000_000).contains(db)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> RedisAddress {
        RedisAddress::new("broker", Url::parse(url).expect(url)).expect(url)
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
            assert_eq!(parse(url).shown, shown);
        }
        let info = parse("redis://bob:p%40s%3As@h/0");
        let settings = info.client.get_connection_info().redis_settings().clone();
        assert_eq!((settings.username(), settings.password()), (Some("bob"), Some("p@s:s")));
    }

    #[test]
    fn two_databases_of_one_server_share_a_subscription() {
        let a = parse("redis://h:1/0");
        assert!(a.same_server(&parse("redis://h:1/5")));
        assert!(!a.same_server(&parse("redis://h:2/0")));
    }
}
