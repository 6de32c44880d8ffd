//! What an operator has decided about an ensemble's timing and synchronization.

use ox_proto::ServerId;

/// The settings of a member, checked.
#[derive(Clone, Debug)]
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
    /// The longest string or buffer within a transaction that is believed, in bytes.
    pub max_record: usize,
}

/// What a leader is told besides.
#[derive(Clone, Debug)]
pub struct LeaderSettings {
    /// A leader that has waited for so many milliseconds for a quorum's epochs gives up when it
    /// hears that a voter elects (`leader.maxTimeToWaitForEpoch`). `None` waits for `initLimit`.
    pub max_wait_for_epoch_ms: Option<i64>,
}

impl Default for LeaderSettings {
    /// Java's.
    fn default() -> Self {
        Self {
            max_wait_for_epoch_ms: None,
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
