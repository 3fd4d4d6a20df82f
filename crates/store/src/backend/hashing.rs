//! A fast hash for maps in memory. Keyed by chance once per process, because texts come from outside.

use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Makes [`FastHasher`]s.
#[derive(Clone, Copy, Debug, Default)]
pub struct FastHash;

/// See the module.
#[derive(Debug)]
pub struct FastHasher(u64);

impl BuildHasher for FastHash {
    type Hasher = FastHasher;

    fn build_hasher(&self) -> FastHasher {
        static SEED: OnceLock<u64> = OnceLock::new();
        FastHasher(*SEED.get_or_init(|| std::hash::RandomState::new().hash_one(0)))
    }
}

impl Hasher for FastHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u64(&mut self, number: u64) {
        // Both halves of the product, so that every bit of the result depends on every bit of the number.
        let wide = u128::from(self.0 ^ number) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
        self.0 = (wide as u64) ^ (wide >> 64) as u64;
    }

    fn write_i64(&mut self, number: i64) {
        self.write_u64(number.cast_unsigned());
    }

    fn write_u8(&mut self, _: u8) {
        // The end mark of a text; maps here do not mix texts of several fields.
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
