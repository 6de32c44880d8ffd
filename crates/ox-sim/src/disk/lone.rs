//! A simulated disk without a server, to be held against real ones.

use std::path::Path;

use ox_txnlog::Disk;

use super::{DiskFault, SimDisk};
use crate::random::Random;

/// The stream of numbers that decides what a power cut leaves.
const STREAM: u64 = 21;

/// A simulated disk for itself.
pub struct LoneDisk {
    disk: SimDisk,
    random: Random,
}

impl LoneDisk {
    /// An empty one with a folder; the seed decides what power cuts leave.
    pub fn new(seed: u64, folder: &Path) -> Self {
        let disk = SimDisk::new();
        disk.create_dirs(folder).expect("nothing is wrong with it");
        Self {
            disk,
            random: Random::stream(seed, STREAM),
        }
    }

    /// The disk as servers see it until the power is cut.
    pub fn disk(&self) -> impl Disk + use<> {
        self.disk.clone()
    }

    /// Some of what is not synced reaches it by itself.
    pub fn write_back(&mut self) {
        self.disk.set(DiskFault::WriteBack, &mut self.random);
    }

    /// Loses the cache. What was opened before is of no use any more.
    pub fn cut_power(&mut self) {
        self.disk.power_cut(&mut self.random);
        self.disk.next_process();
    }
}
