//! The content of a disk, and what is to go wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::SECTOR;
use super::lie::Lie;

/// A file without its name.
#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    /// What readers see.
    pub(super) cache: Vec<u8>,
    /// What is there after a power cut.
    pub(super) durable: Vec<u8>,
    /// Sectors in which they may differ.
    pub(super) dirty: BTreeSet<usize>,
}

/// A change of names that no sync of the folder has made durable.
#[derive(Clone, Debug)]
pub(super) enum NameOp {
    Link {
        path: PathBuf,
        inode: u64,
    },
    Move {
        from: PathBuf,
        to: PathBuf,
        inode: u64,
    },
    Unlink {
        path: PathBuf,
    },
}

/// Something a disk does wrong, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskFault {
    /// The next sync fails, and takes what it did not write for written.
    SyncError,
    /// There is no space until it is said that there is.
    Full,
    /// The machine loses power at the so manieth change from now on.
    CutAt(u32),
    /// Some of what is not synced reaches the disk by itself.
    WriteBack,
    /// The next read fails.
    ReadError,
}

/// A disk.
#[derive(Debug, Default)]
pub(super) struct Image {
    pub(super) inodes: BTreeMap<u64, Inode>,
    pub(super) names: BTreeMap<PathBuf, u64>,
    pub(super) durable_names: BTreeMap<PathBuf, u64>,
    pub(super) pending: Vec<NameOp>,
    pub(super) dirs: BTreeSet<PathBuf>,
    /// Who may use it: handles of earlier processes may not.
    pub(super) generation: u64,
    pub(super) locked: BTreeSet<PathBuf>,
    /// Changes made so far.
    pub(super) changes: u64,
    /// Of each kind of fault, how often it has struck.
    pub(super) struck: BTreeMap<&'static str, u64>,
    next_inode: u64,
    fails_next_sync: bool,
    fails_next_read: bool,
    pub(super) lie: Option<Lie>,
    pub(super) is_full: bool,
    cut_at: Option<u64>,
    /// The power is gone: nothing works until the machine starts again.
    is_dead: bool,
}

impl Image {
    pub(super) fn set(&mut self, fault: DiskFault) {
        match fault {
            DiskFault::SyncError => {
                // A power cut behind it would lose what is taken for synced.
                (self.fails_next_sync, self.cut_at) = (true, None);
            }
            DiskFault::Full => self.is_full = true,
            DiskFault::CutAt(count) => self.cut_at = Some(self.changes + u64::from(count)),
            DiskFault::ReadError => self.fails_next_read = true,
            DiskFault::WriteBack => {}
        }
    }

    /// Nothing that was to go wrong does any more.
    pub(super) fn heal(&mut self) {
        (self.fails_next_sync, self.is_full, self.cut_at) = (false, false, None);
        self.fails_next_read = false;
        self.keep_promises();
    }

    /// A power cut that was to come within a call does not.
    pub(super) fn cancel_cut(&mut self) {
        self.cut_at = None;
    }

    pub(super) fn is_dead(&self) -> bool {
        self.is_dead
    }

    pub(super) fn revive(&mut self) {
        self.is_dead = false;
        self.cut_at = None;
    }

    pub(super) fn strike(&mut self, what: &'static str) {
        *self.struck.entry(what).or_default() += 1;
    }

    /// Whether a process of this generation may still read.
    pub(super) fn check(&self, generation: u64) -> io::Result<()> {
        match self.is_dead || generation != self.generation {
            true => Err(io::Error::other("the power is cut")),
            false => Ok(()),
        }
    }

    /// As `check`, before something is read.
    pub(super) fn read(&mut self, generation: u64) -> io::Result<()> {
        self.check(generation)?;
        match std::mem::take(&mut self.fails_next_read) {
            true => {
                self.strike("failed read");
                Err(io::Error::from_raw_os_error(5))
            }
            false => Ok(()),
        }
    }

    /// Counts a change. It is still made, but nothing behind it, if the power is cut at it.
    pub(super) fn change(&mut self, generation: u64) -> io::Result<()> {
        self.check(generation)?;
        self.changes += 1;
        if self.cut_at == Some(self.changes) {
            self.is_dead = true;
            self.strike("power cut within a call");
        }
        Ok(())
    }

    /// For changes that need space.
    pub(super) fn grow(&mut self, generation: u64) -> io::Result<()> {
        self.change(generation)?;
        match self.is_full {
            true => {
                self.strike("no space");
                Err(io::ErrorKind::StorageFull.into())
            }
            false => Ok(()),
        }
    }

    pub(super) fn lookup(&self, path: &Path) -> io::Result<u64> {
        let inode = self.names.get(path).copied();
        inode.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn make(&mut self, path: &Path) -> u64 {
        self.next_inode += 1;
        let inode = self.next_inode;
        self.inodes.insert(inode, Inode::default());
        self.names.insert(path.to_path_buf(), inode);
        self.pending.push(NameOp::Link {
            path: path.to_path_buf(),
            inode,
        });
        inode
    }

    pub(super) fn inode(&mut self, inode: u64) -> &mut Inode {
        self.inodes.get_mut(&inode).expect("open files are kept")
    }

    /// A sync of `sectors`, or of all of a file.
    pub(super) fn sync(&mut self, inode: u64, sectors: Option<(usize, usize)>) -> io::Result<()> {
        let fails = std::mem::take(&mut self.fails_next_sync);
        let is_dead = self.is_dead;
        let is_lie = self.lies_about(inode);
        let file = self.inode(inode);
        let (from, to) = sectors.unwrap_or((0, usize::MAX));
        let concerned: Vec<usize> = file.dirty.range(from..to).copied().collect();
        if fails {
            // As measured: the pages are clean now, the cache is new and the disk is old. A liar does
            // not forget what it owes: some of it would have been on the disk.
            if !is_lie {
                for sector in concerned {
                    file.dirty.remove(&sector);
                }
            }
            self.strike("failed sync");
            return Err(io::Error::from_raw_os_error(5));
        }
        if is_dead {
            return Err(io::Error::other("the power is cut"));
        }
        if is_lie {
            self.strike("sync that was a lie");
            return Ok(());
        }
        for sector in concerned {
            file.persist(sector);
        }
        let length = file.cache.len();
        file.durable.resize(length, 0);
        Ok(())
    }

    /// What the folder holds by now is there after a power cut.
    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        if std::mem::take(&mut self.fails_next_sync) {
            self.strike("failed sync");
            return Err(io::Error::from_raw_os_error(5));
        }
        if self.is_dead {
            return Err(io::Error::other("the power is cut"));
        }
        if self.lie == Some(Lie::All) {
            self.strike("sync that was a lie");
            return Ok(());
        }
        for op in std::mem::take(&mut self.pending) {
            match op.concerns(dir) {
                true => op.apply(&mut self.durable_names),
                false => self.pending.push(op),
            }
        }
        Ok(())
    }
}

impl Inode {
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        if self.cache.len() < end {
            self.cache.resize(end, 0);
        }
        self.cache[offset..end].copy_from_slice(bytes);
        self.dirty.extend(offset / SECTOR..=(end - 1) / SECTOR);
    }

    pub(super) fn set_length(&mut self, length: usize) {
        if length < self.cache.len() {
            // Until a sync the old bytes may come back.
            let sectors = length / SECTOR..self.cache.len().div_ceil(SECTOR);
            self.dirty.extend(sectors);
        }
        self.cache.resize(length, 0);
    }

    /// A sector reaches the disk.
    pub(super) fn persist(&mut self, sector: usize) {
        self.dirty.remove(&sector);
        let start = sector * SECTOR;
        let end = (start + SECTOR).min(self.cache.len());
        if start < end {
            if self.durable.len() < end {
                self.durable.resize(end, 0);
            }
            self.durable[start..end].copy_from_slice(&self.cache[start..end]);
        }
        // What was cut off is zeros on the disk, as measured, and stays so if the file grows again.
        let cut = end.max(start)..self.durable.len().min(start + SECTOR);
        if let Some(bytes) = self.durable.get_mut(cut) {
            bytes.fill(0);
        }
    }
}

impl NameOp {
    fn concerns(&self, dir: &Path) -> bool {
        let is_in = |path: &PathBuf| path.parent() == Some(dir);
        match self {
            Self::Link { path, .. } | Self::Unlink { path } => is_in(path),
            Self::Move { from, to, .. } => is_in(from) || is_in(to),
        }
    }

    pub(super) fn apply(self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Link { path, inode } => {
                names.insert(path, inode);
            }
            Self::Move { from, to, inode } => {
                names.remove(&from);
                names.insert(to, inode);
            }
            Self::Unlink { path } => {
                names.remove(&path);
            }
        }
    }
}
