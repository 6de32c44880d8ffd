//! What a server is to its clients.
//!
//! Source: `ZooKeeperServer.getState` and those that override it; operations.md 3.3 and 3.7.

use std::fmt;

use ox_zab::Role;

/// What a server is to its clients, while it serves any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is alone.
    Standalone,
    /// It leads an ensemble.
    Leader,
    /// It follows a leader, and votes or may come to.
    Follower,
    /// It observes.
    Observer,
    /// It has no leader, and serves reads to those who ask for no more.
    ReadOnly,
}

impl Mode {
    /// What a member is in this role.
    pub(crate) fn of_member(role: Role) -> Self {
        match role {
            Role::Leading => Self::Leader,
            Role::Following => Self::Follower,
            Role::Observing => Self::Observer,
        }
    }
}

/// As `srvr` and `mntr` call it.
impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standalone => "standalone",
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Observer => "observer",
            Self::ReadOnly => "read-only",
        })
    }
}
