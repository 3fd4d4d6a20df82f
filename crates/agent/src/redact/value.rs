//! Redaction of one JSON value: its structure is kept, within limits.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::luhn::is_card_number;
use super::marker::{CARD, CUT_DEPTH, CUT_KEY, CUT_SIZE, REDACTED, URL_CREDENTIALS, cut_items, is_marker, masked};
use super::patterns::Found;
use super::{Redactor, Strings};
use crate::json::{put, put_string};

/// Deepest nesting that is kept.
const MAX_DEPTH: usize = 32;
/// Most elements of one array or object that are kept, the marker included.
const MAX_WIDTH: usize = 256;
/// Most characters of a string that passes.
const SHORT_CHARS: usize = 16;
/// Most characters of a key that passes.
const MAX_KEY_CHARS: usize = 64;
/// Longer strings are masked without looking for patterns in them.
const MAX_SEARCHED_BYTES: usize = 64 << 10;
/// Room for the markers and brackets that close a value which was cut: one marker a level.
const CLOSING_BYTES: usize = 2 << 10;

/// The redacted `value` as JSON text of at most `max_bytes` (which are more than a few KiB).
pub(super) fn redacted_json(redactor: &Redactor, value: &Value, max_bytes: usize) -> String {
    let write = |limit| {
        let mut writer = Writer { redactor, out: Vec::new(), limit };
        writer.value(value, 0);
        writer.out
    };
    // A value that fits as a whole is never cut, so that redacting what was redacted changes nothing.
    let mut out = write(max_bytes);
    if out.len() > max_bytes {
        out = write(max_bytes.saturating_sub(CLOSING_BYTES));
    }
    String::from_utf8(out).unwrap_or_else(|_| format!("\"{REDACTED}\""))
}

struct Writer<'r> {
    redactor: &'r Redactor,
    out: Vec<u8>,
    /// Nothing new begins when so many bytes are written.
    limit: usize,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) {
        match value {
            Value::Array(_) | Value::Object(_) if depth >= MAX_DEPTH => self.string(CUT_DEPTH),
            Value::Array(items) => self.array(items, depth),
            Value::Object(fields) => self.object(fields, depth),
            Value::String(text) => {
                let shown = self.redactor.string(text);
                self.string(&shown);
            }
            Value::Number(number) if number.as_u64().is_some_and(is_card_number) => self.string(CARD),
            Value::Null | Value::Bool(_) | Value::Number(_) => put(&mut self.out, value),
        }
    }

    fn array(&mut self, items: &[Value], depth: usize) {
        let hides_second = depth > 0 && self.redactor.is_named_pair(items);
        let kept = if items.len() > MAX_WIDTH { MAX_WIDTH - 1 } else { items.len() };
        self.out.push(b'[');
        for (index, item) in items[..kept].iter().enumerate() {
            self.comma(index);
            if !self.fits(item, None, hides_second && index == 1, depth) {
                break;
            }
        }
        if kept < items.len() && self.out.len() < self.limit {
            self.comma(kept);
            self.string(&cut_items(items.len() - kept));
        }
        self.out.push(b']');
    }

    fn object(&mut self, fields: &Map<String, Value>, depth: usize) {
        let names_secret = self.redactor.names_a_secret(fields);
        let kept = if fields.len() > MAX_WIDTH { MAX_WIDTH - 1 } else { fields.len() };
        let mut markers = Vec::new();
        self.out.push(b'{');
        for (index, (key, value)) in fields.iter().take(kept).enumerate() {
            self.comma(index);
            let hidden = self.redactor.keys.is_secret(key) || (names_secret && VALUE_FIELDS.contains(&key.as_str()));
            let key = distinct(self.redactor.key(key), &mut markers);
            if !self.fits(value, Some(&key), hidden, depth) {
                break;
            }
        }
        if kept < fields.len() && self.out.len() < self.limit {
            self.comma(kept);
            self.field(CUT_KEY, &cut_items(fields.len() - kept));
        }
        self.out.push(b'}');
    }

    /// Writes one element, or the marker that says that there was no room for it and for those behind it.
    fn fits(&mut self, value: &Value, key: Option<&str>, hidden: bool, depth: usize) -> bool {
        let begin = self.out.len();
        if begin < self.limit {
            if let Some(key) = key {
                self.string(key);
                self.out.push(b':');
            }
            if hidden {
                self.string(REDACTED);
            } else {
                self.value(value, depth + 1);
            }
            // Arrays and objects have cut themselves.
            let is_scalar = hidden || !(value.is_array() || value.is_object());
            if self.out.len() <= self.limit || !is_scalar {
                return true;
            }
        }
        self.out.truncate(begin);
        match key {
            Some(_) => self.field(CUT_KEY, CUT_SIZE),
            None => self.string(CUT_SIZE),
        }
        false
    }

    fn field(&mut self, key: &str, text: &str) {
        self.string(key);
        self.out.push(b':');
        self.string(text);
    }

    fn comma(&mut self, index: usize) {
        if index > 0 {
            self.out.push(b',');
        }
    }

    fn string(&mut self, text: &str) {
        put_string(&mut self.out, text);
    }
}

/// `{"name": "api_key", "value": "…"}`: fields that name, and fields that hold what is named.
const NAME_FIELDS: &[&str] = &["name", "key", "field", "header", "param", "parameter", "variable", "k"];
const VALUE_FIELDS: &[&str] = &["value", "values", "val", "v", "content", "data", "default"];

impl Redactor {
    /// What is shown of a string.
    pub(super) fn string<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if is_marker(text) {
            return Cow::Borrowed(text);
        }
        let chars = text.chars().count();
        if text.len() > MAX_SEARCHED_BYTES {
            return Cow::Owned(masked(chars));
        }
        if self.strings == Strings::PatternsOnly {
            return self.patterns.scrub(text, &self.keys);
        }
        let short = chars <= SHORT_CHARS;
        match self.patterns.find(text, &self.keys) {
            Some(found) if short || is_whole(&found, text) => Cow::Borrowed(found.marker),
            None if short && self.strings == Strings::Default => Cow::Borrowed(text),
            _ => Cow::Owned(masked(chars)),
        }
    }

    /// What is shown of a key: keys are structure and stay, unless data was used as a key.
    fn key<'t>(&self, key: &'t str) -> Cow<'t, str> {
        if is_marker(key) {
            return Cow::Borrowed(key);
        }
        let chars = key.chars().count();
        let is_name = || key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' '));
        if chars > MAX_KEY_CHARS || (self.strings == Strings::MaskAll && !is_name()) {
            return Cow::Owned(masked(chars));
        }
        match self.patterns.find(key, &self.keys) {
            Some(found) => Cow::Borrowed(found.marker),
            None => Cow::Borrowed(key),
        }
    }

    /// A nested `["api_key", "…"]`, as lists of headers and parameters have them.
    fn is_named_pair(&self, items: &[Value]) -> bool {
        matches!(items, [Value::String(name), Value::String(_)] if self.keys.is_secret(name))
    }

    fn names_a_secret(&self, fields: &Map<String, Value>) -> bool {
        let name = |field: &&str| fields.get(*field).and_then(Value::as_str);
        NAME_FIELDS.iter().filter_map(name).any(|name| self.keys.is_secret(name))
    }
}

/// True when nothing but the match (and what belongs to its URL) is in `text`.
fn is_whole(found: &Found, text: &str) -> bool {
    let trimmed = text.trim();
    let covers = found.range.len() >= trimmed.len();
    covers || (found.marker == URL_CREDENTIALS && found.range.start == 0 && !text.contains(char::is_whitespace))
}

/// Keeps keys apart that were hidden by the same marker.
fn distinct<'k>(key: Cow<'k, str>, markers: &mut Vec<String>) -> Cow<'k, str> {
    if !is_marker(&key) {
        return key;
    }
    let count = markers.iter().filter(|seen| **seen == *key).count();
    markers.push(key.to_string());
    match (count, key.strip_suffix('>')) {
        (0, _) | (_, None) => key,
        (_, Some(open)) => Cow::Owned(format!("{open} {}>", count + 1)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::RedactionConfig;
    use super::*;

    fn redactor(strings: Strings) -> Redactor {
        Redactor::new(&RedactionConfig { strings, ..RedactionConfig::default() }).expect("built-in rules")
    }

    fn shown(value: &Value) -> Value {
        serde_json::from_str(&redacted_json(&redactor(Strings::Default), value, 64 << 10)).expect("JSON")
    }

    #[test]
    fn the_structure_is_kept_and_the_values_are_replaced() {
        let value = json!({
            "to": "bob@example.com", "n": 7, "ok": true, "none": null, "short": "hello", "exact": "0123456789abcdef",
            "long": "0123456789abcdefg", "password": {"a": 1}, "list": ["x", "a@b.co c", 1.5], "dsn": "redis://u:p@h/0",
            "card": 4_111_111_111_111_111_u64, "mail@example.com": 1, "me@example.com": 2,
        });
        assert_eq!(
            shown(&value),
            json!({
                "to": "<email>", "n": 7, "ok": true, "none": null, "short": "hello", "exact": "0123456789abcdef",
                "long": "<str len=17>", "password": "<redacted>", "list": ["x", "<email>", 1.5], "dsn": "<url-credentials>",
                "card": "<card>", "<email>": 1, "<email 2>": 2,
            })
        );
    }

    #[test]
    fn names_and_values_apart_are_seen_together() {
        assert_eq!(
            shown(&json!([{"name": "api_key", "value": "abc"}, [["Cookie", "a"], ["Accept", "b"]]])),
            json!([{"name": "api_key", "value": "<redacted>"}, [["Cookie", "<redacted>"], ["Accept", "b"]]])
        );
    }

    #[test]
    fn what_was_hidden_before_names_no_secret() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln";
        let value = json!([[jwt, "a"], {"name": jwt, "value": "b"}, [format!("see {jwt}"), "c"], {jwt: "d", format!("{jwt}x"): "e"}]);
        for strings in [Strings::Default, Strings::PatternsOnly] {
            let shown = |value: &Value| redacted_json(&redactor(strings), value, 64 << 10);
            let once = shown(&value);
            let shows_all = ["a", "b", "c", "d", "e"].iter().all(|text| once.contains(&format!("\"{text}\"")));
            assert!(shows_all, "{once}");
            let once: Value = serde_json::from_str(&once).expect("JSON");
            let twice: Value = serde_json::from_str(&shown(&once)).expect("JSON");
            assert_eq!(once, twice);
        }
    }

    #[test]
    fn characters_are_counted_and_not_bytes() {
        assert_eq!(shown(&json!("ääääääääääääääää")), json!("ääääääääääääääää"));
        assert_eq!(shown(&json!("äääääääääääääääää")), json!("<str len=17>"));
    }

    #[test]
    fn the_modes_keep_more_or_nothing() {
        let text = json!(["a long text for bob@example.com", "short"]);
        let in_mode = |strings| redacted_json(&redactor(strings), &text, 64 << 10);
        assert_eq!(in_mode(Strings::Default), r#"["<str len=31>","short"]"#);
        assert_eq!(in_mode(Strings::PatternsOnly), r#"["a long text for <email>","short"]"#);
        assert_eq!(in_mode(Strings::MaskAll), r#"["<str len=31>","<str len=5>"]"#);
    }

    #[test]
    fn what_is_too_deep_too_wide_or_too_large_is_cut_with_a_marker() {
        let deep = (0..100).fold(json!("end"), |inner, _| json!([inner]));
        assert!(redacted_json(&redactor(Strings::Default), &deep, 64 << 10).contains(CUT_DEPTH));
        let wide = shown(&json!(vec![1; 1000]));
        assert_eq!((wide.as_array().map(Vec::len), &wide[255]), (Some(256), &json!("<cut 745 items>")));
        let fields: Map<String, Value> = (0..300).map(|n| (format!("k{n:03}"), json!(n))).collect();
        assert_eq!(shown(&Value::Object(fields))[CUT_KEY], json!("<cut 45 items>"));
        let large =
            redacted_json(&redactor(Strings::Default), &json!(vec![vec!["0123456789abcdef"; 250]; 250]), 64 << 10);
        assert!(large.len() <= 64 << 10 && large.contains(CUT_SIZE), "{}", large.len());
    }
}
