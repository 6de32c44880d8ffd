//! The two TCP meshes of an ensemble: votes between all servers, and packets between a leader and
//! its learners.
//!
//! Invariant: nothing here decides anything. A mesh moves bytes; who is sent what, and what it
//! means, is the caller's. No peer, known or not, can make a mesh wait for it, or keep more memory
//! than the named bounds say. Absent: what a vote or a packet means, and epochs, zxids and quorums.

mod election_link;
#[cfg(test)]
mod golden;
mod learner_link;
mod lobby;
mod quorum_auth;
mod secure;
mod socket;

pub use election_link::{ElectionMesh, ElectionSettings, Heard, Members, Votes};
pub use learner_link::{
    BoxError, CloseReason, LearnerListener, LearnerMesh, Link, LinkEvent, LinkId, LinkSettings,
    Port, ServesObservers, SnapshotSink, Source,
};

pub use quorum_auth::QuorumAuth;

/// The parts without sockets, for whoever brings sockets of another kind, such as a simulation.
pub mod parts {
    pub use crate::election_link::peers::{Candidates, Peers, Registered, Verdict};
    pub use crate::learner_link::inbound::{Inbound, Snapshot, Step};
}
