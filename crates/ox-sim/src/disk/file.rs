//! The disk as `ox_txnlog` sees it.

use std::any::Any;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ox_txnlog::{Disk, DiskFile, Open, Window};
use parking_lot::Mutex;

use super::SECTOR;
use super::damage::Damage;
use super::image::{DiskFault, Image, NameOp};
use super::lie::Lie;
use crate::random::Random;

/// What a page holds: a mapping is synced by pages.
const PAGE: usize = 4096;

/// A disk in memory. Clones are the same disk, for the same process.
#[derive(Clone)]
pub(crate) struct SimDisk {
    image: Arc<Mutex<Image>>,
    generation: u64,
}

impl SimDisk {
    pub(crate) fn new() -> Self {
        Self {
            image: Arc::default(),
            generation: 0,
        }
    }

    /// The disk for the next process. The one before is gone.
    pub(crate) fn next_process(&mut self) {
        let mut image = self.image.lock();
        image.generation += 1;
        image.locked.clear();
        self.generation = image.generation;
    }

    pub(crate) fn set(&self, fault: DiskFault, random: &mut Random) {
        let mut image = self.image.lock();
        match fault {
            DiskFault::WriteBack => image.write_back(random),
            other => image.set(other),
        }
    }

    pub(crate) fn heal(&self) {
        self.image.lock().heal();
    }

    /// There is space again.
    pub(crate) fn heal_space(&self) {
        self.image.lock().is_full = false;
    }

    /// Whether the power was cut within a call.
    pub(crate) fn is_dead(&self) -> bool {
        self.image.lock().is_dead()
    }

    pub(crate) fn power_cut(&self, random: &mut Random) {
        self.image.lock().power_cut(random);
    }

    /// Some file whose name begins like this is damaged. Which and where, if there was one.
    pub(crate) fn damage(
        &self,
        random: &mut Random,
        damage: Damage,
        begins: &str,
    ) -> Option<String> {
        self.image.lock().damage(random, damage, begins)
    }

    /// From now on syncs are answered and not done.
    pub(crate) fn lie(&self, lie: Lie) {
        self.image.lock().begin_to_lie(lie);
    }

    pub(crate) fn lies(&self) -> bool {
        self.image.lock().lie.is_some()
    }

    /// What it has said was synced becomes so, and it is honest from now on.
    pub(crate) fn keep_promises(&self) {
        self.image.lock().keep_promises();
    }

    /// All files are gone.
    pub(crate) fn wipe(&self) {
        let mut image = self.image.lock();
        image.names.clear();
        image.durable_names.clear();
        image.pending.clear();
        image.inodes.clear();
    }

    /// An empty file, durable.
    pub(crate) fn place(&self, path: &Path) {
        let mut image = self.image.lock();
        let inode = image.make(path);
        image.durable_names.insert(path.to_path_buf(), inode);
        image.pending.clear();
    }

    /// How often each kind of fault has struck.
    pub(crate) fn struck(&self) -> Vec<(&'static str, u64)> {
        let image = self.image.lock();
        image
            .struck
            .iter()
            .map(|(what, count)| (*what, *count))
            .collect()
    }

    fn file(&self, inode: u64) -> SimFile {
        SimFile {
            disk: self.clone(),
            inode,
        }
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimDisk")
    }
}

/// Holds a lock.
struct Held {
    disk: SimDisk,
    path: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut image = self.disk.image.lock();
        if image.generation == self.disk.generation {
            image.locked.remove(&self.path);
        }
    }
}

impl Disk for SimDisk {
    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        let image = self.image.lock();
        image.check(self.generation)?;
        if !image.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let is_in = |path: &&PathBuf| path.parent() == Some(dir);
        let name = |path: &PathBuf| path.file_name().map(OsString::from);
        Ok(image.names.keys().filter(is_in).filter_map(name).collect())
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.image.lock().dirs.contains(path)
    }

    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        let mut image = self.image.lock();
        image.grow(self.generation)?;
        image.dirs.extend(dir.ancestors().map(Path::to_path_buf));
        Ok(())
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let mut image = self.image.lock();
        image.check(self.generation)?;
        let inode = match (image.lookup(path), how) {
            (Ok(inode), Open::Replace) => {
                image.change(self.generation)?;
                image.inode(inode).set_length(0);
                inode
            }
            (Ok(inode), Open::Read | Open::Write | Open::WriteOrMake) => inode,
            (Err(error), Open::Read | Open::Write) => return Err(error),
            (Err(_), Open::WriteOrMake | Open::Replace) => {
                image.grow(self.generation)?;
                image.make(path)
            }
        };
        Ok(Box::new(self.file(inode)))
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        let mut image = self.image.lock();
        image.check(self.generation)?;
        let inode = image.lookup(path)?;
        Ok(image.inode(inode).cache.len() as u64)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut image = self.image.lock();
        image.change(self.generation)?;
        let inode = image.lookup(from)?;
        image.names.remove(from);
        image.names.insert(to.to_path_buf(), inode);
        image.pending.push(NameOp::Move {
            from: from.to_path_buf(),
            to: to.to_path_buf(),
            inode,
        });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut image = self.image.lock();
        image.lookup(path)?;
        image.change(self.generation)?;
        image.names.remove(path);
        image.pending.push(NameOp::Unlink {
            path: path.to_path_buf(),
        });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut image = self.image.lock();
        image.change(self.generation)?;
        image.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let mut image = self.image.lock();
        image.check(self.generation)?;
        if !image.locked.insert(path.to_path_buf()) {
            return Ok(None);
        }
        let held = Held {
            disk: self.clone(),
            path: path.to_path_buf(),
        };
        Ok(Some(Box::new(held)))
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: u64,
}

impl DiskFile for SimFile {
    fn length(&self) -> io::Result<u64> {
        let mut image = self.disk.image.lock();
        image.check(self.disk.generation)?;
        Ok(image.inode(self.inode).cache.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut image = self.disk.image.lock();
        image.read(self.disk.generation)?;
        let cache = &image.inode(self.inode).cache;
        let from = at(offset).min(cache.len());
        let count = buffer.len().min(cache.len() - from);
        buffer[..count].copy_from_slice(&cache[from..from + count]);
        Ok(count)
    }

    fn write_at(&self, parts: [&[u8]; 2], offset: u64) -> io::Result<()> {
        let mut image = self.disk.image.lock();
        image.grow(self.disk.generation)?;
        let file = image.inode(self.inode);
        file.write(at(offset), parts[0]);
        file.write(at(offset) + parts[0].len(), parts[1]);
        Ok(())
    }

    fn allocate(&self, offset: u64, length: u64) -> io::Result<bool> {
        let mut image = self.disk.image.lock();
        image.grow(self.disk.generation)?;
        let file = image.inode(self.inode);
        let end = at(offset + length);
        if file.cache.len() < end {
            file.cache.resize(end, 0);
        }
        Ok(true)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut image = self.disk.image.lock();
        image.change(self.disk.generation)?;
        image.inode(self.inode).set_length(at(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut image = self.disk.image.lock();
        image.change(self.disk.generation)?;
        image.sync(self.inode, None)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn map(&self, start: u64, end: u64) -> io::Result<Box<dyn Window>> {
        self.disk.image.lock().check(self.disk.generation)?;
        Ok(Box::new(SimWindow {
            disk: self.disk.clone(),
            inode: self.inode,
            start,
            end,
        }))
    }
}

struct SimWindow {
    disk: SimDisk,
    inode: u64,
    start: u64,
    end: u64,
}

impl Window for SimWindow {
    fn covers(&self, from: u64, to: u64) -> bool {
        self.start <= from && to <= self.end
    }

    fn store(&mut self, offset: u64, batch: &[u8]) {
        let mut image = self.disk.image.lock();
        // A process that is gone stores nothing.
        if image.change(self.disk.generation).is_ok() {
            image.inode(self.inode).write(at(offset), batch);
        }
    }

    fn sync(&self, from: u64, to: u64) -> io::Result<()> {
        let mut image = self.disk.image.lock();
        image.change(self.disk.generation)?;
        let first = at(from) / PAGE * PAGE / SECTOR;
        let behind = at(to).div_ceil(PAGE) * PAGE / SECTOR;
        image.sync(self.inode, Some((first, behind)))
    }
}

fn at(offset: u64) -> usize {
    usize::try_from(offset).expect("64 bits")
}
