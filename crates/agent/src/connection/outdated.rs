//! Remembers which brain refused which version of the agent: after close code 4001 it does not come back until it is another
//! one, also when it is started again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Most brains that are remembered.
const MAX_BRAINS: usize = 16;

/// Refusals that this agent would have to do with.
#[derive(Debug)]
pub(crate) struct Outdated {
    file: PathBuf,
    /// The agent's version and the brain's URL.
    line: String,
}

impl Outdated {
    /// The agent of `version` with its data in `data_dir`, at the brain at `url`.
    pub(crate) fn new(data_dir: &Path, version: &str, url: &str) -> Self {
        let word = |text: &str| text.split_whitespace().collect::<String>();
        Self { file: data_dir.join("refused-versions"), line: format!("{} {}", word(version), word(url)) }
    }

    /// True when this brain refused this version.
    pub(super) fn is_known(&self) -> bool {
        self.lines().contains(&self.line)
    }

    /// Remembers that this brain refused this version.
    pub(super) fn remember(&self) -> io::Result<()> {
        let mut lines = self.lines();
        let brain = |line: &str| line.split_once(' ').map(|(_, url)| url.to_owned());
        lines.retain(|line| brain(line) != brain(&self.line));
        lines.push(self.line.clone());
        let from = lines.len().saturating_sub(MAX_BRAINS);
        fs::write(&self.file, lines[from..].join("\n") + "\n")
    }

    /// Where it is remembered.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    fn lines(&self) -> Vec<String> {
        fs::read_to_string(&self.file).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_refused_by_one_brain_until_it_is_another_one() {
        let dir = tempfile::tempdir().expect("dir");
        let of = |version, url| Outdated::new(dir.path(), version, url);
        assert!(!of("1.0", "ws://a").is_known());
        of("1.0", "ws://a").remember().expect("writes");
        of("1.0", "ws://b").remember().expect("writes");
        let known = [("1.0", "ws://a"), ("1.0", "ws://b"), ("1.1", "ws://a"), ("1.0", "ws://c")];
        assert_eq!(known.map(|(version, url)| of(version, url).is_known()), [true, true, false, false]);
        of("1.1", "ws://a").remember().expect("writes");
        assert_eq!(known.map(|(version, url)| of(version, url).is_known()), [false, true, true, false]);
    }
}
