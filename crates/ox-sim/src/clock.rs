//! A machine's two clocks.
//!
//! Invariant: the monotonic one never goes back; the wall clock may jump both ways.

use ox_replica::Now;

/// A time in 2023, where the wall clocks begin, in milliseconds since 1970.
const EPOCH_MS: i64 = 1_700_000_000_000;

/// Parts per million.
const MILLION: i64 = 1_000_000;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// When the process has started, in virtual microseconds.
    pub(crate) started: i64,
    /// How much too fast it goes, in parts per million.
    pub(crate) drift: i64,
    /// How much the wall clock is wrong, in milliseconds.
    pub(crate) wall_off: i64,
}

impl Clock {
    pub(crate) fn now(self, now: i64) -> Now {
        Now {
            monotonic_ms: self.micros(now) / 1000,
            wall_ms: EPOCH_MS + now / 1000 + self.wall_off,
        }
    }

    /// Monotonic microseconds.
    pub(crate) fn micros(self, now: i64) -> i64 {
        let passed = now - self.started;
        passed + passed * self.drift / MILLION
    }

    /// The first virtual microsecond at which the monotonic clock shows this.
    pub(crate) fn at(self, monotonic_ms: i64) -> i64 {
        let micros = monotonic_ms.saturating_mul(1000);
        if micros > i64::MAX / 4 {
            return i64::MAX;
        }
        let passed = i128::from(micros) * i128::from(MILLION) / i128::from(MILLION + self.drift);
        let mut at = self.started + i64::try_from(passed).expect("it is bounded");
        while self.micros(at) < micros {
            at += 1;
        }
        at
    }

    /// So much of this machine's time, in virtual microseconds.
    pub(crate) fn span(self, ms: i64) -> i64 {
        ms.saturating_mul(1000).saturating_mul(MILLION) / (MILLION + self.drift)
    }
}
