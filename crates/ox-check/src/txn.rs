//! Transactions, as the servers' logs hold them.

use std::sync::Arc;

use crate::request::AclEntry;

/// What kind of znode a creation makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// Stays.
    Persistent,
    /// Goes with the session of the txn.
    Ephemeral,
    /// Goes some time after its last child.
    Container,
    /// Goes so many milliseconds after its last change.
    Ttl(i64),
}

/// What a transaction does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "named after ZooKeeper's records and their fields"
)]
pub enum Change {
    /// `parent_cversion` is the parent's new stored cversion; -1 means one more than it has.
    Create {
        path: Arc<str>,
        data: Option<Arc<[u8]>>,
        acl: Arc<[AclEntry]>,
        kind: NodeKind,
        parent_cversion: i32,
    },
    /// deleteContainer, too.
    Delete {
        path: Arc<str>,
    },
    /// `version` is the new one; reconfig, too.
    SetData {
        path: Arc<str>,
        data: Option<Arc<[u8]>>,
        version: i32,
    },
    /// `version` is the new aversion.
    SetAcl {
        path: Arc<str>,
        acl: Arc<[AclEntry]>,
        version: i32,
    },
    /// Stands in a multi where a version was compared.
    Check {
        path: Arc<str>,
    },
    /// Does nothing if one of them is an error.
    Multi(Vec<Self>),
    CreateSession {
        timeout_ms: i32,
    },
    /// `None` if the record has no list.
    CloseSession {
        paths: Option<Vec<Arc<str>>>,
    },
    /// A request that failed with this code.
    Error(i32),
}

impl Change {
    /// Whether it changes nothing because it is, or holds, an error.
    pub fn failed(&self) -> bool {
        match self {
            Self::Error(_) => true,
            Self::Multi(parts) => parts.iter().any(Self::failed),
            _ => false,
        }
    }
}

/// A committed transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Txn {
    /// Its place in the order of all.
    pub zxid: i64,
    /// Who asked; 0 for the servers' own.
    pub session: i64,
    /// The client's xid of the request.
    pub cxid: i32,
    /// When it was prepared, in milliseconds by the leader's clock: what stats show.
    pub time: i64,
    /// When it was committed by the recorder's clock, if it knows.
    pub at: Option<i64>,
    /// [`fingerprint`] of its bytes in the log, or 0 if it is not known.
    pub fingerprint: u64,
    /// What it does.
    pub change: Change,
}

/// A number for bytes, so that logs can be compared without being kept. Never 0.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The last bytes are to reach all bits.
    (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1
}
