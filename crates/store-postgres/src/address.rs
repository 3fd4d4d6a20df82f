//! Where the server is, as `postgres://user:password@host:port/database?…` says.

use std::path::PathBuf;
use std::time::Duration;

use taskplane_store::{Result, StoreError};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// How long to try to reach one address of the server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection over which nothing passes for so long, while something should, is dead.
const UNHEARD: Duration = Duration::from_secs(30);
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Whom to believe that it is the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Whoever answers. Protects from listeners, not from impostors.
    Anyone,
    /// Who has a certificate for the host's name from an authority that the system trusts.
    System,
    /// Who has a certificate for the host's name from an authority in this file.
    File(PathBuf),
}

/// A parsed address.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) config: Config,
    pub(crate) trust: Trust,
}

impl Address {
    /// Parses a URL. What is wrong is said without the URL, which may hold a password.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let wrong = |what: &str| StoreError::CannotOpen(format!("the database URL is not usable: {what}"));
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(wrong("it must look like postgres://user:password@host:5432/database"));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut kept = Vec::new();
        let (mut mode, mut file) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("sslmode", value) => mode = Some(value),
                // `%` escapes have no place in the path of a file that an operator names.
                ("sslrootcert", value) if !value.is_empty() => file = Some(PathBuf::from(value)),
                _ => kept.push(pair),
            }
        }
        let verified = file.clone().map_or(Trust::System, Trust::File);
        let (ssl_mode, trust) = match mode {
            Some("disable") => (SslMode::Disable, Trust::Anyone),
            // A file of authorities says that the certificate matters.
            None | Some("prefer") if file.is_none() => (SslMode::Prefer, Trust::Anyone),
            Some("require") if file.is_none() => (SslMode::Require, Trust::Anyone),
            None | Some("prefer" | "require" | "verify-ca" | "verify-full") => (SslMode::Require, verified),
            Some(_) => return Err(wrong("sslmode is one of disable, prefer, require, verify-full")),
        };
        let separator = if kept.is_empty() { "" } else { "?" };
        let parsed = format!("{base}{separator}{}", kept.join("&")).parse::<Config>();
        // Of what the parser says, only the outermost words: what it found may be part of the password.
        let mut config = parsed.map_err(|error| wrong(&error.to_string()))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(wrong("it names no host"));
        }
        if config.get_user().is_none() {
            return Err(wrong("it names no user"));
        }
        config.ssl_mode(ssl_mode).connect_timeout(CONNECT_TIMEOUT);
        config.keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE).keepalives_retries(2);
        config.tcp_user_timeout(UNHEARD);
        if config.get_application_name().is_none() {
            config.application_name("taskplane");
        }
        Ok(Self { config, trust })
    }

    /// The server, for messages: hosts and ports, nothing secret.
    pub(crate) fn server(&self) -> String {
        let ports = self.config.get_ports();
        let host = |(at, host): (usize, &Host)| {
            let port = ports.get(at).or_else(|| ports.first()).copied().unwrap_or(5432);
            match host {
                Host::Tcp(name) => format!("{name}:{port}"),
                #[cfg(unix)]
                Host::Unix(folder) => format!("{} (port {port})", folder.display()),
            }
        };
        let hosts: Vec<String> = self.config.get_hosts().iter().enumerate().map(host).collect();
        if hosts.is_empty() { format!("{:?}", self.config.get_hostaddrs()) } else { hosts.join(", ") }
    }

    /// The database's name.
    pub(crate) fn database(&self) -> &str {
        self.config.get_dbname().or_else(|| self.config.get_user()).unwrap_or_default()
    }

    /// The user's name.
    pub(crate) fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sslmode_says_whom_to_believe() {
        let parse = |query: &str| {
            let address = Address::parse(&format!("postgres://u:p@h:5433/d{query}")).expect("parses");
            (address.config.get_ssl_mode(), address.trust)
        };
        assert_eq!(parse(""), (SslMode::Prefer, Trust::Anyone));
        assert_eq!(parse("?sslmode=disable"), (SslMode::Disable, Trust::Anyone));
        assert_eq!(parse("?sslmode=require&connect_timeout=3"), (SslMode::Require, Trust::Anyone));
        assert_eq!(parse("?sslmode=verify-full"), (SslMode::Require, Trust::System));
        let file = Trust::File("/etc/ca.pem".into());
        assert_eq!(parse("?sslmode=verify-full&sslrootcert=/etc/ca.pem"), (SslMode::Require, file.clone()));
        assert_eq!(parse("?sslrootcert=/etc/ca.pem"), (SslMode::Require, file));
    }

    #[test]
    fn the_server_is_named_without_secrets() {
        let address = Address::parse("postgresql://me:hunter2@db.example.com:5433/tasks").expect("parses");
        assert_eq!(address.server(), "db.example.com:5433");
        assert_eq!((address.user(), address.database()), ("me", "tasks"));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for url in [
            "hunter2",
            "mysql://me:hunter2@h/d",
            "postgres://me:hunter2@h:port/d",
            "postgres://me:hunter2@h/d?sslmode=perhaps",
            "postgres://me:hunter2@h/d?nonsense=1",
            "postgres://me:hunter2@",
            "postgres:///d",
            "host=h password=hunter2",
        ] {
            let error = Address::parse(url).expect_err("is refused").to_string();
            assert!(error.contains("database URL") && !error.contains("hunter2"), "{url}: {error}");
        }
    }
}
