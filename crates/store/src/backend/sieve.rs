//! Tells from a task's bytes that a filter cannot mean it, before a record is made of them. What is left, the record decides.

use std::collections::HashMap;

use serde_json::Value;
use taskplane_model::filter::TaskFilter;

use super::codec::{Text, each_text};
use super::hashing::FastHash;
use super::ids;
use crate::Result;

/// Words that are looked for; of more, the others are left to the record.
const MAX_WORDS: usize = u64::BITS as usize;
/// Length of a UUID as text.
const UUID_TEXT: usize = 36;

/// The words and arguments of a filter.
#[derive(Debug)]
pub struct Sieve<'q> {
    words: Vec<Word<'q>>,
    arguments: Vec<Argument<'q>>,
    /// Which words are in a name, one bit each, by the name's number.
    in_names: HashMap<i64, u64, FastHash>,
}

/// A task id as it is stored.
#[derive(Clone, Copy, Debug)]
pub enum StoredId<'a> {
    /// The bytes of a UUID.
    Uuid(&'a [u8]),
    /// Anything else.
    Text(&'a [u8]),
}

#[derive(Debug)]
struct Word<'q> {
    /// In lower case.
    text: &'q str,
    may_be_in_uuid: bool,
}

#[derive(Debug)]
struct Argument<'q> {
    name: &'q str,
    /// The value, if only text has it: numbers and lists can be written in several ways.
    text: Option<&'q str>,
}

impl<'q> Sieve<'q> {
    /// The sieve of a filter.
    pub fn new(filter: &'q TaskFilter) -> Self {
        let word =
            |text: &'q String| Word { text, may_be_in_uuid: text.len() <= UUID_TEXT && text.bytes().all(is_of_uuid) };
        let argument = |(name, value): &'q (String, String)| Argument {
            name,
            text: serde_json::from_str::<Value>(value).is_err().then_some(value.as_str()),
        };
        Self {
            words: filter.text.iter().take(MAX_WORDS).map(word).collect(),
            arguments: filter.args.iter().map(argument).collect(),
            in_names: HashMap::default(),
        }
    }

    /// True when it leaves everything.
    pub fn is_open(&self) -> bool {
        self.words.is_empty() && self.arguments.is_empty()
    }

    /// Notes which words are in the name with a number, unless that is known.
    ///
    /// # Errors
    /// Those of `text`, which reads the name.
    pub fn learn_name<E, T: AsRef<str>>(
        &mut self,
        name: i64,
        text: impl FnOnce() -> std::result::Result<Option<T>, E>,
    ) -> std::result::Result<(), E> {
        if !self.in_names.contains_key(&name) {
            let mut missing = self.all_words();
            if let Some(text) = text()? {
                self.strike(&mut missing, text.as_ref().as_bytes());
            }
            self.in_names.insert(name, self.all_words() & !missing);
        }
        Ok(())
    }

    /// True when the filter may mean a task with this id and record, as they are stored. The name has been learnt.
    ///
    /// # Errors
    /// When the bytes make no sense.
    pub fn leaves(&self, name: i64, id: StoredId<'_>, record: &[u8]) -> Result<bool> {
        let mut missing = self.all_words() & !self.in_names.get(&name).copied().unwrap_or_default();
        if missing != 0 {
            self.strike_id(&mut missing, id)?;
        }
        if missing == 0 && self.arguments.is_empty() {
            return Ok(true);
        }
        let mut has_arguments = self.arguments.is_empty();
        each_text(record, |text| match text {
            Text::Kwargs(kwargs) => {
                has_arguments = has_arguments || self.arguments.iter().all(|argument| argument.may_be_in(kwargs));
                self.strike(&mut missing, kwargs);
            }
            Text::Args(text) | Text::End(text) => self.strike(&mut missing, text),
        })?;
        Ok(missing == 0 && has_arguments)
    }

    fn all_words(&self) -> u64 {
        u64::MAX.checked_shr(u64::BITS - self.words.len() as u32).unwrap_or(0)
    }

    /// Strikes out the words that are in a text.
    fn strike(&self, missing: &mut u64, text: &[u8]) {
        for (at, word) in self.words.iter().enumerate() {
            if *missing >> at & 1 == 1 && contains(text, word.text) {
                *missing &= !(1 << at);
            }
        }
    }

    fn strike_id(&self, missing: &mut u64, id: StoredId<'_>) -> Result<()> {
        match id {
            StoredId::Text(text) => self.strike(missing, text),
            StoredId::Uuid(uuid) => {
                let may_be_in = |(at, word): (usize, &Word<'_>)| word.may_be_in_uuid && *missing >> at & 1 == 1;
                if self.words.iter().enumerate().any(may_be_in) {
                    self.strike(missing, ids::uuid_text(uuid)?.as_bytes());
                }
            }
        }
        Ok(())
    }
}

impl Argument<'_> {
    /// Whether JSON text may have it: without an escape, names and texts stand there as they are.
    fn may_be_in(&self, kwargs: &[u8]) -> bool {
        let has = |text: &str| kwargs.windows(text.len().max(1)).any(|part| text.is_empty() || part == text.as_bytes());
        kwargs.contains(&b'\\') || (has(self.name) && self.text.is_none_or(has))
    }
}

fn is_of_uuid(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-')
}

/// True when `text` in lower case has `word` in it, or is no text.
fn contains(text: &[u8], word: &str) -> bool {
    if !text.is_ascii() {
        return std::str::from_utf8(text).map_or(true, |text| text.to_lowercase().contains(word));
    }
    let Some((first, rest)) = word.as_bytes().split_first() else { return true };
    let Some(places) = text.len().checked_sub(rest.len()) else { return false };
    let is_first = |byte: &u8| byte.to_ascii_lowercase() == *first;
    (0..places).any(|at| is_first(&text[at]) && text[at + 1..at + word.len()].eq_ignore_ascii_case(rest))
}

#[cfg(test)]
mod tests {
    use taskplane_model::task::Mark;
    use taskplane_model::{TaskEventKind, TaskRecord, Timestamp};

    use super::*;
    use crate::backend::codec::{Frame, encode};

    const UUID: &str = "0b7f5a1e-3c4d-4e5f-8a9b-0c1d2e3f4a5b";
    const NAME: i64 = 7;

    fn record() -> TaskRecord {
        let end = |exception: &str, message: &str, traceback: Option<String>| Mark {
            kind: TaskEventKind::Failed,
            ts: Timestamp(5),
            attempt: Some(0),
            worker: Some("celery@1".into()),
            runtime_us: Some(70_000),
            result: Some("result".into()),
            exception: Some(exception.into()),
            exception_message: Some(message.into()),
            traceback,
            ..mark()
        };
        TaskRecord {
            name: Some("shop.Pay".into()),
            args: Some("[17, \"Zoë\"]".into()),
            kwargs: Some(r#"{"currency":"EUR","n":1e2,"e":"a\u0062c"}"#.into()),
            marks: vec![mark(), end("CardDeclined", "ÄRGER with bank", Some("x".repeat(600)))],
            ..TaskRecord::default()
        }
    }

    fn mark() -> Mark {
        Mark { ts: Timestamp(1), ..Mark::default() }
    }

    /// Whether the filter is left, and whether it means the task.
    fn asked(text: &str, record: &TaskRecord) -> (bool, bool) {
        let filter = TaskFilter::parse(text, Timestamp(0)).expect("is a filter");
        let frame = Frame { base: Timestamp(1), name: record.name.as_deref(), ..Frame::default() };
        let mut bytes = Vec::new();
        encode(record, &frame, &mut bytes);
        let mut sieve = Sieve::new(&filter);
        sieve.learn_name(NAME, || Ok::<_, ()>(record.name.as_deref())).expect("is known");
        let uuid = ids::parse_uuid(UUID).expect("is one");
        let left = sieve.leaves(NAME, StoredId::Uuid(&uuid), &bytes).expect("is read");
        (left, filter.matches("celery", UUID, &record.task()))
    }

    #[test]
    fn what_is_meant_is_left_and_most_else_is_not() {
        let large = record();
        let small = TaskRecord { marks: vec![mark()], ..record() };
        for text in [
            "shop.pay",
            "SHOP",
            "zoë",
            "ZOË",
            "currency",
            "3c4d-4e5f",
            "\"a9b-0\"",
            "arg:currency=EUR",
            "arg:n=100.0",
            "arg:e=abc",
        ] {
            assert_eq!((asked(text, &large), asked(text, &small)), ((true, true), (true, true)), "{text}");
        }
        for text in ["carddeclined", "ärger", "\"with bank\" eur", "shop DECLINED 17"] {
            assert_eq!((asked(text, &large), asked(text, &small)), ((true, true), (false, false)), "{text}");
        }
        for text in ["no", "shop absent", "celery@1", "xxxx", "result"] {
            assert_eq!((asked(text, &large), asked(text, &small)), ((false, false), (false, false)), "{text}");
        }
    }

    #[test]
    fn arguments_written_in_other_ways_are_left_to_the_record() {
        assert_eq!(asked("arg:n=100", &record()), (true, false));
        let plain = TaskRecord { kwargs: Some(r#"{"currency":"EUR"}"#.into()), ..record() };
        assert_eq!(asked("arg:currency=XXX", &plain), (false, false));
        assert_eq!(asked("arg:currency=EUR", &TaskRecord { kwargs: None, ..record() }), (false, false));
    }

    #[test]
    fn of_many_words_some_are_left_to_the_record() {
        let many = (0..80).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ");
        let all = TaskRecord { args: Some(many.clone()), ..record() };
        assert_eq!(asked(&many, &all), (true, true));
        assert_eq!(asked(&format!("{many} absent"), &all), (true, false));
    }
}
