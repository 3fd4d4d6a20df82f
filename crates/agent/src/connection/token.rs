//! The agent's token, and where it comes from.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Longest token, in bytes; a longer file is not a token.
const MAX_TOKEN_BYTES: u64 = 4096;

/// Where the token comes from.
#[derive(Clone)]
pub enum TokenSource {
    /// Given as it is. It cannot change while the agent runs.
    Literal(String),
    /// The content of a file, without white space around it. Read for every connection.
    File(PathBuf),
}

/// A token. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Why there is no token.
#[derive(Debug, Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("the token file {} cannot be read: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing in it, or something else than a token.
    #[error("the token is not usable: it must be 1 to 4096 printable ASCII characters without spaces")]
    Form,
}

impl TokenSource {
    /// Reads the token. A small file; it is read in place.
    pub fn read(&self) -> Result<Token, TokenError> {
        let text = match self {
            Self::Literal(token) => token.clone(),
            Self::File(path) => read_file(path).map_err(|source| TokenError::File { path: path.clone(), source })?,
        };
        let token = text.trim();
        let usable =
            !token.is_empty() && token.len() as u64 <= MAX_TOKEN_BYTES && token.bytes().all(|b| b.is_ascii_graphic());
        if usable { Ok(Token(token.to_owned())) } else { Err(TokenError::Form) }
    }

    /// True when another reading may give another token.
    pub(super) fn can_change(&self) -> bool {
        matches!(self, Self::File(_))
    }
}

fn read_file(path: &PathBuf) -> io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_TOKEN_BYTES + 64).read_to_string(&mut text)?;
    Ok(text)
}

impl Token {
    /// The value of the `Authorization` header.
    pub(super) fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("Literal(..)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_without_the_white_space_around_it_and_never_shown() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("token");
        std::fs::write(&path, "tp_secret\n").expect("writes");
        let token = TokenSource::File(path).read().expect("token");
        assert_eq!(token.authorization(), "Bearer tp_secret");
        assert!(!format!("{token:?} {:?}", TokenSource::Literal("tp_secret".into())).contains("secret"));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for text in ["", " \n", "two words", "naïve", "a\r\nX-Evil: 1"] {
            assert!(TokenSource::Literal(text.into()).read().is_err(), "{text:?}");
        }
        assert!(TokenSource::File("/nonexistent".into()).read().is_err());
    }
}
