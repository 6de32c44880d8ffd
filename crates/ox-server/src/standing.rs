//! What a server is to its clients and its ensemble, for those who ask.

use std::sync::Arc;

use ox_proto::{EnsembleConfig, MemberRole, PeerState, ServerId};
use ox_replica::Mode;

/// The standing of a server. The core task keeps it; words and the log thread look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// What it is; `None` while it has no leader and serves nobody.
    pub(crate) mode: Option<Mode>,
    /// Clients are let in.
    pub(crate) serves: bool,
    /// When that began, in microseconds since the start.
    pub(crate) since: i64,
    /// Of the leader it serves under.
    pub(crate) epoch: u32,
    /// What it is doing in the ensemble; `None` on a server that is alone.
    pub(crate) state: Option<PeerState>,
    /// Who belongs to the ensemble, and whether this server votes.
    pub(crate) members: Option<(Arc<EnsembleConfig>, MemberRole)>,
    /// Since when it elects, in microseconds since the start.
    pub(crate) electing_since: Option<i64>,
    /// Whom it follows, or itself.
    pub(crate) leader: Option<ServerId>,
    /// The learners of a leader that serve clients: who, and whether it follows or observes.
    pub(crate) learners: Vec<(ServerId, bool)>,
    /// Syncs of learners that wait for a commit.
    pub(crate) pending_syncs: usize,
    /// Sessions that no other server knows.
    pub(crate) local_sessions: usize,
}

impl Standing {
    /// Whether what is applied here is committed for certain. A server without a leader may have
    /// to take some of it back.
    pub(crate) fn has_leader(&self) -> bool {
        match self.mode {
            Some(Mode::Standalone | Mode::Leader | Mode::Follower | Mode::Observer) => true,
            Some(Mode::ReadOnly) | None => false,
        }
    }
}
