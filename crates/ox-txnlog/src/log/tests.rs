use std::fs;

use super::*;
use crate::RealDisk;
use crate::format::{HEADER_LENGTH, PREFIX_LENGTH};
use crate::testing::{Folder, payload};

/// Grows often.
fn small() -> LogConfig {
    LogConfig {
        preallocate: 16 << 10,
        ..LogConfig::default()
    }
}

fn append(log: &mut Log, zxids: impl IntoIterator<Item = i64>, length: usize) {
    for zxid in zxids {
        log.append(Zxid(zxid), &payload(zxid, length)).unwrap();
    }
}

fn names(folder: &Folder) -> Vec<String> {
    let logs = crate::format::logs(&RealDisk, &folder.dirs.log).unwrap();
    let name = |path: PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    logs.into_iter().map(|(path, _)| name(path)).collect()
}

#[track_caller]
fn check_kept(config: LogConfig, batches: &[i64], length: usize) {
    let folder = Folder::new();
    let mut log = Log::create(&folder.dirs, config);
    let mut next = 1;
    for &batch in batches {
        append(&mut log, next..next + batch, length);
        next += batch;
        let report = log.sync().unwrap();
        assert_eq!(report.last, Some(Zxid(next - 1)));
        assert_eq!(report.records as i64, batch);
        // What a killed server would come back to.
        assert_eq!(folder.replayed(), (1..next).collect::<Vec<_>>());
    }
    log.close().unwrap();
    assert_eq!(folder.replayed(), (1..next).collect::<Vec<_>>());
    assert_eq!(names(&folder), ["log.1"]);
}

#[test]
fn what_was_synced_is_found_again() {
    let batches = [1, 1, 8, 1, 64, 2, 512, 1, 1, 300, 1];
    check_kept(small(), &batches, 150);
    check_kept(LogConfig::default(), &batches, 150);
    let without_padding = LogConfig {
        preallocate: 0,
        ..LogConfig::default()
    };
    check_kept(without_padding, &batches, 150);
    let unsynced = LogConfig {
        force_sync: false,
        ..small()
    };
    check_kept(unsynced, &batches, 150);
}

#[test]
fn records_larger_than_pages_and_growth_are_found_again() {
    check_kept(small(), &[1, 3, 1, 1], 9_000);
    check_kept(small(), &[1, 1, 2], 100_000);
    check_kept(LogConfig::default(), &[7, 1], 1_000_000);
}

#[test]
fn no_batch_reaches_beyond_the_space_of_the_file() {
    for preallocate in [0, 5_000] {
        let folder = Folder::new();
        let config = LogConfig {
            preallocate,
            ..LogConfig::default()
        };
        let mut log = Log::create(&folder.dirs, config);
        for (first, length) in [(1, 150), (2, 9_000), (3, 150), (4, 70_000)] {
            append(&mut log, [first], length);
            let size = log.sync().unwrap().file_size;
            let path = folder.dirs.log.join("log.1");
            assert_eq!(fs::metadata(path).unwrap().len(), size);
        }
    }
}

#[test]
fn nothing_is_written_before_it_is_synced() {
    let folder = Folder::new();
    let mut log = Log::create(&folder.dirs, small());
    assert_eq!(log.sync().unwrap().last, None);
    append(&mut log, 1..4, 150);
    assert_eq!(names(&folder), [""; 0]);
    log.sync().unwrap();
    append(&mut log, 4..6, 150);
    assert_eq!(folder.replayed(), [1, 2, 3]);
}

/// Storing through the mapping and writing to the file must come to the same.
#[test]
fn both_ways_to_store_give_the_same_file() {
    let write = |mapped| {
        let folder = Folder::new();
        let mut log = Log::create(&folder.dirs, small());
        log.segment_options.mapped = mapped;
        let mut zxid = 1;
        for batch in [1, 3, 40, 1, 25, 1, 1, 200, 7] {
            append(&mut log, zxid..zxid + batch, 170);
            zxid += batch;
            log.sync().unwrap();
        }
        let unfinished = fs::read(folder.dirs.log.join("log.1")).unwrap();
        log.close().unwrap();
        (unfinished, fs::read(folder.dirs.log.join("log.1")).unwrap())
    };
    let (mapped, written) = (write(true), write(false));
    assert!(mapped == written);
    assert_eq!(mapped.0.len() % (16 << 10), 0);
    assert!(mapped.0.starts_with(&mapped.1));
    assert!(mapped.0[mapped.1.len()..].iter().all(|&byte| byte == 0));
}

#[test]
fn a_roll_begins_a_new_file_named_by_its_first_record() {
    let folder = Folder::new();
    let mut log = Log::create(&folder.dirs, small());
    log.roll().unwrap();
    append(&mut log, 1..3, 150);
    log.sync().unwrap();
    append(&mut log, 3..5, 150);
    log.roll().unwrap();
    append(&mut log, 5..0x1f, 150);
    log.roll().unwrap();
    append(&mut log, 0x1f..0x21, 150);
    let report = log.sync().unwrap();
    assert_eq!((report.last, report.records), (Some(Zxid(0x20)), 0x1e));
    assert_eq!(names(&folder), ["log.1", "log.5", "log.1f"]);
    assert_eq!(folder.replayed(), (1..0x21).collect::<Vec<_>>());
}

#[test]
fn a_new_log_never_appends_to_an_old_file() {
    let folder = Folder::new();
    let mut log = Log::create(&folder.dirs, small());
    append(&mut log, 1..3, 150);
    log.sync().unwrap();
    drop(log);
    let before = fs::read(folder.dirs.log.join("log.1")).unwrap();
    let mut log = Log::create(&folder.dirs, small());
    append(&mut log, 3..5, 150);
    log.sync().unwrap();
    assert_eq!(names(&folder), ["log.1", "log.3"]);
    assert!(fs::read(folder.dirs.log.join("log.1")).unwrap() == before);
    assert_eq!(folder.replayed(), [1, 2, 3, 4]);
}

#[test]
fn a_log_takes_the_name_of_a_file_only_if_that_holds_no_record() {
    let folder = Folder::new();
    let mut log = Log::create(&folder.dirs, small());
    append(&mut log, 1..3, 150);
    log.close().unwrap();
    let path = folder.dirs.log.join("log.1");
    let before = fs::read(&path).unwrap();
    let begin = || {
        let mut log = Log::create(&folder.dirs, small());
        append(&mut log, 1..2, 170);
        log.sync().map(|report| report.records)
    };
    let text = begin().unwrap_err().to_string();
    assert!(text.contains("log.1: it holds the record 0x1"), "{text}");
    assert!(fs::read(&path).unwrap() == before);
    for torn in [0, 7, HEADER_LENGTH, HEADER_LENGTH + 50] {
        fs::write(&path, &before[..torn]).unwrap();
        assert_eq!(begin().unwrap(), 1);
        assert_eq!(folder.replayed(), [1]);
    }
}

#[test]
fn a_file_beyond_the_size_limit_is_followed_by_another() {
    let folder = Folder::new();
    let config = LogConfig {
        size_limit: Some(20 << 10),
        ..small()
    };
    let mut log = Log::create(&folder.dirs, config);
    append(&mut log, [1], 150);
    assert_eq!(log.sync().unwrap().file_size, 16 << 10);
    append(&mut log, [2], 13_000);
    assert_eq!(log.sync().unwrap().file_size, 32 << 10);
    append(&mut log, [3], 150);
    log.sync().unwrap();
    assert_eq!(names(&folder), ["log.1", "log.3"]);
    assert_eq!(log.total_size(), 48 << 10);
    log.reset_total_size();
    assert_eq!(log.total_size(), 16 << 10);
}

#[test]
fn a_large_batch_is_synced_on_the_way() {
    let folder = Folder::new();
    let mut log = Log::create(&folder.dirs, LogConfig::default());
    append(&mut log, 1..7, 1_000_000);
    assert_eq!(folder.replayed(), [1, 2, 3, 4]);
    let report = log.sync().unwrap();
    assert_eq!((report.last, report.records), (Some(Zxid(6)), 6));
    assert_eq!(folder.replayed(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn after_a_failure_every_call_fails() {
    let folder = Folder::new();
    let mut log = Log::create(&folder.dirs, small());
    append(&mut log, [1], 150);
    fs::remove_dir_all(&folder.dirs.log).unwrap();
    assert!(matches!(log.sync(), Err(LogError::Io(_))));
    fs::create_dir(&folder.dirs.log).unwrap();
    assert!(matches!(log.sync(), Err(LogError::Failed)));
    assert!(matches!(log.roll(), Err(LogError::Failed)));
    assert!(matches!(log.idle(), Err(LogError::Failed)));
    let taken = log.append(Zxid(2), &payload(2, 150));
    assert!(matches!(taken, Err(LogError::Failed)));
    assert_eq!(folder.replayed(), [0; 0]);
}

/// No file ends beyond the largest signed number.
#[test]
fn space_that_is_not_to_be_had_is_an_error_before_anything_is_written() {
    let folder = Folder::new();
    let mut log = Log::create(&folder.dirs, small());
    append(&mut log, 1..3, 150);
    log.sync().unwrap();
    log.segment.as_mut().unwrap().set_chunk(1 << 63);
    // There is still room for this one.
    append(&mut log, [3], 13_000);
    log.sync().unwrap();
    let before = fs::read(folder.dirs.log.join("log.1")).unwrap();
    append(&mut log, [4], 13_000);
    assert!(matches!(log.sync(), Err(LogError::Io(_))));
    assert!(fs::read(folder.dirs.log.join("log.1")).unwrap() == before);
    assert_eq!(folder.replayed(), [1, 2, 3]);
}

#[test]
fn a_record_beyond_the_format_is_refused_and_no_failure() {
    let folder = Folder::new();
    let mut log = Log::create(&folder.dirs, small());
    let long = vec![0; 1 << 31];
    let refused = log.append(Zxid(1), &long);
    assert!(matches!(refused, Err(LogError::TooLong { length, .. }) if length == long.len()));
    append(&mut log, [1], 150);
    log.sync().unwrap();
}

#[test]
fn the_note_follows_every_sync_and_names_the_newest_file() {
    let folder = Folder::new();
    let noted = || {
        SyncedBound::read(&RealDisk, &folder.dirs.log)
            .unwrap()
            .unwrap()
    };
    let mut log = Log::create(&folder.dirs, small());
    append(&mut log, [1], 150);
    log.sync().unwrap();
    let entry = payload(1, 150).len() + ENTRY_OVERHEAD;
    assert_eq!(noted().offset, (HEADER_LENGTH + entry) as u64);
    append(&mut log, [2], 150);
    log.sync().unwrap();
    assert_eq!(noted().log, "log.1");
    assert_eq!(noted().offset, (HEADER_LENGTH + 2 * entry) as u64);
    assert_eq!(
        noted().first_checksum,
        crate::format::checksum(&payload(1, 150))
    );
    append(&mut log, [3], 150);
    log.roll().unwrap();
    append(&mut log, [4], 150);
    log.sync().unwrap();
    assert_eq!(noted().log, "log.4");
    log.close().unwrap();
}

/// The length stands last in the order of stores; a kill between two stores must leave a log that
/// ends before the batch.
#[test]
fn a_batch_whose_first_length_is_missing_does_not_exist_yet() {
    let folder = Folder::new();
    let mut log = Log::create(&folder.dirs, small());
    append(&mut log, [1], 150);
    log.sync().unwrap();
    let at = noted_offset(&folder);
    append(&mut log, [2, 3], 150);
    log.sync().unwrap();
    drop(log);
    let path = folder.dirs.log.join("log.1");
    let mut bytes = fs::read(&path).unwrap();
    bytes[at + LENGTH_AT..at + PREFIX_LENGTH].fill(0);
    fs::write(&path, bytes).unwrap();
    // As the kill leaves it: not noted either.
    let bound = SyncedBound {
        offset: at as u64,
        ..SyncedBound::read(&RealDisk, &folder.dirs.log)
            .unwrap()
            .unwrap()
    };
    BoundFile::open(&RealDisk, &folder.dirs.log)
        .unwrap()
        .note(&bound)
        .unwrap();
    assert_eq!(folder.replayed(), [1]);
}

fn noted_offset(folder: &Folder) -> usize {
    let bound = SyncedBound::read(&RealDisk, &folder.dirs.log)
        .unwrap()
        .unwrap();
    usize::try_from(bound.offset).unwrap()
}

#[test]
fn zeros_written_ahead_never_touch_a_record() {
    for (batch, length, batches) in [(1, 150, 400), (40, 3000, 60), (3, 900_000, 12)] {
        let folder = Folder::new();
        let config = LogConfig {
            preallocate: 4 << 20,
            ..LogConfig::default()
        };
        let mut log = Log::create(&folder.dirs, config);
        for first in (0..batches).map(|n| n * batch + 1) {
            append(&mut log, first..first + batch, length);
            log.sync().unwrap();
        }
        // Not closed: closing would cut what is behind the records.
        assert_eq!(folder.replayed(), (1..=batch * batches).collect::<Vec<_>>());
        if let Some(segment) = &log.segment {
            segment.wait_until_zeroed();
        }
        assert_eq!(folder.replayed(), (1..=batch * batches).collect::<Vec<_>>());
    }
}

/// A page cache of large pages made every small sync write a megabyte once.
#[test]
fn a_small_sync_dirties_few_pages() {
    let folder = Folder::new();
    let mut log = Log::create(&folder.dirs, LogConfig::default());
    append(&mut log, [1], 150);
    log.sync().unwrap();
    log.segment.as_ref().unwrap().wait_until_zeroed();
    let Some(before) = bytes_dirtied() else {
        return;
    };
    for zxid in 2..102 {
        append(&mut log, [zxid], 150);
        log.sync().unwrap();
    }
    let per_sync = (bytes_dirtied().unwrap() - before) / 100;
    assert!(per_sync <= 16 << 10, "{per_sync} bytes per sync");
}

/// Bytes of page cache that this thread has dirtied; `None` where the kernel does not count.
fn bytes_dirtied() -> Option<u64> {
    let counters = fs::read_to_string("/proc/thread-self/io").ok()?;
    let counter = counters
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "))?;
    counter.parse().ok()
}
