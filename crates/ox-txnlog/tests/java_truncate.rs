//! Going back in directories that Apache ZooKeeper 3.8.0 wrote comes to the lengths to which Java
//! itself cuts the logs.
//!
//! The directories are the fixtures `d-torn-base` (one server) and `e-ensemble-leader2` (the leader
//! of epoch 2), unchanged; what Java does to them is their `truncate.json`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use ox_proto::Zxid;
use ox_txnlog::{
    CallerError, DataDirs, EpochFiles, Epochs, ImageSink, LoadOptions, LogCursor, ReplayOptions,
    TruncateError, Truncated, load_newest, replay, truncate,
};
use tempfile::TempDir;

const SERVER: [&str; 4] = ["log.1", "log.f", "snapshot.0", "snapshot.e"];

const LEADER: [&str; 7] = [
    "leader/acceptedEpoch",
    "leader/currentEpoch",
    "leader/log.100000001",
    "leader/log.200000017",
    "leader/snapshot.0",
    "leader/snapshot.10000001f",
    "leader/snapshot.200000015",
];

/// A size beyond the records: the unused space was left alone.
const WHOLE: u64 = 16_400;

struct Directory {
    _root: TempDir,
    dirs: DataDirs,
}

impl Directory {
    fn new(files: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::open(root.path(), root.path(), true).unwrap();
        for file in files {
            let from = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/fixtures")
                .join(file);
            let bytes = fs::read(&from).unwrap();
            fs::write(dirs.snap.join(from.file_name().unwrap()), bytes).unwrap();
        }
        Self { _root: root, dirs }
    }

    fn names(&self, prefix: &str) -> Vec<String> {
        let files = fs::read_dir(&self.dirs.snap).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.starts_with(prefix)).collect();
        names.sort();
        names
    }

    fn log_sizes(&self) -> Vec<(String, u64)> {
        let size = |name: &String| fs::metadata(self.dirs.log.join(name)).unwrap().len();
        let names = self.names("log.");
        names
            .into_iter()
            .map(|name| (name.clone(), size(&name)))
            .collect()
    }

    fn go_back(&self, to: i64) -> Result<Truncated, TruncateError> {
        truncate(&self.dirs, Zxid(to), &ReplayOptions::default())
    }

    /// The snapshot and the last zxid that a start finds.
    fn restart(&self) -> (Zxid, Zxid) {
        let _lock = self.dirs.lock().unwrap();
        let loaded = load_newest(&self.dirs, LoadOptions::default(), || Image(0));
        let snapshot = loaded.unwrap().unwrap().file.zxid;
        let options = ReplayOptions::default();
        let replay = replay(&self.dirs, snapshot, &options, &mut |_, _, _| Ok(()));
        (snapshot, replay.unwrap().last)
    }
}

/// The image of a plain snapshot with a digest.
struct Image(usize);

impl ImageSink for Image {
    fn expect(&mut self, file_bytes: u64) {
        self.0 = usize::try_from(file_bytes).unwrap() - 16 - 46;
    }

    fn feed(&mut self, window: &[u8]) -> Result<(usize, bool), CallerError> {
        let taken = self.0.min(window.len());
        self.0 -= taken;
        Ok((taken, self.0 == 0))
    }
}

#[track_caller]
fn check(files: &[&str], to: i64, snapshot: i64, logs: &[(&str, u64)]) {
    let directory = Directory::new(files);
    assert_eq!(directory.go_back(to).unwrap().last, Zxid(to));
    let expected: Vec<_> = logs
        .iter()
        .map(|&(name, size)| (name.to_owned(), size))
        .collect();
    assert_eq!(directory.log_sizes(), expected, "{to:#x}");
    assert_eq!(directory.restart(), (Zxid(snapshot), Zxid(to)), "{to:#x}");
}

#[test]
fn logs_of_a_server_are_cut_where_java_cuts_them() {
    check(&SERVER, 0x1, 0, &[("log.1", 77)]);
    check(&SERVER, 0x5, 0, &[("log.1", 734)]);
    check(&SERVER, 0xd, 0, &[("log.1", 1901)]);
    check(&SERVER, 0xe, 0xe, &[("log.1", 1950)]);
    check(&SERVER, 0xf, 0xe, &[("log.1", WHOLE), ("log.f", 77)]);
    check(&SERVER, 0x10, 0xe, &[("log.1", WHOLE), ("log.f", 233)]);
    check(&SERVER, 0x12, 0xe, &[("log.1", WHOLE), ("log.f", 545)]);
    check(&SERVER, 0x15, 0xe, &[("log.1", WHOLE), ("log.f", 1013)]);
    check(&SERVER, 0x16, 0xe, &[("log.1", WHOLE), ("log.f", 1088)]);
}

#[test]
fn beyond_the_end_nothing_is_changed_as_with_java() {
    for to in [0x17, 0x100] {
        let directory = Directory::new(&SERVER);
        directory.go_back(to).unwrap_err();
        let sizes = ["log.1", "log.f"].map(|name| (name.to_owned(), WHOLE));
        assert_eq!(directory.log_sizes(), sizes);
        assert_eq!(directory.restart(), (Zxid(0xe), Zxid(0x16)));
    }
}

#[test]
fn logs_of_a_leader_are_cut_where_java_cuts_them() {
    let (first, second) = ("log.100000001", "log.200000017");
    check(&LEADER, 0x1_0000_0005, 0, &[(first, 498)]);
    check(&LEADER, 0x1_0000_001f, 0x1_0000_001f, &[(first, 3259)]);
    check(&LEADER, 0x2_0000_0001, 0x1_0000_001f, &[(first, 3320)]);
    check(&LEADER, 0x2_0000_0010, 0x1_0000_001f, &[(first, 4893)]);
    check(&LEADER, 0x2_0000_0016, 0x2_0000_0015, &[(first, 5529)]);
    let whole = [(first, WHOLE), (second, 3450)];
    check(&LEADER, 0x2_0000_0036, 0x2_0000_0015, &whole);
}

/// It holds a part of 0x200000016: the server went on while it was taken.
#[test]
fn a_snapshot_that_java_took_while_it_worked_goes_with_what_it_holds() {
    let directory = Directory::new(&LEADER);
    let to = Zxid(0x2_0000_0015);
    assert_eq!(directory.go_back(to.0).unwrap().last, to);
    assert_eq!(
        directory.names("snapshot."),
        ["snapshot.0", "snapshot.10000001f"]
    );
    assert_eq!(directory.restart(), (Zxid(0x1_0000_001f), to));
}

/// Java would leave the first record of the epoch.
#[test]
fn nothing_is_left_of_an_epoch_that_is_gone_back_behind() {
    let directory = Directory::new(&LEADER);
    let last = Zxid(0x1_0000_001f);
    assert_eq!(directory.go_back(0x2_0000_0000).unwrap().last, last);
    assert_eq!(directory.log_sizes(), [("log.100000001".to_owned(), 3259)]);
    assert_eq!(directory.restart(), (last, last));
}

#[test]
fn epochs_that_java_wrote_are_read() {
    let directory = Directory::new(&LEADER);
    let epochs = EpochFiles::open(&directory.dirs)
        .load(directory.restart().1)
        .unwrap();
    let both = Epochs {
        accepted: Some(2),
        current: Some(2),
    };
    assert_eq!(epochs, both);
}

#[test]
fn logs_that_java_wrote_are_read_from_any_zxid() {
    let directory = Directory::new(&LEADER);
    let first = (1..=0x1f).map(|counter| Zxid::new(1, counter));
    let second = (1..=0x36).map(|counter| Zxid::new(2, counter));
    let zxids: Vec<_> = first.chain(second).collect();
    for (place, &from) in zxids.iter().enumerate() {
        let mut cursor = LogCursor::open(&directory.dirs, from, 1 << 20)
            .unwrap()
            .unwrap();
        for &expected in &zxids[place..] {
            assert_eq!(cursor.next_record().unwrap().unwrap().0, expected);
        }
        assert_eq!(cursor.next_record().unwrap(), None);
    }
}
