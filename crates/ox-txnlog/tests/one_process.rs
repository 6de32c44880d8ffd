//! What the owner of the disk does in the life of one learner, in any order: append, roll, take
//! snapshots, go back, install a leader's snapshot, begin the log again. At every moment a start
//! would find what was last true.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ox_proto::{OpCode, SessionId, SetDataTxn, Txn, TxnHeader, TxnRecord, Zxid};
use ox_txnlog::{
    CallerError, Compression, DataDirs, DirLock, ImageSink, LoadOptions, Log, LogConfig,
    ReplayOptions, SnapshotWriter, load_newest, replay, truncate,
};
use proptest::prelude::*;
use tempfile::TempDir;

#[derive(Clone, Copy, Debug)]
enum Act {
    Append {
        records: usize,
        new_epoch: bool,
    },
    Roll,
    Snapshot,
    /// To the record that so many follow, or to the beginning of its epoch.
    GoBack {
        records: usize,
        epoch_begin: bool,
    },
    /// Of a zxid so much above or below the last, in its epoch.
    Install {
        distance: i32,
    },
    /// With the log closed or only abandoned.
    Restart {
        closed: bool,
    },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1_usize..6, prop::bool::weighted(0.2))
            .prop_map(|(records, new_epoch)| Act::Append { records, new_epoch }),
        2 => Just(Act::Roll),
        2 => Just(Act::Snapshot),
        2 => (0_usize..12, prop::bool::weighted(0.2))
            .prop_map(|(records, epoch_begin)| Act::GoBack { records, epoch_begin }),
        1 => (-4_i32..5).prop_map(|distance| Act::Install { distance }),
        1 => any::<bool>().prop_map(|closed| Act::Restart { closed }),
    ]
}

/// A learner's disk, and what must be on it.
struct Learner {
    _root: TempDir,
    dirs: DataDirs,
    _lock: DirLock,
    log: Log,
    /// Zxids, ascending.
    snapshots: Vec<Zxid>,
    /// Records, in order; none of two has the same content.
    records: Vec<(Zxid, Vec<u8>)>,
    written: i32,
}

impl Learner {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::open(root.path(), root.path(), true).unwrap();
        let lock = dirs.lock().unwrap();
        let mut learner = Self {
            _root: root,
            log: begin(&dirs),
            _lock: lock,
            dirs,
            snapshots: Vec::new(),
            records: Vec::new(),
            written: 0,
        };
        learner.act(Act::Snapshot);
        learner
    }

    fn last(&self) -> Zxid {
        let of_snapshots = self.snapshots.last().copied().unwrap_or(Zxid::ZERO);
        self.records
            .last()
            .map_or(of_snapshots, |(last, _)| (*last).max(of_snapshots))
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Append { records, new_epoch } => self.append(records, new_epoch),
            Act::Roll => self.log.roll().unwrap(),
            Act::Snapshot => {
                let last = self.last();
                snapshot(&self.dirs, last).finish(last, 0, last).unwrap();
                self.snapshots.retain(|&zxid| zxid != last);
                self.snapshots.push(last);
            }
            Act::GoBack {
                records,
                epoch_begin,
            } => {
                let kept = self.records.len().saturating_sub(records);
                let record = self.records[..kept].last();
                let to = record.map_or(self.snapshots[0], |(zxid, _)| *zxid);
                self.go_back(match epoch_begin {
                    true => Zxid::new(to.epoch(), 0),
                    false => to,
                });
            }
            Act::Install { distance } => {
                let last = self.last();
                let counter = last.counter().saturating_add_signed(distance);
                let zxid = Zxid::new(last.epoch(), counter);
                self.close();
                snapshot(&self.dirs, zxid).install(zxid, 0, zxid).unwrap();
                (self.snapshots, self.records) = (vec![zxid], Vec::new());
            }
            Act::Restart { closed: true } => self.close(),
            Act::Restart { closed: false } => self.log = begin(&self.dirs),
        }
    }

    fn append(&mut self, records: usize, new_epoch: bool) {
        for record in 0..records {
            let zxid = match new_epoch && record == 0 {
                true => self.last().next_epoch().unwrap(),
                false => self.last().next().unwrap(),
            };
            self.written += 1;
            let payload = payload(zxid, self.written);
            self.log.append(zxid, &payload).unwrap();
            self.records.push((zxid, payload));
        }
        let report = self.log.sync().unwrap();
        assert_eq!(report.records, records);
    }

    fn go_back(&mut self, to: Zxid) {
        self.close();
        let kept = self.records.partition_point(|&(zxid, _)| zxid <= to);
        let snapshot = self.snapshots.iter().rfind(|&&zxid| zxid <= to);
        let truncated = truncate(&self.dirs, to, &ReplayOptions::default());
        let Some(&snapshot) = snapshot else {
            truncated.unwrap_err();
            return;
        };
        let record = self.records[..kept].last().map(|&(zxid, _)| zxid);
        let last = record.unwrap_or(snapshot).max(snapshot);
        assert_eq!(truncated.unwrap().last, last);
        self.records.truncate(kept);
        self.snapshots.retain(|&zxid| zxid <= to);
    }

    /// Ends the log, and begins another.
    fn close(&mut self) {
        let log = std::mem::replace(&mut self.log, begin(&self.dirs));
        log.close().unwrap();
    }

    /// What a killed server would come back to.
    fn check(&self) {
        let loaded = load_newest(&self.dirs, LoadOptions::default(), Image::default);
        let loaded = loaded.unwrap().unwrap();
        let snapshot = *self.snapshots.last().unwrap();
        assert_eq!(
            (loaded.file.zxid, loaded.sink.0),
            (snapshot, Some(snapshot))
        );
        let behind = self.records.iter().filter(|(zxid, _)| *zxid > snapshot);
        let mut expected = behind.map(|(_, payload)| payload.as_slice());
        let options = ReplayOptions::default();
        let replay = replay(&self.dirs, snapshot, &options, &mut |payload, _, _| {
            assert_eq!(Some(payload), expected.next());
            Ok(())
        });
        assert_eq!(replay.unwrap().last, self.last());
        assert_eq!(expected.next(), None);
    }
}

fn begin(dirs: &DataDirs) -> Log {
    let config = LogConfig {
        preallocate: 16 << 10,
        ..LogConfig::default()
    };
    Log::create(dirs, config)
}

fn payload(zxid: Zxid, version: i32) -> Vec<u8> {
    let mut payload = Vec::new();
    TxnRecord {
        header: TxnHeader {
            client_id: SessionId(1),
            cxid: version,
            zxid,
            time: 0,
            op: OpCode::SetData,
        },
        txn: Txn::SetData(SetDataTxn {
            path: "/a".to_owned(),
            data: Some(vec![5; 100].into()),
            version,
        }),
        digest: None,
    }
    .encode(&mut payload);
    payload
}

/// Its image is its zxid.
fn snapshot(dirs: &DataDirs, zxid: Zxid) -> SnapshotWriter {
    let mut writer = SnapshotWriter::create(dirs, zxid, Compression::None).unwrap();
    writer.write(&zxid.0.to_be_bytes()).unwrap();
    writer
}

#[derive(Default)]
struct Image(Option<Zxid>);

impl ImageSink for Image {
    fn feed(&mut self, window: &[u8]) -> Result<(usize, bool), CallerError> {
        self.0 = window
            .first_chunk()
            .map(|bytes| Zxid(i64::from_be_bytes(*bytes)));
        match self.0 {
            Some(_) => Ok((8, true)),
            None => Ok((0, false)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_start_always_finds_what_was_last_true(acts in proptest::collection::vec(act(), 1..16)) {
        let mut learner = Learner::new();
        for act in acts {
            learner.act(act);
            learner.check();
        }
    }
}
