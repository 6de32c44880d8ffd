use std::fs;
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
