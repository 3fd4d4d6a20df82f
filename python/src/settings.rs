//! What the application says about its agent, checked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use serde_json::{Map, Value};
use taskplane_agent::AgentConfig;
use taskplane_agent::capture::group_dir;
use taskplane_agent::connection::{ClientCertificate, Endpoint, TlsOptions, TokenSource};
use taskplane_agent::redact::{RedactionConfig, Redactor, Strings};
use tracing_subscriber::filter::Targets;

/// How long the collector may take to end: a process that stops is not to be held up.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// Everything `start` was given. The same in all processes that are forked from this one.
pub(crate) struct Settings {
    /// Configuration of the agent, should this process be the one that collects.
    pub(crate) agent: AgentConfig,
    /// `worker`, `web`, `beat` or `script`.
    pub(crate) role: String,
    /// The application's brokers.
    pub(crate) brokers: Vec<Broker>,
    /// What is said on stderr.
    pub(crate) log: Targets,
    /// Folder of what all processes capture that have one collector.
    pub(crate) captures: PathBuf,
    /// The hooks' own; the collector has another.
    pub(crate) redactor: Arc<Redactor>,
}

/// One broker of the application, and where its results are kept.
pub(crate) struct Broker {
    /// As in Celery's `broker_url`.
    pub(crate) url: String,
    /// As in Celery's `result_backend`.
    pub(crate) results: Option<String>,
}

/// The arguments of `start`.
pub(crate) struct Arguments {
    pub(crate) brain_url: String,
    pub(crate) token: Option<String>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) name: String,
    pub(crate) data_dir: PathBuf,
    pub(crate) role: String,
    pub(crate) framework: String,
    pub(crate) framework_version: Option<String>,
    pub(crate) brokers: Vec<(String, Option<String>)>,
    pub(crate) redact_keys: Vec<String>,
    pub(crate) redact_patterns: Vec<String>,
    pub(crate) redact_strings: String,
    pub(crate) ca_cert: Option<PathBuf>,
    pub(crate) client_cert: Option<PathBuf>,
    pub(crate) client_key: Option<PathBuf>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) log_level: String,
}

impl Arguments {
    /// Checks them, and makes the folder.
    pub(crate) fn settings(self) -> PyResult<Settings> {
        let token = match (self.token, self.token_file) {
            (Some(token), None) => TokenSource::Literal(token),
            (None, Some(file)) => TokenSource::File(file),
            _ => return Err(PyValueError::new_err("give the agent's token, or a file that it is in: one of both")),
        };
        // A token in a file may come later; one that is given must be one.
        if matches!(token, TokenSource::Literal(_)) {
            token.read().map_err(|error| PyValueError::new_err(error.to_string()))?;
        }
        self.brain_url.parse::<Endpoint>().map_err(|error| PyValueError::new_err(error.to_string()))?;
        let client = match (self.client_cert, self.client_key) {
            (Some(cert), Some(key)) => Some(ClientCertificate { cert, key }),
            (None, None) => None,
            _ => return Err(PyValueError::new_err("a client certificate needs its key, and a key its certificate")),
        };
        let redaction = RedactionConfig {
            extra_keys: self.redact_keys,
            extra_patterns: self.redact_patterns,
            strings: strings(&self.redact_strings)?,
        };
        let redactor = Arc::new(Redactor::new(&redaction).map_err(wrong)?);
        let log = log(&self.log_level)?;
        let first_broker = self.brokers.first().map_or("", |(url, _)| url);
        let key = [&self.name, self.role.as_str(), &self.brain_url, first_broker].join("\n");
        let captures = usable(&self.data_dir, &key)?;
        let metadata = self.metadata.into_iter().map(|(key, value)| (key, Value::String(value)));
        let agent = AgentConfig {
            tls: TlsOptions { ca_cert: self.ca_cert, client },
            redaction,
            framework: self.framework,
            framework_version: self.framework_version,
            worker_role: Some(self.role.clone()),
            metadata: Map::from_iter(metadata),
            stop_within: STOP_WITHIN,
            ..AgentConfig::new(self.brain_url, token, self.name, self.data_dir)
        };
        let brokers = self.brokers.into_iter().map(|(url, results)| Broker { url, results }).collect();
        Ok(Settings { agent, role: self.role, brokers, log, captures, redactor })
    }
}

/// A value error with the sentence of `error`.
pub(crate) fn wrong(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// How strings are shown, in the words of the command line or of the Rust side.
pub(crate) fn strings(text: &str) -> PyResult<Strings> {
    if text == "short" { Ok(Strings::Default) } else { text.parse().map_err(wrong) }
}

/// A level, or levels by target: `warn,taskplane_agent=debug`. Python's own names are known too.
fn log(text: &str) -> PyResult<Targets> {
    let text = match text.to_ascii_lowercase().as_str() {
        "warning" => "warn".to_owned(),
        "critical" => "error".to_owned(),
        other => other.to_owned(),
    };
    text.parse().map_err(|_| {
        wrong(format!("`{text}` is no log level: use error, warn, info, debug or off, or `warn,taskplane_agent=debug`"))
    })
}

/// Makes the folder, and the one in it for captures.
fn usable(data_dir: &Path, key: &str) -> PyResult<PathBuf> {
    let made = fs::create_dir_all(data_dir).and_then(|()| group_dir(data_dir, key)).and_then(|captures| {
        let probe = captures.join(format!("probe-{}", std::process::id()));
        fs::write(&probe, b"")?;
        fs::remove_file(&probe)?;
        Ok(captures)
    });
    made.map_err(|error| {
        PyOSError::new_err(format!("the agent's data folder {} cannot be used: {error}", data_dir.display()))
    })
}
