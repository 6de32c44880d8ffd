//! Reads the logs for a learner that is to be sent what it lacks.
//!
//! Where a log ends is not judged, and one may be written to meanwhile; how far its records are
//! committed is for the reader to know. Invariant: records come once and in order, and not beyond
//! a place where some may be missing. Across the beginning of an epoch zxids cannot tell, so there
//! the log before it must end in nothing but unused space. Java goes on regardless. Source:
//! storage.md 11.2, quorum.md 6.4; `FileTxnLog.FileTxnIterator`.

use std::fs;
use std::io;
use std::path::PathBuf;

use ox_proto::Zxid;

use crate::DataDirs;
use crate::error::{Doing, IoFailure};
use crate::format::logs;
use crate::reader::LogReader;

/// A place in the logs.
pub struct LogCursor {
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
        let mut logs = logs(&dirs.log).doing("list", &dirs.log)?;
        logs.retain(|&(_, zxid)| zxid <= from);
        for (path, log) in logs.into_iter().rev() {
            let Some(mut reader) = open_log(path, max_record)? else {
                continue;
            };
            if let Some(offset) = find(&mut reader, from)? {
                reader.go_to(offset)?;
                return Ok(Some(Self {
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
            match fs::metadata(&path) {
                Ok(metadata) => bytes += metadata.len(),
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
        match open_log(path, self.max_record)? {
            Some(reader) => self.reader = reader,
            None => self.torn = true,
        }
        self.log = log;
        self.finished = false;
        Ok(true)
    }

    /// The logs behind this one, oldest first.
    fn later_logs(&self) -> Result<Vec<(PathBuf, Zxid)>, IoFailure> {
        let mut logs = logs(&self.dir).doing("list", &self.dir)?;
        logs.retain(|&(_, zxid)| self.log < zxid);
        Ok(logs)
    }
}

/// `None` if the file is not a log, or was purged meanwhile.
fn open_log(path: PathBuf, max_record: usize) -> Result<Option<LogReader>, IoFailure> {
    match LogReader::open(path, max_record) {
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
mod tests {
    use std::ops::RangeInclusive;

    use ox_jute::Decoder;

    use super::*;
    use crate::testing::{Folder, error_payload, log_of, payload};
    use crate::{Log, LogConfig};

    impl Folder {
        fn cursor(&self, from: i64) -> Option<LogCursor> {
            LogCursor::open(&self.dirs, Zxid(from), Decoder::DEFAULT_MAX_LENGTH).unwrap()
        }

        fn put_records(&self, payloads: &[Vec<u8>]) -> (PathBuf, Vec<usize>) {
            let (bytes, places) = log_of(payloads);
            let first = crate::format::zxid_of(&payloads[0]).unwrap();
            (self.put(first.0, &bytes), places)
        }
    }

    fn records(zxids: &[i64]) -> Vec<Vec<u8>> {
        zxids.iter().map(|&zxid| payload(zxid, 150)).collect()
    }

    /// All there is to read; each payload must be its zxid's.
    fn rest(cursor: &mut LogCursor) -> Vec<i64> {
        let mut zxids = Vec::new();
        while let Some((zxid, stored)) = cursor.next_record().unwrap() {
            assert_eq!(stored, payload(zxid.0, 150));
            zxids.push(zxid.0);
        }
        zxids
    }

    #[track_caller]
    fn check(folder: &Folder, from: i64, expected: &[i64]) {
        let mut cursor = folder.cursor(from).unwrap();
        assert_eq!(rest(&mut cursor), expected, "from {from}");
        assert_eq!(rest(&mut cursor), [0; 0]);
    }

    #[test]
    fn reading_begins_with_the_last_record_that_is_not_above() {
        let folder = Folder::new();
        let (epoch_2, epoch_4) = (Zxid::new(2, 1).0, Zxid::new(4, 1).0);
        let zxids = [3, 4, 5, 6, epoch_2, epoch_2 + 1, epoch_4];
        folder.put_records(&records(&zxids[..2]));
        folder.put_records(&records(&zxids[2..5]));
        folder.put_records(&records(&zxids[5..6]));
        folder.put_records(&records(&zxids[6..]));
        for (place, &zxid) in zxids.iter().enumerate() {
            check(&folder, zxid, &zxids[place..]);
        }
        check(&folder, 7, &zxids[3..]);
        check(&folder, epoch_2 - 1, &zxids[3..]);
        check(&folder, epoch_4 - 1, &zxids[5..]);
        check(&folder, i64::MAX, &zxids[6..]);
        assert!(folder.cursor(2).is_none());
        assert!(Folder::new().cursor(2).is_none());
    }

    #[test]
    fn a_log_without_records_is_passed_over() {
        let folder = Folder::new();
        folder.put_records(&records(&[1, 2]));
        let empty = log_of(&[]).0;
        folder.put(3, &empty[..16]);
        check(&folder, 3, &[2]);
        folder.put(4, b"not a log");
        folder.put_records(&records(&[5]));
        check(&folder, 1, &[1, 2]);
        fs::remove_file(folder.dirs.log.join("log.5")).unwrap();
        let next_epoch = Zxid::new(1, 1).0;
        folder.put_records(&records(&[next_epoch]));
        check(&folder, 1, &[1, 2]);
        fs::remove_file(folder.dirs.log.join("log.4")).unwrap();
        check(&folder, 1, &[1, 2, next_epoch]);
    }

    #[test]
    fn repeated_records_are_passed_over() {
        let folder = Folder::new();
        let mut payloads = records(&[1, 2, 3]);
        payloads.insert(2, error_payload(2));
        payloads.insert(2, payload(2, 150));
        folder.put_records(&payloads);
        check(&folder, 1, &[1, 2, 3]);
        check(&folder, 2, &[2, 3]);
    }

    #[test]
    fn reading_ends_where_records_are_missing() {
        let folder = Folder::new();
        folder.put_records(&records(&[1, 2]));
        folder.put_records(&records(&[4, 5]));
        check(&folder, 1, &[1, 2]);
        check(&folder, 3, &[2]);
        check(&folder, 4, &[4, 5]);
    }

    #[test]
    fn a_torn_record_ends_reading_unless_the_next_log_goes_on_there() {
        for next_epoch in [false, true] {
            let folder = Folder::new();
            let (path, places) = folder.put_records(&records(&[1, 2, 3]));
            let mut bytes = fs::read(&path).unwrap();
            bytes[places[3] - 1] = 0;
            fs::write(&path, bytes).unwrap();
            check(&folder, 1, &[1, 2]);
            let next = match next_epoch {
                // Record 3 may have been one that counts.
                true => Zxid::new(1, 1).0,
                false => 3,
            };
            folder.put_records(&records(&[next]));
            match next_epoch {
                true => check(&folder, 1, &[1, 2]),
                false => {
                    let next_epoch = Zxid::new(1, 1).0;
                    folder.put_records(&records(&[next_epoch]));
                    check(&folder, 1, &[1, 2, 3, next_epoch]);
                }
            }
        }
    }

    #[test]
    fn reading_goes_on_with_what_is_written_meanwhile() {
        for preallocate in [0, 1 << 20] {
            let folder = Folder::new();
            let config = LogConfig {
                preallocate,
                ..LogConfig::default()
            };
            let mut log = Log::create(&folder.dirs, config);
            let append = |log: &mut Log, zxids: RangeInclusive<i64>| {
                for zxid in zxids {
                    log.append(Zxid(zxid), &payload(zxid, 150)).unwrap();
                }
                log.sync().unwrap();
            };
            append(&mut log, 1..=2);
            let mut cursor = folder.cursor(1).unwrap();
            assert_eq!(rest(&mut cursor), [1, 2]);
            append(&mut log, 3..=5);
            assert_eq!(rest(&mut cursor), [3, 4, 5]);
            assert_eq!(rest(&mut cursor), [0; 0]);
            // Twice it has read the last record, and not the end, when more comes and a new log.
            let mut cursor = folder.cursor(5).unwrap();
            for last in [5, 8] {
                while cursor.next_record().unwrap().unwrap().0 != Zxid(last) {}
                append(&mut log, last + 1..=last + 2);
                log.roll().unwrap();
                append(&mut log, last + 3..=last + 3);
            }
            assert_eq!(rest(&mut cursor), [9, 10, 11]);
        }
    }

    #[test]
    fn a_log_that_is_cut_meanwhile_ends_there() {
        let folder = Folder::new();
        let (path, places) = folder.put_records(&[payload(1, 150), payload(2, 400_000)]);
        let mut cursor = folder.cursor(1).unwrap();
        assert_eq!(cursor.next_record().unwrap().unwrap().0, Zxid(1));
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_len(places[1] as u64 + 300_000).unwrap();
        assert_eq!(cursor.next_record().unwrap(), None);
        file.set_len(places[1] as u64 - 1).unwrap();
        assert_eq!(cursor.next_record().unwrap(), None);
        folder.put_records(&records(&[2, 3]));
        assert_eq!(rest(&mut cursor), [2, 3]);
    }

    #[test]
    fn what_remains_is_counted_in_the_files() {
        let folder = Folder::new();
        let (path, places) = folder.put_records(&records(&[1, 2, 3]));
        let first = fs::metadata(path).unwrap().len();
        let (path, _) = folder.put_records(&records(&[4, 5]));
        let second = fs::metadata(path).unwrap().len();
        let mut cursor = folder.cursor(2).unwrap();
        let remaining = |cursor: &LogCursor| cursor.remaining_bytes().unwrap();
        assert_eq!(remaining(&cursor), first - places[1] as u64 + second);
        cursor.next_record().unwrap();
        assert_eq!(remaining(&cursor), first - places[2] as u64 + second);
        rest(&mut cursor);
        assert_eq!(remaining(&cursor), 5000);
    }

    #[test]
    fn logs_that_are_purged_meanwhile_are_the_end() {
        let folder = Folder::new();
        for zxids in [[1, 2], [3, 4], [5, 6]] {
            folder.put_records(&records(&zxids));
        }
        let mut cursor = folder.cursor(1).unwrap();
        for name in ["log.1", "log.3"] {
            fs::remove_file(folder.dirs.log.join(name)).unwrap();
        }
        assert_eq!(rest(&mut cursor), [1, 2]);
    }
}
