//! Secrets in running text that are named there: `password=…`, `'token': '…'`, `Cookie: …`.

use std::ops::Range;

use super::keys::SecretKeys;
use super::marker::REDACTED;

/// How far back a key may begin, in bytes.
const KEY_REACH: usize = 128;

/// The values in `text` that stand behind a secret key, in order, without overlaps. Values already hidden are left out.
pub(super) fn secret_values(text: &str, keys: &SecretKeys) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find([':', '=']).map(|offset| from + offset) {
        from = at + 1;
        let Some(subject) = secret_key_before(&text[..at], keys) else { continue };
        if text[at..].starts_with(':') && names_an_error(&subject) {
            continue;
        }
        let Some(start) = value_start(text, at) else { continue };
        if text[start..].starts_with(REDACTED) {
            // Behind what was hidden before, another value may be named: `token=<redacted>&password=x`.
            from = start + REDACTED.len();
            continue;
        }
        let value = value_at(text, start, &subject);
        from = value.end.max(from);
        found.push(value);
    }
    found
}

/// The key that ends `text`, if it is a secret one: quoted, bare, or of two words.
fn secret_key_before(text: &str, keys: &SecretKeys) -> Option<String> {
    let text = text.trim_end_matches([' ', '\t']);
    let mut begin = text.len().saturating_sub(KEY_REACH);
    while !text.is_char_boundary(begin) {
        begin += 1;
    }
    let text = &text[begin..];
    let bare = text.trim_end_matches([']', ')', '"', '\'', '\\', '`']);
    if let Some(quote) = text[bare.len()..].chars().find(|c| matches!(c, '"' | '\''))
        && let Some(open) = bare.rfind(quote)
    {
        let key = bare[open + 1..].to_owned();
        return keys.is_secret(&key).then_some(key);
    }
    let part_of_key = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let last = &bare[bare.trim_end_matches(part_of_key).len()..];
    if keys.is_secret(last) {
        return Some(last.to_owned());
    }
    let rest = bare[..bare.len() - last.len()].strip_suffix(' ')?;
    let before = &rest[rest.trim_end_matches(part_of_key).len()..];
    keys.is_secret_phrase(before, last).then(|| format!("{before} {last}"))
}

/// `InvalidTokenError: signature has expired` names no secret.
fn names_an_error(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["error", "exception", "warning"].iter().any(|end| key.ends_with(end))
}

/// Where the value behind the separator at `at` begins; `None` when nothing stands there.
fn value_start(text: &str, at: usize) -> Option<usize> {
    let start = skip(text, skip(text, at, &['=', ':', '>']), &[' ', '\t']);
    (start < text.len() && !text[start..].starts_with(['\n', '\r'])).then_some(start)
}

/// The value of `key` that begins at `start`.
fn value_at(text: &str, start: usize, key: &str) -> Range<usize> {
    if key.to_ascii_lowercase().contains("cookie") && !text[start..].starts_with(['"', '\'', '\\']) {
        return start..end_of_line(text, start);
    }
    let mut end = value_end(text, start);
    // `token: str = 'abc'` has the value behind the second separator.
    let next = skip(text, end, &[' ', '\t']);
    if text[next..].starts_with('=') {
        end = value_end(text, skip(text, skip(text, next, &['=', '>']), &[' ', '\t']));
    }
    start..end
}

fn skip(text: &str, from: usize, what: &[char]) -> usize {
    text.len() - text[from..].trim_start_matches(what).len()
}

fn end_of_line(text: &str, from: usize) -> usize {
    text[from..].find(['\n', '\r']).map_or(text.len(), |offset| from + offset)
}

/// The end of a value that begins at `start`: of a quoted one its closing quote, of `Bearer x` both words, of anything else
/// the next white space that is not in brackets or quotes.
fn value_end(text: &str, start: usize) -> usize {
    let value = &text[start..];
    let prefix = value.find(|c: char| !matches!(c, 'b' | 'B' | 'u' | 'U' | 'r' | 'R' | 'f')).unwrap_or(0);
    let escapes = value[prefix..].bytes().take_while(|b| *b == b'\\').count();
    if let Some(quote @ (b'"' | b'\'')) = value.as_bytes().get(prefix + escapes)
        && prefix <= 2
    {
        return closing_quote(text, start + prefix + escapes + 1, *quote, escapes);
    }
    let end = bare_end(text, start);
    let scheme = text[start..end].to_ascii_lowercase();
    if matches!(scheme.as_str(), "bearer" | "basic" | "digest" | "token" | "negotiate" | "apikey") {
        return bare_end(text, skip(text, end, &[' ', '\t']));
    }
    end
}

/// Behind the next `quote` that has `escapes` backslashes (or, where there are none, an even number) before it.
fn closing_quote(text: &str, from: usize, quote: u8, escapes: usize) -> usize {
    let mut backslashes = 0;
    for (offset, byte) in text.as_bytes()[from..].iter().enumerate() {
        let closes = if escapes == 0 { backslashes % 2 == 0 } else { backslashes <= escapes };
        if *byte == quote && closes {
            return from + offset + 1;
        }
        backslashes = if *byte == b'\\' { backslashes + 1 } else { 0 };
    }
    text.len()
}

fn bare_end(text: &str, start: usize) -> usize {
    let (mut depth, mut quote) = (0usize, None);
    for (offset, c) in text[start..].char_indices() {
        match (c, quote) {
            ('\n' | '\r', _) => return start + offset,
            (c, Some(open)) if c == open => quote = None,
            (_, Some(_)) => {}
            ('"' | '\'', None) => quote = Some(c),
            ('(' | '[' | '{', None) => depth += 1,
            (')' | ']' | '}', None) => depth = depth.saturating_sub(1),
            (c, None) if c.is_whitespace() && depth == 0 => return start + offset,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> Vec<&str> {
        secret_values(text, &SecretKeys::new(&[])).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn named_secrets_are_found_however_they_are_written() {
        for (text, value) in [
            ("password=hunter2 for bob", "hunter2"),
            ("{'db_password': 'hun ter2', 'x': 1}", "'hun ter2'"),
            (r#"{"token":"a\"b","x":1}"#, r#""a\"b""#),
            (r#"body {\"token\": \"a b\", \"x\": 1}"#, r#"\"a b\""#),
            ("Authorization: Basic dXNlcg== ok", "Basic dXNlcg=="),
            ("Cookie: a=b; c=d\nHost: x", "a=b; c=d"),
            ("https://x.org/?access_token=abc&y=1 z", "abc&y=1"),
            ("the API key: abc was", "abc"),
            ("token: str = 'a b'", "str = 'a b'"),
            ("password=Secret('a b') x", "Secret('a b')"),
            ("if secret == b'a b':", "b'a b'"),
            (":secret => \"a b\"", "\"a b\""),
            ("environ['API_KEY'] = 'a b'", "'a b'"),
            ("password = 'never closed", "'never closed"),
            ("token=<redacted>&password=hunter2", "hunter2"),
        ] {
            assert_eq!(hidden(text), [value], "{text}");
        }
    }

    #[test]
    fn other_assignments_are_left_alone() {
        for text in [
            "x=1",
            "user: bob",
            "http://host:80/p",
            "InvalidTokenError: expired",
            "password:",
            "",
            "=",
            ":::",
            "password=<redacted> x",
        ] {
            assert!(hidden(text).is_empty(), "{text}");
        }
    }
}
