//! What the tests of several modules need.

use ox_jute::Jute;
use ox_proto::{OpCode, SessionId, SetDataTxn, Txn, TxnHeader, TxnRecord, Zxid};
use tempfile::TempDir;

use crate::{DataDirs, Replay, ReplayError, ReplayOptions, replay};

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

    /// Replays everything behind `after` with these options: what was found, and the zxids.
    pub(crate) fn replay_with(
        &self,
        after: i64,
        options: &ReplayOptions,
    ) -> (Result<Replay, ReplayError>, Vec<i64>) {
        let mut seen = Vec::new();
        let result = replay(&self.dirs, Zxid(after), options, &mut |payload, record| {
            let mut encoded = Vec::new();
            record.encode(&mut encoded);
            assert_eq!(encoded, payload);
            seen.push(record.header.zxid.0);
            Ok(())
        });
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
