//! Reading records out of bytes.

use taskplane_model::Timestamp;

use super::file::{EVENT, LOST, Mark, ORIGINAL};
use crate::buffer::record::{Frame, HEADER_BYTES, frame};

/// Most events of a haul.
pub(super) const MAX_EVENTS: usize = 500;
/// Bytes at which a haul is full. One record may go beyond.
pub(super) const MAX_BYTES: usize = 256 << 10;

/// An event, and the original that was captured with it.
#[derive(Debug)]
pub(super) struct Captured {
    pub(super) ts: Timestamp,
    pub(super) event: String,
    pub(super) original: Option<Vec<u8>>,
}

/// What was read and is to be handed over.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Events in their order, for each file.
    pub(super) events: Vec<Captured>,
    /// Events that are lost: said so by writers, or damaged.
    pub(super) lost: u64,
    pub(super) bytes: usize,
}

impl Found {
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.lost == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= MAX_EVENTS || self.bytes >= MAX_BYTES
    }
}

/// What comes behind the bytes that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// More of the file.
    More,
    /// Nothing yet; the writer may be writing it.
    NothingYet,
    /// Nothing, for ever.
    Nothing,
}

/// Why reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Everything is read, or all that there will ever be.
    AtEnd,
    /// The next record needs so many bytes.
    Short(usize),
    /// There is enough to hand over.
    Full,
}

/// Reads records at the beginning of `bytes` into `found` and advances `mark` behind them. An original and its event, which are
/// written in one step, are read in one.
pub(super) fn read(bytes: &[u8], behind: Behind, mark: &mut Mark, found: &mut Found) -> Ended {
    let begin = mark.offset;
    let mut at = 0;
    // An original whose event comes next, and where it begins.
    let mut original: Option<(usize, &[u8])> = None;
    let ended = loop {
        let here = &bytes[at..];
        if here.is_empty() {
            break match original {
                Some(_) if behind != Behind::Nothing => Ended::Short(HEADER_BYTES),
                _ => Ended::AtEnd,
            };
        }
        if found.is_full() && original.is_none() {
            break Ended::Full;
        }
        match frame(here) {
            Frame::Whole { kind: ORIGINAL, body, bytes } => {
                original = Some((at, body));
                at += bytes;
                continue;
            }
            Frame::Whole { kind, body, bytes } => {
                take(kind, body, original.map(|(_, original)| original), mark, found);
                at += bytes;
            }
            Frame::Spoilt { kind, bytes } => {
                // What else is damaged counts nothing.
                if kind == EVENT {
                    count_damage(mark, found);
                }
                at += bytes;
            }
            Frame::Partial(bytes) => match behind {
                Behind::More | Behind::NothingYet => break Ended::Short(bytes),
                Behind::Nothing => at += here.len(),
            },
            Frame::Nothing => match (next_header(here), behind) {
                (Some(further), _) => {
                    count_damage(mark, found);
                    at += further;
                }
                (None, Behind::NothingYet) => break Ended::Short(here.len() + HEADER_BYTES),
                (None, Behind::More) => {
                    count_damage(mark, found);
                    at += (here.len() + 1).saturating_sub(HEADER_BYTES).max(1);
                }
                (None, Behind::Nothing) => {
                    count_damage(mark, found);
                    at += here.len();
                }
            },
        }
        original = None;
    };
    let ended = match (ended, original) {
        (Ended::Short(more), Some((start, _))) => {
            let before = at - start;
            at = start;
            Ended::Short(before + more)
        }
        (ended, _) => ended,
    };
    mark.offset = begin + at as u64;
    found.bytes += at;
    ended
}

fn take(kind: u8, body: &[u8], original: Option<&[u8]>, mark: &mut Mark, found: &mut Found) {
    let number = body.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    match (kind, number) {
        (EVENT, Some(ts)) => match std::str::from_utf8(&body[8..]) {
            Ok(event) => {
                mark.events = mark.events.saturating_add(1);
                found.events.push(Captured {
                    ts: Timestamp(ts.cast_signed()),
                    event: event.to_owned(),
                    original: original.map(<[u8]>::to_vec),
                });
            }
            Err(_) => count_damage(mark, found),
        },
        (EVENT, None) => count_damage(mark, found),
        (LOST, Some(lost)) => {
            mark.lost = mark.lost.saturating_add(lost);
            found.lost = found.lost.saturating_add(lost);
        }
        // Of a kind that a later version may know.
        _ => {}
    }
}

fn count_damage(mark: &mut Mark, found: &mut Found) {
    mark.events = mark.events.saturating_add(1);
    found.lost = found.lost.saturating_add(1);
}

/// Where the next header begins, behind the first byte.
fn next_header(bytes: &[u8]) -> Option<usize> {
    let is_ours = |kind: u8| matches!(kind, EVENT | ORIGINAL | LOST);
    let begins = |window: &[u8]| is_ours(window[3]) && frame(window) != Frame::Nothing;
    bytes.get(1..)?.windows(HEADER_BYTES).position(begins).map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::buffer::record::put;

    fn event(out: &mut Vec<u8>, text: &str) {
        put(out, EVENT, &[&7i64.to_le_bytes(), text.as_bytes()]);
    }

    fn read_all(bytes: &[u8], behind: Behind) -> (Found, Mark, Ended) {
        let (mut found, mut mark) = (Found::default(), Mark::BEGINNING);
        let ended = read(bytes, behind, &mut mark, &mut found);
        (found, mark, ended)
    }

    fn texts(found: &Found) -> Vec<&str> {
        found.events.iter().map(|captured| captured.event.as_str()).collect()
    }

    fn originals(found: &Found) -> Vec<Option<&[u8]>> {
        found.events.iter().map(|captured| captured.original.as_deref()).collect()
    }

    #[test]
    fn an_original_is_read_with_its_event_or_not_at_all() {
        let mut bytes = Vec::new();
        put(&mut bytes, ORIGINAL, &[b"whose event was damaged"]);
        let event_at = bytes.len();
        event(&mut bytes, "damaged");
        bytes[event_at + HEADER_BYTES] ^= 1;
        event(&mut bytes, "without");
        let pair_at = bytes.len() as u64;
        put(&mut bytes, ORIGINAL, &[b"\xff\x00"]);
        let (original_only, pair) = (bytes.len(), Mark::BEGINNING.offset + pair_at);
        event(&mut bytes, "with");
        let (found, ..) = read_all(&bytes, Behind::NothingYet);
        assert_eq!((texts(&found), originals(&found)), (vec!["without", "with"], vec![None, Some(&b"\xff\x00"[..])]));
        for len in original_only..bytes.len() {
            let (found, mark, ended) = read_all(&bytes[..len], Behind::NothingYet);
            let Ended::Short(wanted) = ended else { panic!("there is more to come: {ended:?}") };
            assert_eq!((texts(&found), mark.offset), (vec!["without"], pair));
            assert!(pair_at as usize + wanted > len && pair_at as usize + wanted <= bytes.len());
            let (found, mark, ended) = read_all(&bytes[..len], Behind::Nothing);
            let end = Mark::BEGINNING.offset + len as u64;
            assert_eq!((texts(&found), mark.offset, ended), (vec!["without"], end, Ended::AtEnd));
        }
    }

    #[test]
    fn what_is_whole_is_read_and_half_a_record_is_waited_for_or_passed_over() {
        let mut bytes = Vec::new();
        event(&mut bytes, "one");
        put(&mut bytes, LOST, &[&4u64.to_le_bytes()]);
        let whole = bytes.len() as u64;
        event(&mut bytes, "two");
        bytes.pop();
        for (behind, offset, ended) in [
            (Behind::NothingYet, whole, Ended::Short(23)),
            (Behind::More, whole, Ended::Short(23)),
            (Behind::Nothing, bytes.len() as u64, Ended::AtEnd),
        ] {
            let (found, mark, how) = read_all(&bytes, behind);
            assert_eq!((texts(&found), found.lost), (vec!["one"], 4));
            let offset = Mark::BEGINNING.offset + offset;
            assert_eq!((mark, how), (Mark { offset, events: 1, lost: 4 }, ended));
        }
    }

    #[test]
    fn an_event_that_is_no_text_is_counted() {
        let mut bytes = Vec::new();
        put(&mut bytes, EVENT, &[&7i64.to_le_bytes(), b"\xff"]);
        put(&mut bytes, EVENT, &[b"short"]);
        event(&mut bytes, "fine");
        let (found, mark, _) = read_all(&bytes, Behind::Nothing);
        assert_eq!((texts(&found), found.lost, mark.events), (vec!["fine"], 2, 3));
    }

    #[test]
    fn a_haul_is_bounded() {
        let mut bytes = Vec::new();
        (0..MAX_EVENTS * 2).for_each(|_| event(&mut bytes, "x"));
        let (found, _, ended) = read_all(&bytes, Behind::Nothing);
        assert_eq!((found.events.len(), ended), (MAX_EVENTS, Ended::Full));
    }

    proptest! {
        #[test]
        fn a_damaged_byte_costs_one_event_and_is_counted(at in 0usize..24, by in 1u8..) {
            let mut bytes = Vec::new();
            event(&mut bytes, "1st.");
            let middle = bytes.len();
            event(&mut bytes, "2nd.");
            event(&mut bytes, "3rd.");
            bytes[middle + at] ^= by;
            let (found, mark, ended) = read_all(&bytes, Behind::Nothing);
            prop_assert_eq!((texts(&found), found.lost), (vec!["1st.", "3rd."], 1));
            prop_assert_eq!((mark.events, ended), (3, Ended::AtEnd));
        }

        #[test]
        fn any_bytes_are_read_without_panic_and_to_the_end(
            bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(1), any::<u8>()], 0..200),
        ) {
            let (_, mark, ended) = read_all(&bytes, Behind::Nothing);
            prop_assert_eq!((mark.offset, ended), (Mark::BEGINNING.offset + bytes.len() as u64, Ended::AtEnd));
            for behind in [Behind::More, Behind::NothingYet] {
                let (_, mark, ended) = read_all(&bytes, behind);
                prop_assert!(mark.offset <= Mark::BEGINNING.offset + bytes.len() as u64);
                prop_assert!(ended != Ended::Full);
            }
        }
    }
}
