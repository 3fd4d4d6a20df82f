//! One record: `len u32 | crc32 u32 | body`, little-endian. The checksum covers the length and the body, so that a wrong
//! length is found as surely as a wrong byte.

use taskplane_model::Timestamp;

/// Bytes before the body.
pub(super) const HEADER_BYTES: usize = 8;
/// Longest event that is taken, in bytes.
pub const MAX_EVENT_BYTES: usize = 1 << 20;
/// Longest body. A length above it is damage.
const MAX_BODY_BYTES: usize = MAX_EVENT_BYTES + 64;

const EVENT: u8 = 1;
const SEAL: u8 = 2;
const DROPPED: u8 = 3;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// One event and its time.
    Event { ts: Timestamp, event: &'a [u8] },
    /// The events since `start` (an offset in the segment) are a batch.
    Seal(Seal),
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

/// What stands at some place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded<'a> {
    /// A record, so many bytes long.
    Whole(Record<'a>, usize),
    /// The beginning of a record; it needs so many bytes in all.
    Partial(usize),
    /// Not a record. When its length may be trusted, the next one would begin so many bytes further on.
    Damaged(Option<usize>),
}

/// Appends an event's record to `out`.
pub(super) fn put_event(out: &mut Vec<u8>, ts: Timestamp, event: &[u8]) {
    put(out, &[&[EVENT], &ts.0.to_le_bytes(), event]);
}

/// Appends a seal's record to `out`.
pub(super) fn put_seal(out: &mut Vec<u8>, seal: Seal) {
    put(out, &[&[SEAL], &seal.seq.to_le_bytes(), &seal.start.to_le_bytes(), &seal.events.to_le_bytes()]);
}

/// Appends the record of how many events were dropped to `out`.
pub(super) fn put_dropped(out: &mut Vec<u8>, dropped: u64) {
    put(out, &[&[DROPPED], &dropped.to_le_bytes()]);
}

/// Bytes of an event's record on disk.
pub(super) fn event_record_bytes(event: &[u8]) -> usize {
    HEADER_BYTES + 9 + event.len()
}

fn put(out: &mut Vec<u8>, body: &[&[u8]]) {
    // Lengths are bounded by MAX_BODY_BYTES and fit.
    let len = body.iter().map(|part| part.len()).sum::<usize>() as u32;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&len.to_le_bytes());
    body.iter().for_each(|part| crc.update(part));
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&crc.finalize().to_le_bytes());
    body.iter().for_each(|part| out.extend_from_slice(part));
}

/// Reads what stands at the beginning of `bytes`.
pub(super) fn decode(bytes: &[u8]) -> Decoded<'_> {
    let (Some(len), Some(crc)) = (u32_at(bytes, 0), u32_at(bytes, 4)) else { return Decoded::Partial(HEADER_BYTES) };
    let len = len as usize;
    if len == 0 || len > MAX_BODY_BYTES {
        return Decoded::Damaged(None);
    }
    let end = HEADER_BYTES + len;
    let Some(body) = bytes.get(HEADER_BYTES..end) else { return Decoded::Partial(end) };
    let mut check = crc32fast::Hasher::new();
    check.update(&bytes[..4]);
    check.update(body);
    if check.finalize() != crc {
        return Decoded::Damaged(Some(end));
    }
    match record(body) {
        Some(record) => Decoded::Whole(record, end),
        None => Decoded::Damaged(Some(end)),
    }
}

/// Reads the record in the first `len` bytes, which [`decode`] found whole, without checking it again.
pub(super) fn checked(bytes: &[u8], len: usize) -> Option<Record<'_>> {
    record(bytes.get(HEADER_BYTES..len)?)
}

fn record(body: &[u8]) -> Option<Record<'_>> {
    let number = |at: usize| Some(u64::from_le_bytes(body.get(at..at + 8)?.try_into().ok()?));
    match *body.first()? {
        EVENT => Some(Record::Event { ts: Timestamp(number(1)?.cast_signed()), event: body.get(9..)? }),
        SEAL => Some(Record::Seal(Seal { seq: number(1)?, start: number(9)?, events: u32_at(body, 17)? })),
        DROPPED => Some(Record::Dropped(number(1)?)),
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
        let mut out = Vec::new();
        put_event(&mut out, Timestamp(5), b"{}");
        assert_eq!(out.len(), event_record_bytes(b"{}"));
        put_seal(&mut out, SOME_SEAL);
        let Decoded::Whole(first, len) = decode(&out) else { panic!("an event") };
        assert_eq!(first, Record::Event { ts: Timestamp(5), event: b"{}" });
        assert_eq!(decode(&out[len..]), Decoded::Whole(Record::Seal(SOME_SEAL), out.len() - len));
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_found(at in 0usize..40, by in 1u8..) {
            let mut out = Vec::new();
            put_event(&mut out, Timestamp(5), b"twenty-three bytes, yes");
            out[at] ^= by;
            prop_assert!(!matches!(decode(&out), Decoded::Whole(..)));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }
    }
}
