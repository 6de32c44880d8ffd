//! Reads the logs for a learner that is to be sent what it lacks.
//!
//! Where a log ends is not judged, and one may be written to meanwhile; how far its records are
//! committed is for the reader to know. Invariant: records come once and in order, and not beyond
//! a place where some may be missing. Across the beginning of an epoch zxids cannot tell, so there
//! the log before it must end in nothing but unused space. Java goes on regardless. Source:
//! storage.md 11.2, quorum.md 6.4; `FileTxnLog.FileTxnIterator`.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use ox_proto::Zxid;

use crate::DataDirs;
use crate::disk::Disk;
use crate::error::{Doing, IoFailure};
use crate::format::logs;
use crate::reader::LogReader;

/// A place in the logs.
pub struct LogCursor {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    max_record: usize,
    /// In the log whose name has this zxid.
    reader: LogReader,
    log: Zxid,
    /// True if a later log has begun, so that nothing more is written to this one.
    finished: bool,
    /// The record that was read last.
    last: Option<Zxid>,
    /// True if the end was met, where there may be more by now.
    at_end: bool,
    /// True if something other than unused space was left behind since.
    torn: bool,
    /// True if records are missing here.
    ended: bool,
}

impl LogCursor {
    /// Goes to the last record at or before `from`, so that the first one read tells whether
    /// `from` itself is there. `None` if no record is that old. No payload longer than
    /// `max_record` bytes is believed.
    pub fn open(dirs: &DataDirs, from: Zxid, max_record: usize) -> Result<Option<Self>, IoFailure> {
        let mut logs = logs(&*dirs.disk, &dirs.log).doing("list", &dirs.log)?;
        logs.retain(|&(_, zxid)| zxid <= from);
        for (path, log) in logs.into_iter().rev() {
            let Some(mut reader) = open_log(&*dirs.disk, path, max_record)? else {
                continue;
            };
            if let Some(offset) = find(&mut reader, from)? {
                reader.go_to(offset)?;
                return Ok(Some(Self {
                    disk: Arc::clone(&dirs.disk),
                    dir: dirs.log.clone(),
                    max_record,
                    reader,
                    log,
                    finished: false,
                    last: None,
                    at_end: false,
                    torn: false,
                    ended: false,
                }));
            }
        }
        Ok(None)
    }

    /// The next record: its zxid, and its payload as it is stored. `None` at the end of what is
    /// written, from where reading can go on once there is more, and in front of missing records,
    /// where it cannot.
    pub fn next_record(&mut self) -> Result<Option<(Zxid, &[u8])>, IoFailure> {
        if self.at_end {
            self.reader.go_to(self.reader.offset)?;
            self.at_end = false;
        }
        while !self.ended {
            match self.reader.next()? {
                // Java 3.9 logs a request that it cannot decode under the zxid before it.
                Ok(zxid) if self.last == Some(zxid) => {}
                Ok(zxid) if self.is_next(zxid) => {
                    self.last = Some(zxid);
                    self.torn = false;
                    return Ok(Some((zxid, &self.reader.payload)));
                }
                Ok(_) => self.ended = true,
                Err(_) if self.go_on()? => {}
                Err(_) => break,
            }
        }
        Ok(None)
    }

    /// Bytes from here to the end of the newest log, unused space included, as Java counts them.
    pub fn remaining_bytes(&self) -> Result<u64, IoFailure> {
        let mut bytes = self.reader.rest();
        for (path, _) in self.later_logs()? {
            match self.disk.length(&path) {
                Ok(length) => bytes += length,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => Err(error).doing("read", &path)?,
            }
        }
        Ok(bytes)
    }

    fn is_next(&self, zxid: Zxid) -> bool {
        self.last
            .is_none_or(|last| zxid.follows(last) && (zxid.epoch() == last.epoch() || !self.torn))
    }

    /// Goes on behind the end of the records of a log; false if that is the end of all.
    fn go_on(&mut self) -> Result<bool, IoFailure> {
        let Some((path, log)) = self.later_logs()?.into_iter().next() else {
            self.at_end = true;
            return Ok(false);
        };
        if !self.finished {
            // There may be more here than when the end was met.
            self.finished = true;
            self.reader.go_to(self.reader.offset)?;
            return Ok(true);
        }
        self.torn |= !self.reader.is_at_end()?;
        match open_log(&*self.disk, path, self.max_record)? {
            Some(reader) => self.reader = reader,
            None => self.torn = true,
        }
        self.log = log;
        self.finished = false;
        Ok(true)
    }

    /// The logs behind this one, oldest first.
    fn later_logs(&self) -> Result<Vec<(PathBuf, Zxid)>, IoFailure> {
        let mut logs = logs(&*self.disk, &self.dir).doing("list", &self.dir)?;
        logs.retain(|&(_, zxid)| self.log < zxid);
        Ok(logs)
    }
}

/// `None` if the file is not a log, or was purged meanwhile.
fn open_log(
    disk: &dyn Disk,
    path: PathBuf,
    max_record: usize,
) -> Result<Option<LogReader>, IoFailure> {
    match LogReader::open(disk, path, max_record) {
        Ok(opened) => Ok(opened.ok()),
        Err(failure) if failure.source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Where the last record at or before `from` begins. Of repeated ones that is the first.
fn find(reader: &mut LogReader, from: Zxid) -> Result<Option<u64>, IoFailure> {
    let mut found: Option<(Zxid, u64)> = None;
    loop {
        let offset = reader.offset;
        match reader.next()? {
            Ok(zxid) if zxid <= from => {
                if found.is_none_or(|(last, _)| last < zxid) {
                    found = Some((zxid, offset));
                }
            }
            Ok(_) | Err(_) => return Ok(found.map(|(_, offset)| offset)),
        }
    }
}

#[cfg(test)]
mod tests;
