//! What the leader knows of one learner.

use ox_proto::{QuorumPacket, ServerId, Zxid};

use crate::context::Context;
use crate::event::LinkId;

/// How far a learner has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandlerState {
    /// It has not said who it is.
    Connected,
    /// It waits for the new epoch.
    AwaitsEpoch,
    /// It has been told the new epoch.
    AwaitsEpochAck,
    /// It has accepted the new epoch and waits until a quorum has.
    AwaitsElection { last: Zxid },
    /// The disk is searched for what it lacks.
    Searching { last: Zxid },
    /// It has been sent our history, and NEWLEADER.
    AwaitsAck,
    /// It holds our history and waits until a quorum does.
    AwaitsService,
    /// It serves clients.
    Serving,
}

#[derive(Debug)]
pub(super) struct Handler {
    /// Meaningless before it has introduced itself.
    pub(super) server: ServerId,
    /// It introduced itself as one that votes; whether its acks count the configuration says.
    pub(super) votes: bool,
    pub(super) state: HandlerState,
    /// When it was last heard from, in monotonic milliseconds.
    pub(super) heard: i64,
    /// It is sent what is proposed and committed.
    pub(super) forwards: bool,
    /// What it is sent once it is up to date: learners up to 3.9.2 cannot take commits before
    /// (ZOOKEEPER-4394).
    pub(super) held: Vec<QuorumPacket>,
    /// The newest proposal sent to it.
    sent: Zxid,
    /// Since when it has acknowledged nothing, although something was sent.
    unacknowledged_since: Option<i64>,
}

impl Handler {
    pub(super) fn new(now: i64) -> Self {
        Self {
            server: ServerId(0),
            votes: false,
            state: HandlerState::Connected,
            heard: now,
            forwards: false,
            held: Vec::new(),
            sent: Zxid::ZERO,
            unacknowledged_since: None,
        }
    }

    /// Sends a packet of the broadcast, or keeps it until the learner can take it.
    pub(super) fn forward(&mut self, cx: &mut Context<'_>, link: LinkId, packet: QuorumPacket) {
        if self.state == HandlerState::Serving {
            cx.send(link, packet);
        } else {
            self.held.push(packet);
        }
    }

    /// Lets the learner serve clients, and takes out what was kept until then. What it can be
    /// expected to say and to acknowledge, it can from now on.
    pub(super) fn release(&mut self, now: i64) -> Vec<QuorumPacket> {
        self.state = HandlerState::Serving;
        self.heard = now;
        self.unacknowledged_since = self.unacknowledged_since.map(|_| now);
        std::mem::take(&mut self.held)
    }

    pub(super) fn proposed(&mut self, zxid: Zxid, now: i64) {
        self.sent = zxid;
        self.unacknowledged_since.get_or_insert(now);
    }

    pub(super) fn acknowledged(&mut self, zxid: Zxid, now: i64) {
        self.unacknowledged_since = (zxid < self.sent).then_some(now);
    }

    /// True if a proposal has waited since before `limit` for an acknowledgement.
    pub(super) fn is_behind(&self, limit: i64) -> bool {
        self.state == HandlerState::Serving
            && self.unacknowledged_since.is_some_and(|since| since < limit)
    }

    /// True once it has accepted the new epoch.
    pub(super) fn has_acked_epoch(&self) -> bool {
        match self.state {
            HandlerState::Connected | HandlerState::AwaitsEpoch | HandlerState::AwaitsEpochAck => {
                false
            }
            HandlerState::AwaitsElection { .. }
            | HandlerState::Searching { .. }
            | HandlerState::AwaitsAck
            | HandlerState::AwaitsService
            | HandlerState::Serving => true,
        }
    }

    /// True once everything up to NEWLEADER is on its way.
    pub(super) fn has_history(&self) -> bool {
        self.is_synchronized() || self.state == HandlerState::AwaitsAck
    }

    /// True once it holds our history.
    pub(super) fn is_synchronized(&self) -> bool {
        matches!(
            self.state,
            HandlerState::AwaitsService | HandlerState::Serving
        )
    }
}
