//! Numbers and fields as bytes.
//!
//! A field begins with `number << 1 | kind` as a varint. Kind 0 is followed by a varint, kind 1 by a length and as many
//! bytes; so a reader can skip a field that it does not know.

use crate::Result;
use crate::backend::corrupt;

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// Kind 0.
    Number(u64),
    /// Kind 1.
    Bytes(&'a [u8]),
}

/// Appends a varint: seven bits per byte, lowest first.
pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number as u8) | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a signed number, small where it is near zero.
pub(super) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_number(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

/// Appends text or bytes with their length.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a field of kind 0.
pub(super) fn put_number_field(out: &mut Vec<u8>, field: u64, number: u64) {
    put_number(out, field << 1);
    put_number(out, number);
}

/// Appends a field of kind 1.
pub(super) fn put_bytes_field(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_number(out, field << 1 | 1);
    put_bytes(out, bytes);
}

/// Appends a field of kind 1 whose bytes `fill` writes.
pub(super) fn put_nested_field(out: &mut Vec<u8>, field: u64, fill: impl FnOnce(&mut Vec<u8>)) {
    put_number(out, field << 1 | 1);
    let at = out.len();
    // Nearly everything nested is shorter than 128 bytes: its length is one byte. If not, there is a copy.
    out.push(0);
    fill(out);
    let length = out.len() - at - 1;
    if length < 0x80 {
        out[at] = length as u8;
    } else {
        let nested = out.split_off(at + 1);
        out.pop();
        put_bytes(out, &nested);
    }
}

/// Reads what was put.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn number(&mut self) -> Result<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let (first, rest) = self.0.split_first().ok_or_else(cut)?;
            self.0 = rest;
            number |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(corrupt("a number in a task record has no end"))
    }

    pub(super) fn signed(&mut self) -> Result<i64> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.number()?).map_err(|_| cut())?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Result<String> {
        text(self.bytes()?)
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(cut)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn field(&mut self) -> Result<(u64, Value<'a>)> {
        let head = self.number()?;
        let value = if head & 1 == 0 { Value::Number(self.number()?) } else { Value::Bytes(self.bytes()?) };
        Ok((head >> 1, value))
    }
}

/// Bytes as text.
pub(super) fn text(bytes: &[u8]) -> Result<String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| corrupt("text in a task record is not UTF-8"))
}

fn cut() -> crate::StoreError {
    corrupt("a task record is cut short")
}
