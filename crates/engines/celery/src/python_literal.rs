//! Reads Python reprs, such as the arguments that Celery's events carry. Nothing is ever evaluated.
//!
//! Every text yields a JSON value good for display. Whether it is also what the task was really called with is told
//! apart: [`Fidelity::Exact`] only when nothing was cut, hidden, or written in a way that can be read twice.

use serde_json::{Map, Value};

/// Longer texts are cut before reading.
const MAX_TEXT: usize = 64 << 10;
/// Deeper values are not followed.
const MAX_DEPTH: u32 = 24;
/// More values than this are not collected.
const MAX_NODES: u32 = 10_000;
/// Stands in for what was cut away.
const CUT: &str = "…";

/// Who wrote the repr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Celery's `saferepr`: of all escapes it writes only `\'`, and a backslash stands for itself.
    Saferepr,
    /// Python's own `repr`.
    Python,
}

/// What was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    pub(crate) value: Value,
    pub(crate) fidelity: Fidelity,
}

/// Whether the value is the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fidelity {
    /// Plain literals, complete, and with a place in JSON.
    Exact,
    /// Good for display only, and why.
    Lossy(&'static str),
}

/// Reads a repr.
pub(crate) fn read(text: &str, dialect: Dialect) -> Reading {
    let (text, whole) = head(text, MAX_TEXT);
    let mut reader = Reader { text, at: 0, dialect, nodes: 0, loss: (!whole).then_some("it was cut off") };
    reader.skip_space();
    let value = reader.value(0);
    reader.skip_space();
    if reader.at < reader.text.len() {
        reader.lose("it is not a plain Python literal");
    }
    Reading { value, fidelity: reader.loss.map_or(Fidelity::Exact, Fidelity::Lossy) }
}

/// The first `max` bytes of a text, at a character boundary, and whether that is all of it.
pub(crate) fn head(text: &str, max: usize) -> (&str, bool) {
    if text.len() <= max {
        return (text, true);
    }
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    (&text[..end], false)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    dialect: Dialect,
    nodes: u32,
    loss: Option<&'static str>,
}

impl<'a> Reader<'a> {
    fn lose(&mut self, why: &'static str) {
        self.loss.get_or_insert(why);
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn cut(&mut self) -> Value {
        self.lose("it was cut off");
        Value::String(CUT.to_owned())
    }

    fn value(&mut self, depth: u32) -> Value {
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            self.at = self.text.len();
            return self.cut();
        }
        match self.peek() {
            None => self.cut(),
            Some('(') => self.sequence(')', depth),
            Some('[') => self.sequence(']', depth),
            Some('{') => self.braces(depth),
            Some(quote @ ('\'' | '"')) => Value::String(self.string(quote)),
            Some('.') if self.eat("...") => self.cut(),
            Some('b') if self.rest().starts_with("b'") || self.rest().starts_with("b\"") => self.bytes(),
            Some('<') => self.angle_object(),
            Some(c) if c.is_ascii_digit() || c == '-' => self.number(),
            Some(_) => self.word(),
        }
    }

    /// `(…)` or `[…]`, the opening bracket still ahead. `(x)` counts as a sequence too: a cut tuple looks like that.
    fn sequence(&mut self, close: char, depth: u32) -> Value {
        self.at += 1;
        let mut items = Vec::new();
        while self.more(close) {
            items.push(self.value(depth + 1));
            if !self.separator(close) {
                break;
            }
        }
        Value::Array(items)
    }

    /// True while another item follows; eats the closing bracket.
    fn more(&mut self, close: char) -> bool {
        self.skip_space();
        match self.peek() {
            None => {
                self.lose("it was cut off");
                false
            }
            Some(c) if c == close => {
                self.at += c.len_utf8();
                false
            }
            Some(_) => true,
        }
    }

    /// Eats the comma between items. False, with the loss noted, when something else stands there.
    fn separator(&mut self, close: char) -> bool {
        self.skip_space();
        match self.peek() {
            Some(',') => {
                self.at += 1;
                true
            }
            Some(c) if c == close => true,
            None => {
                self.lose("it was cut off");
                false
            }
            Some(_) => {
                self.lose("it is not a plain Python literal");
                false
            }
        }
    }

    /// `{…}`: a dict, a set, or either of them cut off.
    fn braces(&mut self, depth: u32) -> Value {
        self.at += 1;
        let mut entries = Map::new();
        let mut members = Vec::new();
        while self.more('}') {
            let key = self.value(depth + 1);
            self.skip_space();
            if self.eat(":") {
                self.skip_space();
                let value = self.value(depth + 1);
                let name = self.key(key);
                if entries.insert(name, value).is_some() {
                    self.lose("two of its keys become one in JSON");
                }
            } else {
                members.push(key);
            }
            if !self.separator('}') {
                break;
            }
        }
        if members.is_empty() {
            return Value::Object(entries);
        }
        self.lose("a set has no place in JSON");
        if entries.is_empty() {
            return Value::Array(members);
        }
        entries.insert(CUT.to_owned(), Value::Array(members));
        Value::Object(entries)
    }

    /// A dict key as JSON writes it.
    fn key(&mut self, key: Value) -> String {
        match key {
            Value::String(text) => text,
            Value::Array(_) | Value::Object(_) => {
                self.lose("one of its keys has no place in JSON");
                key.to_string()
            }
            plain => plain.to_string(),
        }
    }

    fn string(&mut self, quote: char) -> String {
        self.at += 1;
        let mut out = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((offset, c)) = chars.next() {
            if c == quote {
                self.at += offset + 1;
                if out.ends_with("...") && self.dialect == Dialect::Saferepr {
                    // saferepr cuts a long string at its last space, so even a short result may be the stump of a long one.
                    self.lose("one of its strings may have been shortened");
                }
                return out;
            }
            if c != '\\' {
                out.push(c);
                continue;
            }
            let next = chars.clone().next().map(|(_, c)| c);
            if next == Some(quote) {
                out.push(quote);
                chars.next();
            } else if self.dialect == Dialect::Saferepr {
                out.push('\\');
                self.lose("one of its strings holds a backslash, which Celery writes ambiguously");
            } else if !escape(&mut chars, &mut out) {
                self.lose("one of its strings has an unknown escape");
            }
        }
        self.at = self.text.len();
        self.lose("it was cut off");
        out.push_str(CUT);
        out
    }

    fn bytes(&mut self) -> Value {
        self.at += 1;
        self.lose("bytes have no place in JSON");
        let quote = self.peek().unwrap_or('\'');
        Value::String(format!("<bytes len={}>", self.string(quote).len()))
    }

    fn number(&mut self) -> Value {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-._".contains(c))).unwrap_or(rest.len());
        let token = &rest[..end];
        // serde_json reads numbers as Python writes them; what it refuses or rounds is shown as text.
        let exact = match serde_json::from_str::<Value>(token) {
            Ok(Value::Number(n)) if n.is_i64() || n.is_u64() || token.contains(['.', 'e', 'E']) => {
                Some(Value::Number(n))
            }
            _ => None,
        };
        match exact {
            Some(number) => {
                self.at += end;
                number
            }
            None if token.bytes().skip(1).all(|b| b.is_ascii_digit()) && token.len() > 1 => {
                self.at += end;
                self.lose("one of its numbers is too large");
                Value::String(token.to_owned())
            }
            None => self.junk(),
        }
    }

    /// `None`, `True`, `False`, or an object written as `Name(…)`.
    fn word(&mut self) -> Value {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if after.starts_with('(') && !name.is_empty() {
            self.at += end;
            self.skip_balanced();
            return self.object(name);
        }
        let plain = match name {
            "None" => Value::Null,
            "True" => Value::Bool(true),
            "False" => Value::Bool(false),
            _ => return self.junk(),
        };
        self.at += end;
        plain
    }

    /// `<module.Class object at 0x…>` and the like.
    fn angle_object(&mut self) -> Value {
        let inner = &self.rest()[1..];
        let name = inner.split([' ', ':', '>', '(', ',', '[']).next().unwrap_or_default();
        self.skip_balanced();
        self.object(name)
    }

    fn object(&mut self, path: &str) -> Value {
        self.lose("it contains a Python object");
        let name = path.rsplit('.').next().unwrap_or_default();
        let (name, _) = head(name, 80);
        Value::String(format!("<{}>", if name.is_empty() { "object" } else { name }))
    }

    /// Skips a bracketed part, quotes respected. To the end when it never closes.
    fn skip_balanced(&mut self) {
        let mut depth = 0usize;
        let mut quote = None;
        let mut escaped = false;
        for (offset, c) in self.rest().char_indices() {
            match (quote, c) {
                (Some(_), _) if escaped => escaped = false,
                (Some(_), '\\') => escaped = true,
                (Some(open), _) if c == open => quote = None,
                (Some(_), _) => {}
                (None, '\'' | '"') => quote = Some(c),
                (None, '(' | '[' | '{' | '<') => depth += 1,
                (None, ')' | ']' | '}' | '>') => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        self.at += offset + 1;
                        return;
                    }
                }
                (None, _) => {}
            }
        }
        self.at = self.text.len();
        self.lose("it was cut off");
    }

    /// Something that is no Python: shown as it stands, up to the next comma or closing bracket.
    fn junk(&mut self) -> Value {
        self.lose("it is not a plain Python literal");
        let rest = self.rest();
        let end = rest.find([',', ')', ']', '}']).unwrap_or(rest.len());
        // A closing bracket of the wrong kind must not stop the reader for ever.
        let end = if end == 0 { rest.chars().next().map_or(0, char::len_utf8) } else { end };
        self.at += end;
        Value::String(rest[..end].trim().to_owned())
    }
}

/// One of Python's own escapes, after the backslash. False when it is none.
fn escape(chars: &mut std::str::CharIndices<'_>, out: &mut String) -> bool {
    let Some((_, c)) = chars.next() else { return false };
    let plain = match c {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        '\\' | '\'' | '"' => c,
        'x' => return hex_escape(chars, 2, out),
        'u' => return hex_escape(chars, 4, out),
        'U' => return hex_escape(chars, 8, out),
        other => {
            out.push('\\');
            out.push(other);
            return false;
        }
    };
    out.push(plain);
    true
}

fn hex_escape(chars: &mut std::str::CharIndices<'_>, digits: usize, out: &mut String) -> bool {
    let text: String = chars.by_ref().take(digits).map(|(_, c)| c).collect();
    let is_hex = text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
    let decoded = u32::from_str_radix(&text, 16).ok().filter(|_| is_hex).and_then(char::from_u32);
    out.push(decoded.unwrap_or(char::REPLACEMENT_CHARACTER));
    decoded.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn exact(text: &str) -> Value {
        let reading = read(text, Dialect::Saferepr);
        assert_eq!(reading.fidelity, Fidelity::Exact, "{text}");
        reading.value
    }

    fn lossy(text: &str) -> Value {
        let reading = read(text, Dialect::Saferepr);
        assert!(matches!(reading.fidelity, Fidelity::Lossy(_)), "{text} must not count as the original");
        reading.value
    }

    #[test]
    fn plain_literals_are_the_original() {
        assert_eq!(exact("(1, 'a', None, True, -2.5, 1e+16)"), json!([1, "a", null, true, -2.5, 1e16]));
        assert_eq!(exact("{'y': {'a': [1, 2]}, 3: ()}"), json!({"y": {"a": [1, 2]}, "3": []}));
        assert_eq!(
            exact("('O\\'Brien', 'two\nlines', 'wait... what')"),
            json!(["O'Brien", "two\nlines", "wait... what"])
        );
        assert_eq!(exact("()"), json!([]));
        assert_eq!(exact("{}"), json!({}));
    }

    #[test]
    fn what_was_cut_is_not_the_original() {
        // All of these were written by saferepr. The first is all that is left of a string of 2,006 characters.
        assert_eq!(lossy("('hello...',)"), json!(["hello..."]));
        assert_eq!(lossy("({'k...': 1},)"), json!([{"k...": 1}]));
        assert_eq!(lossy("({'a': [...]}, 1, {...})"), json!([{"a": ["…"]}, 1, ["…"]]));
        assert_eq!(lossy("(1, 2, ...)"), json!([1, 2, "…"]));
        assert_eq!(lossy("(1, 'unfinis"), json!([1, "unfinis…"]));
        lossy("(1, [2, {'a':");
    }

    #[test]
    fn what_saferepr_writes_ambiguously_is_not_the_original() {
        // Either C:, newline, "ew", or C:\new; saferepr writes the latter like this.
        assert_eq!(lossy("('C:\\new',)"), json!(["C:\\new"]));
        lossy("('x\\',)");
        lossy("('x\\', 'y')");
    }

    #[test]
    fn what_json_cannot_hold_is_not_the_original() {
        assert_eq!(lossy("(datetime.datetime(2026, 1, 1, 0, 0), 1)"), json!(["<datetime>", 1]));
        assert_eq!(lossy("(<User: bob (admin)>, 2)"), json!(["<User>", 2]));
        assert_eq!(lossy("[<shop.models.Order object at 0x7f>]"), json!(["<Order>"]));
        assert_eq!(lossy("(b'ab', {1, 2}, nan)"), json!(["<bytes len=2>", [1, 2], "nan"]));
        assert_eq!(lossy("(1000000000000000000000000000000,)"), json!(["1000000000000000000000000000000"]));
        lossy("(1+2j)");
        lossy("{1: 'a', '1': 'b'}");
        lossy("{(1, 2): 'a'}");
    }

    #[test]
    fn pythons_own_repr_has_pythons_escapes() {
        let reading = read("('a\\nb', \"it's\", '\\x41\\u00e9', 'C:\\\\new')", Dialect::Python);
        assert_eq!(reading.value, json!(["a\nb", "it's", "Aé", "C:\\new"]));
        assert_eq!(reading.fidelity, Fidelity::Exact);
    }

    #[test]
    fn a_sign_is_no_hex_digit() {
        // `from_str_radix` alone would take it, and the text would pass for the original.
        assert!(matches!(read("'\\x+1'", Dialect::Python).fidelity, Fidelity::Lossy(_)));
    }

    #[test]
    fn deep_and_wide_attacks_end_early() {
        for text in
            ["(".repeat(200_000), "[{".repeat(30_000), "<".repeat(100_000), "1,".repeat(60_000), "'".repeat(99_999)]
        {
            read(&text, Dialect::Saferepr);
        }
        lossy(&format!("({})", "1,".repeat(20_000)));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,60}", soup in "[\\[\\](){}<>'\"\\\\.,: b1aN-]{0,60}") {
            for dialect in [Dialect::Saferepr, Dialect::Python] {
                read(&text, dialect);
                read(&soup, dialect);
            }
        }
    }
}
