//! Chance that follows from a seed. (pure)
//!
//! Everything a simulation does at random is rolled here, and nowhere else: the same seed is the same run on every
//! machine and with every version of every dependency.

/// Pseudo-random numbers from a seed.
///
/// Source: SplitMix64, Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(limit).unwrap()).unwrap()
    }

    /// A number of `from..=to`.
    pub(crate) fn within(&mut self, from: usize, to: usize) -> usize {
        from + self.below(to - from + 1)
    }

    /// Whether something that happens once in `in_so_many` times happens now.
    pub(crate) fn once(&mut self, in_so_many: usize) -> bool {
        self.below(in_so_many) == 0
    }

    /// Bytes that contain no sync byte.
    pub(crate) fn noise(&mut self, bytes: usize) -> Vec<u8> {
        std::iter::repeat_with(|| u8::try_from(self.below(256)).unwrap())
            .filter(|byte| *byte != 0x47)
            .take(bytes)
            .collect()
    }
}
