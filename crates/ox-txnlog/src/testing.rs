//! What the tests of several modules need.

use std::fs;
use std::path::PathBuf;

use ox_jute::Jute;
use ox_proto::{OpCode, SessionId, SetDataTxn, Txn, TxnHeader, TxnRecord, Zxid};
use tempfile::TempDir;

use crate::bound::{BoundFile, SyncedBound};
use crate::format::{LOG_MAGIC, checksum, header, log_name, push_entry};
use crate::{
    CallerError, Compression, DataDirs, ImageSink, LoadOptions, RealDisk, Replay, ReplayError,
    ReplayOptions, SnapshotWriter, load_newest, replay,
};

/// One folder for snapshots and logs, gone when this is.
pub(crate) struct Folder {
    _root: TempDir,
    pub(crate) dirs: DataDirs,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::open(root.path(), root.path(), true).unwrap();
        Self { _root: root, dirs }
    }

    /// The same files in a folder of their own, but for the lock.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new();
        for (name, bytes) in self.contents() {
            fs::write(copy.dirs.snap.join(name), bytes).unwrap();
        }
        copy
    }

    /// Name and content of every file but the lock, by name.
    pub(crate) fn contents(&self) -> Vec<(String, Vec<u8>)> {
        let content = |entry: std::io::Result<fs::DirEntry>| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(path).unwrap())
        };
        let files = fs::read_dir(&self.dirs.snap).unwrap().map(content);
        let mut files: Vec<_> = files.filter(|(name, _)| name != "oxkeeper.lock").collect();
        files.sort();
        files
    }

    /// The names of the logs and snapshots.
    pub(crate) fn names(&self) -> Vec<String> {
        let ours = |name: &String| name.starts_with("log.") || name.starts_with("snapshot.");
        let names = self.contents().into_iter().map(|(name, _)| name);
        names.filter(ours).collect()
    }

    pub(crate) fn put(&self, first: i64, bytes: &[u8]) -> PathBuf {
        let path = self.dirs.log.join(log_name(Zxid(first)));
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Leaves a note that a log whose first record is `first` was synced up to `offset`.
    pub(crate) fn note(&self, log: i64, first: &[u8], offset: usize) {
        let bound = SyncedBound {
            log: log_name(Zxid(log)),
            offset: offset as u64,
            first_checksum: checksum(first),
        };
        let mut file = BoundFile::open(&RealDisk, &self.dirs.log).unwrap();
        file.note(&bound).unwrap();
    }

    /// Writes a snapshot that was begun at `zxid` and complete at `last`.
    pub(crate) fn snapshot(&self, zxid: i64, last: i64) {
        let writer = self.begin_snapshot(zxid);
        writer.finish(Zxid(last), 0, Zxid(last)).unwrap();
    }

    /// Begins a snapshot whose image, all of it, is where it was begun.
    pub(crate) fn begin_snapshot(&self, zxid: i64) -> SnapshotWriter {
        let mut writer = SnapshotWriter::create(&self.dirs, Zxid(zxid), Compression::None).unwrap();
        writer.write(&zxid.to_be_bytes()).unwrap();
        writer
    }

    /// What a server finds when it starts here.
    pub(crate) fn restart(&self) -> Started {
        let _lock = self.dirs.lock().unwrap();
        let loaded = load_newest(&self.dirs, LoadOptions::default(), Image::default).unwrap();
        let loaded = loaded.expect("a snapshot");
        let snapshot = loaded.file.zxid.0;
        assert_eq!(loaded.sink.0, Some(snapshot));
        let (replay, records) = self.replay_with(snapshot, &ReplayOptions::default());
        Started {
            snapshot,
            complete_at: loaded.tail.last_zxid.unwrap().0,
            last: replay.unwrap().last.0,
            records,
        }
    }

    /// Replays everything behind `after` with these options: what was found, and the zxids.
    pub(crate) fn replay_with(
        &self,
        after: i64,
        options: &ReplayOptions,
    ) -> (Result<Replay, ReplayError>, Vec<i64>) {
        let mut seen = Vec::new();
        let result = replay(
            &self.dirs,
            Zxid(after),
            options,
            &mut |payload, record, _| {
                let mut encoded = Vec::new();
                record.encode(&mut encoded);
                assert_eq!(encoded, payload);
                seen.push(record.header.zxid.0);
                Ok(())
            },
        );
        (result, seen)
    }

    /// The zxids of all records, which must be readable.
    pub(crate) fn replayed(&self) -> Vec<i64> {
        let (result, seen) = self.replay_with(0, &ReplayOptions::default());
        let replay = result.unwrap();
        assert_eq!(replay.records, seen.len() as u64);
        assert_eq!(replay.last.0, seen.last().copied().unwrap_or(0));
        seen
    }
}

/// What a server has found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) snapshot: i64,
    /// The last transaction that the snapshot holds a part of.
    pub(crate) complete_at: i64,
    pub(crate) records: Vec<i64>,
    pub(crate) last: i64,
}

/// The image of a snapshot here: one zxid.
#[derive(Default)]
struct Image(Option<i64>);

impl ImageSink for Image {
    fn feed(&mut self, window: &[u8]) -> Result<(usize, bool), CallerError> {
        self.0 = window.first_chunk().copied().map(i64::from_be_bytes);
        match self.0 {
            Some(_) => Ok((8, true)),
            None => Ok((0, false)),
        }
    }
}

/// The bytes of a log with these payloads, and where each entry begins, and where they end.
pub(crate) fn log_of(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = header(LOG_MAGIC, 0);
    let mut places = vec![bytes.len()];
    for payload in payloads {
        push_entry(payload, &mut bytes);
        places.push(bytes.len());
    }
    bytes.resize(bytes.len() + 5000, 0);
    (bytes, places)
}

/// A payload of `length` bytes, 46 at least.
pub(crate) fn payload(zxid: i64, length: usize) -> Vec<u8> {
    let byte = u8::try_from(zxid & 0x7f).unwrap() | 1;
    let txn = Txn::SetData(SetDataTxn {
        path: "/a".to_owned(),
        data: Some(vec![byte; length.saturating_sub(46)].into()),
        version: 3,
    });
    record(zxid, txn)
}

/// The payload of an error record.
pub(crate) fn error_payload(zxid: i64) -> Vec<u8> {
    record(zxid, Txn::Error(ox_proto::ErrorTxn { err: -101 }))
}

fn record(zxid: i64, txn: Txn) -> Vec<u8> {
    let mut payload = Vec::new();
    TxnRecord {
        header: TxnHeader {
            client_id: SessionId(0x1000_1404_2800_0000),
            cxid: 1,
            zxid: Zxid(zxid),
            time: 1_795_341_857_838,
            op: txn.op(),
        },
        txn,
        digest: None,
    }
    .encode(&mut payload);
    payload
}

/// The bytes that begin the payload of a record of this kind.
pub(crate) fn header_payload(zxid: i64, op: OpCode) -> Vec<u8> {
    let mut payload = Vec::new();
    TxnHeader {
        client_id: SessionId(1),
        cxid: 1,
        zxid: Zxid(zxid),
        time: 1,
        op,
    }
    .encode(&mut payload);
    payload
}
