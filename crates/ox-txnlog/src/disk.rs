//! The file system as the log sees it: one that a computer has, or any other.
//!
//! Every file of the folders is reached through a [`Disk`], so that all of this crate also runs on
//! a simulated one that fails as real ones do. Invariant: nothing here is durable before a sync of
//! the file, and no name before a sync of its folder; what a mapping holds is seen by readers at
//! once. Source: reliability.md 4.1 and 4.2.

use std::any::Any;
use std::ffi::OsString;
use std::fmt::Debug;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::zero_ahead::DirectFile;

pub use real::RealDisk;

mod real;

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// To be read; it must be there.
    Read,
    /// To be written; it must be there.
    Write,
    /// To be written, and made if it is not there.
    WriteOrMake,
    /// To be read and written, made if it is not there, emptied if it is.
    Replace,
}

/// A file system.
pub trait Disk: Debug + Send + Sync + 'static {
    /// The names in a folder, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>>;

    /// Whether there is such a folder.
    fn is_dir(&self, path: &Path) -> bool;

    /// Makes a folder and those that it is in.
    fn create_dirs(&self, dir: &Path) -> io::Result<()>;

    /// Opens a file.
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>>;

    /// The size of a file.
    fn length(&self, path: &Path) -> io::Result<u64>;

    /// Gives a file another name, in place of what had that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Deletes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes what was created, renamed or deleted in a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes a lock until what is returned is dropped. `None` if another has it.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>>;

    /// Opens a file beside the cache, to write zeros into it ahead of the log. `None` where that
    /// cannot be had; a log works without.
    fn open_direct(&self, path: &Path) -> Option<DirectFile> {
        let _ = path;
        None
    }
}

/// An open file.
pub trait DiskFile: Debug + Send {
    /// Its size.
    fn length(&self) -> io::Result<u64>;

    /// Reads what is at `offset`; fewer bytes than asked for only at the end, or for no reason.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `parts`, one behind the other, at `offset`.
    fn write_at(&self, parts: [&[u8]; 2], offset: u64) -> io::Result<()>;

    /// Takes space for `offset..offset + length`, which then reads as zeros if it was not part of
    /// the file. False where that cannot be asked for.
    fn allocate(&self, offset: u64, length: u64) -> io::Result<bool>;

    /// Cuts the file, or fills it up with zeros.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Makes its content durable, and the size.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes everything about it durable but its name.
    fn sync_all(&self) -> io::Result<()>;

    /// Maps `start..end`, all of it allocated; `start` is a multiple of the page size.
    fn map(&self, start: u64, end: u64) -> io::Result<Box<dyn Window>>;
}

/// A part of a file that is mapped into memory.
pub trait Window: Send {
    /// True if all of `from..to` is mapped.
    fn covers(&self, from: u64, to: u64) -> bool;

    /// Stores a batch of whole entries at `at`, where the file still holds zeros. The length of
    /// the first entry, without which the file ends before the batch, is stored last.
    ///
    /// # Panics
    ///
    /// If the batch is shorter than the beginning of an entry, or not all of it is mapped.
    fn store(&mut self, at: u64, batch: &[u8]);

    /// Makes `from..to`, which is mapped, durable, with all metadata needed to find it.
    fn sync(&self, from: u64, to: u64) -> io::Result<()>;
}

/// Reads a file from its beginning.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) file: Box<dyn DiskFile>,
    at: u64,
}

impl Reading {
    pub(crate) fn new(file: Box<dyn DiskFile>) -> Self {
        Self { file, at: 0 }
    }
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Reading {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let moved = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.file.length()?.checked_add_signed(by),
        };
        self.at = moved.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// Reads a small file, `limit` bytes of it at most.
pub(crate) fn read_file(disk: &dyn Disk, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let file = Reading::new(disk.open(path, Open::Read)?);
    file.take(limit).read_to_end(&mut content)?;
    Ok(content)
}
