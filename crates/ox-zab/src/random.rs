//! Numbers that look random and follow from a seed.
//!
//! Source: the SplitMix64 generator (Steele, Lea, Flood: Fast splittable pseudorandom number
//! generators).

#[derive(Clone, Debug, Hash)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to and without `limit`; 0 if there is none. That some are a trifle more
    /// likely than others does not matter here.
    pub(crate) fn below(&mut self, limit: i64) -> i64 {
        match u64::try_from(limit) {
            Ok(limit @ 1..) => i64::try_from(self.next() % limit).unwrap_or(0),
            Ok(0) | Err(_) => 0,
        }
    }

    /// Puts things in any order.
    pub(crate) fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            let limit = i64::try_from(last + 1).unwrap_or(i64::MAX);
            let other = usize::try_from(self.below(limit)).unwrap_or(0);
            things.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_below_the_limit_comes_and_no_other() {
        let mut random = Random::new(7);
        let mut seen = [0; 10];
        for _ in 0..1000 {
            seen[usize::try_from(random.below(10)).unwrap()] += 1;
        }
        assert!(seen.iter().all(|&times| 50 < times), "{seen:?}");
        assert_eq!(
            (random.below(0), random.below(-1), random.below(1)),
            (0, 0, 0)
        );
    }

    #[test]
    fn every_order_comes_and_each_seed_has_its_own() {
        let orders: std::collections::BTreeSet<_> = (0..100)
            .map(|seed| {
                let mut things = [1, 2, 3];
                Random::new(seed).shuffle(&mut things);
                things
            })
            .collect();
        assert_eq!(orders.len(), 6);
    }
}
