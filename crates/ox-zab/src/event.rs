//! What can happen to a member of an ensemble, and what it wants done.
//!
//! Outputs to one destination keep their order, and so do those for the disk, which must perform
//! them one after the other and report each when it is durable. Nothing else has an order: what
//! must wait for the disk is held back here until the disk's answer comes in. Source: quorum.md
//! chapters 3 to 9.

use std::sync::Arc;

use bytes::Bytes;
use ox_proto::{EnsembleConfig, Id, Notification, QuorumPacket, ServerId, TxnRecord, Zxid};

/// Names a connection of the learner port; never given twice within one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// What can happen.
#[derive(Clone, Debug, Hash)]
pub enum Input {
    /// A vote from another server.
    Notification {
        /// Who sent it, as the connection says.
        from: ServerId,
        /// What it says.
        notification: Notification,
    },
    /// A server has closed its election connection, and there is no other with it.
    Silenced {
        /// Who.
        server: ServerId,
    },
    /// Someone has connected to our quorum port.
    Accepted {
        /// The connection.
        link: LinkId,
    },
    /// Someone has connected to our observer master port.
    AcceptedObserver {
        /// The connection.
        link: LinkId,
    },
    /// What came of [`Output::Dial`] or [`Output::DialMaster`]: the connection, or none.
    Dialed {
        /// Whom the output named.
        server: ServerId,
        /// `None` if it could not be reached.
        link: Option<LinkId>,
    },
    /// A connection has ended.
    Closed {
        /// The connection.
        link: LinkId,
    },
    /// A packet has come.
    Received {
        /// By this connection.
        link: LinkId,
        /// The packet.
        packet: QuorumPacket,
    },
    /// The state that a SNAP packet announced has come whole, and the database holds it now.
    Replaced {
        /// The connection it came by.
        link: LinkId,
    },
    /// Every entry up to and including this zxid is in the log, on stable storage.
    Flushed(Zxid),
    /// A request to the disk is done, and durable.
    Done(DiskDone),
    /// What [`Output::Search`] has found.
    Found {
        /// The connection it was for.
        link: LinkId,
        /// What the log holds.
        found: LogSearch,
    },
    /// The time that `poll_timeout` asked for has come.
    Timeout {
        /// Whether what was sent to the others in the election has left, to some at least.
        delivered: bool,
    },
}

/// What the disk is asked for besides log entries. Order matters among these and the entries.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub enum DiskRequest {
    /// Store the accepted epoch.
    AcceptEpoch(u32),
    /// Say beside the current epoch which one it will be once what follows is on the disk, so that
    /// a crash in between leaves a folder that can be understood.
    AnnounceEpoch(u32),
    /// Store the current epoch.
    EnterEpoch(u32),
    /// Cut everything behind this zxid out of log and snapshots. With `reload` the database is
    /// read anew from what is left.
    Truncate {
        /// What stays.
        to: Zxid,
        /// Whether the database has applied some of what goes.
        reload: bool,
    },
    /// Write the database as a snapshot, in place of all that is there behind it.
    Install,
    /// Read the database anew from the disk.
    Reload,
    /// Note a configuration that has been proposed.
    NoteConfig(Arc<EnsembleConfig>),
    /// Make a configuration the one that the next start goes by, and forget the noted one if it is
    /// not newer.
    EnterConfig(Arc<EnsembleConfig>),
}

/// A [`DiskRequest`] that is done.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum DiskDone {
    /// The accepted epoch is stored.
    EpochAccepted(u32),
    /// It is said which epoch comes.
    EpochAnnounced(u32),
    /// The current epoch is stored, and everything appended before it too.
    EpochEntered(u32),
    /// The log ends at `last`; the database too if it had to be reloaded.
    Truncated {
        /// The last entry that is left, or the snapshot's zxid.
        last: Zxid,
    },
    /// What would be left does not lead to the place of the cut, for instance because the only
    /// snapshot was taken behind it. Nothing has changed.
    NotTruncated,
    /// The snapshot stands, and nothing else behind it.
    Installed {
        /// Its zxid.
        last: Zxid,
    },
    /// The database holds what the disk holds.
    Reloaded {
        /// The last entry of the log.
        last: Zxid,
    },
    /// A configuration is noted or entered, or could not be: the log has it in any case.
    ConfigKept,
}

/// What the log on disk can do for a learner whose last zxid is older than what memory holds.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum LogSearch {
    /// The learner's last entry is in the log, and all behind it.
    Found,
    /// It is not, but there are entries around it and everything behind them.
    Between {
        /// The newest entry before it.
        before: Zxid,
        /// The oldest entry behind it.
        behind: Zxid,
    },
    /// The log does not reach back so far, or to send all of it costs more than a snapshot.
    Unusable,
}

/// Which role a server has, once it has one.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Role {
    /// It leads.
    Leading,
    /// It follows: it votes, or has the right to introduce itself like one that does.
    Following,
    /// It observes.
    Observing,
}

/// What a member wants done.
#[derive(Clone, Debug, Hash, PartialEq)]
pub enum Output {
    /// Send a vote; the newest to a server replaces those that have not left.
    Notify {
        /// To whom.
        to: ServerId,
        /// The vote.
        notification: Notification,
    },
    /// Connect the election ports of all members that are not connected.
    DialPeers,
    /// Connect to the quorum port of a server, and answer with [`Input::Dialed`].
    Dial {
        /// Which.
        server: ServerId,
    },
    /// Connect to the observer master port of a server, and answer with [`Input::Dialed`].
    DialMaster {
        /// Which.
        server: ServerId,
    },
    /// Send a packet.
    Send {
        /// By this connection.
        link: LinkId,
        /// The packet.
        packet: QuorumPacket,
    },
    /// Send the log entries behind `after` up to `to` from the disk, each as a proposal and its
    /// commit. If they are not all there any more, end the connection: a learner does not notice
    /// what is missing before another epoch.
    SendLog {
        /// By this connection.
        link: LinkId,
        /// The learner has this one.
        after: Zxid,
        /// The last to be sent.
        to: Zxid,
    },
    /// Send the whole state, without any packet around it. It may be taken later than what goes
    /// before it, but not after a [`Output::Close`]: then it is no leader's any more.
    SendState {
        /// By this connection.
        link: LinkId,
    },
    /// From now on so many milliseconds of silence end the connection.
    ReadTimeout {
        /// The connection.
        link: LinkId,
        /// Milliseconds.
        after_ms: i64,
    },
    /// End a connection once everything queued has left, or at once if a state is among that.
    Close {
        /// The connection.
        link: LinkId,
    },
    /// Find out what the log on disk can do for a learner; answer with [`Input::Found`].
    Search {
        /// The connection.
        link: LinkId,
        /// The learner's last zxid.
        zxid: Zxid,
        /// Memory holds everything behind this one.
        to: Zxid,
    },
    /// Write this to the log; `Flushed` must follow.
    Append {
        /// The transaction.
        record: Box<TxnRecord>,
        /// The same, encoded.
        payload: Bytes,
    },
    /// Do this on disk, behind what was asked before, and answer with [`Input::Done`].
    Disk(DiskRequest),
    /// Everything appended behind this zxid is void and will not be committed.
    Forget {
        /// The last entry that counts.
        after: Zxid,
    },
    /// The oldest entry that was not committed is: apply it.
    Commit(Zxid),
    /// A committed transaction that the database may hold already, after a snapshot: apply it
    /// where it changes anything. It is not in the log, and the next snapshot stands for it.
    Apply {
        /// The transaction.
        record: Box<TxnRecord>,
    },
    /// The configurations have changed: these are where the members are, and where we are.
    Members {
        /// The one in force.
        committed: Arc<EnsembleConfig>,
        /// The newest that was proposed; the same if none is pending.
        last_seen: Arc<EnsembleConfig>,
    },
    /// Serve clients from now on.
    Serve {
        /// In this role.
        role: Role,
        /// The epoch that begins.
        epoch: u32,
    },
    /// Serve no client any more.
    Retire,
    /// From a learner: a client's request.
    Request {
        /// The learner.
        link: LinkId,
        /// Session, cxid, opcode, body.
        data: Bytes,
        /// Who the client is.
        ids: Arc<[Id]>,
    },
    /// From a learner: it wants to take up a session.
    Revalidate {
        /// The learner.
        link: LinkId,
        /// Session and timeout.
        data: Bytes,
    },
    /// From a learner: the sessions that it has heard from. A follower has it from its observers,
    /// and tells the leader in turn.
    Touched {
        /// Pairs of session and timeout.
        data: Bytes,
    },
    /// A learner has gone.
    LearnerGone {
        /// The learner.
        link: LinkId,
    },
    /// From the leader: the oldest sync has come through.
    Synced,
    /// From the leader: whether a session may be taken up.
    Revalidated {
        /// Session and verdict.
        data: Bytes,
    },
    /// From the leader: say now which sessions you have heard from.
    Pinged {
        /// What the answer must carry.
        zxid: Zxid,
    },
}
