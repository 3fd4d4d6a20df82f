//! Sorted small numbers as bits: distances in Rice's code, whose parameter follows from how many there are.

use crate::backend::corrupt;
use crate::{Result, StoreError};

/// Writes the numbers, which are sorted, distinct and below `bound`.
pub(in crate::backend) fn put(numbers: &[u16], bound: usize, out: &mut Vec<u8>) {
    let low_bits = low_bits(numbers.len(), bound);
    let (mut bits, mut filled) = (0u64, 0u32);
    let mut next = 0;
    for number in numbers {
        let distance = u64::from(*number) - next;
        next = u64::from(*number) + 1;
        let mut ones = distance >> low_bits;
        while ones > 0 {
            let now = ones.min(24) as u32;
            bits |= ((1 << now) - 1) << filled;
            filled += now;
            ones -= u64::from(now);
            flush(&mut bits, &mut filled, out);
        }
        bits |= (distance & ((1 << low_bits) - 1)) << (filled + 1);
        filled += 1 + low_bits;
        flush(&mut bits, &mut filled, out);
    }
    if filled > 0 {
        out.push(bits as u8);
    }
}

fn flush(bits: &mut u64, filled: &mut u32, out: &mut Vec<u8>) {
    while *filled >= 8 {
        out.push(*bits as u8);
        *bits >>= 8;
        *filled -= 8;
    }
}

/// Reads `count` numbers below `bound`.
pub(in crate::backend) fn read(bytes: &[u8], count: usize, bound: usize, mut take: impl FnMut(usize)) -> Result<()> {
    let low_bits = low_bits(count, bound);
    let mut bits = Bits { rest: bytes, window: 0, filled: 0 };
    let mut next: usize = 0;
    for _ in 0..count {
        let number = next + (bits.ones()? << low_bits | bits.number(low_bits)?);
        if number >= bound {
            return Err(corrupt("a list of the search index goes too far"));
        }
        take(number);
        next = number + 1;
    }
    Ok(())
}

/// Bits on their way out of bytes, the lowest of each first.
struct Bits<'b> {
    rest: &'b [u8],
    window: u64,
    /// Bits of the window that are there; what is above them is of no meaning.
    filled: u32,
}

impl Bits<'_> {
    /// How many ones there are before the next zero, which is passed over.
    fn ones(&mut self) -> Result<usize> {
        let mut before = 0;
        loop {
            self.fill();
            let ones = self.window.trailing_ones();
            if ones < self.filled {
                self.window >>= ones + 1;
                self.filled -= ones + 1;
                return Ok(before + ones as usize);
            }
            if self.filled == 0 {
                return Err(ends_early());
            }
            before += self.filled as usize;
            (self.window, self.filled) = (0, 0);
        }
    }

    /// A number of so many bits, at most 32.
    fn number(&mut self, bits: u32) -> Result<usize> {
        if self.filled < bits {
            self.fill();
        }
        self.filled = self.filled.checked_sub(bits).ok_or_else(ends_early)?;
        let number = self.window & ((1 << bits) - 1);
        self.window >>= bits;
        Ok(number as usize)
    }

    /// Has 56 bits or more, as long as there are so many.
    fn fill(&mut self) {
        if self.filled >= 32 {
            return;
        }
        if let Some(eight) = self.rest.first_chunk::<8>() {
            // Of the last byte some bits do not fit, and come again next time.
            self.window |= u64::from_le_bytes(*eight) << self.filled;
            let bytes = (63 - self.filled) / 8;
            self.rest = &self.rest[bytes as usize..];
            self.filled += bytes * 8;
            return;
        }
        while self.filled < 56
            && let Some((byte, rest)) = self.rest.split_first()
        {
            self.window |= u64::from(*byte) << self.filled;
            self.filled += 8;
            self.rest = rest;
        }
    }
}

fn ends_early() -> StoreError {
    corrupt("a list of the search index ends early")
}

/// The parameter: about the logarithm of two thirds of the mean distance.
fn low_bits(count: usize, bound: usize) -> u32 {
    let mean = bound * 2 / 3 / count.max(1);
    mean.max(1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_from_bits() {
        let bound = 1_000;
        for step in [1, 2, 3, 7, 64, 333, 999] {
            for first in [0u16, 1, 500, 999] {
                let numbers: Vec<u16> = (first..1_000).step_by(step).collect();
                let mut bytes = Vec::new();
                put(&numbers, bound, &mut bytes);
                let mut back = Vec::new();
                read(&bytes, numbers.len(), bound, |number| back.push(number as u16)).expect("can be read");
                assert_eq!(back, numbers);
                assert!(read(&bytes[..bytes.len() / 2], numbers.len(), bound, |_| ()).is_err());
            }
        }
    }
}
