//! The clocks of the process, read in one place.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ox_replica::Now;

/// Counts from the start of the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Both clocks, as the core wants them.
    pub(crate) fn now(self) -> Now {
        Now {
            monotonic_ms: millis(self.start.elapsed()),
            wall_ms: wall_ms(),
        }
    }

    /// Microseconds since the start: for latencies.
    pub(crate) fn micros(self) -> i64 {
        i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    /// The moment that the core calls `monotonic_ms`.
    pub(crate) fn at(self, monotonic_ms: i64) -> Instant {
        self.start + Duration::from_millis(u64::try_from(monotonic_ms).unwrap_or(0))
    }
}

/// Milliseconds since 1970.
pub(crate) fn wall_ms() -> i64 {
    millis(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
