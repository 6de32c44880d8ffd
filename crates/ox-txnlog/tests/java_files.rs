//! Files that Apache ZooKeeper 3.8.0 wrote, and what its loader makes of them when damaged.
//!
//! The logs hold records 1 to 0xe and 0xf to 0x16; the damage and the verdicts are those of
//! storage.md 5.3 and 5.4. The snapshots are one of each compression. All are files of the
//! fixtures `d-torn-base`, `f-compressed-gz` and `f-compressed-snappy`, unchanged.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use ox_proto::{TxnRecord, Zxid};
use ox_txnlog::{
    CallerError, Compression, DataDirs, ImageSink, RealDisk, Replay, ReplayError, ReplayOptions,
    ReplayWarning, SnapshotDigest, SnapshotFile, load_snapshot, replay, verify_snapshot,
};
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// Where the records of log.f begin, and where its zeros do.
const SECOND_LOG: [usize; 9] = [16, 77, 233, 389, 545, 701, 857, 1013, 1088];
/// Where the last record of log.1 begins.
const LAST_OF_FIRST_LOG: usize = 1901;

/// Both logs of Java in a folder of their own, after `damage` was done to them.
fn damaged(damage: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>)) -> (TempDir, DataDirs) {
    let root = tempfile::tempdir().unwrap();
    let dirs = DataDirs::open(root.path(), root.path(), true).unwrap();
    let mut logs = ["log.1", "log.f"].map(|name| fs::read(fixture(name)).unwrap());
    let [first, second] = &mut logs;
    damage(first, second);
    for (name, bytes) in ["log.1", "log.f"].into_iter().zip(logs) {
        fs::write(dirs.log.join(name), bytes).unwrap();
    }
    (root, dirs)
}

fn read(dirs: &DataDirs, after: i64, options: &ReplayOptions) -> Result<Replay, ReplayError> {
    let mut next = after + 1;
    replay(
        dirs,
        Zxid(after),
        options,
        &mut |payload, record: TxnRecord, _| {
            assert_eq!(record.header.zxid, Zxid(next));
            let mut encoded = Vec::new();
            record.encode(&mut encoded);
            assert_eq!(encoded, payload);
            next += 1;
            Ok(())
        },
    )
}

/// The last zxid and the number of warnings after damage to the second log.
#[track_caller]
fn check_loads(damage: impl Fn(&mut Vec<u8>), last: i64, warnings: usize) {
    for after in [0, 0xe] {
        let (_root, dirs) = damaged(|_, second| damage(second));
        // The second time finds what the first one left behind.
        for warnings in [warnings, usize::MAX] {
            let replay = read(&dirs, after, &ReplayOptions::default()).unwrap();
            assert_eq!(replay.last, Zxid(last));
            assert_eq!(replay.records as i64, last - after);
            let found = replay.warnings.len();
            assert!(
                warnings == usize::MAX || found == warnings,
                "{:?}",
                replay.warnings
            );
        }
    }
}

/// The error after damage to the second log names the file and this.
#[track_caller]
fn check_refuses(damage: impl Fn(&mut Vec<u8>), said: &str) {
    for after in [0, 0xe] {
        let (_root, dirs) = damaged(|_, second| damage(second));
        let text = read(&dirs, after, &ReplayOptions::default())
            .unwrap_err()
            .to_string();
        assert!(text.contains("log.f") && text.contains(said), "{text}");
    }
}

#[test]
fn whole_logs_are_read_whole() {
    check_loads(|_| (), 0x16, 0);
}

#[test]
fn a_log_may_end_anywhere_in_its_last_record() {
    let last = SECOND_LOG[7];
    check_loads(|log| log.truncate(SECOND_LOG[8]), 0x16, 0);
    check_loads(|log| log.truncate(SECOND_LOG[8] - 1), 0x15, 1);
    check_loads(|log| log.truncate(last + 30), 0x15, 1);
    check_loads(|log| log.truncate(last + 10), 0x15, 1);
    check_loads(|log| log.truncate(last + 6), 0x15, 1);
    check_loads(|log| log.truncate(16), 0xe, 0);
}

#[test]
fn a_torn_write_into_prepared_space_ends_the_log() {
    check_loads(|log| log[1050..1088].fill(0), 0x15, 1);
    check_loads(|log| log[1087] = 0x43, 0x15, 1);
    // The page of a whole record was lost, and later ones were not.
    check_loads(|log| log[233..389].fill(0), 0x10, 1);
}

#[test]
fn an_end_byte_or_length_damaged_before_whole_records_is_refused() {
    check_refuses(
        |log| log[388] = 0x43,
        "offset 233, a record that ends in 0x43",
    );
    check_refuses(
        |log| log[244] += 4,
        "a whole record follows at offset 1013, zxid 0x16",
    );
    check_refuses(
        |log| log[243] = 0x70,
        "offset 233, a record cut off by the end",
    );
    check_refuses(|log| log[244] = 0, "offset 233, a record without a length");
}

#[test]
fn by_option_damage_ends_a_log_where_java_says_so() {
    let options = ReplayOptions {
        end_at_damage: true,
        ..ReplayOptions::default()
    };
    let (_root, dirs) = damaged(|_, second| second[388] = 0x43);
    assert_eq!(read(&dirs, 0xe, &options).unwrap().last, Zxid(0x10));
    let (_root, dirs) = damaged(|_, second| second[300] ^= 1);
    assert!(read(&dirs, 0xe, &options).is_err());
}

#[test]
fn a_checksum_that_does_not_match_is_refused_anywhere() {
    check_refuses(|log| log[300] ^= 1, "damaged at offset 233");
    check_refuses(|log| log[1050] ^= 1, "damaged at offset 1013");
    check_refuses(|log| log[1019] ^= 1, "damaged at offset 1013");
    check_refuses(|log| log[1050..1087].fill(0), "damaged at offset 1013");
}

#[test]
fn a_length_that_cannot_be_is_refused() {
    let set = |length: [u8; 4]| move |log: &mut Vec<u8>| log[1021..1025].copy_from_slice(&length);
    check_refuses(set([0x7f, 0, 0, 0]), "unreasonable length 2130706432");
    check_refuses(set([0xff; 4]), "unreasonable length -1");
}

#[test]
fn a_file_that_is_not_a_log_is_refused() {
    check_refuses(|log| log[3] = b'X', "magic number is 0x5a4b4c58");
}

#[test]
fn the_version_in_the_header_does_not_matter() {
    check_loads(|log| log[7] = 3, 0x16, 0);
}

#[test]
fn a_newest_log_without_contents_is_deleted() {
    check_loads(Vec::clear, 0xe, 1);
    check_loads(|log| log.truncate(7), 0xe, 1);
    check_loads(|log| log.fill(0), 0xe, 1);
    let (_root, dirs) = damaged(|_, second| second.clear());
    let replay = read(&dirs, 0, &ReplayOptions::default()).unwrap();
    assert_eq!(
        replay.warnings,
        [ReplayWarning::EmptyLog(dirs.log.join("log.f"))]
    );
    assert!(!dirs.log.join("log.f").exists());
}

#[test]
fn an_older_log_without_contents_is_refused() {
    let (_root, dirs) = damaged(|first, _| first.clear());
    let refused = read(&dirs, 0, &ReplayOptions::default());
    assert!(matches!(
        refused,
        Err(ReplayError::NotALog { found: None, .. })
    ));
}

#[test]
fn an_older_log_that_ends_early_leaves_a_gap() {
    let (_root, dirs) = damaged(|first, _| first.truncate(LAST_OF_FIRST_LOG + 20));
    let text = read(&dirs, 0, &ReplayOptions::default())
        .unwrap_err()
        .to_string();
    assert!(text.contains("zxid 0xf comes after 0xd"), "{text}");
    assert!(
        text.contains("log.1 ends at offset 1901, a record cut off"),
        "{text}"
    );
    // A snapshot that holds the missing record makes it good.
    assert_eq!(
        read(&dirs, 0xe, &ReplayOptions::default()).unwrap().last,
        Zxid(0x16)
    );
}

#[test]
fn what_follows_the_end_of_an_older_log_does_not_matter_if_the_next_goes_on() {
    let (_root, dirs) = damaged(|first, _| first[3000..3013].fill(0x55));
    assert_eq!(
        read(&dirs, 0, &ReplayOptions::default()).unwrap().last,
        Zxid(0x16)
    );
}

#[test]
fn a_snapshot_behind_the_last_record_is_no_gap() {
    let (_root, dirs) = damaged(|_, _| ());
    let replay = read(&dirs, 0x30, &ReplayOptions::default()).unwrap();
    assert_eq!((replay.last, replay.records), (Zxid(0x30), 0));
}

/// Takes a known number of bytes for the image.
struct Image(usize);

impl ImageSink for Image {
    fn feed(&mut self, window: &[u8]) -> Result<(usize, bool), CallerError> {
        let taken = self.0.min(window.len());
        self.0 -= taken;
        Ok((taken, self.0 == 0))
    }
}

#[test]
fn snapshots_of_every_compression_are_read() {
    let snapshots = [
        ("snapshot.e", Compression::None, 1737, 0xe, 0x03_0c0c_57ed),
        (
            "snapshot.6c.gz",
            Compression::Gz,
            9196,
            0x6d,
            0x25_fdeb_488e,
        ),
        (
            "snapshot.b8.snappy",
            Compression::Snappy,
            92_040,
            0xb8,
            0x47_8ae6_ccdf,
        ),
    ];
    for (name, compression, length, zxid, digest) in snapshots {
        let file = SnapshotFile {
            path: fixture(name),
            zxid: Zxid(zxid),
            compression,
        };
        verify_snapshot(&RealDisk, &file).unwrap();
        // Without the header, and without seal, digest and seal.
        let tail = load_snapshot(&RealDisk, &file, &mut Image(length - 16 - 46)).unwrap();
        let digest = SnapshotDigest {
            zxid: Zxid(zxid),
            version: 2,
            digest,
        };
        assert_eq!(
            (tail.digest, tail.last_zxid),
            (Some(digest), None),
            "{name}"
        );
    }
}
