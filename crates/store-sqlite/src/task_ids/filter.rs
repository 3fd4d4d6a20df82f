//! Sets that may say yes by mistake (about once in two hundred) and never no: blocks of 256 bits, of which each member sets
//! eight (Putze, Sanders, Singler: "Cache-, Hash- and Space-Efficient Bloom Filters", 2009).

/// Members per block: 12 bits each.
const PER_BLOCK: usize = 21;
/// Members of the first part of a set that grows.
const FIRST_ROOM: usize = 1 << 20;
const SALTS: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// A set of a size that is known before.
#[derive(Debug)]
pub(super) struct Part {
    blocks: Box<[[u32; 8]]>,
    members: usize,
}

/// A set that grows by doubling.
#[derive(Debug, Default)]
pub(super) struct Filter {
    /// Only the last one takes members.
    parts: Vec<Part>,
}

impl Part {
    /// An empty set with room for so many members; more of them would be mistaken more often.
    pub(super) fn with_room(members: usize) -> Self {
        let blocks = members.div_ceil(PER_BLOCK).max(1);
        Self { blocks: vec![[0; 8]; blocks].into_boxed_slice(), members: 0 }
    }

    /// Adds a member.
    pub(super) fn add(&mut self, hash: i64) {
        let (at, mask) = place(hash, self.blocks.len());
        for (word, bit) in self.blocks[at].iter_mut().zip(mask) {
            *word |= bit;
        }
        self.members += 1;
    }

    /// False when `hash` was never added.
    pub(super) fn may_have(&self, hash: i64) -> bool {
        let (at, mask) = place(hash, self.blocks.len());
        self.blocks[at].iter().zip(mask).all(|(word, bit)| word & bit != 0)
    }

    fn room(&self) -> usize {
        self.blocks.len() * PER_BLOCK
    }
}

impl Filter {
    /// Adds a member.
    pub(super) fn add(&mut self, hash: i64) {
        if self.parts.last().is_none_or(|part| part.members >= part.room()) {
            let largest = self.parts.iter().map(Part::room).max();
            self.parts.push(Part::with_room(largest.map_or(FIRST_ROOM, |room| 2 * room)));
        }
        if let Some(part) = self.parts.last_mut() {
            part.add(hash);
        }
    }

    /// Adds all members of `part`.
    pub(super) fn absorb(&mut self, part: Part) {
        self.parts.insert(0, part);
    }

    /// How many were added.
    pub(super) fn members(&self) -> usize {
        self.parts.iter().map(|part| part.members).sum()
    }

    /// False when `hash` was never added.
    pub(super) fn may_have(&self, hash: i64) -> bool {
        self.parts.iter().any(|part| part.may_have(hash))
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
        let (before, members) = (300_000, 2_500_000);
        let mut part = Part::with_room(before as usize);
        (0..before).for_each(|number| part.add(hash(number)));
        for number in before..members {
            filter.add(hash(number));
            if number == members / 2 {
                filter.absorb(std::mem::replace(&mut part, Part::with_room(0)));
            }
        }
        assert_eq!(filter.members() as u64, members);
        assert!((0..members).all(|number| filter.may_have(hash(number))));
        let mistakes = (members..members + 100_000).filter(|number| filter.may_have(hash(*number))).count();
        assert!(mistakes < 1_500, "{mistakes} in 100,000");
    }
}
