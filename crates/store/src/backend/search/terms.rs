//! From texts to terms, for tasks and for filters alike: what a filter asks for, every task that it means has.
//!
//! Of text, terms are all runs of three bytes, except those of hexadecimal digits and hyphens alone, which ids and numbers would
//! put into every block; of these, terms are the runs of four. Whether a run is a term depends on nothing but itself, so what is
//! a term in a part of a text is one in the whole.

use std::borrow::Cow;

use taskplane_model::TaskRecord;
use taskplane_model::filter::arguments;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::TASK_TEXT;

/// Bits of a term.
pub(super) const TERM_BITS: u32 = 26;
/// Terms of one column are in one bucket, so that asking for several of them costs as much as asking for one.
const NUMBER_BITS: u32 = 14;

/// A column of numbers.
#[derive(Clone, Copy, Debug)]
pub enum Column {
    /// Engine.
    Engine = 1,
    /// Task type.
    Name = 2,
    /// Queue.
    Queue = 3,
    /// Worker.
    Worker = 4,
}

/// A task as it is taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    /// The number of its engine.
    pub engine: i64,
    /// The number of its type, 0 for not known.
    pub name: i64,
    /// The number of its queue, 0 for not known.
    pub queue: i64,
    /// The number of its worker, 0 for not known.
    pub worker: i64,
    /// The engine's id.
    pub task_id: &'a str,
    /// What is known.
    pub record: &'a TaskRecord,
}

/// One of these terms is in every task that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause(pub(super) Vec<u32>);

impl Clause {
    /// The column has one of these numbers. What was not known when a task was indexed may have become one of them, so the
    /// index has to be told only of what changes from one number to another.
    pub fn numbers(column: Column, numbers: impl IntoIterator<Item = i64>) -> Self {
        let mut terms: Vec<u32> = numbers.into_iter().chain([0]).map(|number| number_term(column, number)).collect();
        terms.sort_unstable();
        terms.dedup();
        Self(terms)
    }

    /// The text, in lower case, is somewhere in one of the texts of the task.
    pub fn text(text: &str) -> Vec<Self> {
        let mut terms = Vec::new();
        text_terms(text.as_bytes(), |term| terms.push(term));
        terms.sort_unstable();
        terms.dedup();
        terms.into_iter().map(|term| Self(vec![term])).collect()
    }

    /// There is this keyword argument with this value.
    pub fn argument(name: &str, value: &str) -> Self {
        Self(vec![argument_term(name, value)])
    }
}

/// Says the terms of a task, some of them several times. False when it has too much text: it may hold anything.
pub(super) fn document_terms(document: &Document<'_>, mut take: impl FnMut(u32)) -> bool {
    let Document { engine, name, queue, worker, task_id, record } = *document;
    let columns = [(Column::Engine, engine), (Column::Name, name), (Column::Queue, queue), (Column::Worker, worker)];
    for (column, number) in columns {
        take(number_term(column, number));
    }
    let mut left = TASK_TEXT;
    for text in texts(task_id, record) {
        let Some(less) = left.checked_sub(text.len()) else { return false };
        left = less;
        text_terms(lower(text).as_bytes(), &mut take);
    }
    for (name, value) in record.kwargs.as_deref().map(arguments).unwrap_or_default() {
        take(argument_term(&name, &value));
    }
    true
}

/// True when a filter that did not mean a task before may mean it now. `numbers` are those of name, queue and worker, before
/// and now.
pub fn grew(old: &TaskRecord, new: &TaskRecord, numbers: [(i64, i64); 3]) -> bool {
    let other = |(old, new): &(i64, i64)| *old != 0 && old != new;
    let has_failed = new.marks.iter().any(|mark| mark.exception.is_some() || mark.exception_message.is_some());
    (&old.name, &old.args, &old.kwargs) != (&new.name, &new.args, &new.kwargs)
        || numbers.iter().any(other)
        || (has_failed && old.marks != new.marks)
}

/// The texts in which a filter's words are looked for: of every end of an attempt, also of those that do not count.
fn texts<'a>(task_id: &'a str, record: &'a TaskRecord) -> impl Iterator<Item = &'a str> {
    let own = [record.name.as_deref(), Some(task_id), record.args.as_deref(), record.kwargs.as_deref()];
    let of_ends = record.marks.iter().flat_map(|mark| [mark.exception.as_deref(), mark.exception_message.as_deref()]);
    own.into_iter().chain(of_ends).flatten()
}

/// As filters compare: in lower case.
fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.to_lowercase())
    }
}

fn text_terms(text: &[u8], mut take: impl FnMut(u32)) {
    // The last bytes, and how many of them in a row are hexadecimal digits or hyphens.
    let (mut bytes, mut hex) = (0u32, 0u32);
    for (at, byte) in text.iter().enumerate() {
        bytes = bytes << 8 | u32::from(*byte);
        hex = if matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-') { hex + 1 } else { 0 };
        if hex >= 4 {
            take(bytes_term(bytes));
        } else if hex < 3 && at >= 2 {
            take(bytes_term(bytes & 0x00ff_ffff));
        }
    }
}

fn bytes_term(bytes: u32) -> u32 {
    (bytes ^ bytes >> 15).wrapping_mul(0x2c1b_3c6d) >> (u32::BITS - TERM_BITS)
}

fn number_term(column: Column, number: i64) -> u32 {
    let column = column as u32;
    let of_column = (xxh3_64(&column.to_le_bytes()) >> (u64::BITS - TERM_BITS)) as u32 >> NUMBER_BITS << NUMBER_BITS;
    // Numbers are given one by one, so their last bits differ.
    of_column | (number.cast_unsigned() as u32 & ((1 << NUMBER_BITS) - 1))
}

fn argument_term(name: &str, value: &str) -> u32 {
    let hash = xxh3_64_with_seed(value.as_bytes(), xxh3_64(name.as_bytes()));
    (hash >> (u64::BITS - TERM_BITS)) as u32
}
