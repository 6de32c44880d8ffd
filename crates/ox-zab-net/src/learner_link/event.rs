//! What links tell their owner.

use std::any::Any;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use ox_jute::DecodeError;
use ox_proto::{QuorumPacket, Zxid};

use super::link::{Link, LinkId};

/// An error of somebody else's code.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Takes in the state that a leader sends behind SNAP, piece by piece.
///
/// When it is complete it comes back in [`LinkEvent::Snapshot`]; as [`Any`] it can be turned into
/// what it was again.
pub trait SnapshotSink: Any + Send {
    /// Takes whole records off the front of `window`. Returns how many bytes those were, and
    /// whether the state is complete; an incomplete record at the end is offered again, with more
    /// behind it. Called where it may take its time.
    ///
    /// # Errors
    /// The records are not what they should be. The link is closed.
    fn feed(&mut self, window: &[u8]) -> Result<(usize, bool), BoxError>;
}

impl fmt::Debug for dyn SnapshotSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SnapshotSink")
    }
}

/// A port at which learners are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The leader's, for followers and observers.
    Quorum,
    /// A follower's, for observers.
    ObserverMaster,
}

/// Something that happened to a link.
#[derive(Debug)]
pub enum LinkEvent {
    /// A learner has connected. Its introduction follows.
    Accepted {
        /// The link to it, which ends when it is dropped.
        link: Link,
        /// Where it came from.
        from: SocketAddr,
        /// Where it has connected to.
        port: Port,
    },
    /// A link that was dialed has reached the leader.
    Connected {
        /// Which one.
        link: LinkId,
        /// The address that answered.
        to: SocketAddr,
    },
    /// Packets have arrived, at least one.
    Packets {
        /// Where.
        link: LinkId,
        /// In the order in which they arrived.
        packets: Vec<QuorumPacket>,
    },
    /// The state behind the last packet, which was a SNAP, is complete.
    Snapshot {
        /// Where.
        link: LinkId,
        /// What that packet named.
        zxid: Zxid,
        /// What took it in.
        sink: Box<dyn SnapshotSink>,
    },
    /// The link is gone. Nothing follows.
    Closed {
        /// Which one.
        link: LinkId,
        /// Why.
        reason: CloseReason,
    },
}

/// Why a link is gone, except that its owner dropped it.
#[derive(Debug, thiserror::Error)]
pub enum CloseReason {
    /// No address of the leader could be connected to.
    #[error("cannot connect: {0}")]
    Unreachable(io::Error),
    /// The peer has closed it, behind a whole packet.
    #[error("the peer has closed it")]
    Ended,
    /// It broke, or ended within a packet.
    #[error("{0}")]
    Broken(io::Error),
    /// Nothing came for as long as a peer may be silent.
    #[error("nothing came for too long")]
    Silent,
    /// The peer took nothing of what was sent for as long as it may be silent.
    #[error("the peer takes nothing of what is sent to it")]
    Unread,
    /// More is queued than may be.
    #[error("{0} bytes are queued for the peer")]
    Backlog(usize),
    /// A packet that cannot be one.
    #[error("malformed packet: {0}")]
    Malformed(DecodeError),
    /// A [`Source`](super::Source) failed.
    #[error("what was to be sent cannot be read: {0}")]
    Source(io::Error),
    /// The state that the leader sent is wrong.
    #[error("the leader's snapshot cannot be taken in: {0}")]
    Snapshot(BoxError),
    /// The state that the leader sent does not end as it should.
    #[error("the leader's snapshot does not end with its signature")]
    Signature,
    /// A leader sends its state once at most.
    #[error("the leader sent a second snapshot")]
    SecondSnapshot,
}
