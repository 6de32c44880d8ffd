//! The side file that says how much of the newest log is known to be on the disk.
//!
//! One line: log file, offset behind the last synced record, checksum of that log's first record,
//! checksum of the line so far. What it says is true whenever it can be read, though more may be
//! on the disk by now: it is rewritten after a sync and is itself synced only when a log is begun
//! and when there is time. Recovery uses it to tell what a power cut may have taken from damage
//! (storage.md 5.4). The first record's checksum ties it to the file it was written for: Java may
//! since have begun another file of that name.

use std::io;
use std::path::Path;

use crate::disk::{Disk, DiskFile, Open, read_file};
use crate::format::checksum;

/// Java takes neither logs nor snapshots from a file of this name.
const NAME: &str = "oxkeeper.synced";

/// No note is longer.
const LONGEST: u64 = 256;

/// How far a log is known to be durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyncedBound {
    /// Name of the log file.
    pub(crate) log: String,
    /// Everything before this offset was synced.
    pub(crate) offset: u64,
    /// Checksum of the first record of that log.
    pub(crate) first_checksum: u32,
}

impl SyncedBound {
    /// Every field has a fixed width, so that each line overwrites the one before it whole.
    fn line(&self) -> String {
        let said = format!(
            "{:<20} {:020} {:08x}",
            self.log, self.offset, self.first_checksum
        );
        let check = checksum(said.as_bytes());
        format!("{said} {check:08x}\n")
    }

    fn parse(line: &str) -> Option<Self> {
        let (said, check) = line.strip_suffix('\n')?.rsplit_once(' ')?;
        if u32::from_str_radix(check, 16).ok()? != checksum(said.as_bytes()) {
            return None;
        }
        let mut fields = said.split_ascii_whitespace();
        Some(Self {
            log: fields.next()?.to_owned(),
            offset: fields.next()?.parse().ok()?,
            first_checksum: u32::from_str_radix(fields.next()?, 16).ok()?,
        })
    }

    /// Makes this the note of a folder, or deletes it, durably. No log may be writing its own.
    pub(crate) fn replace(disk: &dyn Disk, dir: &Path, bound: Option<&Self>) -> io::Result<()> {
        match bound {
            Some(bound) => {
                let mut file = BoundFile::open(disk, dir)?;
                file.note(bound)?;
                file.sync()?;
            }
            None => match disk.remove(&dir.join(NAME)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            },
        }
        disk.sync_dir(dir)
    }

    /// What was last noted in a folder; `None` if nothing was, or it cannot be read.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> io::Result<Option<Self>> {
        match read_file(disk, &dir.join(NAME), LONGEST) {
            Ok(bytes) => Ok(str::from_utf8(&bytes).ok().and_then(Self::parse)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The side file, open for writing.
pub(crate) struct BoundFile {
    file: Box<dyn DiskFile>,
    /// True if the last line is not synced.
    dirty: bool,
}

impl BoundFile {
    /// Opens the side file of a folder; the caller syncs the folder.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path) -> io::Result<Self> {
        let file = disk.open(&dir.join(NAME), Open::WriteOrMake)?;
        Ok(Self { file, dirty: false })
    }

    /// Notes what a completed sync has made durable.
    pub(crate) fn note(&mut self, bound: &SyncedBound) -> io::Result<()> {
        self.dirty = true;
        self.file.write_at([bound.line().as_bytes(), &[]], 0)
    }

    /// Makes the note itself durable.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.dirty {
            self.file.sync_data()?;
            self.dirty = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RealDisk;

    fn bound(log: &str, offset: u64) -> SyncedBound {
        SyncedBound {
            log: log.to_owned(),
            offset,
            first_checksum: 0xab,
        }
    }

    #[test]
    fn the_last_note_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(SyncedBound::read(&RealDisk, dir.path()).unwrap(), None);
        let mut file = BoundFile::open(&RealDisk, dir.path()).unwrap();
        file.note(&bound("log.200000011", 77_777)).unwrap();
        file.note(&bound("log.1", 20)).unwrap();
        file.sync().unwrap();
        let read = || SyncedBound::read(&RealDisk, dir.path()).unwrap();
        assert_eq!(read(), Some(bound("log.1", 20)));
        SyncedBound::replace(&RealDisk, dir.path(), Some(&bound("log.f", 16))).unwrap();
        assert_eq!(read(), Some(bound("log.f", 16)));
        for _ in 0..2 {
            SyncedBound::replace(&RealDisk, dir.path(), None).unwrap();
            assert_eq!(read(), None);
        }
    }

    #[test]
    fn a_line_that_was_changed_or_cut_says_nothing() {
        let line = bound("log.1f", 1234).line();
        for at in 0..line.len() {
            let mut bytes = line.clone().into_bytes();
            bytes[at] ^= 1;
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(SyncedBound::parse(&changed), None, "{changed}");
            assert_eq!(SyncedBound::parse(&line[..at]), None);
        }
        assert_eq!(SyncedBound::parse(&line), Some(bound("log.1f", 1234)));
    }
}
