//! How a server keeps its disk.

use ox_tree::TreeOptions;
use ox_txnlog::{Compression, LogConfig, ReplayOptions};

use crate::config_files::ConfigFiles;

/// How a server keeps its disk.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// How the log is written.
    pub log: LogConfig,
    /// How snapshots are stored.
    pub compression: Compression,
    /// How the tree reads its transactions.
    pub tree: TreeOptions,
    /// The longest record that a start can read back, in bytes.
    pub max_record: usize,
    /// Logs without a snapshot are replayed onto an empty tree (`snapshot.trust.empty`).
    pub trust_empty: bool,
    /// What a member of an ensemble keeps besides; `None` on a server that is alone.
    pub member: Option<MemberSettings>,
    /// Where a changed ensemble is written down (`reconfigEnabled`).
    pub config_files: Option<ConfigFiles>,
    /// A snapshot is due after about so many transactions (`snapCount`).
    pub snapshot_every_txns: u32,
    /// And after about so many bytes of log (`snapSizeLimitInKb`).
    pub snapshot_every_bytes: Option<u64>,
    /// For the tree's tables.
    pub hash_seed: u64,
}

/// What a member of an ensemble keeps on its disk, or for others.
#[derive(Clone, Copy, Debug)]
pub struct MemberSettings {
    /// Entries of the log that are kept in memory for learners (`commitLogCount`).
    pub commit_log_count: usize,
    /// A learner is sent a stretch of the log up to so many times the size of a snapshot; `None`
    /// never (`snapshotSizeFactor`).
    pub snapshot_size_factor: Option<f64>,
    /// An empty directory may begin with an empty tree (`db.autocreate`).
    pub begins_empty: bool,
    /// What is damaged is set aside, and the state asked of the others (`--repair-from-peers`).
    pub repairs: bool,
}

impl StoreSettings {
    pub(crate) fn replay_options(&self) -> ReplayOptions {
        ReplayOptions {
            max_record: self.max_record,
            ..ReplayOptions::default()
        }
    }
}
