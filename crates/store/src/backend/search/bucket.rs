//! A bucket: for each of its terms, in ascending order, the blocks in which the term is.
//!
//! A term is written as the distance from the one before, shifted left by one, and a bit that says that there is one block only,
//! which follows. Otherwise the number of blocks follows, the length of their list, and the list.

use super::places;
use super::terms::TERM_BITS;
use crate::Result;
use crate::backend::corrupt;

/// The bucket of a term, of two to the power of `bits`.
pub(super) fn of(term: u32, bits: u32) -> i64 {
    i64::from(term >> (TERM_BITS - bits))
}

/// A bucket that is being written.
#[derive(Debug, Default)]
pub(super) struct BucketWriter {
    bytes: Vec<u8>,
    before: u32,
    list: Vec<u8>,
}

impl BucketWriter {
    /// Adds a term and its blocks, of `bound` in all.
    pub(super) fn add(&mut self, term: u32, blocks: &[u16], bound: usize) {
        let distance = u64::from(term - self.before) << 1;
        self.before = term;
        if let [block] = blocks {
            put_number(&mut self.bytes, distance | 1);
            put_number(&mut self.bytes, u64::from(*block));
            return;
        }
        put_number(&mut self.bytes, distance);
        put_number(&mut self.bytes, blocks.len() as u64);
        self.list.clear();
        places::put(blocks, bound, &mut self.list);
        put_number(&mut self.bytes, self.list.len() as u64);
        self.bytes.extend_from_slice(&self.list);
    }

    /// The bucket; the next one begins at `first`.
    pub(super) fn finish(&mut self, first: u32) -> Vec<u8> {
        self.before = first;
        std::mem::take(&mut self.bytes)
    }
}

/// Says the blocks, of `bound` in all, in which one of `terms` (ascending) is. `first` is the least term of the bucket.
pub(super) fn find(
    mut bytes: &[u8],
    first: u32,
    terms: &[u32],
    bound: usize,
    mut take: impl FnMut(usize),
) -> Result<()> {
    let mut term = u64::from(first);
    let mut terms = terms.iter().map(|term| u64::from(*term)).peekable();
    while !bytes.is_empty() {
        let head = number(&mut bytes)?;
        term += head >> 1;
        while terms.next_if(|wanted| *wanted < term).is_some() {}
        let Some(wanted) = terms.peek() else { return Ok(()) };
        let is_it = *wanted == term;
        if head & 1 == 1 {
            let block = number(&mut bytes)? as usize;
            if block >= bound {
                return Err(corrupt("a block of the search index does not exist"));
            }
            if is_it {
                take(block);
            }
            continue;
        }
        let (count, length) = (number(&mut bytes)? as usize, number(&mut bytes)? as usize);
        let (list, rest) = bytes.split_at_checked(length).ok_or_else(|| corrupt("a bucket ends early"))?;
        bytes = rest;
        if is_it {
            places::read(list, count, bound, &mut take)?;
        }
    }
    Ok(())
}

/// Writes a number, seven bits a byte.
pub(in crate::backend) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads a number.
pub(in crate::backend) fn number(bytes: &mut &[u8]) -> Result<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or_else(|| corrupt("a row of the search index ends early"))?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(corrupt("a number of the search index is too long"))
}
