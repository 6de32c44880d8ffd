//! A follower that observers connect to, in place of the leader.
//!
//! Observers are brought to this follower's own history, and are then sent what it commits. What
//! they ask goes to the leader as if this follower had asked. The leader answers syncs and
//! revalidations in the order in which it was asked, so it is kept whose turn it is.
//!
//! Invariants: observers are served only while this follower serves, and only what it has committed
//! itself; who wants to follow is refused; what an observer holds of this epoch is never truncated;
//! an observer that takes too long is dropped rather than
//! kept more for. Where Java keeps the last committed transactions, to close the gap behind what an
//! observer was sent whole, no gap arises here. Source: `ObserverMaster.java`, `LearnerHandler.java`;
//! quorum.md 12.2.

use std::collections::VecDeque;

use bytes::Bytes;
use ox_proto::{OpCode, PacketType, QuorumPacket, ServerId, Zxid};

use crate::context::Context;
use crate::event::{LinkId, LogSearch, Output};
use crate::learner_handler::{EpochAck, Handler, HandlerState, Handlers, Introduction, commit_of};
use crate::sync::Ours;

/// Questions of observers that the leader has not answered. Whoever asks more does not wait for
/// answers.
const MAX_ASKED: usize = 1 << 16;

/// Who has asked the leader something.
type Asker = Option<LinkId>;

/// This follower itself.
const OURSELVES: Asker = None;

/// A session that somebody wants to take up.
#[derive(Clone, Debug, Hash)]
struct Revalidation {
    asker: Asker,
    /// Session and timeout.
    data: Bytes,
}

#[derive(Clone, Debug, Hash)]
pub(crate) struct ObserverMaster {
    /// The leader's connection.
    leader: LinkId,
    /// The leader's epoch.
    epoch: u32,
    /// Bytes that are kept for one observer that is still being synchronized.
    limit: usize,
    handlers: Handlers,
    /// Syncs that the leader has not answered.
    syncs: VecDeque<Asker>,
    revalidations: VecDeque<Revalidation>,
    /// When observers are pinged next.
    next_ping: i64,
}

impl ObserverMaster {
    /// Begins, as this follower serves from now on.
    pub(crate) fn new(cx: &Context<'_>, leader: LinkId, epoch: u32, limit: usize) -> Self {
        Self {
            leader,
            epoch,
            limit,
            handlers: Handlers::default(),
            syncs: VecDeque::new(),
            revalidations: VecDeque::new(),
            next_ping: cx.now,
        }
    }

    pub(crate) fn handlers(&self) -> &Handlers {
        &self.handlers
    }

    /// Someone has connected.
    pub(crate) fn accepted(&mut self, cx: &mut Context<'_>, link: LinkId) {
        self.handlers.accepted(cx, link);
    }

    /// A connection has ended.
    pub(crate) fn closed(&mut self, cx: &mut Context<'_>, link: LinkId) {
        self.handlers.closed(cx, link);
    }

    /// Ends every connection.
    pub(crate) fn resign(&mut self, cx: &mut Context<'_>) {
        self.handlers.close_all(cx);
    }

    pub(crate) fn received(&mut self, cx: &mut Context<'_>, link: LinkId, packet: QuorumPacket) {
        let Some(handler) = self.handlers.get(link) else {
            return;
        };
        match handler.state {
            HandlerState::Connected => self.introduction(cx, link, &packet),
            HandlerState::AwaitsEpochAck => self.epoch_ack(cx, link, &packet),
            HandlerState::AwaitsAck if packet.r#type == PacketType::Ack => {
                if self.handlers.synchronized(link, packet.zxid, self.epoch) {
                    let zxid = self.last_processed(cx);
                    self.handlers.release(cx, link, zxid);
                }
            }
            HandlerState::Serving => self.hear(cx, link, packet),
            HandlerState::AwaitsEpoch
            | HandlerState::AwaitsElection { .. }
            | HandlerState::AwaitsHistory { .. }
            | HandlerState::Searching { .. }
            | HandlerState::AwaitsAck
            | HandlerState::AwaitsService => {
                let reason = format!("it has spoken out of turn: {:?}", packet.r#type);
                self.handlers.drop_link(cx, link, &reason);
            }
        }
    }

    fn introduction(&mut self, cx: &mut Context<'_>, link: LinkId, packet: &QuorumPacket) {
        let introduction = match Introduction::read(cx, packet) {
            Ok(introduction) if introduction.votes => {
                let reason = "it wants to follow, and this server does not lead";
                return self.handlers.drop_link(cx, link, reason);
            }
            Ok(introduction) => introduction,
            Err(reason) => return self.handlers.drop_link(cx, link, &reason),
        };
        self.handlers.introduced(link, introduction);
        self.handlers.announce_epoch(cx, link, self.epoch);
    }

    fn epoch_ack(&mut self, cx: &mut Context<'_>, link: LinkId, packet: &QuorumPacket) {
        let Some(EpochAck { last, .. }) = EpochAck::read(packet) else {
            return self
                .handlers
                .drop_link(cx, link, "it has not acknowledged the epoch");
        };
        self.handlers.drop_earlier_links(cx, link);
        self.handlers.known(link).state = HandlerState::AwaitsHistory { last };
        self.synchronize_if_ready(cx, link);
    }

    /// An observer may come from a server that has committed more than we have. All of that comes
    /// to us too, unless the epoch ends; to have it truncated would show its clients an older
    /// state.
    fn synchronize_if_ready(&mut self, cx: &mut Context<'_>, link: LinkId) {
        let ours = self.ours(cx);
        if let HandlerState::AwaitsHistory { last } = self.handlers.known(link).state
            && (last <= ours.last_processed || last.epoch() != self.epoch)
        {
            self.handlers.synchronize(cx, link, ours, last);
        }
    }

    /// What the log on disk can do for an observer.
    pub(crate) fn found(&mut self, cx: &mut Context<'_>, link: LinkId, found: LogSearch) {
        let ours = self.ours(cx);
        self.handlers.synchronize_from_disk(cx, link, ours, found);
    }

    /// What observers are brought to.
    fn ours(&self, cx: &Context<'_>) -> Ours {
        Ours {
            epoch: self.epoch,
            is_established: true,
            last_processed: self.last_processed(cx),
        }
    }

    fn last_processed(&self, cx: &Context<'_>) -> Zxid {
        cx.history.committed().max(Zxid::new(self.epoch, 0))
    }

    /// A packet of an observer that serves clients.
    fn hear(&mut self, cx: &mut Context<'_>, link: LinkId, packet: QuorumPacket) {
        match packet.r#type {
            PacketType::Ack => {}
            PacketType::Ping => {
                let data = packet.data.unwrap_or_default();
                cx.output(Output::Touched { data });
            }
            PacketType::Request | PacketType::Revalidate => {
                if MAX_ASKED <= self.syncs.len() + self.revalidations.len() {
                    self.handlers.drop_link(cx, link, "it asks too much");
                    return;
                }
                self.note(Some(link), &packet);
                cx.send(self.leader, packet);
            }
            other => tracing::warn!("ignoring a packet of an observer: {other:?}"),
        }
    }

    /// This follower asks the leader something itself.
    pub(crate) fn asks(&mut self, packet: &QuorumPacket) {
        self.note(OURSELVES, packet);
    }

    /// Keeps who has asked, if there will be an answer.
    fn note(&mut self, asker: Asker, packet: &QuorumPacket) {
        let data = packet.data.clone().unwrap_or_default();
        match packet.r#type {
            PacketType::Request if op_of(&data) == Some(OpCode::Sync.code()) => {
                self.syncs.push_back(asker);
            }
            PacketType::Revalidate => self.revalidations.push_back(Revalidation { asker, data }),
            _ => {}
        }
    }

    /// The oldest sync has come through. False if it was one of our own.
    pub(crate) fn synced(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(Some(link)) = self.syncs.pop_front() else {
            return false;
        };
        let packet = QuorumPacket::bare(PacketType::Sync, Zxid::ZERO);
        self.handlers.send(cx, link, packet);
        true
    }

    /// The leader knows whether a session may be taken up. False if we have asked for it ourselves.
    pub(crate) fn revalidated(&mut self, cx: &mut Context<'_>, packet: &QuorumPacket) -> bool {
        let answer = packet.data.as_deref().unwrap_or_default();
        let session = answer.first_chunk::<8>();
        let is_asked_for = |asked: &Revalidation| asked.data.first_chunk::<8>() == session;
        if !self.revalidations.front().is_some_and(is_asked_for) {
            return false;
        }
        let Some(Revalidation {
            asker: Some(link),
            data,
        }) = self.revalidations.pop_front()
        else {
            return false;
        };
        self.handlers.send(cx, link, packet.clone());
        if answer.get(8) == Some(&1) {
            cx.output(Output::Touched { data });
        }
        true
    }

    /// A transaction is about to be committed.
    pub(crate) fn commits(
        &mut self,
        cx: &mut Context<'_>,
        zxid: Zxid,
        designated: Option<ServerId>,
    ) {
        let links = self.handlers.links(|handler| handler.forwards);
        if links.is_empty() {
            return;
        }
        let inform = commit_of(cx, zxid, false, designated);
        for link in links {
            let handler = self.handlers.known(link);
            handler.forward(cx, link, inform.clone());
            if self.limit < handler.held_bytes() {
                let reason = "it lags more than observerMaster.sizeLimit";
                self.handlers.drop_link(cx, link, reason);
            }
        }
    }

    /// It is.
    pub(crate) fn committed(&mut self, cx: &mut Context<'_>) {
        let waits = |handler: &Handler| matches!(handler.state, HandlerState::AwaitsHistory { .. });
        for link in self.handlers.links(waits) {
            self.synchronize_if_ready(cx, link);
        }
    }

    pub(crate) fn poll_timeout(&self) -> i64 {
        self.next_ping
    }

    /// Pings, if it is time.
    pub(crate) fn timeout(&mut self, cx: &mut Context<'_>) {
        if cx.now < self.next_ping {
            return;
        }
        self.next_ping = cx.now.saturating_add((cx.settings.tick_ms / 2).max(1));
        let zxid = self.last_processed(cx);
        for link in self.handlers.links(|handler| handler.has_history()) {
            cx.send_bare(link, PacketType::Ping, zxid);
        }
    }
}

/// The opcode of a forwarded request.
fn op_of(data: &[u8]) -> Option<i32> {
    let code = data.get(12..)?.first_chunk::<4>()?;
    Some(i32::from_be_bytes(*code))
}
