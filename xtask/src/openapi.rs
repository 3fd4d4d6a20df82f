//! The OpenAPI document, from which the dashboard's types are generated.

use std::path::Path;

use anyhow::{Context, Result, ensure};

pub(crate) fn run(check: bool) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboard/openapi.json");
    let document = taskplane_brain::api::openapi().to_pretty_json().context("writing the document")? + "\n";
    if check {
        let current = std::fs::read_to_string(&path).unwrap_or_default();
        ensure!(current == document, "dashboard/openapi.json is stale; run `make generate`");
        return Ok(());
    }
    std::fs::write(&path, document).with_context(|| format!("writing {}", path.display()))
}
