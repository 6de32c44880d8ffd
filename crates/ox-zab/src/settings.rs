//! What an operator has decided about an ensemble's timing and synchronization.

use ox_proto::{ReconfigRules, ServerId};

/// The settings of a member, checked.
#[derive(Clone, Debug, Hash)]
pub struct ZabSettings {
    /// This server.
    pub own: ServerId,
    /// Milliseconds in a tick.
    pub tick_ms: i64,
    /// Ticks within which a learner must be synchronized, and each step to a new epoch done.
    pub init_limit: i64,
    /// Ticks after which a silent server counts as gone.
    pub sync_limit: i64,
    /// Always send the whole state (`zookeeper.forceSnapshotSync`).
    pub force_snapshot_sync: bool,
    /// What this server does when it leads.
    pub leader: LeaderSettings,
    /// What concerns observers that are led by way of followers, on both of them.
    pub observers: ObserverSettings,
    /// How the members of the ensemble may be changed; `None` without `reconfigEnabled`.
    pub reconfig: Option<ReconfigRules>,
    /// The longest string or buffer within a transaction that is believed, in bytes.
    pub max_record: usize,
}

/// What a leader is told besides.
#[derive(Clone, Debug, Hash)]
pub struct LeaderSettings {
    /// A leader that has waited for so many milliseconds for a quorum's epochs gives up when it
    /// hears that a voter elects (`leader.maxTimeToWaitForEpoch`). `None` waits for `initLimit`.
    pub max_wait_for_epoch_ms: Option<i64>,
    /// How many learners may be sent the whole state at once before an observer is turned away
    /// (`leader.maxConcurrentSnapSyncs`). A follower that observers connect to keeps to it too.
    pub max_concurrent_snap_syncs: usize,
    /// The same of learners that are sent transactions (`leader.maxConcurrentDiffSyncs`).
    pub max_concurrent_diff_syncs: usize,
}

impl Default for LeaderSettings {
    /// Java's.
    fn default() -> Self {
        Self {
            max_wait_for_epoch_ms: None,
            max_concurrent_snap_syncs: 10,
            max_concurrent_diff_syncs: 100,
        }
    }
}

/// How observers find the server they observe, and how followers serve them.
#[derive(Clone, Debug, Hash)]
pub struct ObserverSettings {
    /// Followers serve observers, at a port of their own, and observers connect there rather than
    /// to the leader (`observerMasterPort`). A follower keeps so many bytes of committed
    /// transactions for an observer that lags (`observerMaster.sizeLimit`). `None` is off.
    pub master_limit: Option<usize>,
    /// An observer waits for a random part of so many milliseconds before it connects to the
    /// leader, or begins anew with the list of followers (`observer.reconnectDelayMs`).
    pub reconnect_delay_ms: i64,
    /// And of so many before it elects again (`observer.election.DelayMs`).
    pub election_delay_ms: i64,
    /// What an observer's choices come from, so that all choose differently.
    pub seed: u64,
}

impl Default for ObserverSettings {
    /// Java's.
    fn default() -> Self {
        Self {
            master_limit: None,
            reconnect_delay_ms: 0,
            election_delay_ms: 200,
            seed: 0,
        }
    }
}

impl ZabSettings {
    /// `initLimit`, in milliseconds.
    pub(crate) fn init_ms(&self) -> i64 {
        self.tick_ms.saturating_mul(self.init_limit)
    }

    /// `syncLimit`, in milliseconds.
    pub(crate) fn sync_ms(&self) -> i64 {
        self.tick_ms.saturating_mul(self.sync_limit)
    }
}
