//! The computer's own file system.

use std::any::Any;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{Errno, pwritev, retry_on_intr};

use super::{Disk, DiskFile, Open, Window};
use crate::mapped::Mapped;
use crate::zero_ahead::DirectFile;

/// What the operating system calls its files.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(dir)?
            .map(|entry| Ok(entry?.file_name()))
            .collect()
    }

    fn is_dir(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let mut options = File::options();
        options.read(how != Open::Write && how != Open::WriteOrMake);
        options.write(how != Open::Read);
        options.create(matches!(how, Open::WriteOrMake | Open::Replace));
        options.truncate(how == Open::Replace);
        Ok(Box::new(options.open(path)?))
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let mut options = File::options();
        let file = options
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn open_direct(&self, path: &Path) -> Option<DirectFile> {
        DirectFile::open(path)
    }
}

impl DiskFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn write_at(&self, [first, second]: [&[u8]; 2], offset: u64) -> io::Result<()> {
        let parts = [IoSlice::new(first), IoSlice::new(second)];
        let written = retry_on_intr(|| pwritev(self, &parts, offset))?;
        let left = first.get(written..).unwrap_or_default();
        self.write_all_at(left, offset + written as u64)?;
        let written = written.max(first.len());
        let left = second.get(written - first.len()..).unwrap_or_default();
        self.write_all_at(left, offset + written as u64)
    }

    fn allocate(&self, offset: u64, length: u64) -> io::Result<bool> {
        match fallocate(self, FallocateFlags::empty(), offset, length) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
    }

    fn sync_all(&self) -> io::Result<()> {
        Self::sync_all(self)
    }

    fn map(&self, start: u64, end: u64) -> io::Result<Box<dyn Window>> {
        Ok(Box::new(Mapped::open(self, start, end)?))
    }
}
