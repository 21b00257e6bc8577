//! The trace of a run as one number: two runs that differ in anything that happened differ in it.

/// A running hash of all events. Not for secrets: it has to tell runs apart, not to withstand anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trace(u64);

impl Default for Trace {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Trace {
    /// Takes in `words`, in order.
    pub(crate) fn add<const N: usize>(&mut self, words: [u64; N]) {
        for word in words {
            self.0 = mix(self.0 ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        }
    }

    /// The hash until now.
    pub(crate) fn value(self) -> u64 {
        self.0
    }
}

/// splitmix64's finaliser (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): every bit of the
/// result depends on every bit given.
pub(crate) fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_content_count() {
        let of = |words: &[u64]| {
            let mut trace = Trace::default();
            words.iter().for_each(|word| trace.add([*word]));
            trace.value()
        };
        assert_eq!(of(&[1, 2]), of(&[1, 2]));
        assert_ne!(of(&[1, 2]), of(&[2, 1]));
        assert_ne!(of(&[0]), of(&[0, 0]));
    }
}
