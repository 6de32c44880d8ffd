//! What a power cut leaves of a disk.

use super::SECTOR;
use super::image::{Image, Inode};
use crate::random::Random;

/// So many times in a hundred the names that survive are a beginning of their changes, as with a
/// journal; else they are any part.
const JOURNALED: usize = 80;

impl Image {
    /// Some dirty sectors reach the disk.
    pub(super) fn write_back(&mut self, random: &mut Random) {
        let inodes: Vec<u64> = self.inodes.keys().copied().collect();
        for inode in inodes {
            if !self.lies_about(inode) {
                self.inode(inode).write_back(random);
            }
        }
    }

    /// The power is cut: the cache is lost.
    pub(super) fn power_cut(&mut self, random: &mut Random) {
        if let Some(lie) = self.lie.take() {
            self.forget(&lie);
        }
        let pending = std::mem::take(&mut self.pending);
        if random.percent(JOURNALED) {
            let kept = random.below(pending.len() + 1);
            for op in pending.into_iter().take(kept) {
                op.apply(&mut self.durable_names);
            }
        } else {
            for op in pending {
                if random.percent(50) {
                    op.apply(&mut self.durable_names);
                }
            }
        }
        for file in self.inodes.values_mut() {
            file.write_back(random);
            if file.cache.len() != file.durable.len() && random.percent(50) {
                file.durable.resize(file.cache.len(), 0);
            }
            file.cache.clone_from(&file.durable);
            file.dirty.clear();
        }
        self.names.clone_from(&self.durable_names);
        let names = &self.names;
        self.inodes
            .retain(|inode, _| names.values().any(|named| named == inode));
        self.revive();
    }
}

impl Inode {
    fn write_back(&mut self, random: &mut Random) {
        let dirty: Vec<usize> = self.dirty.iter().copied().collect();
        // All, none, or any: torn writes are rare where each sector is decided alone.
        let chance = *random.pick(&[0, 50, 50, 90, 100]);
        for sector in dirty {
            if random.percent(chance) && sector * SECTOR <= self.cache.len() {
                self.persist(sector);
            }
        }
    }
}
