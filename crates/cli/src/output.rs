//! The only door to the terminal: what was asked for goes to standard output, everything else to standard error.

use std::io::{ErrorKind, IsTerminal, Write};

use anyhow::{Context, Result};
use serde_json::Value;

/// Prints what was asked for.
#[expect(clippy::print_stdout, reason = "the door to the terminal")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// Prints data that another program may read. A reader that has seen enough, such as `head`, is no mistake.
///
/// # Errors
/// When it cannot be written, for instance because the disk is full.
pub(crate) fn data(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output cannot be written"),
    }
}

/// Prints JSON that another program may read.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn json(value: &Value) -> Result<()> {
    data(&format!("{value:#}"))
}

/// Prints a remark.
#[expect(clippy::print_stderr, reason = "the door to the terminal")]
pub(crate) fn note(text: &str) {
    eprintln!("{}", printable(text));
}

/// Shows how far something is, in the terminal's current line; empty text clears the line. Elsewhere nothing is shown.
pub(crate) fn progress(text: &str) {
    let mut err = std::io::stderr().lock();
    if err.is_terminal() {
        // Nobody has to see it.
        let _ = write!(err, "\r\u{1b}[K{}", printable(text)).and_then(|()| err.flush());
    }
}

/// Prints what went wrong, as one sentence with its causes.
#[expect(clippy::print_stderr, reason = "the door to the terminal")]
pub(crate) fn problem(error: &anyhow::Error) {
    eprintln!("taskplane: {}", printable(&format!("{error:#}")));
}

/// Width of the terminal that standard output is; `None` when it is none, and nothing need be shortened.
pub(crate) fn width() -> Option<u16> {
    terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| width.0)
}

/// `text` without what would make a terminal do something: names and messages of tasks come from elsewhere.
pub(crate) fn printable(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' => plain.push('\n'),
            '\t' => plain.push_str("    "),
            char if char.is_control() || rearranges(char) => plain.extend(char.escape_unicode()),
            char => plain.push(char),
        }
    }
    plain
}

/// True for what changes the direction or place of the characters around it, so that a text reads as another one.
fn rearranges(char: char) -> bool {
    matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_elsewhere_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\r\u{9b}c\n\td"), "a\\u{1b}[2Jb\\u{d}\\u{9b}c\n    d");
        assert_eq!(printable("pay\u{202e}elbatnuocca"), "pay\\u{202e}elbatnuocca");
        assert_eq!(printable("Zürich ✓"), "Zürich ✓");
    }
}
