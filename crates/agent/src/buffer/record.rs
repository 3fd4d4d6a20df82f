//! One record: `tag u32 | crc32(body) u32 | crc32(tag, crc) u32 | body`, little-endian. The tag is the kind in its highest byte
//! and the length of the body in the rest. A header vouches for itself: when the body is damaged, it is still known what was
//! lost and where the next record begins. When the header is damaged the next one can be looked for: no event's text contains
//! one, since a tag has a byte below the space character that JSON does not allow, and then two checksums must hold.

use taskplane_model::Timestamp;

/// Bytes before the body.
pub(crate) const HEADER_BYTES: usize = 12;
/// Longest event that is taken, in bytes.
pub const MAX_EVENT_BYTES: usize = 1 << 20;
/// Longest body. A length above it is damage.
const MAX_BODY_BYTES: usize = MAX_EVENT_BYTES + 64;

/// Bytes of a seal's record.
pub(super) const SEAL_RECORD_BYTES: usize = HEADER_BYTES + 20;

const EVENT: u8 = 1;
const SEAL: u8 = 2;
const DROPPED: u8 = 3;
const COPY: u8 = 4;
const MOVE: u8 = 5;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// One event and its time.
    Event { ts: Timestamp, event: &'a [u8] },
    /// An event of an older batch again, which is cut there. It counts only once a [`Record::Move`] follows.
    Copy { ts: Timestamp, cut: Cut, event: &'a [u8] },
    /// The events since its `start` are a batch.
    Seal(Seal),
    /// The copies since its `start` are a batch, and no longer belong to the one they were taken from.
    Move(Seal, Cut),
    /// So many events were dropped by now, ever.
    Dropped(u64),
}

/// The end of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) seq: u64,
    /// Where in the segment the batch begins.
    pub(super) start: u64,
    /// Events in it.
    pub(super) events: u32,
}

/// Where a batch was cut in two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// The batch.
    pub(super) of: u64,
    /// Its events at or behind this offset of its segment were moved.
    pub(super) at: u64,
}

/// What stands at some place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded<'a> {
    /// A record, so many bytes long.
    Whole(Record<'a>, usize),
    /// The beginning of a record; it needs so many bytes in all.
    Partial(usize),
    /// A record so many bytes long, whose body is damaged.
    Spoilt { is_event: bool, bytes: usize },
    /// Not a record.
    Nothing,
}

/// Appends an event's record to `out`.
pub(super) fn put_event(out: &mut Vec<u8>, ts: Timestamp, event: &[u8]) {
    put(out, EVENT, &[&ts.0.to_le_bytes(), event]);
}

/// Appends the record of a copied event to `out`.
pub(super) fn put_copy(out: &mut Vec<u8>, ts: Timestamp, cut: Cut, event: &[u8]) {
    put(out, COPY, &[&ts.0.to_le_bytes(), &cut.of.to_le_bytes(), &cut.at.to_le_bytes(), event]);
}

/// Appends a seal's record to `out`.
pub(super) fn put_seal(out: &mut Vec<u8>, seal: Seal) {
    put(out, SEAL, &[&seal.seq.to_le_bytes(), &seal.start.to_le_bytes(), &seal.events.to_le_bytes()]);
}

/// Appends the record that makes a batch of copies to `out`.
pub(super) fn put_move(out: &mut Vec<u8>, seal: Seal, cut: Cut) {
    let Seal { seq, start, events } = seal;
    let numbers = [seq, start, cut.of, cut.at].map(u64::to_le_bytes).concat();
    put(out, MOVE, &[&numbers, &events.to_le_bytes()]);
}

/// Appends the record of how many events were dropped to `out`.
pub(super) fn put_dropped(out: &mut Vec<u8>, dropped: u64) {
    put(out, DROPPED, &[&dropped.to_le_bytes()]);
}

/// Bytes of an event's record on disk.
pub(super) fn event_record_bytes(event: &[u8]) -> usize {
    HEADER_BYTES + 8 + event.len()
}

/// Appends a record of any kind to `out`. The body has at most [`MAX_EVENT_BYTES`] and 64 bytes.
pub(crate) fn put(out: &mut Vec<u8>, kind: u8, body: &[&[u8]]) {
    // Lengths are bounded by MAX_BODY_BYTES and fit.
    let len = body.iter().map(|part| part.len()).sum::<usize>() as u32;
    let mut crc = crc32fast::Hasher::new();
    body.iter().for_each(|part| crc.update(part));
    let start = out.len();
    out.extend_from_slice(&(u32::from(kind) << 24 | len).to_le_bytes());
    out.extend_from_slice(&crc.finalize().to_le_bytes());
    let header_crc = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&header_crc.to_le_bytes());
    body.iter().for_each(|part| out.extend_from_slice(part));
}

/// True when `bytes` begin with the whole header of a record of a kind that we know.
pub(super) fn is_header(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_BYTES && (EVENT..=MOVE).contains(&bytes[3]) && !matches!(decode(bytes), Decoded::Nothing)
}

/// Reads what stands at the beginning of `bytes`.
pub(super) fn decode(bytes: &[u8]) -> Decoded<'_> {
    let is_event = |kind| kind == EVENT || kind == COPY;
    match frame(bytes) {
        Frame::Whole { kind, body, bytes } => match record(kind, body) {
            Some(record) => Decoded::Whole(record, bytes),
            None => Decoded::Spoilt { is_event: is_event(kind), bytes },
        },
        Frame::Partial(bytes) => Decoded::Partial(bytes),
        Frame::Spoilt { kind, bytes } => Decoded::Spoilt { is_event: is_event(kind), bytes },
        Frame::Nothing => Decoded::Nothing,
    }
}

/// What stands at some place, whatever the kinds mean there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// A record with a sound body, so many bytes long in all.
    Whole { kind: u8, body: &'a [u8], bytes: usize },
    /// The beginning of a record; it needs so many bytes in all.
    Partial(usize),
    /// A record so many bytes long, whose body is damaged.
    Spoilt { kind: u8, bytes: usize },
    /// Not a record.
    Nothing,
}

/// Reads the record at the beginning of `bytes`, of any kind.
pub(crate) fn frame(bytes: &[u8]) -> Frame<'_> {
    let (Some(tag), Some(crc), Some(header_crc)) = (u32_at(bytes, 0), u32_at(bytes, 4), u32_at(bytes, 8)) else {
        return Frame::Partial(HEADER_BYTES);
    };
    let (kind, len) = ((tag >> 24) as u8, (tag & 0xff_ffff) as usize);
    if len > MAX_BODY_BYTES || crc32fast::hash(&bytes[..8]) != header_crc {
        return Frame::Nothing;
    }
    let end = HEADER_BYTES + len;
    let Some(body) = bytes.get(HEADER_BYTES..end) else { return Frame::Partial(end) };
    if crc32fast::hash(body) == crc {
        Frame::Whole { kind, body, bytes: end }
    } else {
        Frame::Spoilt { kind, bytes: end }
    }
}

/// Reads the record in the first `len` bytes, which [`decode`] found whole, without checking it again.
pub(super) fn checked(bytes: &[u8], len: usize) -> Option<Record<'_>> {
    record(*bytes.get(3)?, bytes.get(HEADER_BYTES..len)?)
}

fn record(kind: u8, body: &[u8]) -> Option<Record<'_>> {
    let number = |at: usize| Some(u64::from_le_bytes(body.get(at..at + 8)?.try_into().ok()?));
    let ts = || number(0).map(|ts| Timestamp(ts.cast_signed()));
    match kind {
        EVENT => Some(Record::Event { ts: ts()?, event: body.get(8..)? }),
        COPY => Some(Record::Copy { ts: ts()?, cut: Cut { of: number(8)?, at: number(16)? }, event: body.get(24..)? }),
        SEAL => Some(Record::Seal(Seal { seq: number(0)?, start: number(8)?, events: u32_at(body, 16)? })),
        MOVE => Some(Record::Move(
            Seal { seq: number(0)?, start: number(8)?, events: u32_at(body, 32)? },
            Cut { of: number(16)?, at: number(24)? },
        )),
        DROPPED => Some(Record::Dropped(number(0)?)),
        _ => None,
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SOME_SEAL: Seal = Seal { seq: 7, start: 28, events: 3 };

    #[test]
    fn what_is_written_is_read() {
        let cut = Cut { of: 5, at: 99 };
        let mut out = Vec::new();
        put_event(&mut out, Timestamp(5), b"{}");
        assert_eq!(out.len(), event_record_bytes(b"{}"));
        put_copy(&mut out, Timestamp(-6), cut, b"");
        put_seal(&mut out, SOME_SEAL);
        put_move(&mut out, SOME_SEAL, cut);
        put_dropped(&mut out, 9);
        let mut rest = &out[..];
        for record in [
            Record::Event { ts: Timestamp(5), event: b"{}" },
            Record::Copy { ts: Timestamp(-6), cut, event: b"" },
            Record::Seal(SOME_SEAL),
            Record::Move(SOME_SEAL, cut),
            Record::Dropped(9),
        ] {
            let Decoded::Whole(read, len) = decode(rest) else { panic!("{record:?}") };
            assert_eq!((read, checked(rest, len)), (record, Some(record)));
            rest = &rest[len..];
        }
        assert!(rest.is_empty());
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_found_and_in_the_body_costs_no_other_record(at in 0usize..43, by in 1u8..) {
            let mut out = Vec::new();
            put_event(&mut out, Timestamp(5), b"twenty-three bytes, yes");
            let whole = out.len();
            out[at] ^= by;
            let expected =
                if at < HEADER_BYTES { Decoded::Nothing } else { Decoded::Spoilt { is_event: true, bytes: whole } };
            prop_assert_eq!(decode(&out), expected);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }
    }
}
