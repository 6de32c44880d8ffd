//! What was synced and is wrong now.
//!
//! Invariant: the disk and the cache are wrong alike, so that whoever reads finds it. Source:
//! reliability.md 2.2, rows 4 to 7.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::SECTOR;
use super::image::Image;
use crate::random::Random;

/// How a file is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Damage {
    /// One bit is another.
    Bit,
    /// A sector is zeros.
    Zeros,
    /// What was written to one place is at another, of this or of another such file.
    Misdirected,
}

impl Image {
    /// Damages some file whose name begins like this. Which and where, if there was one.
    pub(super) fn damage(
        &mut self,
        random: &mut Random,
        damage: Damage,
        begins: &str,
    ) -> Option<String> {
        let (path, inode) = self.pick(random, begins)?;
        let written = self.written(inode)?;
        let (at, what) = match damage {
            Damage::Bit => {
                let at = random.below(written);
                let flipped = self.inode(inode).cache[at] ^ 1 << random.below(8);
                self.put(inode, at, &[flipped]);
                (at, "bit rot")
            }
            Damage::Zeros => {
                let sector = self.sector(inode, random.below(written));
                self.put(inode, sector.start, &vec![0; sector.len()]);
                (sector.start, "zeroed sector")
            }
            Damage::Misdirected => {
                let (_, source) = self.pick(random, "")?;
                let at = random.below(self.written(source)?);
                let from = self.sector(source, at);
                let sector = self.sector(inode, random.below(written));
                let mut moved = self.inode(source).cache[from.clone()].to_vec();
                moved.truncate(sector.len());
                // Where it should be is what was there before: nothing.
                self.put(source, from.start, &vec![0; from.len()]);
                self.put(inode, sector.start, &moved);
                (sector.start, "misdirected write")
            }
        };
        self.strike(what);
        Some(format!("{what} in {}:{at}", path.display()))
    }

    /// Some file that anything was written to.
    fn pick(&self, random: &mut Random, begins: &str) -> Option<(PathBuf, u64)> {
        let is_one = |(path, inode): &(&PathBuf, &u64)| {
            name(path).starts_with(begins) && self.written(**inode).is_some()
        };
        let files: Vec<_> = self.names.iter().filter(is_one).collect();
        if files.is_empty() {
            return None;
        }
        let (path, inode) = *random.pick(&files);
        Some((path.clone(), *inode))
    }

    /// Where the last byte that is not zero ends.
    fn written(&self, inode: u64) -> Option<usize> {
        let cache = &self.inodes[&inode].cache;
        Some(cache.iter().rposition(|byte| *byte != 0)? + 1)
    }

    fn sector(&self, inode: u64, at: usize) -> Range<usize> {
        let start = at / SECTOR * SECTOR;
        start..(start + SECTOR).min(self.inodes[&inode].cache.len())
    }

    fn put(&mut self, inode: u64, at: usize, bytes: &[u8]) {
        let file = self.inode(inode);
        file.cache[at..at + bytes.len()].copy_from_slice(bytes);
        for (at, byte) in (at..).zip(bytes) {
            if let Some(durable) = file.durable.get_mut(at) {
                *durable = *byte;
            }
        }
    }
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
