//! Secrets: how they are made, read and hashed.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use taskplane_store::access::SecretHash;
use thiserror::Error;

/// Random bytes in a secret.
const BYTES: usize = 32;
/// Characters that they take: base64url without padding.
const ENCODED: usize = 43;

/// What a secret opens. The prefix lets people and leak scanners see what they have before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// Lets an agent feed its project.
    AgentToken,
    /// Lets a program use the API.
    ApiKey,
    /// A signed-in browser.
    Session,
    /// A one-time link that opens a session.
    SigninLink,
    /// What other brains on the same database show this one, until it stops.
    Peer,
}

impl SecretKind {
    /// What such secrets begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::AgentToken => "tpa_",
            Self::ApiKey => "tpk_",
            Self::Session => "tps_",
            Self::SigninLink => "tpl_",
            Self::Peer => "tpp_",
        }
    }
}

/// The system gave no random bytes.
#[derive(Debug, Error)]
#[error("the system's random number generator does not work: {0}")]
pub struct NoRandomness(#[from] getrandom::Error);

/// A secret in the clear. It has no `Display`, and its `Debug` form does not tell it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    kind: SecretKind,
    text: String,
}

impl Secret {
    /// Makes a new one.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn generate(kind: SecretKind) -> Result<Self, NoRandomness> {
        let mut bytes = [0u8; BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self { kind, text: format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(bytes)) })
    }

    /// Reads one; `None` when `text` is not of this kind and form.
    pub fn parse(kind: SecretKind, text: &str) -> Option<Self> {
        let encoded = text.strip_prefix(kind.prefix())?;
        let in_alphabet = encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (encoded.len() == ENCODED && in_alphabet).then(|| Self { kind, text: text.to_owned() })
    }

    /// What the store keeps. Looking up by hash takes the same time however many characters of a guess are right.
    pub fn hash(&self) -> SecretHash {
        Sha256::digest(self.text.as_bytes()).into()
    }

    /// The secret itself, to be shown once.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The secret itself, to be handed out once.
    pub fn into_exposed(self) -> String {
        self.text
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.kind.prefix())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_back_and_hashes_alike() {
        let secret = Secret::generate(SecretKind::ApiKey).expect("randomness");
        let read = Secret::parse(SecretKind::ApiKey, secret.expose()).expect("parses");
        assert_eq!(read.hash(), secret.hash());
        assert_ne!(secret.hash(), Secret::generate(SecretKind::ApiKey).expect("randomness").hash());
        assert_eq!(Secret::parse(SecretKind::AgentToken, secret.expose()), None);
    }

    #[test]
    fn a_secret_does_not_show_in_debug_output() {
        let secret = Secret::generate(SecretKind::Session).expect("randomness");
        assert_eq!(format!("{secret:?}"), "tps_…");
    }

    #[test]
    fn other_text_is_not_a_secret() {
        let good = format!("tpk_{}", "a".repeat(ENCODED));
        assert!(Secret::parse(SecretKind::ApiKey, &good).is_some());
        for text in
            ["", "tpk_", "tpk_short", &format!("{good}a"), &good.replacen('a', "/", 1), &good.replacen('a', "ä", 1)]
        {
            assert!(Secret::parse(SecretKind::ApiKey, text).is_none(), "{text}");
        }
    }
}
