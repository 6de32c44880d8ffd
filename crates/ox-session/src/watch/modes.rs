//! The modes in which one client watches one path, as a set.

use std::ops::{BitAnd, BitOr, Sub};

/// A set of modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Modes(u8);

impl Modes {
    /// Does not watch.
    pub(super) const NONE: Self = Self(0);
    /// Until it fires.
    pub(super) const STANDARD: Self = Self(1);
    /// Until it is removed.
    pub(super) const PERSISTENT: Self = Self(2);
    /// Until it is removed, and the descendants too.
    pub(super) const RECURSIVE: Self = Self(4);
    /// Every mode.
    pub(super) const ALL: Self = Self(7);
    /// How many bits a set takes.
    pub(super) const BITS: u32 = 3;

    /// True if all of `other` are in this set.
    pub(super) fn contains(self, other: Self) -> bool {
        self & other == other
    }

    /// As the low bits of a number.
    pub(super) fn to_bits(self) -> u32 {
        self.0.into()
    }

    /// From the low bits of a number; the others do not matter.
    pub(super) fn from_bits(bits: u32) -> Self {
        Self(bits.to_le_bytes()[0] & Self::ALL.0)
    }
}

impl BitAnd for Modes {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for Modes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Sub for Modes {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}
