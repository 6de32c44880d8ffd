//! What a member starts with on data that is damaged, lost, or set aside.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use ox_proto::{CreateTxn, OpCode, SessionId, Txn, TxnDigest, TxnHeader, TxnRecord, Zxid};
use ox_replica::Database;
use ox_store::{
    Done, MemberSettings, SnapshotImage, StartError, Started, Store, StoreSettings, start,
};
use ox_tree::{DataTree, TreeOptions};
use ox_txnlog::{Compression, DataDirs, LogConfig};
use ox_zab::{DiskDone, DiskRequest};

struct Member {
    root: tempfile::TempDir,
    settings: StoreSettings,
}

impl Member {
    fn new() -> Self {
        let member = MemberSettings {
            commit_log_count: 500,
            snapshot_size_factor: Some(0.33),
            begins_empty: true,
            repairs: false,
        };
        let settings = StoreSettings {
            config_files: None,
            log: LogConfig::default(),
            compression: Compression::None,
            tree: TreeOptions::default(),
            max_record: 1 << 20,
            trust_empty: false,
            member: Some(member),
            snapshot_every_txns: 100_000,
            snapshot_every_bytes: None,
            hash_seed: 1,
        };
        let root = tempfile::tempdir().unwrap();
        Self { root, settings }
    }

    /// A member that has records 1 to 9 of its first epoch.
    fn with_history() -> Self {
        let member = Self::new();
        member.write(member.start().unwrap(), 1..=9);
        member
    }

    fn repairs(&mut self, repairs: bool) {
        self.settings.member.as_mut().unwrap().repairs = repairs;
    }

    fn dirs(&self) -> DataDirs {
        DataDirs::open(self.root.path(), self.root.path(), true).unwrap()
    }

    fn start(&self) -> Result<Started, StartError> {
        let dirs = self.dirs();
        let _lock = dirs.lock().unwrap();
        start(&dirs, &self.settings)
    }

    /// Goes on from a start as a follower of the first epoch would.
    fn write(&self, started: Started, zxids: std::ops::RangeInclusive<i64>) {
        let dirs = self.dirs();
        let database = Database::new(started.state, 1);
        if started.wants_snapshot {
            snapshot(&dirs, &database);
        }
        let mut store = Store::new(&dirs, self.settings.clone(), 1);
        for request in [DiskRequest::AcceptEpoch(1), DiskRequest::EnterEpoch(1)] {
            store.perform(request, &&database).unwrap();
        }
        for counter in zxids {
            let zxid = Zxid((1 << 32) + counter);
            store.append(zxid, &record(zxid)).unwrap();
        }
        store.sync().unwrap();
        store.close().unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.path().join("version-2").join(name)
    }

    fn log(&self) -> PathBuf {
        self.file("log.100000001")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root.path().join("version-2")).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "oxkeeper.lock")
            .collect();
        names.sort();
        names
    }
}

fn snapshot(dirs: &DataDirs, database: &Database) {
    let mut image = SnapshotImage::begin(dirs, Compression::None, database);
    image.read(database, usize::MAX);
    image.finish().unwrap();
}

fn record(zxid: Zxid) -> Vec<u8> {
    let header = TxnHeader {
        client_id: SessionId(1),
        cxid: 1,
        zxid,
        time: 1,
        op: OpCode::Create,
    };
    let txn = Txn::Create(CreateTxn {
        path: format!("/{}", zxid.counter()),
        data: None,
        acl: vec![ox_proto::Acl::world(31)],
        ephemeral: false,
        parent_cversion: i32::try_from(zxid.counter()).unwrap(),
    });
    let mut payload = Vec::new();
    TxnRecord {
        header,
        txn,
        digest: None,
    }
    .encode(&mut payload);
    payload
}

/// Changes one byte in the midst of the first record.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[60] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn last(started: &Started) -> i64 {
    started.state.tree.last_zxid().0
}

const NINE: i64 = (1 << 32) + 9;

#[track_caller]
fn has_no_vote(started: &Started) {
    assert_eq!(last(started), 0);
    assert_eq!(started.epochs.unwrap().current, None);
    assert!(!started.wants_snapshot);
}

#[test]
fn damage_is_refused_with_its_place_and_nothing_is_touched() {
    for (name, told) in [
        ("log.100000001", "offset"),
        ("snapshot.0", "valid snapshots"),
        ("currentEpoch", "currentEpoch"),
        ("acceptedEpoch", "acceptedEpoch"),
    ] {
        let member = Member::with_history();
        match name.contains("Epoch") {
            true => fs::write(member.file(name), "x1").unwrap(),
            false => damage(&member.file(name)),
        }
        let before = (member.names(), fs::read(member.file(name)).unwrap());
        let error = member.start().unwrap_err();
        let mut text = error.to_string();
        let mut cause: Option<&dyn Error> = Error::source(&error);
        while let Some(error) = cause {
            text += &error.to_string();
            cause = error.source();
        }
        assert!(text.contains(told), "{name}: {text}");
        assert_eq!(
            before,
            (member.names(), fs::read(member.file(name)).unwrap())
        );
    }
}

#[test]
fn what_is_damaged_is_set_aside_and_there_is_no_vote_until_the_history_is_whole() {
    let mut member = Member::with_history();
    damage(&member.log());
    member.repairs(true);
    let started = member.start().unwrap();
    has_no_vote(&started);
    assert_eq!(
        started.epochs.unwrap().accepted,
        Some(1),
        "the promise stays"
    );
    assert_eq!(
        member.names(),
        [
            "acceptedEpoch",
            "currentEpoch",
            "oxkeeper.damaged.1.currentEpoch",
            "oxkeeper.damaged.1.log.100000001",
            "oxkeeper.damaged.1.oxkeeper.synced",
            "oxkeeper.damaged.1.snapshot.0",
            "oxkeeper.repairing",
        ]
    );
    // Whatever it is started with next.
    member.repairs(false);
    has_no_vote(&member.start().unwrap());

    // The leader sends it everything.
    let healthy = Member::with_history();
    let database = Database::new(healthy.start().unwrap().state, 1);
    let dirs = member.dirs();
    let mut store = Store::new(&dirs, member.settings.clone(), 1);
    let installed = store.perform(DiskRequest::Install, &&database).unwrap();
    let Done::Done(DiskDone::Installed { last: installed }) = installed else {
        panic!("{installed:?}");
    };
    assert_eq!(installed.0, NINE);
    drop(store);
    has_no_vote(&member.start().unwrap());

    let mut store = Store::new(&dirs, member.settings.clone(), 1);
    store.perform(DiskRequest::Install, &&database).unwrap();
    store
        .perform(DiskRequest::EnterEpoch(1), &&database)
        .unwrap();
    drop(store);
    let started = member.start().unwrap();
    assert_eq!(last(&started), NINE);
    assert_eq!(started.epochs.unwrap().current, Some(1));
}

#[test]
fn a_crash_while_setting_aside_leaves_no_vote() {
    let mut member = Member::with_history();
    damage(&member.log());
    fs::write(member.file("oxkeeper.repairing"), "").unwrap();
    // The log had gone, and what is left would pass for a history.
    fs::rename(
        member.log(),
        member.file("oxkeeper.damaged.1.log.100000001"),
    )
    .unwrap();
    has_no_vote(&member.start().unwrap());
    member.repairs(true);
    has_no_vote(&member.start().unwrap());
    assert!(!member.names().contains(&"snapshot.0".to_owned()));
}

#[test]
fn a_lost_promise_takes_the_vote_until_there_is_a_leader() {
    let mut member = Member::with_history();
    fs::write(member.file("acceptedEpoch"), "").unwrap();
    member.repairs(true);
    has_no_vote(&member.start().unwrap());
    assert!(
        member
            .names()
            .contains(&"oxkeeper.damaged.0.acceptedEpoch".to_owned())
    );
}

#[test]
fn an_older_snapshot_that_the_logs_follow_needs_no_repair() {
    let mut member = Member::with_history();
    member.repairs(true);
    fs::write(member.file("snapshot.100000005"), b"ZKSN, and then nothing").unwrap();
    let started = member.start().unwrap();
    assert_eq!(last(&started), NINE);
    assert_eq!(started.snapshot, Some(Zxid(0)));
}

#[test]
fn an_empty_member_votes_only_where_it_may_begin() {
    let mut member = Member::new();
    member.settings.member.as_mut().unwrap().begins_empty = false;
    has_no_vote(&member.start().unwrap());
    fs::write(member.root.path().join("initialize"), "").unwrap();
    let started = member.start().unwrap();
    assert!(started.wants_snapshot);
    assert_eq!(started.epochs.unwrap().current, Some(0));
}

/// Zeros in front of a new epoch look like the end of a log. Seed 4851 of the simulation.
#[test]
fn what_is_missing_in_front_of_a_new_epoch_is_told_by_the_tree() {
    let mut member = Member::new();
    member.settings.tree.digest = true;
    let mut tree = DataTree::new(1, member.settings.tree);
    for epoch in 1..=2 {
        let started = member.start().unwrap();
        let database = Database::new(started.state, 1);
        if started.wants_snapshot {
            snapshot(&member.dirs(), &database);
        }
        let mut store = Store::new(&member.dirs(), member.settings.clone(), 1);
        for request in [
            DiskRequest::AcceptEpoch(epoch),
            DiskRequest::EnterEpoch(epoch),
        ] {
            store.perform(request, &&database).unwrap();
        }
        for counter in 1..=3 {
            let zxid = Zxid::new(epoch, counter);
            let mut record = decoded(&record(zxid));
            if let Txn::Create(txn) = &mut record.txn {
                txn.path = format!("/{epoch}-{counter}");
            }
            tree.apply(&record.header, &record.txn, &mut |_| {});
            record.digest = Some(TxnDigest {
                version: TxnDigest::VERSION,
                tree_digest: tree.digest(),
            });
            let mut payload = Vec::new();
            record.encode(&mut payload);
            store.append(zxid, &payload).unwrap();
        }
        store.sync().unwrap();
        store.close().unwrap();
    }
    assert_eq!(last(&member.start().unwrap()), Zxid::new(2, 3).0);

    let mut bytes = fs::read(member.log()).unwrap();
    let length = bytes.len();
    bytes[length - 100..].fill(0);
    fs::write(member.log(), bytes).unwrap();
    let text = chain(&member.start().err().unwrap());
    assert!(text.contains("log.200000001"), "{text}");
    assert!(text.contains("has lost its last records"), "{text}");
}

fn decoded(payload: &[u8]) -> TxnRecord {
    TxnRecord::decode(payload, 1 << 20).unwrap()
}

fn chain(error: &dyn Error) -> String {
    let cause = error.source().map(chain).unwrap_or_default();
    format!("{error}: {cause}")
}
