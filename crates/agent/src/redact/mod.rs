//! Redaction: nothing that an engine saw leaves this host as it was seen.
//!
//! [`Redactor::encode`] is the only way from an [`Observation`](crate::engine::Observation) to a wire event. The structure
//! of a value is kept, what is in it is replaced (wire protocol, section 5): numbers, booleans and null pass, strings of at
//! most 16 characters pass, longer ones become `<str len=N>`; a secret key hides its whole value; e-mail addresses, tokens,
//! keys, card numbers and credentials in URLs are recognised by their look. Depth, width and size are bounded. It is total:
//! any value gives valid JSON, and where it is in doubt it hides.
//!
//! What belongs together: `keys` (secret keys), `patterns`, `luhn` and `assignment` (secrets known by their look, or by a
//! name in running text), `marker` (what is written instead), `value`, `text`, `event`, `schedule` and `answer` (where all of
//! it is applied).

mod answer;
mod assignment;
mod event;
mod keys;
mod luhn;
mod marker;
mod patterns;
mod schedule;
mod text;
mod value;

use serde::Deserialize;
use thiserror::Error;

pub use event::{MAX_EVENT_BYTES, MAX_VALUE_BYTES};
use keys::SecretKeys;
use patterns::Patterns;

/// Most bytes in JSON of a message for people.
const MAX_MESSAGE_BYTES: usize = 2 << 10;

/// Rules from configuration. They only ever add to the built-in ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedactionConfig {
    /// Keys that hide their whole value, in any case and also inside compounds.
    pub extra_keys: Vec<String>,
    /// Regular expressions whose matches are hidden.
    pub extra_patterns: Vec<String>,
    /// What happens to strings that nothing else hides.
    pub strings: Strings,
}

/// What happens to strings that no key and no pattern hides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strings {
    /// At most 16 characters pass, longer ones are masked.
    #[default]
    Default,
    /// All pass.
    PatternsOnly,
    /// All are masked.
    MaskAll,
}

impl std::str::FromStr for Strings {
    type Err = RedactionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "default" => Ok(Self::Default),
            "patterns-only" => Ok(Self::PatternsOnly),
            "mask-all" => Ok(Self::MaskAll),
            _ => Err(RedactionError::Strings(text.to_owned())),
        }
    }
}

/// Why the rules cannot be used.
#[derive(Debug, Error)]
pub enum RedactionError {
    /// A pattern is no regular expression, or too large a one.
    #[error("an extra redaction pattern cannot be used: {0}")]
    Pattern(#[from] regex::Error),
    /// Not a way to treat strings.
    #[error("`{0}` is not a way to treat strings; use default, patterns-only or mask-all")]
    Strings(String),
}

/// The rules, ready to use. Build it once.
pub struct Redactor {
    keys: SecretKeys,
    patterns: Patterns,
    strings: Strings,
}

impl Redactor {
    /// The built-in rules and those of `config`.
    ///
    /// # Errors
    /// A pattern of `config` is not a regular expression, or compiles to more than 2 MiB.
    pub fn new(config: &RedactionConfig) -> Result<Self, RedactionError> {
        Ok(Self {
            keys: SecretKeys::new(&config.extra_keys),
            patterns: Patterns::new(&config.extra_patterns)?,
            strings: config.strings,
        })
    }

    /// A message for people, such as an engine's error, without the secrets in it; at most 2 KiB.
    pub fn message(&self, text: &str) -> String {
        self.shown_text(text, MAX_MESSAGE_BYTES)
    }
}

#[cfg(test)]
mod tests;
