//! `taskplane doctor`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use taskplane_brain::clock;
use taskplane_store::checkup::{Check, Checkup, Health};

use crate::arguments::DoctorOptions;
use crate::output;
use crate::store::Place;
use crate::table::{self, Column};

/// How long a brain on this machine may take to say whether it is ready.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

pub(crate) async fn run(options: DoctorOptions) -> Result<()> {
    let (deep, now) = (options.deep, clock::now());
    let checkup = match Place::of(options.store)? {
        Place::Folder(folder) => {
            let looked_at = folder.clone();
            let examine = move || taskplane_store_sqlite::checkup::examine(&looked_at, deep, now);
            let mut checkup = tokio::task::spawn_blocking(examine).await?;
            look_at_brain(&mut checkup, &folder).await;
            checkup
        }
        Place::Database(url) => taskplane_store_postgres::checkup::examine(&url, deep, now).await,
    };
    let findings: Vec<Value> = checkup.findings().iter().map(row).collect();
    if options.json {
        output::json(&Value::Array(findings))?;
    } else {
        output::data(&table::list(&columns(), &findings, output::width()))?;
    }
    match checkup.count(Health::Problem) {
        0 => Ok(()),
        1 => bail!("there is a problem"),
        problems => bail!("there are {problems} problems"),
    }
}

/// Asks the brain that runs on the folder, if one does, whether it is ready.
async fn look_at_brain(checkup: &mut Checkup, folder: &Path) {
    if !taskplane_store_sqlite::is_held(folder) {
        return;
    }
    let Some(url) = taskplane_store_sqlite::address(folder) else {
        return checkup.ok(Check::Brain, "a brain is just starting on this folder");
    };
    match readiness(&url).await {
        Ok((true, _)) => checkup.ok(Check::Brain, format!("a brain runs at {url}, and is ready")),
        Ok((false, said)) => {
            let found = format!("the brain at {url} is not ready: {}", said.trim());
            checkup.problem(Check::Brain, found, "see what it says, and its log");
        }
        Err(error) => {
            let found = format!("a brain runs, and cannot be reached at {url} ({error:#})");
            checkup.warning(
                Check::Brain,
                found,
                "see its log; the address may lead through a proxy, or need a CA of your own",
            );
        }
    }
}

async fn readiness(url: &str) -> Result<(bool, String)> {
    let client = reqwest::Client::builder().timeout(ANSWER_WITHIN).no_proxy();
    // A host without CA certificates must do where none is needed.
    let client = if url.starts_with("https:") { client } else { client.tls_certs_only([]) };
    let answer = client.build()?.get(format!("{}/readyz", url.trim_end_matches('/'))).send().await?;
    let is_ready = answer.status().is_success();
    Ok((is_ready, answer.text().await?.chars().take(300).collect()))
}

fn row(finding: &taskplane_store::checkup::Finding) -> Value {
    json!({
        "check": finding.check.name(),
        "health": finding.health.name(),
        "found": finding.found,
        "advice": finding.advice,
    })
}

fn columns() -> Vec<Column> {
    vec![
        Column::field("CHECK", "check").whole(),
        Column::field("HEALTH", "health").whole(),
        Column::new("FOUND", |finding| {
            let (found, advice) = (table::text(&finding["found"]), table::text(&finding["advice"]));
            if advice.is_empty() { found } else { format!("{found}. Next: {advice}") }
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_with_what_to_do_next() {
        let mut checkup = Checkup::default();
        checkup.ok(Check::Pages, "12 pages pass SQLite's quick_check");
        checkup.problem(Check::Permissions, "others can open it", "chmod 600 it");
        let rows: Vec<Value> = checkup.findings().iter().map(row).collect();
        let expected = "\
CHECK        HEALTH   FOUND
pages        ok       12 pages pass SQLite's quick_check
permissions  problem  others can open it. Next: chmod 600 it";
        assert_eq!(table::list(&columns(), &rows, None), expected);
    }
}
