//! `taskplane agent`.

mod schedulers;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use taskplane_agent::connection::{ClientCertificate, TlsOptions, TokenSource};
use taskplane_agent::engine::Engine;
use taskplane_agent::redact::{RedactionConfig, Strings};
use taskplane_agent::{Agent, AgentConfig, AgentError};
use taskplane_engine_celery::{CeleryConfig, CeleryEngine, ConfigError};

use crate::arguments::{AgentOptions, ClientTlsOptions, RedactStrings, TaskEvents};
use crate::wrong_usage::WrongUsage;

pub(crate) async fn run(options: AgentOptions) -> Result<()> {
    let engine = celery(&options)?;
    let schedulers = schedulers::of(&options, &engine)?;
    let brokers = engine.brokers();
    let engines: Vec<Arc<dyn Engine>> = vec![Arc::new(engine)];
    let token = match (options.token, options.token_file) {
        (_, Some(path)) => TokenSource::File(path),
        (Some(token), None) => TokenSource::Literal(token.trim().to_owned()),
        (None, None) => bail!(WrongUsage(
            "the agent needs a token: make one with `taskplane token create`, or in the dashboard under Agents, and give it \
             with --token, TASKPLANE_TOKEN or --token-file"
                .to_owned()
        )),
    };
    let name = match options.name {
        Some(name) => name,
        None => host_name()?,
    };
    tracing::info!("{}", options.events.costs());
    let mut config = AgentConfig::new(options.brain, token, name, options.data_dir);
    config.metadata.insert("celery_task_events".to_owned(), options.events.to_string().into());
    config.metadata.insert("celery_brokers".to_owned(), brokers.into());
    config.tls = tls(options.tls)?;
    config.redaction = RedactionConfig {
        extra_keys: options.redact_keys,
        strings: match options.redact_strings {
            RedactStrings::Short => Strings::Default,
            RedactStrings::PatternsOnly => Strings::PatternsOnly,
            RedactStrings::MaskAll => Strings::MaskAll,
        },
        ..RedactionConfig::default()
    };
    let agent = Agent::new(config, engines, schedulers).map_err(|error| match error {
        AgentError::Name | AgentError::Url(_) | AgentError::Redaction(_) => WrongUsage(error.to_string()).into(),
        error => anyhow::Error::new(error),
    })?;
    agent.run(super::stop_on_signal()?).await;
    Ok(())
}

fn tls(options: ClientTlsOptions) -> Result<TlsOptions> {
    let client = match (options.client_cert, options.client_key) {
        (Some(cert), Some(key)) => Some(ClientCertificate { cert, key }),
        (None, None) => None,
        _ => bail!(WrongUsage("--client-cert and --client-key belong together: give both".to_owned())),
    };
    Ok(TlsOptions { ca_cert: options.ca_cert, client })
}

fn celery(options: &AgentOptions) -> Result<CeleryEngine> {
    let results = &options.celery_results;
    if !results.is_empty() && results.len() != options.celery.len() {
        bail!(WrongUsage(
            "--celery-results names the result backend of a --celery broker: give one for each broker, in the same order, \
             or none"
                .to_owned()
        ));
    }
    let mut configs = options.celery.iter().enumerate().map(|(number, broker)| CeleryConfig {
        result_backend_url: results.get(number).cloned(),
        payload_dir: Some(options.data_dir.join("celery-payloads")),
        task_events: options.events == TaskEvents::On,
        ..CeleryConfig::new(broker)
    });
    let Some(first) = configs.next() else {
        bail!(WrongUsage(
            "the agent has nothing to observe: name a broker, such as --celery redis://127.0.0.1:6379/0 or \
             --celery amqp://user:password@rabbit/vhost"
                .to_owned()
        ))
    };
    CeleryEngine::on_several(first, configs.collect()).map_err(|error| match error {
        ConfigError::BadUrl { .. }
        | ConfigError::UnsupportedScheme { .. }
        | ConfigError::TlsFile { .. }
        | ConfigError::ResultDatabase { .. } => WrongUsage(error.to_string()).into(),
        ConfigError::PayloadDir { .. } => anyhow::Error::new(error),
    })
}

/// The kernel's name of this host; Linux only, like the packages we ship.
pub(super) fn host_name() -> Result<String> {
    let name = std::fs::read_to_string(Path::new("/proc/sys/kernel/hostname"))
        .context("the host's name is not known; give the agent a name with --name")?;
    Ok(name.trim().to_owned())
}
