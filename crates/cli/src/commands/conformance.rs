//! `taskplane conformance`.

use anyhow::{Result, bail};
use serde_json::json;
use taskplane_conformance::{Options, Trust, Unchecked};

use crate::arguments::{ConformanceOptions, ReportFormat};
use crate::output;
use crate::wrong_usage::WrongUsage;

pub(crate) async fn run(options: ConformanceOptions) -> Result<()> {
    if options.list {
        return list(options.format);
    }
    let format = options.format;
    let checked = taskplane_conformance::run(Options {
        brain: options.brain.unwrap_or_default(),
        token: options.token.unwrap_or_default().trim().to_owned(),
        agent_name: options.name,
        api_key: options.api_key,
        project: options.project,
        trust: Trust {
            ca_cert: options.tls.ca_cert,
            client_cert: options.tls.client_cert,
            client_key: options.tls.client_key,
        },
        slow: options.slow,
        only: options.only,
    });
    let report = checked.await.map_err(failure)?;
    match format {
        ReportFormat::Text => output::data(&output::printable(&report.text()))?,
        ReportFormat::Json => output::json(&serde_json::to_value(&report)?)?,
    }
    match report.broken {
        0 if report.kept == 0 => bail!("no rule could be tried"),
        0 => Ok(()),
        1 => bail!("the brain breaks 1 rule"),
        broken => bail!("the brain breaks {broken} rules"),
    }
}

fn failure(error: Unchecked) -> anyhow::Error {
    if error.is_wrong_usage() { WrongUsage(error.to_string()).into() } else { error.into() }
}

fn list(format: ReportFormat) -> Result<()> {
    let rules = taskplane_conformance::rules();
    match format {
        ReportFormat::Text => {
            let width = rules.iter().map(|rule| rule.id.len()).max().unwrap_or_default();
            let lines: Vec<String> =
                rules.iter().map(|rule| format!("{:width$}  {}", rule.id, rule.sentence)).collect();
            output::data(&lines.join("\n"))
        }
        ReportFormat::Json => output::json(
            &rules.iter().map(|rule| json!({"id": rule.id, "rule": rule.sentence, "section": rule.section})).collect(),
        ),
    }
}
