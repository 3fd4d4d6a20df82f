//! Task ids: how they are hashed, and turned into keys.

use taskplane_model::Timestamp;
use taskplane_model::time::DAY;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::Result;
use crate::backend::corrupt;

/// Bits of a key below the microseconds.
pub const TIE_BITS: u32 = 10;
/// The last instant that fits into a key (year 2255).
const MAX_INSTANT: i64 = i64::MAX >> TIE_BITS;

/// Hash of a project and a task id; `seed` is random for each database, so that nobody outside can make ids collide.
pub fn hash(seed: u64, project: u64, id: &str) -> i64 {
    xxh3_64_with_seed(id.as_bytes(), seed.wrapping_add(project.wrapping_mul(0x9e37_79b9_7f4a_7c15))).cast_signed()
}

/// The first key to try for a task: the instant, and a few bits of the hash to keep those of one microsecond apart.
pub fn first_key(first_seen: Timestamp, received_at: Timestamp, hash: i64) -> i64 {
    let sane = !first_seen.is_absurd(received_at);
    let instant = if sane { first_seen } else { received_at };
    (instant.0.clamp(0, MAX_INSTANT - DAY) << TIE_BITS) | (hash & ((1 << TIE_BITS) - 1))
}

/// The instant in a key.
pub fn instant_of(key: i64) -> Timestamp {
    Timestamp(key >> TIE_BITS)
}

/// The least key at `instant`.
pub fn least_key(instant: Timestamp) -> i64 {
    instant.0.clamp(0, MAX_INSTANT) << TIE_BITS
}

/// The bytes of a UUID written in lower case with hyphens; other spellings must come back as they were, so they are text.
pub fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let text: &[u8; 36] = text.as_bytes().try_into().ok()?;
    if [8, 13, 18, 23].iter().any(|at| text[*at] != b'-') {
        return None;
    }
    const PAIRS: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    let mut bytes = [0; 16];
    for (byte, at) in bytes.iter_mut().zip(PAIRS) {
        let (high, low) = (nibble(text[at]), nibble(text[at + 1]));
        if high > 15 || low > 15 {
            return None;
        }
        *byte = high << 4 | low;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => u8::MAX,
    }
}

/// A UUID as text.
pub fn uuid_text(bytes: &[u8]) -> Result<String> {
    let bytes: [u8; 16] = bytes.try_into().map_err(|_| corrupt("a UUID does not have 16 bytes"))?;
    Ok(uuid::Uuid::from_bytes(bytes).hyphenated().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_uuids_become_bytes() {
        let text = "0b7f5a1e-3c4d-4e5f-8a9b-0c1d2e3f4a5b";
        let bytes = parse_uuid(text).expect("canonical");
        assert_eq!(uuid_text(&bytes).expect("16 bytes"), text);
        for other in [&text.to_uppercase(), &text.replace('-', ""), &text.replace('a', "g"), "", &text[1..]] {
            assert_eq!(parse_uuid(other), None, "{other}");
        }
    }

    #[test]
    fn keys_sort_by_time_and_survive_broken_clocks() {
        let now = Timestamp(1_795_000_000_000_000);
        assert!(first_key(now, now, 1023) < first_key(now.plus(1), now, 0));
        assert_eq!(instant_of(first_key(now, now, -1)), now);
        assert_eq!(instant_of(first_key(Timestamp(0), now, 7)), now);
        assert_eq!(instant_of(first_key(Timestamp(i64::MAX), now, 7)), now);
    }
}
