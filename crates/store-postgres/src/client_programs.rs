//! PostgreSQL's own programs, run against the server that a URL names. What they need to know goes through their environment:
//! other users of the machine can read command lines.

use std::path::Path;
use std::process::{Output, Stdio};

use taskplane_store::{Result, StoreError};
use tokio::process::Command;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use crate::address::{Address, Trust};

/// The first version that takes `system` for the system's authorities …
const KNOWS_SYSTEM: u32 = 16;
/// … and where they are for older ones, on most systems.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
/// Most of what a program says that is told on, in bytes.
const MAX_SAID: usize = 2_000;

/// A program that is there, and not older than the server.
#[derive(Debug)]
pub(crate) struct Program {
    name: &'static str,
    version: u32,
}

impl Program {
    /// Looks for `name`; `server` is the server's major version.
    pub(crate) async fn find(name: &'static str, server: u32) -> Result<Self> {
        let install = format!(
            "install PostgreSQL's client programs of version {server} or newer (such as the package postgresql-client-{server})"
        );
        let mut command = Command::new(name);
        let asked = command.arg("--version").stdin(Stdio::null()).kill_on_drop(true).output().await;
        let output =
            asked.map_err(|error| StoreError::CannotOpen(format!("{name} cannot be run ({error}): {install}")))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let version = major_version(&said)
            .ok_or_else(|| StoreError::CannotOpen(format!("{name} does not say which version it is: {install}")))?;
        if version < server {
            return Err(StoreError::CannotOpen(format!(
                "{name} is version {version} and the server is PostgreSQL {server}: {install}"
            )));
        }
        Ok(Self { name, version })
    }

    /// Runs it to its end with `args`, against the server of `address`.
    pub(crate) async fn run(&self, address: &Address, args: &[&str]) -> Result<Output> {
        let mut command = Command::new(self.name);
        for (name, value) in environment(address, self.version)? {
            if value.is_empty() {
                command.env_remove(name);
            } else {
                command.env(name, value);
            }
        }
        // A service or a file of passwords could say something else.
        command.env_remove("PGSERVICE").env_remove("PGPASSFILE").env("LC_ALL", "C");
        let output = command.args(args).stdin(Stdio::null()).kill_on_drop(true).output().await;
        let output =
            output.map_err(|error| StoreError::Unavailable(format!("{} cannot be run ({error})", self.name)))?;
        if output.status.success() {
            return Ok(output);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said: String = said.trim().chars().take(MAX_SAID).collect();
        Err(StoreError::Unavailable(format!("{} failed: {}", self.name, said.replace('\n', "; "))))
    }
}

/// From `pg_dump (PostgreSQL) 15.4 (Debian …)`.
fn major_version(said: &str) -> Option<u32> {
    let number = said.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// What libpq reads from the environment; empty for what is not to be set.
fn environment(address: &Address, version: u32) -> Result<Vec<(&'static str, String)>> {
    let config = &address.config;
    let list = |items: Vec<String>| items.join(",");
    let mut set = vec![("PGUSER", address.user().to_owned()), ("PGDATABASE", address.database().to_owned())];
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(folder) => folder.display().to_string(),
    });
    set.push(("PGHOST", list(hosts.collect())));
    set.push(("PGHOSTADDR", list(config.get_hostaddrs().iter().map(ToString::to_string).collect())));
    set.push(("PGPORT", list(config.get_ports().iter().map(ToString::to_string).collect())));
    set.push(("PGPASSWORD", String::from_utf8_lossy(config.get_password().unwrap_or_default()).into_owned()));
    set.push(("PGOPTIONS", config.get_options().unwrap_or_default().to_owned()));
    set.push(("PGAPPNAME", "taskplane".to_owned()));
    if config.get_target_session_attrs() == TargetSessionAttrs::ReadWrite {
        set.push(("PGTARGETSESSIONATTRS", "read-write".to_owned()));
    }
    let mode = match (&address.trust, config.get_ssl_mode()) {
        (_, SslMode::Disable) => "disable",
        (Trust::Anyone, SslMode::Prefer) => "prefer",
        (Trust::Anyone, _) => "require",
        (Trust::System | Trust::File(_), _) => "verify-full",
    };
    set.push(("PGSSLMODE", mode.to_owned()));
    match &address.trust {
        // A file of authorities in the user's home would make libpq look at the certificate all the same.
        Trust::Anyone => set.push(("PGSSLROOTCERT", "/nonexistent".to_owned())),
        Trust::File(path) => set.push(("PGSSLROOTCERT", path.display().to_string())),
        Trust::System if version >= KNOWS_SYSTEM => set.push(("PGSSLROOTCERT", "system".to_owned())),
        Trust::System => {
            let file = SYSTEM_AUTHORITIES.into_iter().find(|file| Path::new(file).exists()).ok_or_else(|| {
                StoreError::CannotOpen(
                    "the system's certificate authorities are not found: name them with sslrootcert in --database-url"
                        .into(),
                )
            })?;
            set.push(("PGSSLROOTCERT", file.to_owned()));
        }
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(major_version("pg_dump (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n"), Some(15));
        assert_eq!(major_version("pg_dump (PostgreSQL) 17beta1"), Some(17));
        assert_eq!(major_version("command not understood"), None);
    }

    #[test]
    fn what_the_url_says_goes_through_the_environment() {
        let url = "postgres://me:hunter2@h1:5433,h2:5434/d?sslmode=verify-full&sslrootcert=/ca.pem&target_session_attrs=read-write\
                   &options=-csearch_path%3Dours";
        let set = environment(&Address::parse(url).expect("parses"), 15).expect("is whole");
        let value = |name: &str| set.iter().find(|(of, _)| *of == name).map(|(_, value)| value.as_str());
        for (name, expected) in [
            ("PGHOST", "h1,h2"),
            ("PGPORT", "5433,5434"),
            ("PGUSER", "me"),
            ("PGPASSWORD", "hunter2"),
            ("PGDATABASE", "d"),
            ("PGSSLMODE", "verify-full"),
            ("PGSSLROOTCERT", "/ca.pem"),
            ("PGTARGETSESSIONATTRS", "read-write"),
            ("PGOPTIONS", "-csearch_path=ours"),
        ] {
            assert_eq!(value(name), Some(expected), "{name}");
        }
        for (query, mode) in [("disable", "disable"), ("prefer", "prefer"), ("require", "require")] {
            let address = Address::parse(&format!("postgres://u@h/d?sslmode={query}")).expect("parses");
            let set = environment(&address, 15).expect("is whole");
            assert!(set.contains(&("PGSSLMODE", mode.to_owned())), "{set:?}");
        }
    }
}
