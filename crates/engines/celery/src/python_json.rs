//! JSON as Python writes it, which is more than JSON: bare `NaN` and `Infinity`, lone surrogates, integers of any size.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads JSON; when it is refused, once more with Python's extras made harmless. For display only: what is published
/// again is read strictly.
pub(crate) fn read_leniently<T: DeserializeOwned>(raw: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(raw).or_else(|error| {
        let Ok(text) = std::str::from_utf8(raw) else { return Err(error) };
        serde_json::from_str(&tame(text))
    })
}

/// Puts bare words that are no JSON into quotes, and replaces surrogates that have no partner.
fn tame(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    let mut in_string = false;
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '\\' if in_string => tame_escape(rest, &mut out),
            '"' => {
                in_string = !in_string;
                out.push(c);
                1
            }
            'N' | 'I' | '-' if !in_string => tame_word(rest, &mut out),
            _ => {
                out.push(c);
                c.len_utf8()
            }
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    out
}

fn tame_word(rest: &str, out: &mut String) -> usize {
    for word in ["NaN", "Infinity", "-Infinity"] {
        if rest.starts_with(word) {
            out.push('"');
            out.push_str(word);
            out.push('"');
            return word.len();
        }
    }
    let c = rest.chars().next().unwrap_or_default();
    out.push(c);
    c.len_utf8()
}

fn tame_escape(rest: &str, out: &mut String) -> usize {
    match surrogate(rest) {
        None => {
            // The escaped character comes along, so that an escaped quote does not end the string.
            let len = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
            out.push_str(&rest[..len]);
            len
        }
        Some(high @ 0xd800..=0xdbff) => match rest.get(6..).and_then(surrogate) {
            Some(low @ 0xdc00..=0xdfff) => {
                let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                12
            }
            _ => {
                out.push(char::REPLACEMENT_CHARACTER);
                6
            }
        },
        Some(_) => {
            out.push(char::REPLACEMENT_CHARACTER);
            6
        }
    }
}

/// The surrogate that `\udXXX` at the start of the text stands for.
fn surrogate(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok().filter(|code| (0xd800..=0xdfff).contains(code))
}

/// True when a value may not be what was written: an integer beyond 64 bits becomes a float, and [`read_leniently`] puts
/// words in place of what JSON does not have. A text that happens to read like one of these is suspected as well.
pub(crate) fn may_be_altered(value: &Value) -> bool {
    match value {
        Value::String(text) => {
            matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity") || text.contains(char::REPLACEMENT_CHARACTER)
        }
        Value::Number(n) => n.is_f64() && n.as_f64().is_some_and(|f| f.abs() >= 9_223_372_036_854_775_807.0),
        Value::Array(items) => items.iter().any(may_be_altered),
        Value::Object(map) => map.values().any(may_be_altered),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(text: &str) -> Value {
        read_leniently(text.as_bytes()).expect(text)
    }

    #[test]
    fn pythons_extras_do_not_cost_the_message() {
        assert_eq!(
            read(r#"{"result": NaN, "a": [-Infinity, Infinity, -1]}"#),
            json!({"result": "NaN", "a": ["-Infinity", "Infinity", -1]})
        );
        assert_eq!(
            read(r#"{"NaN": "NaN \" NaN", "x": "\ud83d\ude00 \ud800 \udc00", "n": NaN}"#),
            json!({"NaN": "NaN \" NaN", "x": "😀 \u{fffd} \u{fffd}", "n": "NaN"})
        );
        assert!(read_leniently::<Value>(b"{\"a\": None}").is_err());
    }

    #[test]
    fn numbers_that_lose_digits_are_noticed() {
        let value: Value = serde_json::from_str("[1000000000000000000000000000000]").expect("parses");
        assert!(may_be_altered(&value));
        assert!(!may_be_altered(&json!({"a": [u64::MAX, i64::MIN, 1.5, 5.854039773725365e15]})));
    }

    proptest! {
        #[test]
        fn any_text_is_tamed_without_panic(text in "\\PC{0,60}", soup in "[\"\\\\u{d}80NaInfity{}:,\\-]{0,40}") {
            let _ = read_leniently::<Value>(text.as_bytes());
            let _ = tame(&soup);
        }

        #[test]
        fn floats_do_not_change_by_being_read(f in any::<f64>().prop_filter("finite", |f| f.is_finite())) {
            let again: f64 = serde_json::from_str(&json!(f).to_string()).expect("parses");
            prop_assert_eq!(again.to_bits(), f.to_bits());
        }
    }
}
