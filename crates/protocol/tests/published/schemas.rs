//! The schemas as they are published.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::Value;

/// The repository's docs.
pub(crate) fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// A validator for each frame.
pub(crate) struct Schemas(BTreeMap<String, Validator>);

impl Schemas {
    /// Reads docs/protocol/schema. That it is current is checked by `xtask schema --check`.
    pub(crate) fn load() -> Self {
        let folder = docs().join("protocol/schema");
        let entries = std::fs::read_dir(folder).expect("the schemas").map(|entry| entry.expect("an entry").path());
        let schema = |path: PathBuf| {
            let text = std::fs::read_to_string(&path).expect("a schema");
            let schema: Value = serde_json::from_str(&text).expect("JSON");
            let frame = path.file_stem().expect("a name").to_string_lossy().into_owned();
            assert_eq!(schema["properties"]["type"]["const"], frame, "{}", path.display());
            let validator = jsonschema::options().should_validate_formats(true).build(&schema).expect("a valid schema");
            for example in schema["examples"].as_array().expect("examples") {
                validator.validate(example).unwrap_or_else(|error| panic!("an example of {frame}: {error}"));
            }
            (frame, validator)
        };
        let schemas: BTreeMap<String, Validator> = entries.map(schema).collect();
        assert_eq!(schemas.len(), 8);
        Self(schemas)
    }

    /// The types of all frames.
    pub(crate) fn frames(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether text is a frame that satisfies the schema of its type.
    pub(crate) fn check(&self, text: &str) -> Result<(), String> {
        let frame: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let kind = frame["type"].as_str().ok_or("no type")?;
        let schema = self.0.get(kind).ok_or_else(|| format!("no schema for {kind}"))?;
        schema.validate(&frame).map_err(|error| format!("{error} at {}", error.instance_path()))
    }
}
