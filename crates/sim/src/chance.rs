//! Randomness of the simulated world, all of it from one seed.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::trace::mix;

/// A million: probabilities are whole numbers of it, so that they mean the same on every target.
pub const MILLION: u32 = 1_000_000;

/// A generator of the world's.
#[derive(Debug)]
pub struct Chance(ChaCha8Rng);

impl Chance {
    /// The generator of `seed` for one `purpose`.
    pub fn new(seed: u64, purpose: u64) -> Self {
        Self(ChaCha8Rng::from_seed(entropy(seed, purpose)))
    }

    /// Whether something happens that happens `ppm` times in a million.
    pub fn happens(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.below(u64::from(MILLION)) < u64::from(ppm)
    }

    /// A number under `bound`, which is at least 1: the high half of a product, uneven by less than `bound` in 2^64.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// `items` in a random order (Fisher, Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// A generator that draws from its own stream.
    pub fn fork(&mut self) -> ChaCha8Rng {
        ChaCha8Rng::from_rng(&mut self.0)
    }
}

/// 32 bytes of `seed` for `purpose`.
pub(crate) fn entropy(seed: u64, purpose: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    let mut word = mix(seed ^ mix(purpose.wrapping_add(0x6a09_e667_f3bc_c908)));
    for chunk in bytes.chunks_exact_mut(8) {
        chunk.copy_from_slice(&word.to_le_bytes());
        word = mix(word.wrapping_add(0x9e37_79b9_7f4a_7c15));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_stream_for_each_purpose() {
        let draw = |seed, purpose| Chance::new(seed, purpose).below(u64::MAX);
        assert_eq!(draw(1, 1), draw(1, 1));
        assert_ne!(draw(1, 1), draw(1, 2));
        assert_ne!(draw(1, 1), draw(2, 1));
    }

    #[test]
    fn numbers_keep_to_their_bounds() {
        let mut chance = Chance::new(7, 0);
        assert!((0..1000).all(|_| chance.below(3) < 3));
        assert!((0..1000).all(|_| (5..=6).contains(&chance.between(5, 6))));
        assert!(!chance.happens(0));
        assert!(chance.happens(MILLION));
        let often = (0..10_000).filter(|_| chance.happens(MILLION / 4)).count();
        assert!((2_300..2_700).contains(&often), "{often}");
    }
}
