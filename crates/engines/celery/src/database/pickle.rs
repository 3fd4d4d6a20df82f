//! Reads Python pickles of plain data, as databases hold results. Nothing is ever executed: an object of any class is but its
//! class's name.
//!
//! Of the libraries there are, none bounds what a small pickle may unfold to: values that refer to each other double with each
//! step, and nest as deep as the stack does not go. Here values lie side by side and name each other by number; they are put
//! together at the end, within a budget.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// More values than this are not read.
const MAX_NODES: usize = 100_000;
/// More values than this are not put together, and no more bytes of text.
const MAX_VALUES: usize = 100_000;
const MAX_TEXT: usize = 4 << 20;
/// Deeper values are not read. JSON readers have about the same limit.
const MAX_DEPTH: u32 = 100;

/// What a pickle of a version that is in use begins with.
const PROTO: u8 = 0x80;

/// What a pickle says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Unpickled {
    /// Good for display.
    pub(crate) value: Value,
    /// True when JSON says the same: there is nothing but lists (or tuples), dicts with texts as keys, texts, numbers and so on.
    pub(crate) is_plain: bool,
}

/// True when the bytes look like a pickle.
pub(crate) fn is_pickle(bytes: &[u8]) -> bool {
    matches!(bytes, [PROTO, 2..=5, ..])
}

/// Reads a pickle. `None` when it is none, or one that is too large or too deep.
pub(crate) fn read(bytes: &[u8]) -> Option<Unpickled> {
    if !is_pickle(bytes) {
        return None;
    }
    let mut machine = Machine { input: bytes, ..Machine::default() };
    let root = machine.run()?;
    let mut telling = Telling { nodes: &machine.nodes, is_plain: true, values: MAX_VALUES, text: MAX_TEXT };
    let value = telling.value(root, 0)?;
    Some(Unpickled { value, is_plain: telling.is_plain })
}

/// Where a value lies.
type At = usize;

enum Node {
    /// What JSON has as well.
    Plain(Value),
    /// What is only described.
    Told(String),
    Sequence(Vec<At>),
    Set(Vec<At>),
    Dict(Vec<(At, At)>),
}

/// Python's own machine, without what makes objects.
#[derive(Default)]
struct Machine<'p> {
    input: &'p [u8],
    nodes: Vec<Node>,
    stack: Vec<At>,
    /// How high the stack was at each mark.
    marks: Vec<usize>,
    memo: HashMap<u32, At>,
}

impl Machine<'_> {
    fn run(&mut self) -> Option<At> {
        loop {
            let [operation] = self.take()?;
            if operation == b'.' {
                return self.stack.pop();
            }
            self.step(operation)?;
        }
    }

    fn step(&mut self, operation: u8) -> Option<()> {
        match operation {
            // Versions and frames say nothing about the values.
            PROTO => self.take::<1>().map(drop),
            0x95 => self.take::<8>().map(drop),
            b'(' => {
                self.marks.push(self.stack.len());
                Some(())
            }
            b'0' => self.stack.pop().map(drop),
            b'1' => self.since_mark().map(drop),
            b'2' => {
                let top = *self.stack.last()?;
                self.stack.push(top);
                Some(())
            }
            b'N' => self.plain(Value::Null),
            0x88 => self.plain(true.into()),
            0x89 => self.plain(false.into()),
            b'J' | b'K' | b'M' | 0x8a | 0x8b | b'G' => self.number(operation),
            0x8c | b'X' | 0x8d | b'U' | b'T' => self.text(operation),
            b'C' | b'B' | 0x8e | 0x96 => self.bytes(operation),
            b')' | 0x85..=0x87 | b't' | b']' | b'l' | b'a' | b'e' => self.sequence(operation),
            b'}' | b'd' | b's' | b'u' => self.dict(operation),
            0x8f..=0x91 => self.set(operation),
            0x94 | b'q' | b'r' | b'h' | b'j' => self.remember(operation),
            b'c' | 0x93 | b'R' | b'b' | 0x81 | 0x92 => self.object(operation),
            _ => None,
        }
    }

    fn number(&mut self, operation: u8) -> Option<()> {
        let number = match operation {
            b'J' => i32::from_le_bytes(self.take()?).into(),
            b'K' => u8::from_le_bytes(self.take()?).into(),
            b'M' => u16::from_le_bytes(self.take()?).into(),
            b'G' => {
                let float = f64::from_be_bytes(self.take()?);
                return match serde_json::Number::from_f64(float) {
                    Some(number) => self.plain(number.into()),
                    None => self.told(float.to_string()),
                };
            }
            _ => {
                let length = if operation == 0x8a { self.length::<1>()? } else { self.length::<4>()? };
                let digits = self.many(length)?;
                return match long(digits) {
                    Some(number) => self.plain(number),
                    None => self.told("<int>".to_owned()),
                };
            }
        };
        self.plain(number)
    }

    fn text(&mut self, operation: u8) -> Option<()> {
        let length = match operation {
            0x8c | b'U' => self.length::<1>()?,
            b'X' | b'T' => self.length::<4>()?,
            _ => self.length::<8>()?,
        };
        match std::str::from_utf8(self.many(length)?).map(str::to_owned) {
            Ok(text) => self.plain(Value::String(text)),
            // Half of a pair, or a text of Python 2.
            Err(_) => self.told(format!("<str len={length}>")),
        }
    }

    fn bytes(&mut self, operation: u8) -> Option<()> {
        let length = match operation {
            b'C' => self.length::<1>()?,
            b'B' => self.length::<4>()?,
            _ => self.length::<8>()?,
        };
        self.many(length)?;
        self.told(format!("<bytes len={length}>"))
    }

    fn sequence(&mut self, operation: u8) -> Option<()> {
        let items = match operation {
            b')' | b']' => Vec::new(),
            0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(operation - 0x84))?;
                self.stack.split_off(from)
            }
            b't' | b'l' => self.since_mark()?,
            _ => {
                let items = if operation == b'a' { vec![self.stack.pop()?] } else { self.since_mark()? };
                // An object that is a list as well tells nothing of its items.
                if let Node::Sequence(list) = self.top()? {
                    list.extend(items);
                }
                return Some(());
            }
        };
        self.push(Node::Sequence(items))
    }

    fn dict(&mut self, operation: u8) -> Option<()> {
        let items = match operation {
            b'}' => Vec::new(),
            b's' => {
                let from = self.stack.len().checked_sub(2)?;
                self.stack.split_off(from)
            }
            _ => self.since_mark()?,
        };
        let pairs: Vec<(At, At)> = items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        if matches!(operation, b'}' | b'd') {
            return self.push(Node::Dict(pairs));
        }
        if let Node::Dict(dict) = self.top()? {
            dict.extend(pairs);
        }
        Some(())
    }

    fn set(&mut self, operation: u8) -> Option<()> {
        let items = if operation == 0x8f { Vec::new() } else { self.since_mark()? };
        if operation != 0x90 {
            return self.push(Node::Set(items));
        }
        if let Node::Set(set) = self.top()? {
            set.extend(items);
        }
        Some(())
    }

    fn remember(&mut self, operation: u8) -> Option<()> {
        let key = match operation {
            0x94 => u32::try_from(self.memo.len()).ok()?,
            b'q' | b'h' => u32::from(u8::from_le_bytes(self.take()?)),
            _ => u32::from_le_bytes(self.take()?),
        };
        if matches!(operation, b'h' | b'j') {
            let at = *self.memo.get(&key)?;
            self.stack.push(at);
        } else {
            self.memo.insert(key, *self.stack.last()?);
        }
        Some(())
    }

    /// A class, or what would be made of one: its name is all that is kept.
    fn object(&mut self, operation: u8) -> Option<()> {
        let arguments = match operation {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                return self.told(format!("<{module}.{name}>"));
            }
            0x93 => {
                let (name, module) = (self.stack.pop()?, self.stack.pop()?);
                let (Node::Plain(Value::String(name)), Node::Plain(Value::String(module))) =
                    (self.nodes.get(name)?, self.nodes.get(module)?)
                else {
                    return None;
                };
                let told = format!("<{module}.{name}>");
                return self.told(told);
            }
            // What it is built with.
            b'b' => return self.stack.pop().map(drop),
            0x92 => 2,
            _ => 1,
        };
        for _ in 0..arguments {
            self.stack.pop()?;
        }
        let class = self.stack.pop()?;
        let told = match self.nodes.get(class)? {
            Node::Told(name) => name.clone(),
            _ => "<object>".to_owned(),
        };
        self.told(told)
    }

    fn plain(&mut self, value: Value) -> Option<()> {
        self.push(Node::Plain(value))
    }

    fn told(&mut self, text: String) -> Option<()> {
        self.push(Node::Told(text))
    }

    fn push(&mut self, node: Node) -> Option<()> {
        if self.nodes.len() >= MAX_NODES {
            return None;
        }
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
        Some(())
    }

    fn top(&mut self) -> Option<&mut Node> {
        self.nodes.get_mut(*self.stack.last()?)
    }

    /// What was put on the stack since the last mark.
    fn since_mark(&mut self) -> Option<Vec<At>> {
        let mark = self.marks.pop()?;
        (mark <= self.stack.len()).then(|| self.stack.split_off(mark))
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.input.split_first_chunk()?;
        self.input = rest;
        Some(*taken)
    }

    fn many(&mut self, count: usize) -> Option<&[u8]> {
        let (taken, rest) = self.input.split_at_checked(count)?;
        self.input = rest;
        Some(taken)
    }

    /// A length of so many bytes, which is no greater than what is left.
    fn length<const N: usize>(&mut self) -> Option<usize> {
        let bytes: [u8; N] = self.take()?;
        let length = bytes.iter().rev().try_fold(0u64, |sum, byte| Some(sum.checked_mul(256)? + u64::from(*byte)))?;
        usize::try_from(length).ok().filter(|length| *length <= self.input.len())
    }

    fn line(&mut self) -> Option<String> {
        let end = self.input.iter().position(|byte| *byte == b'\n')?;
        let line = String::from_utf8(self.many(end)?.to_vec()).ok()?;
        self.take::<1>()?;
        Some(line)
    }
}

/// A whole number of any length, the lowest byte first; `None` where no number of JSON holds it.
fn long(digits: &[u8]) -> Option<Value> {
    let fill = if digits.last().is_some_and(|top| top & 0x80 != 0) { 0xff } else { 0 };
    let mut bytes = [fill; 16];
    bytes.get_mut(..digits.len())?.copy_from_slice(digits);
    let number = i128::from_le_bytes(bytes);
    i64::try_from(number).map(Value::from).or_else(|_| u64::try_from(number).map(Value::from)).ok()
}

/// Puts values together.
struct Telling<'n> {
    nodes: &'n [Node],
    is_plain: bool,
    values: usize,
    text: usize,
}

impl Telling<'_> {
    fn value(&mut self, at: At, depth: u32) -> Option<Value> {
        self.values = self.values.checked_sub(1)?;
        if depth > MAX_DEPTH {
            return None;
        }
        let nodes = self.nodes;
        match nodes.get(at)? {
            Node::Plain(Value::String(text)) => self.spend(text).map(Value::String),
            Node::Plain(value) => Some(value.clone()),
            Node::Told(text) => {
                self.is_plain = false;
                self.spend(text).map(Value::String)
            }
            Node::Sequence(items) => self.values(items, depth),
            Node::Set(items) => {
                self.is_plain = false;
                self.values(items, depth)
            }
            Node::Dict(pairs) => {
                let mut map = Map::new();
                for (key, value) in pairs {
                    let key = self.key(*key, depth)?;
                    map.insert(key, self.value(*value, depth + 1)?);
                }
                Some(Value::Object(map))
            }
        }
    }

    fn values(&mut self, items: &[At], depth: u32) -> Option<Value> {
        items.iter().map(|item| self.value(*item, depth + 1)).collect::<Option<Vec<_>>>().map(Value::Array)
    }

    fn key(&mut self, at: At, depth: u32) -> Option<String> {
        match self.value(at, depth + 1)? {
            Value::String(text) => Some(text),
            other => {
                self.is_plain = false;
                Some(other.to_string())
            }
        }
    }

    fn spend(&mut self, text: &str) -> Option<String> {
        self.text = self.text.checked_sub(text.len())?;
        Some(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<char> = text.chars().collect();
        let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("digits");
        digits.chunks(2).map(byte).collect()
    }

    /// `pickle.dumps(…).hex()`, by protocol 2 and 5.
    const PLAIN: [&str; 2] = [
        "80027d71002858010000006171015d7102284b014affffffff4d2c014a701101008a09ffffffffffffffff008a080000000000000080473ff800000000000088894e5802000000c3bc7103655801000000747104284b018571054b014b024b03877106284b014b024b034b047471072974710858010000006471097d710a5805000000616761696e710b6803752e",
        "80059571000000000000007d94288c0161945d94284b014affffffff4d2c014a701101008a09ffffffffffffffff008a080000000000000080473ff800000000000088894e8c02c3bc94658c017494284b0185944b014b024b038794284b014b024b034b0474942974948c0164947d948c05616761696e946803752e",
    ];
    const OBJECTS: [&str; 2] = [
        "80027d71002858040000007768656e7101636461746574696d650a6461746574696d650a7102635f636f646563730a656e636f64650a7103580b00000007c3aa0102000000000000710458060000006c6174696e317105867106527107636461746574696d650a74696d657a6f6e650a7108636461746574696d650a74696d6564656c74610a71094b004b004b0087710a52710b85710c52710d86710e52710f58050000006578616374711063646563696d616c0a446563696d616c0a71115804000000312e313071128571135271144b0158030000006f6e65711558040000006875676571168a2600000000000000000000000000000000000000000000000000000000000000000000000000105803000000696e667117477ff00000000000005805000000627974657371186803580200000061627119680586711a52711b5803000000736574711c635f5f6275696c74696e5f5f0a7365740a711d5d711e4b016185711f527120752e",
        "800595ea000000000000007d94288c047768656e948c086461746574696d65948c086461746574696d65949394430a07ea01020000000000009468028c0874696d657a6f6e6594939468028c0974696d6564656c74619493944b004b004b008794529485945294869452948c056578616374948c07646563696d616c948c07446563696d616c9493948c04312e313094859452944b018c036f6e65948c0468756765948a2600000000000000000000000000000000000000000000000000000000000000000000000000108c03696e6694477ff00000000000008c0562797465739443026162948c03736574948f94284b0190752e",
    ];

    #[test]
    fn plain_data_is_read_whatever_the_protocol() {
        for text in PLAIN {
            let read = read(&hex(text)).expect("a pickle");
            let same = json!({"a": [1, -1, 300, 70_000, u64::MAX, i64::MIN, 1.5, true, false, null, "ü"], "t": [[1], [1, 2, 3],
                [1, 2, 3, 4], []], "d": {}, "again": "ü"});
            assert_eq!(read, Unpickled { value: same, is_plain: true });
        }
    }

    #[test]
    fn objects_are_but_their_names() {
        for text in OBJECTS {
            let read = read(&hex(text)).expect("a pickle");
            assert!(!read.is_plain);
            assert_eq!(read.value["when"], json!("<datetime.datetime>"));
            assert_eq!((&read.value["exact"], &read.value["1"]), (&json!("<decimal.Decimal>"), &json!("one")));
            assert_eq!((&read.value["huge"], &read.value["inf"]), (&json!("<int>"), &json!("inf")));
        }
    }

    #[test]
    fn what_would_run_something_does_not() {
        let evil = b"\x80\x02cos\nsystem\nq\x00X\x08\x00\x00\x00touch /xq\x01\x85q\x02Rq\x03.";
        assert_eq!(read(evil), Some(Unpickled { value: json!("<os.system>"), is_plain: false }));
    }

    #[test]
    fn small_pickles_do_not_unfold_to_large_values() {
        // A list of two, of which each is the list of two before it, and so on.
        let mut bomb = b"\x80\x04]\x94".to_vec();
        for at in 0..60u8 {
            bomb.extend([b']', 0x94, b'(', b'h', at, b'h', at, b'e']);
        }
        bomb.push(b'.');
        assert_eq!(read(&bomb), None);
        let mut texts = b"\x80\x04X\x00\x00\x10\x00".to_vec();
        texts.resize(texts.len() + (1 << 20), b'x');
        texts.extend(b"\x940](");
        texts.extend(b"h\x00".repeat(100));
        texts.extend(b"e.");
        assert_eq!(read(&texts), None);
    }

    #[test]
    fn deep_and_endless_values_are_refused() {
        let deep = [b"\x80\x04".as_slice(), &b"]".repeat(50_000), &b"a".repeat(49_999), b"."].concat();
        assert_eq!(read(&deep), None);
        let endless = b"\x80\x04]\x94h\x00a.";
        assert_eq!(read(endless), None);
        let many = [b"\x80\x04".as_slice(), &b"N".repeat(MAX_NODES + 1), b"."].concat();
        assert_eq!(read(&many), None);
    }

    #[test]
    fn what_is_no_pickle_is_none() {
        for bytes in [
            b"".as_slice(),
            b"\x80",
            b"\x80\x04",
            b"\x80\x04.",
            b"\x80\x04N",
            b"{}",
            b"\x80\x04X\xff\xff\xff\xffx.",
            b"\x80\x04e.",
            b"\x80\x04h\x07.",
            b"\x80\x04\x87.",
            b"\x80\x07N.",
        ] {
            assert_eq!(read(bytes), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&[&[PROTO, 4], bytes.as_slice()].concat());
        }

        #[test]
        fn foreign_programs_never_panic(
            operations in proptest::collection::vec(
                proptest::sample::select(b"(012NK\x01](aetuls}d)\x85\x86\x87\x8f\x90\x91\x94h\x00q\x00Rb\x81\x93\x8c\x01x.".to_vec()),
                0..200,
            )
        ) {
            let _ = read(&[&[PROTO, 4], operations.as_slice()].concat());
        }
    }
}
