//! The dice of a script: everything random about it comes from here, and from its seed.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// A seeded source of choices.
#[derive(Debug)]
pub(super) struct Dice {
    random: StdRng,
    /// Whether limits of quotas may be drawn that do not parse.
    pub(super) spoils_quotas: bool,
}

impl Dice {
    /// The same seed, the same choices.
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Self {
            random: StdRng::seed_from_u64(seed),
            spoils_quotas: false,
        };
        dice.spoils_quotas = dice.percent(15);
        dice
    }

    /// True in so many of a hundred cases.
    pub(super) fn percent(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    /// Any number from 0 to below this one.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.random.random_range(0..end)
    }

    /// From the first to the last, both included.
    pub(super) fn between(&mut self, first: usize, last: usize) -> usize {
        self.random.random_range(first..=last)
    }

    /// One of these, each as likely.
    pub(super) fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    /// One of these, each as likely as its weight says.
    pub(super) fn weighted<T: Clone>(&mut self, of: &[(u32, T)]) -> T {
        let sum: u32 = of.iter().map(|(weight, _)| weight).sum();
        let mut left = self.random.random_range(0..sum);
        for (weight, value) in of {
            if left < *weight {
                return value.clone();
            }
            left -= weight;
        }
        unreachable!("the weights add up to more than was drawn")
    }
}
