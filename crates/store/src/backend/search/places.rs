//! Sorted small numbers as bits: distances in Rice's code, whose parameter follows from how many there are.

use crate::Result;
use crate::backend::corrupt;

/// Writes the numbers, which are sorted, distinct and below `bound`.
pub(super) fn put(numbers: &[u16], bound: usize, out: &mut Vec<u8>) {
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
pub(super) fn read(bytes: &[u8], count: usize, bound: usize, mut take: impl FnMut(usize)) -> Result<()> {
    let low_bits = low_bits(count, bound);
    let mut at = 0;
    let mut bit = || {
        let byte = bytes.get(at / 8).ok_or_else(|| corrupt("a list of the search index ends early"))?;
        let bit = byte >> (at % 8) & 1;
        at += 1;
        Ok::<_, crate::StoreError>(usize::from(bit))
    };
    let mut next: usize = 0;
    for _ in 0..count {
        let mut distance = 0;
        while bit()? == 1 {
            distance += 1;
        }
        distance <<= low_bits;
        for low in 0..low_bits {
            distance |= bit()? << low;
        }
        let number = next + distance;
        if number >= bound {
            return Err(corrupt("a list of the search index goes too far"));
        }
        take(number);
        next = number + 1;
    }
    Ok(())
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
