//! The published JSON Schema of the wire protocol, one file per frame.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};

pub(crate) fn run(check: bool) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol/schema");
    let mut wanted = BTreeMap::new();
    for frame in taskplane_protocol::schema::frames() {
        wanted.insert(format!("{}.json", frame.frame), format!("{:#}\n", frame.schema));
    }
    let mut current = BTreeMap::new();
    if folder.exists() {
        for entry in folder.read_dir().with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            current.insert(name, std::fs::read_to_string(&path).unwrap_or_default());
        }
    }
    if check {
        let stale: Vec<&String> = wanted
            .iter()
            .filter(|(name, text)| current.get(*name) != Some(*text))
            .map(|(name, _)| name)
            .chain(current.keys().filter(|name| !wanted.contains_key(*name)))
            .collect();
        ensure!(stale.is_empty(), "docs/protocol/schema is stale ({stale:?}); run `make generate`");
        return Ok(());
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    for (name, text) in &wanted {
        std::fs::write(folder.join(name), text).with_context(|| format!("writing {name}"))?;
    }
    for name in current.keys().filter(|name| !wanted.contains_key(*name)) {
        std::fs::remove_file(folder.join(name)).with_context(|| format!("removing {name}"))?;
    }
    Ok(())
}
