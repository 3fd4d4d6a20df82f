//! Plays an agent against any brain and reports, rule by rule, how it keeps wire protocol v1.
//!
//! * [`run`]: all rules against one brain. [`rules`]: what there is to keep.
//! * `rules/`: a file for each part of the protocol; a rule is a name, a sentence, a place in docs/protocol.md and a check.
//! * `probe`: what a check has at hand; `socket` and `http`: real connections, of its own.
//! * [`report`]: what was found.

mod endpoint;
mod http;
mod probe;
pub mod report;
mod rule;
mod rules;
mod socket;
mod verdict;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use thiserror::Error;

use endpoint::Endpoint;
use probe::{Brain, Probe};
use verdict::Failure;

pub use endpoint::{BadEndpoint, Trust};
use report::{Finding, Report, Standing};
pub use rule::{Pace, Rule};

/// Checks that run at once. Most wait for answers; the brain should not have to take us for an attack.
const AT_ONCE: usize = 12;
/// How long a check may take that has no time limit of its own reaching further.
const QUICK_LIMIT: Duration = Duration::from_secs(60);
/// The same, for checks that wait for minutes.
const SLOW_LIMIT: Duration = Duration::from_secs(180);

/// What to check, and as whom.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Address of the brain: `ws`, `wss`, `http` or `https`.
    pub brain: String,
    /// A valid agent token.
    pub token: String,
    /// The agent name to use, if the token is bound to one. Without it, every rule has a name of its own.
    pub agent_name: Option<String>,
    /// Key for Taskplane's REST API, to see what was stored, to give commands, and to revoke tokens that were made for it.
    /// Without it, acks must do.
    pub api_key: Option<String>,
    /// The project of token and key.
    pub project: String,
    /// Certificates, for `wss` and `https`.
    pub trust: Trust,
    /// Also check what takes minutes.
    pub slow: bool,
    /// Only rules whose id begins with one of these; all if there is none.
    pub only: Vec<String>,
}

/// Why nothing was checked.
#[derive(Debug, Error)]
pub enum Unchecked {
    /// Wrong usage: the address or the certificates.
    #[error(transparent)]
    Endpoint(#[from] BadEndpoint),
    /// Wrong usage: no such rule.
    #[error("there is no rule called \"{0}\"; `--list` shows all")]
    NoRule(String),
    /// Nobody is there.
    #[error("the brain at {0} cannot be reached: {1}")]
    Unreachable(String, String),
    /// The token is no good.
    #[error("the brain at {0} refuses the token: make one with `taskplane token create`")]
    TokenRefused(String),
}

impl Unchecked {
    /// True when the command was given wrongly, false when the world is at fault.
    pub fn is_wrong_usage(&self) -> bool {
        matches!(self, Self::Endpoint(_) | Self::NoRule(_))
    }
}

/// All rules, in the order of the document.
pub fn rules() -> Vec<Rule> {
    rules::all()
}

/// Checks a brain. Every rule has connections, streams and an agent name of its own, so the brain goes on serving others.
///
/// # Errors
/// When nothing could be checked.
pub async fn run(options: Options) -> Result<Report, Unchecked> {
    let began = Instant::now();
    let rules = chosen(&options)?;
    let brain = Arc::new(Brain {
        endpoint: Endpoint::parse(&options.brain, &options.trust)?,
        token: options.token,
        api_key: options.api_key,
        project: options.project,
        bound_name: options.agent_name,
        run: uuid::Uuid::new_v4().simple().to_string().chars().take(8).collect(),
    });
    reach(&brain).await?;
    let mut order: Vec<(usize, Rule)> = rules.into_iter().enumerate().collect();
    // Those that wait first: meanwhile the others run.
    order.sort_by_key(|(_, rule)| rule.pace);
    // Waiting needs no place among those that run at once.
    let waiting = order.iter().filter(|(_, rule)| rule.pace != Pace::Quick).count();
    let checks = order.into_iter().map(|(index, rule)| {
        let (brain, slow) = (brain.clone(), options.slow);
        async move { (index, check(&rule, brain, slow).await) }
    });
    let mut findings: Vec<(usize, Finding)> = stream::iter(checks).buffer_unordered(waiting + AT_ONCE).collect().await;
    findings.sort_by_key(|(index, _)| *index);
    let findings = findings.into_iter().map(|(_, finding)| finding).collect();
    Ok(Report::new(brain.endpoint.to_string(), began.elapsed(), findings))
}

fn chosen(options: &Options) -> Result<Vec<Rule>, Unchecked> {
    let mut rules = rules();
    if let Some(unknown) = options.only.iter().find(|only| !rules.iter().any(|rule| rule.id.starts_with(only.as_str())))
    {
        return Err(Unchecked::NoRule(unknown.clone()));
    }
    rules.retain(|rule| options.only.is_empty() || options.only.iter().any(|only| rule.id.starts_with(only.as_str())));
    Ok(rules)
}

/// That there is a brain and that it takes the token; otherwise every rule would say so in other words.
async fn reach(brain: &Arc<Brain>) -> Result<(), Unchecked> {
    let url = brain.endpoint.to_string();
    brain.endpoint.connect().await.map_err(|why| Unchecked::Unreachable(url.clone(), why))?;
    let probe = Probe::new(brain.clone(), "reach");
    match probe.connect().await {
        Err(Failure::Broken(seen)) if seen.contains("HTTP 401") => Err(Unchecked::TokenRefused(url)),
        // Whatever else is wrong, rules say better.
        _ => Ok(()),
    }
}

async fn check(rule: &Rule, brain: Arc<Brain>, slow: bool) -> Finding {
    let began = Instant::now();
    let limit = if rule.pace == Pace::Slow { SLOW_LIMIT } else { QUICK_LIMIT };
    let verdict = if rule.pace == Pace::Slow && !slow {
        Err(Failure::untested("takes minutes; use --slow"))
    } else {
        let name = rule.id.replace('.', "-");
        tokio::time::timeout(limit, (rule.check)(Probe::new(brain, &name)))
            .await
            .unwrap_or_else(|_| Err(Failure::broken(format!("no end within {} s", limit.as_secs()))))
    };
    let (verdict, seen) = match verdict {
        Ok(seen) => (Standing::Kept, seen),
        Err(Failure::Broken(seen)) => (Standing::Broken, seen),
        Err(Failure::Untested(why)) => (Standing::Untested, why),
    };
    Finding { id: rule.id, rule: rule.sentence, section: rule.section, verdict, seen, took: began.elapsed() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn rules_have_names_of_their_own() {
        let rules = rules();
        let ids: BTreeSet<&str> = rules.iter().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), rules.len());
        // A name is also part of the agent's name, whose parts a dash separates.
        assert!(
            ids.iter().all(|id| id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c)))
        );
    }

    #[test]
    fn every_rule_leads_to_a_section_of_the_document() {
        let document = include_str!("../../../docs/protocol.md");
        let anchors: BTreeSet<String> = document
            .lines()
            .filter(|line| line.starts_with('#'))
            .map(|line| {
                let title = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
                title.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
            })
            .collect();
        for rule in rules() {
            assert!(anchors.contains(rule.section), "{}: no section #{}", rule.id, rule.section);
        }
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_refused_before_anything_is_sent() {
        let options = Options { brain: "ws://127.0.0.1:1".into(), only: vec!["no.such".into()], ..Options::default() };
        assert!(run(options.clone()).await.is_err_and(|error| error.is_wrong_usage()));
        let options = Options { brain: "nowhere".into(), only: Vec::new(), ..options };
        assert!(run(options).await.is_err_and(|error| error.is_wrong_usage()));
    }
}
