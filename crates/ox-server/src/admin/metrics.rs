//! What the server counts while it runs, cheaply, for `srvr`, `stat` and `mntr`.
//!
//! Shared by all tasks without a lock: each number is an atomic of its own, so a report taken
//! under load may be off by what happened while it was taken. A batch of requests is counted in
//! one go. Source: `ServerStats`, `ServerMetrics`; operations.md 3.5 and 5.2.

use std::{
    array,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// How many so far.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }

    fn reset(&self) {
        self.0.store(0, Relaxed);
    }
}

/// Number, sum and extremes of measured values.
#[derive(Debug)]
pub struct Summary {
    count: AtomicU64,
    sum: AtomicU64,
    /// `u64::MAX` before the first.
    min: AtomicU64,
    max: AtomicU64,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
        }
    }
}

impl Summary {
    /// Adds one value.
    pub fn record(&self, value: u64) {
        self.record_many(value, 1);
    }

    /// Adds the same value `times` times.
    pub fn record_many(&self, value: u64, times: u64) {
        if times == 0 {
            return;
        }
        self.count.fetch_add(times, Relaxed);
        self.sum.fetch_add(value.saturating_mul(times), Relaxed);
        // Seldom news, and asking costs the other cores nothing.
        if value < self.min.load(Relaxed) {
            self.min.fetch_min(value, Relaxed);
        }
        if self.max.load(Relaxed) < value {
            self.max.fetch_max(value, Relaxed);
        }
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Their sum.
    pub fn sum(&self) -> u64 {
        self.sum.load(Relaxed)
    }

    /// The least; 0 if there was none.
    pub fn min(&self) -> u64 {
        match self.min.load(Relaxed) {
            u64::MAX => 0,
            min => min,
        }
    }

    /// The greatest; 0 if there was none.
    pub fn max(&self) -> u64 {
        self.max.load(Relaxed)
    }

    fn reset(&self) {
        self.count.store(0, Relaxed);
        self.sum.store(0, Relaxed);
        self.min.store(u64::MAX, Relaxed);
        self.max.store(0, Relaxed);
    }
}

/// A [`Summary`] that knows its percentiles too, 64 and above to within 3 %.
#[derive(Debug)]
pub struct Histogram {
    summary: Summary,
    buckets: [AtomicU64; Self::BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            summary: Summary::default(),
            buckets: array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Histogram {
    /// Each value below 64 has a bucket; above, each doubling has 32, up to 2^32.
    const BUCKETS: usize = 64 + 26 * 32;

    /// Adds the same value `times` times.
    pub fn record_many(&self, value: u64, times: u64) {
        self.summary.record_many(value, times);
        self.buckets[Self::bucket(value)].fetch_add(times, Relaxed);
    }

    /// Number, sum and extremes.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The least value that `per_mille` thousandths of all values do not exceed; 0 without values.
    pub fn percentile(&self, per_mille: u64) -> u64 {
        let counts = || self.buckets.iter().map(|bucket| bucket.load(Relaxed));
        let rank = (counts().sum::<u64>() * per_mille).div_ceil(1000).max(1);
        let mut so_far = 0;
        let reaches = |count| {
            so_far += count;
            rank <= so_far
        };
        counts()
            .position(reaches)
            .map_or(0, Self::upper_end)
            .min(self.summary.max())
    }

    fn bucket(value: u64) -> usize {
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        if value < 64 {
            return value as usize;
        }
        let shift = value.ilog2() - 5;
        (shift * 32 + (value >> shift)) as usize
    }

    /// The greatest value that falls into this bucket.
    fn upper_end(bucket: usize) -> u64 {
        let bucket = bucket as u64;
        if bucket < 64 {
            return bucket;
        }
        let shift = bucket / 32 - 1;
        (((bucket - shift * 32) + 1) << shift) - 1
    }

    fn reset(&self) {
        self.summary.reset();
        for bucket in &self.buckets {
            bucket.store(0, Relaxed);
        }
    }
}

/// The last, least and greatest size of something; -1 each while there was none.
#[derive(Debug)]
pub struct Sizes {
    last: AtomicI64,
    /// `i64::MAX` before the first.
    min: AtomicI64,
    max: AtomicI64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            last: AtomicI64::new(-1),
            min: AtomicI64::new(i64::MAX),
            max: AtomicI64::new(-1),
        }
    }
}

impl Sizes {
    /// Notes one size in bytes.
    pub fn record(&self, size: usize) {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        self.last.store(size, Relaxed);
        self.min.fetch_min(size, Relaxed);
        self.max.fetch_max(size, Relaxed);
    }

    /// The last.
    pub fn last(&self) -> i64 {
        self.last.load(Relaxed)
    }

    /// The least.
    pub fn min(&self) -> i64 {
        match self.min.load(Relaxed) {
            i64::MAX => -1,
            min => min,
        }
    }

    /// The greatest.
    pub fn max(&self) -> i64 {
        self.max.load(Relaxed)
    }

    /// Starts anew.
    pub fn reset(&self) {
        self.last.store(-1, Relaxed);
        self.min.store(i64::MAX, Relaxed);
        self.max.store(-1, Relaxed);
    }
}

macro_rules! metrics {
    ($($(#[$meta:meta])* $name:ident: $kind:ident,)*) => {
        /// All that is counted. Times are in milliseconds, sizes in bytes.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $($(#[$meta])* pub $name: $kind,)*
        }

        impl Metrics {
            /// Starts anew: `srst`.
            pub fn reset(&self) {
                $(self.$name.reset();)*
            }
        }
    };
}

metrics! {
    /// Packets in: requests, connects and four-letter words.
    packets_received: Counter,
    /// Packets out: replies and events.
    packets_sent: Counter,
    /// From a request's arrival to its reply.
    latency: Summary,
    /// The same of reads alone.
    readlatency: Histogram,
    /// The same of writes alone.
    updatelatency: Histogram,
    /// Of the replies that have a body.
    client_response_size: Sizes,
    /// Of the transactions that a member has logged as what it is; a leader's are its proposals.
    proposal_size: Sizes,
    /// From the beginning of an election to its end.
    election_time: Summary,
    /// How often this server began to elect.
    looking_count: Counter,
    /// Bytes in.
    bytes_received_count: Counter,
    /// Bytes out as replies.
    response_bytes: Counter,
    /// Bytes out as events.
    watch_bytes: Counter,
    /// Connect requests.
    connection_request_count: Counter,
    /// Auth packets that were refused.
    auth_failed_count: Counter,
    /// Connections over a limit.
    connection_rejected: Counter,
    /// TLS handshakes of clients that failed.
    unsuccessful_handshake: Counter,
    /// Clients sent away before theirs, as too many were under way.
    tls_handshake_exceeded: Counter,
    /// Connections that have ended.
    connection_drop_count: Counter,
    /// Connections that never asked for a session.
    sessionless_connections_expired: Counter,
    /// Sessions that were silent for too long.
    stale_sessions_expired: Counter,
    /// How long the log took to reach the disk.
    fsynctime: Summary,
    /// How often that took longer than `fsync.warningthresholdms`.
    fsync_threshold_exceed_count: Counter,
    /// How long snapshots took.
    snapshottime: Summary,
}

impl Metrics {
    /// Counts `times` reads, each answered after so many milliseconds.
    pub fn read_answered(&self, latency_ms: u64, times: u64) {
        self.latency.record_many(latency_ms, times);
        self.readlatency.record_many(latency_ms, times);
    }

    /// Counts `times` writes, each answered after so many milliseconds.
    pub fn write_answered(&self, latency_ms: u64, times: u64) {
        self.latency.record_many(latency_ms, times);
        self.updatelatency.record_many(latency_ms, times);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn five(summary: &Summary) -> [u64; 4] {
        [summary.count(), summary.sum(), summary.min(), summary.max()]
    }

    #[test]
    fn a_summary_knows_number_sum_and_extremes() {
        let summary = Summary::default();
        assert_eq!(five(&summary), [0, 0, 0, 0]);
        summary.record(7);
        summary.record_many(2, 3);
        summary.record_many(90, 0);
        assert_eq!(five(&summary), [4, 13, 2, 7]);
    }

    #[test]
    fn every_value_falls_into_the_bucket_that_ends_at_or_just_above_it() {
        let around = |n: u64| [n - 1, n, n + 1];
        let values = (0..200)
            .chain((1..33).flat_map(|bit| around(1 << bit)))
            .chain([70_000, 12_345]);
        for value in values.filter(|&value| value <= u32::MAX.into()) {
            let bucket = Histogram::bucket(value);
            let end = Histogram::upper_end(bucket);
            assert!(value <= end && end <= value + value / 32, "{value} {end}");
            assert_eq!(Histogram::bucket(end), bucket, "{value}");
            assert_eq!(
                Histogram::bucket(end + 1),
                (bucket + 1).min(Histogram::BUCKETS - 1)
            );
        }
        assert_eq!(Histogram::bucket(u64::MAX), Histogram::BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_those_of_the_values() {
        let histogram = Histogram::default();
        assert_eq!(histogram.percentile(500), 0);
        for value in 1..=60 {
            histogram.record_many(value, 10);
        }
        let percentiles = [1, 500, 950, 999, 1000].map(|rank| histogram.percentile(rank));
        assert_eq!(percentiles, [1, 30, 57, 60, 60]);
        histogram.record_many(1_000, 1);
        assert_eq!(histogram.percentile(1000), 1_000);
    }

    #[test]
    fn sizes_are_minus_one_until_there_is_one() {
        let sizes = Sizes::default();
        let all = || [sizes.last(), sizes.min(), sizes.max()];
        assert_eq!(all(), [-1; 3]);
        for size in [50, 16, 91] {
            sizes.record(size);
        }
        assert_eq!(all(), [91, 16, 91]);
    }

    #[test]
    fn a_reset_starts_anew() {
        let metrics = Metrics::default();
        metrics.packets_sent.add(3);
        metrics.read_answered(2, 5);
        metrics.write_answered(8, 1);
        metrics.client_response_size.record(3);
        assert_eq!(five(&metrics.latency), [6, 18, 2, 8]);
        metrics.reset();
        assert_eq!(metrics.packets_sent.value(), 0);
        assert_eq!(
            [
                five(&metrics.latency),
                five(metrics.updatelatency.summary())
            ],
            [[0; 4]; 2]
        );
        assert_eq!(
            (
                metrics.readlatency.percentile(999),
                metrics.client_response_size.max()
            ),
            (0, -1)
        );
    }
}
