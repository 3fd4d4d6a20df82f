//! Task records as bytes, written to be small: 141 bytes a task in the mean of the load generator's events.
//!
//! Name, queue and worker are columns and are not repeated; times are distances from the first sight, which is the key;
//! UUIDs are 16 bytes. The first byte is the version: 1 plain, 2 compressed.

use std::borrow::Cow;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use taskplane_model::task::{Progress, Stamped, ToldQueue};
use taskplane_model::{TaskRecord, Timestamp};

use crate::backend::corrupt;
use crate::backend::ids;
use crate::{Result, StoreError};

mod mark;
mod wire;

use wire::{Reader, Value, put_bytes_field, put_nested_field, put_number, put_number_field, put_signed, text};

const PLAIN: u8 = 1;
const COMPRESSED: u8 = 2;
/// Records from here on are compressed: mostly those with a traceback.
const COMPRESS_FROM: usize = 512;
/// No record is larger than this when read back; the protocol's limits keep it far smaller.
const MAX_PLAIN: u64 = 256 << 20;

// Numbers of fields; never reuse one. An id's field plus `AS_UUID` holds it as 16 bytes.
const ARGS: u64 = 1;
const KWARGS: u64 = 2;
const QUEUE: u64 = 3;
const ROUTING_KEY: u64 = 4;
const EXCHANGE: u64 = 5;
const ROOT: u64 = 6;
const PARENT: u64 = 7;
const GROUP: u64 = 8;
const CHORD: u64 = 9;
const ETA: u64 = 10;
const EXPIRES: u64 = 11;
const PRIORITY: u64 = 12;
const RETRY_OF: u64 = 13;
const RETRIED_AS: u64 = 14;
const PROGRESS: u64 = 15;
const MARK: u64 = 16;
const BATCHES: u64 = 17;
const AGENTS: u64 = 18;
const ROUTING_KEY_IS_QUEUE: u64 = 20;
const EXCHANGE_IS_QUEUE: u64 = 21;
const EXACT_QUEUE: u64 = 22;
const AS_UUID: u64 = 32;

/// What is known of a record without its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Frame<'a> {
    /// Time of first sight.
    pub base: Timestamp,
    /// Task type.
    pub name: Option<&'a str>,
    /// Queue.
    pub queue: Option<&'a str>,
    /// Worker of the task as a whole.
    pub worker: Option<&'a str>,
}

/// Writes `record` to `out`, which is cleared first.
pub fn encode(record: &TaskRecord, frame: &Frame<'_>, out: &mut Vec<u8>) {
    out.clear();
    out.push(PLAIN);
    put_texts(out, record, frame.queue);
    put_ids(out, record);
    put_stamped(out, record, frame.base);
    let mut before = frame.base;
    for mark in &record.marks {
        put_nested_field(out, MARK, |out| mark::put(out, mark, before, frame.worker));
        before = mark.ts;
    }
    if !record.batches.is_empty() {
        put_nested_field(out, BATCHES, |out| put_steps(out, &record.batches));
    }
    if !record.agents.is_empty() {
        put_nested_field(out, AGENTS, |out| put_steps(out, &record.agents));
    }
    if out.len() >= COMPRESS_FROM
        && let Some(compressed) = compress(&out[1..])
        && compressed.len() < out.len()
    {
        *out = compressed;
    }
}

/// Reads what [`encode`] wrote.
pub fn decode(bytes: &[u8], frame: &Frame<'_>) -> Result<TaskRecord> {
    decode_fields(&fields(bytes)?, frame)
}

/// A text of a record in which filters look for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text<'a> {
    /// Arguments by position.
    Args(&'a [u8]),
    /// Arguments by name.
    Kwargs(&'a [u8]),
    /// An exception or its message, of any end of an attempt, also of one that does not count.
    End(&'a [u8]),
}

/// Says the texts of what [`encode`] wrote, without reading the rest of it.
pub fn each_text(bytes: &[u8], mut say: impl FnMut(Text<'_>)) -> Result<()> {
    let fields = fields(bytes)?;
    let mut from = Reader(&fields);
    while !from.is_empty() {
        match from.field()? {
            (ARGS, Value::Bytes(text)) => say(Text::Args(text)),
            (KWARGS, Value::Bytes(text)) => say(Text::Kwargs(text)),
            (MARK, Value::Bytes(mark)) => mark::each_text(Reader(mark), |text| say(Text::End(text)))?,
            _ => {}
        }
    }
    Ok(())
}

fn fields(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    match bytes.split_first() {
        Some((&PLAIN, fields)) => Ok(Cow::Borrowed(fields)),
        Some((&COMPRESSED, rest)) => {
            let mut fields = Vec::new();
            let read = ZlibDecoder::new(rest).take(MAX_PLAIN).read_to_end(&mut fields);
            read.map_err(|error| corrupt(format!("a task record does not unpack ({error})")))?;
            Ok(Cow::Owned(fields))
        }
        _ => Err(corrupt("a task record has an unknown version")),
    }
}

fn compress(fields: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(vec![COMPRESSED], Compression::fast());
    encoder.write_all(fields).ok()?;
    encoder.finish().ok()
}

fn put_texts(out: &mut Vec<u8>, record: &TaskRecord, queue: Option<&str>) {
    for (field, value) in [(ARGS, &record.args), (KWARGS, &record.kwargs)] {
        if let Some(value) = value {
            put_bytes_field(out, field, value.as_bytes());
        }
    }
    // Most routing keys, and many exchanges, are named like the queue.
    for (field, same, value) in
        [(ROUTING_KEY, ROUTING_KEY_IS_QUEUE, &record.routing_key), (EXCHANGE, EXCHANGE_IS_QUEUE, &record.exchange)]
    {
        match value.as_deref() {
            None => {}
            value if value == queue => put_number_field(out, same, 1),
            Some(value) => put_bytes_field(out, field, value.as_bytes()),
        }
    }
}

fn put_ids(out: &mut Vec<u8>, record: &TaskRecord) {
    for (field, value) in [
        (ROOT, &record.root_id),
        (PARENT, &record.parent_id),
        (GROUP, &record.group_id),
        (CHORD, &record.chord_id),
        (RETRY_OF, &record.retry_of),
    ] {
        let Some(value) = value else { continue };
        match ids::parse_uuid(value) {
            Some(uuid) => put_bytes_field(out, field + AS_UUID, &uuid),
            None => put_bytes_field(out, field, value.as_bytes()),
        }
    }
}

fn put_stamped(out: &mut Vec<u8>, record: &TaskRecord, base: Timestamp) {
    fn put(out: &mut Vec<u8>, attempt: u32, ts: Timestamp, base: Timestamp) {
        put_number(out, u64::from(attempt));
        put_signed(out, ts.0.wrapping_sub(base.0));
    }
    fn stamp<T>(out: &mut Vec<u8>, fact: &Stamped<T>, base: Timestamp) {
        put(out, fact.attempt, fact.ts, base);
    }
    if let Some(fact) = &record.queue {
        let field = if fact.is_exact { EXACT_QUEUE } else { QUEUE };
        put_nested_field(out, field, |out| put(out, fact.attempt, fact.ts, base));
    }
    if let Some(fact) = &record.eta {
        put_nested_field(out, ETA, |out| {
            stamp(out, fact, base);
            put_signed(out, fact.value.0.wrapping_sub(base.0));
        });
    }
    if let Some(expires) = record.expires {
        put_nested_field(out, EXPIRES, |out| put_signed(out, expires.0.wrapping_sub(base.0)));
    }
    if let Some(priority) = record.priority {
        put_nested_field(out, PRIORITY, |out| put_signed(out, priority));
    }
    if let Some(fact) = &record.retried_as {
        put_nested_field(out, RETRIED_AS, |out| {
            stamp(out, fact, base);
            out.extend_from_slice(fact.value.as_bytes());
        });
    }
    if let Some(fact) = &record.progress {
        put_nested_field(out, PROGRESS, |out| {
            stamp(out, fact, base);
            put_progress(out, &fact.value);
        });
    }
}

fn put_progress(out: &mut Vec<u8>, progress: &Progress) {
    let has = [progress.done_bits.is_some(), progress.total_bits.is_some(), progress.note.is_some()];
    out.push(has.iter().enumerate().map(|(bit, has)| u8::from(*has) << bit).sum());
    for bits in [progress.done_bits, progress.total_bits].into_iter().flatten() {
        out.extend_from_slice(&bits.to_le_bytes());
    }
    out.extend_from_slice(progress.note.as_deref().unwrap_or("").as_bytes());
}

/// Neighbours in a sorted list are near each other.
fn put_steps(out: &mut Vec<u8>, numbers: &[u64]) {
    let mut before = 0u64;
    for number in numbers {
        put_signed(out, number.wrapping_sub(before).cast_signed());
        before = *number;
    }
}

fn decode_fields(fields: &[u8], frame: &Frame<'_>) -> Result<TaskRecord> {
    let mut record = TaskRecord { name: frame.name.map(str::to_owned), ..TaskRecord::default() };
    let mut before = frame.base;
    let mut from = Reader(fields);
    while !from.is_empty() {
        match from.field()? {
            (MARK, Value::Bytes(bytes)) => {
                let mark = mark::read(Reader(bytes), before, frame.worker)?;
                before = mark.ts;
                record.marks.push(mark);
            }
            (ROUTING_KEY_IS_QUEUE, _) => record.routing_key = frame.queue.map(str::to_owned),
            (EXCHANGE_IS_QUEUE, _) => record.exchange = frame.queue.map(str::to_owned),
            (field, Value::Bytes(bytes)) => take_field(&mut record, field, bytes, frame)?,
            // Written by a later version.
            (_, Value::Number(_)) => {}
        }
    }
    Ok(record)
}

fn take_field(record: &mut TaskRecord, field: u64, bytes: &[u8], frame: &Frame<'_>) -> Result<()> {
    let base = frame.base;
    let mut from = Reader(bytes);
    let instant = |from: &mut Reader<'_>| Ok::<_, StoreError>(Timestamp(base.0.wrapping_add(from.signed()?)));
    let stamp = |from: &mut Reader<'_>| Ok::<_, StoreError>((from.number()? as u32, instant(from)?));
    match field {
        ARGS => record.args = Some(text(bytes)?),
        KWARGS => record.kwargs = Some(text(bytes)?),
        ROUTING_KEY => record.routing_key = Some(text(bytes)?),
        EXCHANGE => record.exchange = Some(text(bytes)?),
        QUEUE | EXACT_QUEUE => {
            let ((attempt, ts), is_exact) = (stamp(&mut from)?, field == EXACT_QUEUE);
            record.queue = frame.queue.map(|queue| ToldQueue { attempt, is_exact, ts, value: queue.to_owned() });
        }
        ETA => {
            let (attempt, ts) = stamp(&mut from)?;
            record.eta = Some(Stamped { attempt, ts, value: instant(&mut from)? });
        }
        EXPIRES => record.expires = Some(instant(&mut from)?),
        PRIORITY => record.priority = Some(from.signed()?),
        RETRIED_AS => {
            let (attempt, ts) = stamp(&mut from)?;
            record.retried_as = Some(Stamped { attempt, ts, value: text(from.0)? });
        }
        PROGRESS => {
            let (attempt, ts) = stamp(&mut from)?;
            record.progress = Some(Stamped { attempt, ts, value: read_progress(from)? });
        }
        BATCHES => record.batches = read_steps(from)?,
        AGENTS => record.agents = read_steps(from)?,
        _ => take_id(record, field, bytes)?,
    }
    Ok(())
}

fn take_id(record: &mut TaskRecord, field: u64, bytes: &[u8]) -> Result<()> {
    let (slot, as_uuid) = if field >= AS_UUID { (field - AS_UUID, true) } else { (field, false) };
    let slot = match slot {
        ROOT => &mut record.root_id,
        PARENT => &mut record.parent_id,
        GROUP => &mut record.group_id,
        CHORD => &mut record.chord_id,
        RETRY_OF => &mut record.retry_of,
        // Written by a later version.
        _ => return Ok(()),
    };
    *slot = Some(if as_uuid { ids::uuid_text(bytes)? } else { text(bytes)? });
    Ok(())
}

fn read_progress(mut from: Reader<'_>) -> Result<Progress> {
    let has = from.take(1)?[0];
    let mut bits = |bit: u8| -> Result<Option<u64>> {
        if has & bit == 0 {
            return Ok(None);
        }
        let mut bytes = [0; 8];
        bytes.copy_from_slice(from.take(8)?);
        Ok(Some(u64::from_le_bytes(bytes)))
    };
    let (done_bits, total_bits) = (bits(1)?, bits(2)?);
    let note = if has & 4 == 0 { None } else { Some(text(from.0)?) };
    Ok(Progress { done_bits, total_bits, note })
}

fn read_steps(mut from: Reader<'_>) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    let mut before = 0u64;
    while !from.is_empty() {
        before = before.wrapping_add(from.signed()?.cast_unsigned());
        numbers.push(before);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests;
