//! Where the application's database is, as a URL says.

use std::path::PathBuf;
use std::time::Duration;

use mysql_async::{Opts, OptsBuilder, SslOpts};
use thiserror::Error;
use tokio_postgres::config::SslMode;

use crate::Dialect;

/// How long to try to reach one address of a server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a URL cannot be used. Never shows it: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct AddressError(String);

/// Whom to believe that it is the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Whoever answers. Protects from listeners, not from impostors.
    Anyone,
    /// Who has a certificate for the host's name from an authority that the system trusts.
    System,
    /// Who has one from an authority in this file.
    File(PathBuf),
}

/// Where a database is, and how it is entered.
#[derive(Clone)]
pub struct Address(pub(crate) Place);

#[derive(Clone)]
pub(crate) enum Place {
    Postgres(Box<tokio_postgres::Config>, Trust),
    Mysql(Opts),
    Sqlite(PathBuf),
}

impl Address {
    /// Reads a URL: `sqlite:///absolute/path.db`, `postgres://user:password@host:5432/database` or
    /// `mysql://user:password@host:3306/database`, the latter two with `sslmode` and `sslrootcert`.
    ///
    /// # Errors
    /// It is none of these.
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        match scheme {
            "sqlite" if rest.starts_with('/') => Ok(Self(Place::Sqlite(PathBuf::from(rest)))),
            "sqlite" => Err(wrong("the path of a SQLite file must be absolute")),
            "postgres" | "postgresql" => postgres(url),
            "mysql" | "mariadb" => mysql(rest),
            _ => Err(wrong("its scheme is none of sqlite, postgres and mysql")),
        }
    }

    /// What it understands.
    pub fn dialect(&self) -> Dialect {
        match self.0 {
            Place::Postgres(..) => Dialect::Postgres,
            Place::Mysql(_) => Dialect::Mysql,
            Place::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// The database for people: nothing secret.
    pub fn shown(&self) -> String {
        match &self.0 {
            Place::Postgres(config, _) => {
                let hosts = config.get_hosts().iter().map(|host| match host {
                    tokio_postgres::config::Host::Tcp(name) => name.clone(),
                    #[cfg(unix)]
                    tokio_postgres::config::Host::Unix(folder) => folder.display().to_string(),
                });
                let port = config.get_ports().first().copied().unwrap_or(5432);
                let hosts: Vec<String> = hosts.collect();
                let database = config.get_dbname().or_else(|| config.get_user()).unwrap_or_default();
                format!("PostgreSQL at {}:{port}/{database}", hosts.join(","))
            }
            Place::Mysql(opts) => {
                let database = opts.db_name().unwrap_or_default();
                format!("MySQL at {}:{}/{database}", opts.ip_or_hostname(), opts.tcp_port())
            }
            Place::Sqlite(path) => format!("SQLite at {}", path.display()),
        }
    }
}

fn wrong(what: impl Into<String>) -> AddressError {
    AddressError(what.into())
}

/// The URL without what we read ourselves, and that: `sslmode` (MySQL's `ssl-mode` as well) and `sslrootcert`.
fn tls_of(url: &str) -> Result<(String, Option<Trust>, bool), AddressError> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut kept, mut mode, mut file) = (Vec::new(), None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').unwrap_or((pair, "")) {
            ("sslmode" | "ssl-mode", value) => mode = Some(value.to_ascii_lowercase()),
            ("sslrootcert" | "ssl-ca", value) if !value.is_empty() => file = Some(PathBuf::from(value)),
            _ => kept.push(pair),
        }
    }
    let verified = file.clone().map_or(Trust::System, Trust::File);
    let (trust, must) = match mode.as_deref() {
        Some("disable" | "disabled") => (None, false),
        None | Some("prefer" | "preferred") if file.is_none() => (Some(Trust::Anyone), false),
        Some("require" | "required") if file.is_none() => (Some(Trust::Anyone), true),
        None
        | Some(
            "prefer" | "preferred" | "require" | "required" | "verify-ca" | "verify_ca" | "verify-full"
            | "verify_identity",
        ) => (Some(verified), true),
        Some(_) => return Err(wrong("sslmode is one of disable, prefer, require and verify-full")),
    };
    let separator = if kept.is_empty() { "" } else { "?" };
    Ok((format!("{base}{separator}{}", kept.join("&")), trust, must))
}

fn postgres(url: &str) -> Result<Address, AddressError> {
    let (url, trust, must) = tls_of(url)?;
    // Of what the parser says, only the outermost words: what it found may be part of the password.
    let mut config = url.parse::<tokio_postgres::Config>().map_err(|error| wrong(error.to_string()))?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(wrong("it names no host"));
    }
    if config.get_user().is_none() {
        return Err(wrong("it names no user"));
    }
    config.ssl_mode(match (&trust, must) {
        (None, _) => SslMode::Disable,
        (Some(_), false) => SslMode::Prefer,
        (Some(_), true) => SslMode::Require,
    });
    config.connect_timeout(CONNECT_TIMEOUT);
    if config.get_application_name().is_none() {
        config.application_name("taskplane-agent");
    }
    Ok(Address(Place::Postgres(Box::new(config), trust.unwrap_or(Trust::Anyone))))
}

fn mysql(rest: &str) -> Result<Address, AddressError> {
    let (url, trust, must) = tls_of(&format!("mysql://{rest}"))?;
    let opts = Opts::from_url(&url).map_err(|_| wrong("it is not a URL of MySQL"))?;
    if opts.db_name().is_none_or(str::is_empty) {
        return Err(wrong("it names no database"));
    }
    if opts.user().is_none_or(str::is_empty) {
        return Err(wrong("it names no user"));
    }
    let mut builder = OptsBuilder::from_opts(opts).prefer_socket(false);
    // MySQL's client does not fall back from TLS to none: it is used when it is asked for.
    if must {
        let ssl = match trust {
            Some(Trust::File(file)) => SslOpts::default().with_root_certs(vec![file.into()]),
            Some(Trust::Anyone) => SslOpts::default().with_danger_accept_invalid_certs(true),
            _ => SslOpts::default(),
        };
        builder = builder.ssl_opts(ssl);
    }
    Ok(Address(Place::Mysql(builder.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_databases_are_told_apart_and_shown_without_secrets() {
        for (url, shown) in [
            ("sqlite:///srv/app/db.sqlite3", "SQLite at /srv/app/db.sqlite3"),
            ("postgres://me:hunter2@db:5433/shop", "PostgreSQL at db:5433/shop"),
            ("postgresql://me:hunter2@db/shop?sslmode=verify-full", "PostgreSQL at db:5432/shop"),
            ("mysql://me:hunter2@db/shop", "MySQL at db:3306/shop"),
            ("mysql://me:hunter2@db:3307/shop?ssl-mode=REQUIRED", "MySQL at db:3307/shop"),
        ] {
            assert_eq!(Address::parse(url).expect(url).shown(), shown);
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for url in [
            "hunter2",
            "sqlite://hunter2.db",
            "redis://:hunter2@h/0",
            "postgres://me:hunter2@h/d?sslmode=perhaps",
            "postgres:///hunter2",
            "mysql://me:hunter2@h",
            "mysql://h/d",
        ] {
            let error = Address::parse(url).map(|address| address.shown()).expect_err(url).to_string();
            assert!(!error.is_empty() && !error.contains("hunter2"), "{url}: {error}");
        }
    }
}
