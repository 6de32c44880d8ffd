//! All that is decided before a run begins: the ensemble, what clients do, what goes wrong.
//!
//! A plan is explicit, so that parts of it can be left out and the rest stays as it is, and so that
//! it means the same when the way it is drawn has changed.

use serde::{Deserialize, Serialize};

use crate::disk::{Damage, DiskFault, Lie};

/// What clients ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named after the operations")]
pub enum Op {
    Create {
        path: String,
        data: String,
        mode: Mode,
    },
    Delete {
        path: String,
        version: i32,
    },
    Set {
        path: String,
        data: String,
        version: i32,
    },
    Check {
        path: String,
        version: i32,
    },
    Multi {
        ops: Vec<Self>,
    },
    Get {
        path: String,
        watch: bool,
    },
    Exists {
        path: String,
        watch: bool,
    },
    Children {
        path: String,
        watch: bool,
    },
    Sync {
        path: String,
    },
    AddWatch {
        path: String,
        recursive: bool,
    },
    Close,
    /// The client breaks its connection, without closing its session.
    Reconnect,
}

/// How a znode is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named after ZooKeeper's modes")]
pub enum Mode {
    Persistent,
    Ephemeral,
    PersistentSequential,
    EphemeralSequential,
}

/// Whom a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// This machine.
    Place(usize),
    /// Whoever leads then; nobody if none does.
    Leader,
    /// Some server that follows then.
    Follower,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each variant says what its fields are")]
pub enum Fault {
    /// The process is killed, and starts again when the fault ends.
    Kill(Target),
    /// The machine loses power until the fault ends.
    PowerCut(Target),
    /// All servers lose power at once.
    PowerCutAll,
    /// The disk fails.
    Disk(Target, DiskFault),
    /// A file whose name begins like this is damaged, if there are enough good copies.
    Damage(Target, Damage, String),
    /// The disk lies about syncs until the power is cut at the end of the fault; if there are not
    /// enough good copies then, it does in the end what it has said.
    Lie(Target, Lie),
    /// The disk is slow.
    SlowDisk(Target),
    /// All files are lost, and the process starts anew, if there are enough good copies.
    Wipe(Target),
    /// The process stands still.
    Pause(Target),
    /// Ways are cut, each from one machine to another; the ports by their bits: clients 1, quorum
    /// 2, election 4, observers 8.
    Cut {
        ways: Vec<(usize, usize)>,
        ports: u8,
    },
    /// One machine is cut off from all others.
    Isolate {
        whom: Target,
        inwards: bool,
        outwards: bool,
        ports: u8,
    },
    /// Connections are reset, so many of a hundred.
    Reset { percent: usize },
    /// The wall clock jumps by so many milliseconds.
    WallJump(Target, i64),
    /// Some server is asked to change the members.
    Reconfig {
        by: Target,
        parts: Vec<(usize, Part)>,
    },
}

/// A fault and its time, in virtual microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timed {
    /// When it begins.
    pub at: i64,
    /// When it ends, where that means anything.
    pub until: i64,
    /// What it is.
    pub fault: Fault,
}

/// One operation of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// When, in virtual microseconds.
    pub at: i64,
    /// Who.
    pub client: usize,
    /// What.
    pub op: Op,
}

/// How the ensemble is set up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// Servers that vote.
    pub voters: usize,
    /// Servers that observe.
    pub observers: usize,
    /// Servers that may join.
    #[serde(default)]
    pub spares: usize,
    /// The members may be changed.
    #[serde(default)]
    pub reconfig: bool,
    /// Followers serve observers.
    pub masters: bool,
    /// `tickTime`.
    pub tick_ms: i64,
    /// `syncLimit`.
    pub sync_limit: i64,
    /// `initLimit`.
    pub init_limit: i64,
    /// The longest pause between two votes.
    pub max_notification_ms: i64,
    /// `snapCount`.
    pub snap_count: u32,
    /// `preAllocSize`, in bytes.
    pub preallocate: u64,
    /// `txnLogSizeLimitInKb`, in bytes.
    pub log_limit: Option<u64>,
    /// `commitLogCount`.
    pub commit_log: usize,
    /// `snapshotSizeFactor`.
    pub snapshot_factor: Option<f64>,
    /// `db.autocreate`.
    pub autocreate: bool,
    /// `--repair-from-peers`.
    pub repairs: bool,
    /// Microseconds that packets and the disk take, at least and at most.
    pub latency: (i64, i64),
    /// So many of a thousand packets take a hundred times as long.
    pub late: usize,
    /// So many of a thousand deliveries are cut in two.
    pub chopped: usize,
    /// Microseconds that the disk takes, at least and at most.
    pub disk: (i64, i64),
    /// How much too fast each server's clock goes, in parts per million.
    pub drifts: Vec<i64>,
    /// The session timeout that each client asks for, in milliseconds.
    pub clients: Vec<i32>,
    /// Old files are deleted every so many microseconds; never if it is 0.
    pub purge_every: i64,
}

impl Setup {
    /// All servers, whether they belong to the ensemble in the beginning or not.
    pub fn servers(&self) -> usize {
        self.voters + self.observers + self.spares
    }
}

/// What a server is to be in the ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named after ZooKeeper's roles")]
pub enum Part {
    Participant,
    Observer,
    /// It leaves.
    None,
}

/// How all becomes well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Healing {
    /// When the faults stop, in virtual microseconds.
    pub at: i64,
    /// The servers that are well then.
    pub core: Vec<usize>,
    /// What becomes of the others: whether they are down, or cut off, inwards and outwards.
    pub others: (bool, bool, bool),
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What decides all that is not said here: how long each packet takes, what a crash leaves.
    pub seed: u64,
    /// The ensemble.
    pub setup: Setup,
    /// In the order of time.
    pub ops: Vec<Timing>,
    /// In the order of time.
    pub faults: Vec<Timed>,
    /// In the end.
    pub healing: Healing,
}
