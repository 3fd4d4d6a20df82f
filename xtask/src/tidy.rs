//! The house rules that a compiler does not check.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// What each crate of ours may depend on, ours and the walled-off drivers. Arrows point up this list.
const ALLOWED: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("protocol", &["model"]),
    ("store", &["model"]),
    ("store-sqlite", &["model", "store", "rusqlite"]),
    ("store-postgres", &["model", "store", "tokio-postgres"]),
    ("brain", &["model", "protocol", "store", "axum"]),
    ("agent", &["model", "protocol"]),
    ("application-database", &["model", "rusqlite", "tokio-postgres", "mysql_async"]),
    ("celery-address", &["redis"]),
    ("engine-celery", &["model", "agent", "application-database", "celery-address", "redis", "lapin"]),
    ("scheduler-celery-beat", &["model", "agent", "application-database", "celery-address", "redis"]),
    ("conformance", &["protocol"]),
    (
        "taskplane",
        &[
            "model",
            "store",
            "store-sqlite",
            "store-postgres",
            "brain",
            "agent",
            "engine-celery",
            "scheduler-celery-beat",
            "conformance",
        ],
    ),
    ("python", &["model", "protocol", "agent", "celery-address", "engine-celery", "scheduler-celery-beat"]),
    ("testkit", &[]),
    ("simulation", &["model", "protocol", "store", "brain", "agent"]),
    ("bench", &["model", "protocol", "store", "store-sqlite", "store-postgres", "brain"]),
    ("xtask", &["brain", "protocol"]),
    ("e2e", &["testkit", "redis"]),
];

/// Libraries that only the crates that name them above may use.
const WALLED_OFF: &[&str] = &["rusqlite", "tokio-postgres", "mysql_async", "redis", "lapin", "axum"];

/// Longest source file, in lines.
const MAX_LINES: usize = 700;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "misc", "manager"];

pub(crate) fn run() -> Result<()> {
    let mut problems = dependencies()?;
    problems.extend(files()?);
    ensure!(problems.is_empty(), "the house is not tidy:\n  {}", problems.join("\n  "));
    Ok(())
}

fn dependencies() -> Result<Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .context("running cargo metadata")?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("reading cargo metadata")?;
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut problems = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = short(package["name"].as_str().unwrap_or_default());
        let Some(may) = allowed.get(name) else {
            problems.push(format!("crate {name} has no place in xtask's list of allowed dependencies"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let full = dependency["name"].as_str().unwrap_or_default();
            let ours = full.starts_with("taskplane-");
            let is_test = dependency["kind"] == "dev";
            if (ours || WALLED_OFF.contains(&full)) && !is_test && !may.contains(&short(full)) {
                problems.push(format!("crate {name} must not depend on {full}"));
            }
        }
    }
    Ok(problems)
}

fn short(name: &str) -> &str {
    name.strip_prefix("taskplane-").unwrap_or(name)
}

fn files() -> Result<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output =
        Command::new("git").arg("-C").arg(&root).args(["ls-files"]).output().context("running git ls-files")?;
    let mut problems = Vec::new();
    for file in String::from_utf8_lossy(&output.stdout).lines() {
        let path = Path::new(file);
        let is_source = ["rs", "ts", "tsx", "py"].iter().any(|e| path.extension().is_some_and(|have| have == *e));
        if !is_source {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(root.join(path)) else { continue };
        let lines = text.lines().count();
        if lines > MAX_LINES && !file.contains(".gen.") {
            problems.push(format!("{file} has {lines} lines; more than {MAX_LINES} is two jobs in one file"));
        }
        let parts = path.with_extension("");
        if let Some(part) = parts.iter().filter_map(|p| p.to_str()).find(|p| EMPTY_NAMES.contains(p)) {
            problems.push(format!("{file}: \"{part}\" does not say what is inside"));
        }
    }
    Ok(problems)
}
