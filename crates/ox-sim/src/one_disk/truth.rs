//! What a server was told to keep: a history, and the states that it makes of an empty tree.
//!
//! Invariant: a state is made by applying one record after the other, without snapshots and without
//! a disk, so it is what those must lead to as well.

use std::collections::BTreeMap;

use bytes::Bytes;
use ox_proto::{
    Acl, CloseSessionTxn, CreateSessionTxn, CreateTxn, DeleteTxn, ErrorTxn, Id, MultiTxn,
    SessionId, SetAclTxn, SetDataTxn, Txn, TxnHeader, TxnRecord, Zxid,
};
use ox_replica::{Database, DigestLog, State};
use ox_tree::{DataTree, TreeOptions};

use crate::random::Random;

/// How trees are kept.
pub(super) const TREE: TreeOptions = TreeOptions {
    extended_types: false,
    emulate_353_ttl: false,
    digest: true,
};

/// A record as it goes into the log.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) record: TxnRecord,
    pub(super) payload: Vec<u8>,
}

impl Entry {
    pub(super) fn zxid(&self) -> Zxid {
        self.record.header.zxid
    }
}

/// A history.
#[derive(Clone, Debug, Default)]
pub(super) struct Truth {
    pub(super) entries: Vec<Entry>,
}

/// An empty database.
pub(super) fn empty(seed: u64) -> Database {
    let state = State {
        tree: DataTree::new(seed, TREE),
        sessions: BTreeMap::new(),
        digests: DigestLog::default(),
    };
    Database::new(state, seed)
}

/// Does what a server does with a committed record.
pub(super) fn apply(database: &mut Database, record: &TxnRecord) {
    database
        .tree
        .apply(&record.header, &record.txn, &mut |_| {});
    let session = record.header.client_id;
    match &record.txn {
        Txn::CreateSession(txn) => {
            database.sessions.insert(session, txn.timeout_ms);
        }
        Txn::CloseSession(_) => {
            database.sessions.remove(&session);
        }
        _ => {}
    }
}

impl Truth {
    /// The zxid of the last of the first `count` records.
    pub(super) fn last(&self, count: usize) -> Zxid {
        let last = count.checked_sub(1).map(|last| self.entries[last].zxid());
        last.unwrap_or(Zxid::ZERO)
    }

    /// How many records end with this zxid.
    pub(super) fn count(&self, last: Zxid) -> Option<usize> {
        (0..=self.entries.len()).find(|count| self.last(*count) == last)
    }

    /// What the first `count` records make.
    pub(super) fn state(&self, count: usize) -> Database {
        let mut database = empty(1);
        for entry in &self.entries[..count] {
            apply(&mut database, &entry.record);
        }
        database
    }

    /// Adds a record of this epoch; `tip` is the state with all that is there.
    pub(super) fn push(&mut self, random: &mut Random, epoch: u32, tip: &mut Database) {
        let last = self.last(self.entries.len());
        let zxid = match last.epoch() == epoch {
            true => Zxid(last.0 + 1),
            false => Zxid::new(epoch, 1),
        };
        let session = SessionId(random.between(1, 3));
        let txn = draw(random, session, tip);
        let header = TxnHeader {
            client_id: session,
            cxid: i32::try_from(self.entries.len()).unwrap_or(i32::MAX),
            zxid,
            time: random.between(1, 1 << 30),
            op: txn.op(),
        };
        let record = TxnRecord {
            header,
            txn,
            digest: None,
        };
        let mut payload = Vec::new();
        record.encode(&mut payload);
        apply(tip, &record);
        self.entries.push(Entry { record, payload });
    }
}

/// A transaction that can be made of a tree like this.
fn draw(random: &mut Random, session: SessionId, tip: &Database) -> Txn {
    if !tip.sessions.contains_key(&session) {
        return Txn::CreateSession(CreateSessionTxn { timeout_ms: 4000 });
    }
    let one = |random: &mut Random| change(random, session, &tip.tree);
    let part = |random: &mut Random| match one(random) {
        // A multi cannot hold it.
        Txn::SetAcl(txn) => Txn::SetData(SetDataTxn {
            version: 1000 + txn.version,
            path: txn.path,
            data: None,
        }),
        other => other,
    };
    match random.below(20) {
        0 => {
            // Records without a list, of old servers, do not make a fuzzy snapshot whole.
            Txn::CloseSession(CloseSessionTxn {
                paths_to_delete: Some(tip.tree.ephemerals(session).collect()),
            })
        }
        1 => Txn::Error(ErrorTxn { err: -101 }),
        2 => Txn::Multi(MultiTxn {
            txns: vec![part(random), Txn::Error(ErrorTxn { err: -110 })],
        }),
        3 => Txn::Multi(MultiTxn {
            txns: vec![part(random)],
        }),
        _ => one(random),
    }
}

fn change(random: &mut Random, session: SessionId, tree: &DataTree) -> Txn {
    let directory = format!("/d{}", random.below(3));
    let path = match random.percent(60) {
        true => format!("{directory}/n{}", random.below(8)),
        false => directory,
    };
    let parent = ox_proto::path::parent(&path);
    let Some(parent) = tree.node(parent) else {
        return create(random, session, tree, parent.to_owned());
    };
    let Some(node) = tree.node(&path) else {
        return create(random, session, tree, path);
    };
    let owned = parent.stat().ephemeral_owner;
    assert_eq!(owned, 0, "ephemerals have no children");
    let stat = node.stat();
    match random.below(4) {
        0 if stat.num_children == 0 => Txn::Delete(DeleteTxn { path }),
        1 => Txn::SetAcl(SetAclTxn {
            path,
            acl: acl(random),
            version: stat.aversion + 1,
        }),
        _ => Txn::SetData(SetDataTxn {
            path,
            data: data(random),
            version: stat.version + 1,
        }),
    }
}

fn create(random: &mut Random, session: SessionId, tree: &DataTree, path: String) -> Txn {
    let _ = session;
    let parent = tree.node(ox_proto::path::parent(&path));
    let stored = parent.map_or(0, |parent| parent.stat_persisted().cversion);
    let is_leaf = path.contains("/n");
    let create = CreateTxn {
        ephemeral: is_leaf && random.percent(30),
        data: data(random),
        acl: acl(random),
        path,
        parent_cversion: stored + 1,
    };
    match random.percent(50) {
        true => Txn::Create(create),
        false => Txn::Create2(create),
    }
}

fn data(random: &mut Random) -> Option<Bytes> {
    let length = *random.pick(&[0, 1, 20, 300, 700]);
    let byte = random.next().to_le_bytes()[0];
    random.percent(90).then(|| vec![byte; length].into())
}

fn acl(random: &mut Random) -> Vec<Acl> {
    let own = Acl {
        perms: Acl::READ,
        id: Id::new("digest", format!("u{}:h", random.below(3))),
    };
    match random.percent(70) {
        true => vec![Acl::world(Acl::ALL)],
        false => vec![own],
    }
}

/// Compares two states: what is different, if anything is.
pub(super) fn compare(found: &Database, expected: &Database) -> Result<(), String> {
    let differs = |what: &str, found: &dyn std::fmt::Debug, expected: &dyn std::fmt::Debug| {
        Err(format!("{what} {found:?}, expected {expected:?}"))
    };
    if found.sessions != expected.sessions {
        return differs("sessions", &found.sessions, &expected.sessions);
    }
    let mut paths = vec![String::new()];
    while let Some(path) = paths.pop() {
        let (Some(one), Some(other)) = (found.tree.node(&path), expected.tree.node(&path)) else {
            return Err(format!("{path} is there or not"));
        };
        let mut names: Vec<_> = one.children().map(str::to_owned).collect();
        let mut others: Vec<_> = other.children().map(str::to_owned).collect();
        names.sort_unstable();
        others.sort_unstable();
        if names != others {
            return differs(&format!("children of {path:?}"), &names, &others);
        }
        if (one.data(), one.stat()) != (other.data(), other.stat()) {
            let what = format!("{path:?} with data {} and", one.data() == other.data());
            return differs(&what, &one.stat(), &other.stat());
        }
        if one.acl() != other.acl() {
            return differs(&format!("acl of {path:?}"), &one.acl(), &other.acl());
        }
        paths.extend(names.iter().map(|name| format!("{path}/{name}")));
    }
    match found.tree.digest() == expected.tree.digest() {
        true => Ok(()),
        false => differs("digest", &found.tree.digest(), &expected.tree.digest()),
    }
}
