//! What a server is to its clients and its ensemble, for those who ask.

use ox_proto::{PeerState, ServerId};
use ox_replica::Mode;

/// The standing of a server. The core task keeps it; words and the log thread look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// What it is to clients; `None` while it serves none.
    pub(crate) mode: Option<Mode>,
    /// Of the leader it serves under.
    pub(crate) epoch: u32,
    /// What it is doing in the ensemble; `None` on a server that is alone.
    pub(crate) state: Option<PeerState>,
    /// Whom it follows, or itself.
    pub(crate) leader: Option<ServerId>,
    /// The learners of a leader that serve clients: who, and whether it follows or observes.
    pub(crate) learners: Vec<(ServerId, bool)>,
    /// Proposals of a leader that wait for their commit.
    pub(crate) outstanding_proposals: usize,
}

impl Standing {
    /// Whether clients are served.
    pub(crate) fn is_serving(&self) -> bool {
        self.mode.is_some()
    }
}
