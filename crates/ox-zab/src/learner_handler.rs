//! What a server knows of its learners, and what it does with them whether it leads or is a follower
//! that observers connect to.
//!
//! Invariant: a learner that is still being brought to our history gets no packet of the broadcast
//! before UPTODATE. Source: `LearnerHandler.java`; quorum.md 6.3.

use std::collections::BTreeMap;

use bytes::Bytes;
use ox_mutant::{Mutant, is_on};
use ox_proto::{LearnerInfo, PacketType, QuorumPacket, ServerId, Zxid};

use crate::context::Context;
use crate::event::{LinkId, Output};

/// Connections that have not said who they are.
const MAX_STRANGERS: usize = 64;

/// How far a learner has come.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum HandlerState {
    /// It has not said who it is.
    Connected,
    /// It waits for the new epoch.
    AwaitsEpoch,
    /// It has been told the new epoch.
    AwaitsEpochAck,
    /// It has accepted the new epoch and waits until a quorum has.
    AwaitsElection { last: Zxid },
    /// It holds more of this epoch than we have committed, and waits until we have caught up.
    AwaitsHistory { last: Zxid },
    /// The disk is searched for what it lacks.
    Searching { last: Zxid },
    /// It has been sent our history, and NEWLEADER.
    AwaitsAck,
    /// It holds our history and waits until a quorum does.
    AwaitsService,
    /// It serves clients.
    Serving,
}

#[derive(Clone, Debug, Hash)]
pub(crate) struct Handler {
    /// Meaningless before it has introduced itself.
    pub(crate) server: ServerId,
    /// It introduced itself as one that votes; whether its acks count the configuration says.
    pub(crate) votes: bool,
    pub(crate) state: HandlerState,
    /// When it was last heard from, in monotonic milliseconds.
    pub(crate) heard: i64,
    /// It is sent what is proposed and committed.
    pub(crate) forwards: bool,
    /// What it is sent once it is up to date: learners up to 3.9.2 cannot take commits before
    /// (ZOOKEEPER-4394).
    held: Vec<QuorumPacket>,
    /// It was sent our whole state, rather than what it lacked.
    pub(crate) by_state: bool,
    /// Bytes of its data.
    held_bytes: usize,
    /// The newest proposal sent to it.
    sent: Zxid,
    /// Since when it has acknowledged nothing, although something was sent.
    unacknowledged_since: Option<i64>,
}

impl Handler {
    fn new(now: i64) -> Self {
        Self {
            server: ServerId(0),
            votes: false,
            state: HandlerState::Connected,
            heard: now,
            forwards: false,
            held: Vec::new(),
            by_state: false,
            held_bytes: 0,
            sent: Zxid::ZERO,
            unacknowledged_since: None,
        }
    }

    /// Sends a packet of the broadcast, or keeps it until the learner can take it.
    pub(crate) fn forward(&mut self, cx: &mut Context<'_>, link: LinkId, packet: QuorumPacket) {
        if self.state == HandlerState::Serving {
            cx.send(link, packet);
        } else {
            self.held_bytes += packet.data.as_ref().map_or(0, Bytes::len);
            self.held.push(packet);
        }
    }

    /// Bytes of data in what it will be sent once it is up to date.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Bytes of memory that all of it takes, data that others share included.
    pub(crate) fn held_memory(&self) -> usize {
        self.held_bytes + self.held.len() * size_of::<QuorumPacket>()
    }

    pub(crate) fn proposed(&mut self, zxid: Zxid, now: i64) {
        self.sent = zxid;
        self.unacknowledged_since.get_or_insert(now);
    }

    pub(crate) fn acknowledged(&mut self, zxid: Zxid, now: i64) {
        self.unacknowledged_since = (zxid < self.sent).then_some(now);
    }

    /// True if a proposal has waited since before `limit` for an acknowledgement.
    pub(crate) fn is_behind(&self, limit: i64) -> bool {
        self.state == HandlerState::Serving
            && self.unacknowledged_since.is_some_and(|since| since < limit)
    }

    /// Lets the learner serve clients, and takes out what was kept until then. What it can be
    /// expected to say and to acknowledge, it can from now on.
    fn release(&mut self, now: i64) -> Vec<QuorumPacket> {
        self.state = HandlerState::Serving;
        self.heard = now;
        self.unacknowledged_since = self.unacknowledged_since.map(|_| now);
        self.held_bytes = 0;
        std::mem::take(&mut self.held)
    }

    /// True once it has accepted the new epoch.
    fn has_acked_epoch(&self) -> bool {
        match self.state {
            HandlerState::Connected | HandlerState::AwaitsEpoch | HandlerState::AwaitsEpochAck => {
                false
            }
            HandlerState::AwaitsElection { .. }
            | HandlerState::AwaitsHistory { .. }
            | HandlerState::Searching { .. }
            | HandlerState::AwaitsAck
            | HandlerState::AwaitsService
            | HandlerState::Serving => true,
        }
    }

    /// True once everything up to NEWLEADER is on its way.
    pub(crate) fn has_history(&self) -> bool {
        self.is_synchronized() || self.state == HandlerState::AwaitsAck
    }

    /// True once it holds our history.
    pub(crate) fn is_synchronized(&self) -> bool {
        matches!(
            self.state,
            HandlerState::AwaitsService | HandlerState::Serving
        )
    }
}

/// How a learner has introduced itself.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Introduction {
    pub(crate) server: ServerId,
    /// It follows rather than observes.
    pub(crate) votes: bool,
    /// The epoch that it has accepted.
    pub(crate) accepted: u32,
}

impl Introduction {
    /// Reads FOLLOWERINFO or OBSERVERINFO.
    ///
    /// # Errors
    /// Why it cannot be served.
    pub(crate) fn read(cx: &Context<'_>, packet: &QuorumPacket) -> Result<Self, String> {
        let votes = match packet.r#type {
            PacketType::FollowerInfo => true,
            PacketType::ObserverInfo => is_on(Mutant::M04),
            other => return Err(format!("its first packet is {other:?}")),
        };
        let Some(Ok(info)) = packet.data.as_deref().map(LearnerInfo::parse) else {
            return Err("it does not say who it is".into());
        };
        if info.protocol_version < LearnerInfo::PROTOCOL {
            return Err("it speaks the protocol from before 3.4".into());
        }
        if info.config_version > cx.configs.committed().version {
            return Err("its configuration is newer than ours".into());
        }
        if info.server == cx.settings.own {
            return Err("it bears our own id".into());
        }
        Ok(Self {
            server: info.server,
            votes,
            accepted: packet.zxid.epoch(),
        })
    }
}

/// What a learner has answered to the new epoch.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct EpochAck {
    /// Its current epoch; -1 if it has answered for this epoch before.
    pub(crate) current: i64,
    /// Its last zxid.
    pub(crate) last: Zxid,
}

impl EpochAck {
    /// Reads ACKEPOCH; `None` if it is none.
    pub(crate) fn read(packet: &QuorumPacket) -> Option<Self> {
        let data = packet.data.as_deref()?;
        let current = data.first_chunk::<4>()?;
        (packet.r#type == PacketType::AckEpoch).then(|| Self {
            current: i64::from(i32::from_be_bytes(*current)).max(-1),
            last: packet.zxid,
        })
    }
}

/// All learners, by connection.
#[derive(Clone, Debug, Hash, Default)]
pub(crate) struct Handlers(BTreeMap<LinkId, Handler>);

impl Handlers {
    /// Someone has connected.
    pub(crate) fn accepted(&mut self, cx: &mut Context<'_>, link: LinkId) {
        let strangers = self
            .0
            .iter()
            .filter(|(_, handler)| handler.state == HandlerState::Connected);
        // Learners speak at once, so it is not they whose place is taken.
        if strangers.clone().count() >= MAX_STRANGERS
            && let Some((&oldest, _)) = strangers.min_by_key(|(_, handler)| handler.heard)
        {
            self.drop_link(cx, oldest, "too many do not say who they are");
        }
        self.0.insert(link, Handler::new(cx.now));
        let after_ms = cx.settings.init_ms();
        cx.output(Output::ReadTimeout { link, after_ms });
    }

    /// A connection has ended.
    pub(crate) fn closed(&mut self, cx: &mut Context<'_>, link: LinkId) {
        if let Some(handler) = self.0.remove(&link)
            && handler.state != HandlerState::Connected
        {
            tracing::info!(sid = handler.server.0, "a learner has gone");
            cx.output(Output::LearnerGone { link });
        }
    }

    /// Ends a connection from our side.
    pub(crate) fn drop_link(&mut self, cx: &mut Context<'_>, link: LinkId, reason: &str) {
        if let Some(handler) = self.0.get(&link) {
            tracing::warn!(sid = handler.server.0, "dropping a learner: {reason}");
        }
        cx.close(link);
        self.closed(cx, link);
    }

    /// Ends the other connections of a server that is about to be synchronized. What is still on its
    /// way by them may acknowledge records that it will be told to cut.
    pub(crate) fn drop_earlier_links(&mut self, cx: &mut Context<'_>, link: LinkId) {
        let server = self.known(link).server;
        for other in self.links(|handler| handler.server == server && handler.has_acked_epoch()) {
            if other != link {
                self.drop_link(cx, other, "it has connected again");
            }
        }
    }

    /// Ends every connection.
    pub(crate) fn close_all(&mut self, cx: &mut Context<'_>) {
        for &link in self.0.keys() {
            cx.close(link);
        }
        self.0.clear();
    }

    pub(crate) fn get(&self, link: LinkId) -> Option<&Handler> {
        self.0.get(&link)
    }

    pub(crate) fn get_mut(&mut self, link: LinkId) -> Option<&mut Handler> {
        self.0.get_mut(&link)
    }

    /// One that the caller has looked up before.
    pub(crate) fn known(&mut self, link: LinkId) -> &mut Handler {
        self.get_mut(link).expect("the caller has looked it up")
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Handler> {
        self.0.values()
    }

    /// Those that serve clients: who, and whether it follows rather than observes.
    pub(crate) fn serving(&self) -> impl Iterator<Item = (ServerId, bool)> {
        self.values()
            .filter(|handler| handler.state == HandlerState::Serving)
            .map(|handler| (handler.server, handler.votes))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (LinkId, &mut Handler)> {
        self.0.iter_mut().map(|(&link, handler)| (link, handler))
    }

    /// The connections of those that are in a state.
    pub(crate) fn links(&self, is_wanted: impl Fn(&Handler) -> bool) -> Vec<LinkId> {
        let wanted = self.0.iter().filter(|(_, handler)| is_wanted(handler));
        wanted.map(|(&link, _)| link).collect()
    }

    /// A learner has said who it is.
    pub(crate) fn introduced(&mut self, link: LinkId, introduction: Introduction) {
        let Introduction {
            server,
            votes,
            accepted,
        } = introduction;
        let handler = self.known(link);
        handler.server = server;
        handler.votes = votes;
        handler.state = HandlerState::AwaitsEpoch;
        tracing::info!(
            sid = server.0,
            "a {} has connected, accepted epoch {accepted:#x}",
            if votes { "follower" } else { "observer" },
        );
    }

    pub(crate) fn announce_epoch(&mut self, cx: &mut Context<'_>, link: LinkId, epoch: u32) {
        self.known(link).state = HandlerState::AwaitsEpochAck;
        let protocol = Bytes::copy_from_slice(&LearnerInfo::PROTOCOL.to_be_bytes());
        let zxid = Zxid::new(epoch, 0);
        cx.send(
            link,
            QuorumPacket::with_data(PacketType::LeaderInfo, zxid, protocol),
        );
    }

    /// A learner says that it holds our history. False if it has said so before, or means another
    /// epoch.
    pub(crate) fn synchronized(&mut self, link: LinkId, zxid: Zxid, epoch: u32) -> bool {
        let handler = self.known(link);
        if handler.state != HandlerState::AwaitsAck || zxid.epoch() != epoch {
            return false;
        }
        handler.state = HandlerState::AwaitsService;
        true
    }

    /// Lets a learner serve clients, and sends what was held back from it meanwhile. If it was sent
    /// a state, which may show what is committed there, a ping with `zxid` says that this was all.
    pub(crate) fn release(&mut self, cx: &mut Context<'_>, link: LinkId, zxid: Zxid) {
        let handler = self.known(link);
        let by_state = handler.by_state;
        let held = handler.release(cx.now);
        tracing::info!(sid = handler.server.0, "a learner is up to date");
        // It had nothing to say since it acknowledged NEWLEADER, however long others took for that.
        let after_ms = cx.settings.sync_ms();
        cx.output(Output::ReadTimeout { link, after_ms });
        cx.send_bare(link, PacketType::UpToDate, QuorumPacket::NO_ZXID);
        for packet in held {
            cx.send(link, packet);
        }
        if by_state {
            cx.send_bare(link, PacketType::Ping, zxid);
        }
    }

    /// Sends a packet to a learner that serves clients.
    pub(crate) fn send(&self, cx: &mut Context<'_>, link: LinkId, packet: QuorumPacket) {
        let serves = |handler: &Handler| handler.state == HandlerState::Serving;
        if self.get(link).is_some_and(serves) {
            cx.send(link, packet);
        }
    }
}

/// What is sent when a transaction commits that is in our history: to who votes that it does, to
/// others the transaction. One that changes the members names the server that is to lead then.
pub(crate) fn commit_of(
    cx: &Context<'_>,
    zxid: Zxid,
    votes: bool,
    designated: Option<ServerId>,
) -> QuorumPacket {
    let entry = || {
        let entry = cx.history.behind(Zxid(zxid.0 - 1)).next();
        entry.expect("what is not committed is in memory")
    };
    let Some(leader) = designated else {
        return match votes {
            true => QuorumPacket::bare(PacketType::Commit, zxid),
            false => {
                QuorumPacket::with_data(PacketType::Inform, zxid, Bytes::clone(&entry().payload))
            }
        };
    };
    let mut data = leader.0.to_be_bytes().to_vec();
    if votes {
        return QuorumPacket::with_data(PacketType::CommitAndActivate, zxid, data);
    }
    data.extend_from_slice(&entry().payload);
    QuorumPacket::with_data(PacketType::InformAndActivate, zxid, data)
}
