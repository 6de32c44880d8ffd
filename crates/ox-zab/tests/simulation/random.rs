//! Numbers that one seed decides (splitmix64), or that somebody else does.

#[derive(Clone, Debug)]
pub(crate) enum Random {
    /// Seeded.
    Drawn(u64),
    /// This one next, and then zeros.
    Told(u64),
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self::Drawn(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        let state = match self {
            Self::Drawn(state) => state,
            Self::Told(next) => return std::mem::take(next),
        };
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// At least 0 and less than `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap();
        usize::try_from(self.next() % bound).unwrap()
    }

    /// Both ends belong to it.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = usize::try_from(high - low + 1).unwrap();
        low + i64::try_from(self.below(width)).unwrap()
    }

    /// True so many times in a hundred.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}
