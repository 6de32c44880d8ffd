//! Disks that say that they have synced, and have not.
//!
//! Invariant: until a lie ends nothing that it is about reaches the disk, not even by itself; so a
//! power cut takes it back to a state in which a power cut could have left it when the lie began.
//! Source: reliability.md 2.2, row 34.

use serde::{Deserialize, Serialize};

use super::image::Image;

/// What a disk lies about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lie {
    /// All of it: files and names.
    All,
    /// The content of files whose names begin like this.
    Files(String),
}

impl Image {
    /// From now on syncs are answered and not done.
    pub(super) fn begin_to_lie(&mut self, lie: Lie) {
        self.lie.get_or_insert(lie);
        self.cancel_cut();
    }

    /// Whether a sync of this file is a lie.
    pub(super) fn lies_about(&self, inode: u64) -> bool {
        match &self.lie {
            None => false,
            Some(Lie::All) => true,
            Some(Lie::Files(begins)) => self.is_named(inode, begins),
        }
    }

    /// What was said to be synced becomes so.
    pub(super) fn keep_promises(&mut self) {
        if self.lie.take().is_none() {
            return;
        }
        for op in std::mem::take(&mut self.pending) {
            op.apply(&mut self.durable_names);
        }
        for file in self.inodes.values_mut() {
            for sector in std::mem::take(&mut file.dirty) {
                file.persist(sector);
            }
            file.durable.resize(file.cache.len(), 0);
        }
    }

    /// The cache is lost, and with it what the disk has lied about.
    pub(super) fn forget(&mut self, lie: &Lie) {
        if *lie == Lie::All {
            self.pending.clear();
        }
        let inodes: Vec<u64> = self.inodes.keys().copied().collect();
        for inode in inodes {
            let is_concerned = match lie {
                Lie::All => true,
                Lie::Files(begins) => self.is_named(inode, begins),
            };
            if is_concerned {
                let file = self.inode(inode);
                file.cache.clone_from(&file.durable);
                file.dirty.clear();
            }
        }
        self.strike("synced, and lost");
    }

    fn is_named(&self, inode: u64, begins: &str) -> bool {
        let mut names = self.names.iter().filter(|(_, named)| **named == inode);
        names.any(|(path, _)| {
            let name = path.file_name();
            name.is_some_and(|name| name.to_string_lossy().starts_with(begins))
        })
    }
}
