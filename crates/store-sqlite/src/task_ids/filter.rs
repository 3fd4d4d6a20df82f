//! A set that may say yes by mistake (about once in a thousand) and never no: blocks of 256 bits, of which each member sets
//! eight (Putze, Sanders, Singler: "Cache-, Hash- and Space-Efficient Bloom Filters", 2009). It grows by doubling.

/// Members per block: 16 bits each.
const PER_BLOCK: usize = 16;
/// Blocks of the first part: room for a million members in 2 MiB.
const FIRST_BLOCKS: usize = 1 << 16;
const SALTS: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Filter {
    /// From the smallest to the largest, each twice as large as the one before. Only the last one takes members.
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    blocks: Vec<[u32; 8]>,
    members: usize,
}

impl Filter {
    /// Adds a member.
    pub(super) fn add(&mut self, hash: i64) {
        let full = self.parts.last().is_none_or(|part| part.members >= part.blocks.len() * PER_BLOCK);
        if full {
            let blocks = self.parts.last().map_or(FIRST_BLOCKS, |part| part.blocks.len() * 2);
            self.parts.push(Part { blocks: vec![[0; 8]; blocks], members: 0 });
        }
        if let Some(part) = self.parts.last_mut() {
            let (at, mask) = place(hash, part.blocks.len());
            for (word, bit) in part.blocks[at].iter_mut().zip(mask) {
                *word |= bit;
            }
            part.members += 1;
        }
    }

    /// How many were added.
    pub(super) fn members(&self) -> usize {
        self.parts.iter().map(|part| part.members).sum()
    }

    /// False when `hash` was never added.
    pub(super) fn may_have(&self, hash: i64) -> bool {
        self.parts.iter().any(|part| {
            let (at, mask) = place(hash, part.blocks.len());
            part.blocks[at].iter().zip(mask).all(|(word, bit)| word & bit != 0)
        })
    }
}

/// The block of a member, and its bit in each of the block's words.
fn place(hash: i64, blocks: usize) -> (usize, [u32; 8]) {
    let mixed = hash.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let block = ((mixed >> 32) * blocks as u64) >> 32;
    let low = (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32;
    (block as usize, SALTS.map(|salt| 1 << ((low as u32).wrapping_mul(salt) >> 27)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u64) -> i64 {
        let bytes = number.to_le_bytes();
        xxhash_rust::xxh3::xxh3_64(&bytes).cast_signed() & ((1 << 44) - 1)
    }

    #[test]
    fn members_are_known_and_few_others() {
        let mut filter = Filter::default();
        assert!(!filter.may_have(hash(1)));
        let members = 2_500_000;
        for number in 0..members {
            filter.add(hash(number));
        }
        assert!((0..members).all(|number| filter.may_have(hash(number))));
        let mistakes = (members..members + 100_000).filter(|number| filter.may_have(hash(*number))).count();
        assert!(mistakes < 400, "{mistakes} in 100,000");
    }
}
