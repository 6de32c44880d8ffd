//! When the next snapshot is due.
//!
//! After a random number of transactions or bytes, so that the members of an ensemble do not take
//! theirs at the same time. Source: `SyncRequestProcessor.shouldSnapshot`; storage.md 7.3.

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::settings::StoreSettings;

pub(crate) struct Trigger {
    every_txns: u32,
    every_bytes: Option<u64>,
    random: SmallRng,
    records: usize,
    after_records: usize,
    after_bytes: u64,
}

impl Trigger {
    pub(crate) fn new(settings: &StoreSettings, seed: u64) -> Self {
        let mut trigger = Self {
            every_txns: settings.snapshot_every_txns,
            every_bytes: settings.snapshot_every_bytes,
            random: SmallRng::seed_from_u64(seed),
            records: 0,
            after_records: 0,
            after_bytes: u64::MAX,
        };
        trigger.restart();
        trigger
    }

    pub(crate) fn restart(&mut self) {
        let half = self.every_txns / 2;
        let txns = half + self.random.random_range(0..half.max(1));
        self.records = 0;
        self.after_records = usize::try_from(txns).unwrap_or(usize::MAX);
        self.after_bytes = self.every_bytes.map_or(u64::MAX, |bytes| {
            bytes / 2 + self.random.random_range(0..(bytes / 2).max(1))
        });
    }

    /// Counts records that were written; `bytes` is the size of the log since the last snapshot.
    pub(crate) fn is_due(&mut self, records: usize, bytes: u64) -> bool {
        self.records += records;
        self.records > self.after_records || bytes > self.after_bytes
    }
}
