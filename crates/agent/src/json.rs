//! JSON that is written piece by piece, where hooks of an application wait for it.

use serde::Serialize;

/// Appends `text` as a JSON string. Nearly none has anything to escape, which one pass without branches finds out.
pub fn put_string(out: &mut Vec<u8>, text: &str) {
    let is_plain = text.bytes().fold(true, |plain, byte| plain & (byte >= b' ') & (byte != b'"') & (byte != b'\\'));
    if is_plain {
        out.reserve(text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        put(out, text);
    }
}

/// Appends a number, a truth value, a text or null.
pub fn put<T: Serialize + ?Sized>(out: &mut Vec<u8>, scalar: &T) {
    // They are always representable, and a Vec takes every write.
    let _ = serde_json::to_writer(out, scalar);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_string_is_written_as_by_the_library(text in "(\\PC{0,40}|[\\x00-\\x7f]{0,40}|[ -~]{0,80})") {
            let mut out = Vec::new();
            put_string(&mut out, &text);
            prop_assert_eq!(String::from_utf8(out).ok(), serde_json::to_string(&text).ok());
        }
    }
}
