//! What an operator has decided about sessions, types, quotas and identities.

use ox_proto::ServerId;
use ox_tree::TreeOptions;

use crate::auth::AuthSettings;

/// The settings of a core, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Goes into the session ids; a server alone has 1.
    pub server: ServerId,
    /// The length of an expiry bucket, in milliseconds.
    pub tick_ms: i64,
    /// The shortest session timeout granted, in milliseconds.
    pub min_session_timeout_ms: i32,
    /// The longest session timeout granted, in milliseconds.
    pub max_session_timeout_ms: i32,
    /// How the tree reads its transactions.
    pub tree: TreeOptions,
    /// Hard quotas refuse what exceeds them (`zookeeper.enforceQuota`).
    pub enforce_quota: bool,
    /// The longest record that may stand in the log, in bytes: longer ones could not be read back.
    pub max_record: usize,
    /// Reconfiguration is switched on (`reconfigEnabled`), which a server alone cannot do.
    pub reconfig_enabled: bool,
    /// Whether sessions may be known to this server alone.
    pub local_sessions: LocalSessions,
    /// A member that finds no leader serves reads (`readonlymode.enabled`).
    pub read_only: bool,
    /// A leader takes clients (`leaderServes`).
    pub leader_serves: bool,
    /// A closeSession transaction lists what it deletes (`closeSessionTxn.enabled`); off only as
    /// long as there are servers older than 3.6.
    pub close_session_lists: bool,
    /// Who counts as whom.
    pub auth: AuthSettings,
    /// When containers and TTL nodes are collected.
    pub reaper: ReaperSettings,
}

/// Whether sessions may be known to their own server alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalSessions {
    /// Every session is known to all servers.
    Off,
    /// `localSessionsEnabled`: such a session cannot have ephemerals.
    On,
    /// `localSessionsUpgradingEnabled` too: with its first ephemeral all servers come to know it.
    Upgrading,
}

/// When containers and TTL nodes are collected (`znode.container.*`).
#[derive(Clone, Copy, Debug)]
pub struct ReaperSettings {
    /// The pause between two looks at the tree, in milliseconds.
    pub check_interval_ms: i64,
    /// The pause between two candidates, in milliseconds.
    pub pause_ms: i64,
    /// A container that never had a child goes after this time; 0 is never.
    pub max_never_used_ms: i64,
}
