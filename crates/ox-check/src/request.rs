//! What a client asks, and what it is told.
//!
//! Paths, data and acls are shared, so that a recorder can keep one copy. Source: client-protocol.md
//! 4 to 7.

use std::sync::Arc;

/// One entry of an acl.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AclEntry {
    /// The bits READ 1, WRITE 2, CREATE 4, DELETE 8, ADMIN 16.
    pub perms: i32,
    /// `world`, `digest`, `ip`, `super`.
    pub scheme: Arc<str>,
    /// `anyone`, `user:hash`, an address.
    pub id: Arc<str>,
}

impl AclEntry {
    /// An entry.
    pub fn new(perms: i32, scheme: &str, id: &str) -> Self {
        Self {
            perms,
            scheme: scheme.into(),
            id: id.into(),
        }
    }
}

/// Everything for everybody.
pub fn open_acl() -> Arc<[AclEntry]> {
    Arc::new([AclEntry::new(31, "world", "anyone")])
}

/// The codes that checks know by name; others are only compared.
pub mod error {
    /// An operation behind the failed one of a multi.
    pub const RUNTIME_INCONSISTENCY: i32 = -2;
    /// An undecodable request.
    pub const MARSHALLING_ERROR: i32 = -5;
    /// An unknown or disabled operation.
    pub const UNIMPLEMENTED: i32 = -6;
    /// A bad path, mode or time to live.
    pub const BAD_ARGUMENTS: i32 = -8;
    /// The znode, or the parent of one to create, is missing.
    pub const NO_NODE: i32 = -101;
    /// The acl does not grant it.
    pub const NO_AUTH: i32 = -102;
    /// Another version than the one named.
    pub const BAD_VERSION: i32 = -103;
    /// A child of an ephemeral.
    pub const NO_CHILDREN_FOR_EPHEMERALS: i32 = -108;
    /// There is one already.
    pub const NODE_EXISTS: i32 = -110;
    /// It has children.
    pub const NOT_EMPTY: i32 = -111;
    /// The session is over or closing.
    pub const SESSION_EXPIRED: i32 = -112;
    /// An acl that cannot be.
    pub const INVALID_ACL: i32 = -114;
    /// The session has another owner now.
    pub const SESSION_MOVED: i32 = -118;
    /// A write to a read-only server.
    pub const NOT_READ_ONLY: i32 = -119;
    /// An ephemeral of a local session.
    pub const EPHEMERAL_ON_LOCAL_SESSION: i32 = -120;
    /// No watch to take away.
    pub const NO_WATCHER: i32 = -121;
    /// A connection without the authentication that is asked for.
    pub const AUTH_REQUIRED: i32 = -124;
    /// A hard quota.
    pub const QUOTA_EXCEEDED: i32 = -125;
    /// It has waited too long.
    pub const THROTTLED: i32 = -127;
}

/// How a znode is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateMode {
    /// Stays.
    Persistent,
    /// Goes with the session.
    Ephemeral,
    /// Stays, with a number behind its name.
    PersistentSequential,
    /// Goes with the session, with a number behind its name.
    EphemeralSequential,
    /// Goes some time after its last child.
    Container,
    /// Goes so many milliseconds after its last change, if it has no children.
    Ttl(i64),
    /// The same with a number behind its name.
    SequentialTtl(i64),
}

impl CreateMode {
    /// Whether a number is put behind the name.
    pub fn is_sequential(self) -> bool {
        matches!(
            self,
            Self::PersistentSequential | Self::EphemeralSequential | Self::SequentialTtl(_)
        )
    }
}

/// Which watches removeWatches means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchKind {
    /// One-shot watches on children.
    Children,
    /// One-shot watches on data.
    Data,
    /// All.
    Any,
    /// Persistent ones.
    Persistent,
    /// Persistent recursive ones.
    Recursive,
}

/// The watches a client sets anew on a new connection; its lists in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetWatches {
    /// The highest zxid the client has seen.
    pub relative_zxid: i64,
    /// Data watches on znodes that were there.
    pub data: Vec<Arc<str>>,
    /// Data watches on znodes that were not.
    pub exist: Vec<Arc<str>>,
    /// Child watches.
    pub child: Vec<Arc<str>>,
    /// Persistent watches.
    pub persistent: Vec<Arc<str>>,
    /// Persistent recursive watches.
    pub recursive: Vec<Arc<str>>,
}

/// A request. -1 as a version means any.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after the operations and their fields")]
pub enum Request {
    Create {
        path: Arc<str>,
        data: Option<Arc<[u8]>>,
        acl: Arc<[AclEntry]>,
        mode: CreateMode,
    },
    Delete {
        path: Arc<str>,
        version: i32,
    },
    SetData {
        path: Arc<str>,
        data: Option<Arc<[u8]>>,
        version: i32,
    },
    SetAcl {
        path: Arc<str>,
        acl: Arc<[AclEntry]>,
        version: i32,
    },
    /// In a multi only.
    Check {
        path: Arc<str>,
        version: i32,
    },
    Multi(Vec<Self>),
    /// A write that no other variant says; its txn is believed.
    OtherWrite,
    GetData {
        path: Arc<str>,
        watch: bool,
    },
    Exists {
        path: Arc<str>,
        watch: bool,
    },
    /// getChildren, and getChildren2 if the answer has a stat.
    GetChildren {
        path: Arc<str>,
        watch: bool,
    },
    GetAcl {
        path: Arc<str>,
    },
    GetAllChildrenNumber {
        path: Arc<str>,
    },
    GetEphemerals {
        prefix: Arc<str>,
    },
    /// Of getData and getChildren.
    MultiRead(Vec<Self>),
    Sync {
        path: Arc<str>,
    },
    AddWatch {
        path: Arc<str>,
        recursive: bool,
    },
    RemoveWatches {
        path: Arc<str>,
        kind: WatchKind,
    },
    SetWatches(Box<SetWatches>),
    Ping,
    /// A read that no other variant says; only its place and zxid are judged.
    OtherRead,
    CloseSession,
}

impl Request {
    /// Whether it becomes a txn.
    pub fn is_write(&self) -> bool {
        matches!(
            self,
            Self::Create { .. }
                | Self::Delete { .. }
                | Self::SetData { .. }
                | Self::SetAcl { .. }
                | Self::Check { .. }
                | Self::Multi(_)
                | Self::OtherWrite
                | Self::CloseSession
        )
    }

    /// The path, where there is one.
    pub fn path(&self) -> Option<&Arc<str>> {
        match self {
            Self::Create { path, .. }
            | Self::Delete { path, .. }
            | Self::SetData { path, .. }
            | Self::SetAcl { path, .. }
            | Self::Check { path, .. }
            | Self::GetData { path, .. }
            | Self::Exists { path, .. }
            | Self::GetChildren { path, .. }
            | Self::GetAcl { path }
            | Self::GetAllChildrenNumber { path }
            | Self::GetEphemerals { prefix: path }
            | Self::Sync { path }
            | Self::AddWatch { path, .. }
            | Self::RemoveWatches { path, .. } => Some(path),
            Self::Multi(_)
            | Self::OtherWrite
            | Self::MultiRead(_)
            | Self::SetWatches(_)
            | Self::Ping
            | Self::OtherRead
            | Self::CloseSession => None,
        }
    }
}

/// As on the wire: `cversion` counts creations and deletions, the owner of containers is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after the fields of ZooKeeper's stat")]
pub struct Stat {
    pub czxid: i64,
    pub mzxid: i64,
    pub ctime: i64,
    pub mtime: i64,
    pub version: i32,
    pub cversion: i32,
    pub aversion: i32,
    pub ephemeral_owner: i64,
    pub data_length: i32,
    pub num_children: i32,
    pub pzxid: i64,
}

/// What an answer without an error says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing but that it was done, or nothing that the recorder keeps.
    Done,
    /// create: the path.
    Path(Arc<str>),
    /// create2, and createContainer and createTTL.
    Created(Arc<str>, Stat),
    /// setData, setACL, exists.
    Stat(Stat),
    /// getData.
    Data(Option<Arc<[u8]>>, Stat),
    /// getChildren, getChildren2: names in any order.
    Children(Vec<Arc<str>>, Option<Stat>),
    /// getACL.
    Acl(Arc<[AclEntry]>, Stat),
    /// getAllChildrenNumber.
    Number(i32),
    /// getEphemerals, in any order.
    Paths(Vec<Arc<str>>),
    /// multi and multiRead. Of a failed multi all are errors, those before the failed one with 0.
    Multi(Vec<Outcome>),
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Ok(Answer),
    /// It was refused with this code.
    Error(i32),
    /// No answer: done, or not.
    Unknown,
}
