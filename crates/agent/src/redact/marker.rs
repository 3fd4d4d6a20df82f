//! What is written in place of what is hidden. A marker is never redacted again.

use std::borrow::Cow;

/// Hidden because of its key or its form.
pub(super) const REDACTED: &str = "<redacted>";
/// An e-mail address.
pub(super) const EMAIL: &str = "<email>";
/// A JSON web token.
pub(super) const JWT: &str = "<jwt>";
/// A card number.
pub(super) const CARD: &str = "<card>";
/// User and password of a URL.
pub(super) const URL_CREDENTIALS: &str = "<url-credentials>";
/// Cut: nested too deeply.
pub(super) const CUT_DEPTH: &str = "<cut depth>";
/// Cut: the value is full.
pub(super) const CUT_SIZE: &str = "<cut size>";
/// Key under which a cut object says why.
pub(super) const CUT_KEY: &str = "<cut>";

/// A string of `chars` characters was here.
pub(super) fn masked(chars: usize) -> String {
    format!("<str len={chars}>")
}

/// So many elements were cut.
pub(super) fn cut_items(count: usize) -> String {
    format!("<cut {count} items>")
}

/// `text` with a letter in place of each marker that replaces a part of a text, for whoever looks for words: those of markers
/// are ours, and `<url-credentials>` names no secret. The letter is in no word that is looked for.
pub(super) fn without_markers(text: &str) -> Cow<'_, str> {
    if is_marker(text) {
        return Cow::Borrowed("q");
    }
    let mut text = Cow::Borrowed(text);
    if text.contains('<') {
        for marker in [REDACTED, EMAIL, JWT, CARD, URL_CREDENTIALS] {
            text = Cow::Owned(text.replace(marker, "q"));
        }
    }
    text
}

/// True when `text` is one of our markers, and nothing else.
pub(super) fn is_marker(text: &str) -> bool {
    let number = |digits: &str| !digits.is_empty() && digits.len() <= 12 && digits.bytes().all(|b| b.is_ascii_digit());
    let Some(inner) = text.strip_prefix('<').and_then(|t| t.strip_suffix('>')) else { return false };
    // Keys that were hidden by the same marker are numbered.
    let inner = inner.rsplit_once(' ').filter(|(_, n)| number(n)).map_or(inner, |(inner, _)| inner);
    if matches!(inner, "redacted" | "email" | "jwt" | "card" | "url-credentials" | "cut" | "cut depth" | "cut size") {
        return true;
    }
    inner.strip_prefix("str len=").is_some_and(number)
        || inner.strip_prefix("bytes len=").is_some_and(number)
        || inner.strip_prefix("cut ").and_then(|t| t.strip_suffix(" items")).is_some_and(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_markers_are_markers() {
        for text in [
            "<email>",
            "<str len=24>",
            "<bytes len=7>",
            "<cut 12 items>",
            "<url-credentials>",
            "<cut depth>",
            "<email 2>",
            "<str len=24 2>",
        ] {
            assert!(is_marker(text), "{text}");
        }
        for text in ["", "<>", "<str len=>", "<str len=x>", "<email> x", "<secret>", "<str len=4111111111111111>"] {
            assert!(!is_marker(text), "{text}");
        }
    }
}
