//! Redaction of text that is shown to people: exception messages, tracebacks, health.

use super::Redactor;
use super::marker::masked;

/// Longer texts are not searched but hidden, in bytes.
const MAX_SEARCHED_BYTES: usize = 1 << 20;

impl Redactor {
    /// `text` with every secret pattern replaced and its middle cut out, so that it takes at most `max_bytes` in JSON.
    pub(super) fn shown_text(&self, text: &str, max_bytes: usize) -> String {
        if text.len() > MAX_SEARCHED_BYTES {
            return masked(text.chars().count());
        }
        // Secrets go before anything is cut: half a secret has no pattern any more.
        cut_middle(&self.patterns.scrub(text, &self.keys), max_bytes)
    }
}

/// The beginning and, longer, the end: a traceback says at its end what happened.
fn cut_middle(text: &str, max_bytes: usize) -> String {
    if text.chars().map(json_bytes).sum::<usize>() <= max_bytes {
        return text.to_owned();
    }
    let room = max_bytes.saturating_sub("\\n<cut 1000000000000 chars>\\n".len());
    let head = fitting(text.chars(), room / 4);
    let tail = text.len() - fitting(text.chars().rev(), room - room / 4);
    let cut = text[head..tail].chars().count();
    format!("{}\n<cut {cut} chars>\n{}", &text[..head], &text[tail..])
}

/// Text of at most `max_bytes` in JSON, its end cut off with a marker.
pub(super) fn cut_end(text: &str, max_bytes: usize) -> std::borrow::Cow<'_, str> {
    // Six bytes in JSON are the most that one byte can take.
    if text.len() <= max_bytes / 6 || text.chars().map(json_bytes).sum::<usize>() <= max_bytes {
        return text.into();
    }
    let kept = fitting(text.chars(), max_bytes.saturating_sub("<cut>".len()));
    format!("{}<cut>", &text[..kept]).into()
}

/// Bytes of the first characters that together take at most `max_bytes` in JSON.
fn fitting(chars: impl Iterator<Item = char>, max_bytes: usize) -> usize {
    let (mut json, mut bytes) = (0, 0);
    for c in chars {
        json += json_bytes(c);
        if json > max_bytes {
            break;
        }
        bytes += c.len_utf8();
    }
    bytes
}

/// Bytes that a character takes in a JSON string.
fn json_bytes(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if (c as u32) < 0x20 => 6,
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_loses_its_middle_and_says_so() {
        let text = format!("begin {} end", "\u{1}é\n".repeat(10_000));
        let cut = cut_middle(&text, 1000);
        assert!(serde_json::to_string(&cut).expect("JSON").len() <= 1002);
        assert!(cut.starts_with("begin ") && cut.ends_with(" end") && cut.contains(" chars>"));
        assert_eq!(cut_middle(&cut, 1000), cut);
    }

    #[test]
    fn names_are_cut_only_when_they_are_absurd() {
        assert_eq!(cut_end("email.send", 1024), "email.send");
        let cut = cut_end(&"\"".repeat(2000), 1024).into_owned();
        assert!(serde_json::to_string(&cut).expect("JSON").len() <= 1026 && cut.ends_with("<cut>"));
    }
}
