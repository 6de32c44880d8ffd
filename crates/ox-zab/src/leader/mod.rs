//! The leader: agrees on a new epoch with a quorum, brings learners to its own history, then
//! broadcasts.
//!
//! Invariants: LEADERINFO leaves only when the epoch it names is durable here; no request is
//! proposed and no UPTODATE sent before a quorum has acknowledged NEWLEADER and our own current
//! epoch is durable; who does not vote never counts. A server answers for one epoch only once, so
//! of two leaders that try the same epoch at most one passes the second barrier. Source:
//! `Leader.java`, `LearnerHandler.java`; quorum.md chapter 6.

mod learner_handler;
mod sync;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ox_proto::{EnsembleConfig, LearnerInfo, PacketType, QuorumPacket, ServerId, Zxid};

use crate::broadcast::Broadcast;
use crate::context::{Context, Epochs};
use crate::event::{DiskDone, DiskRequest, LinkId, LogSearch, Output, Role};
use crate::quorum::{Quorums, Tracker};
use learner_handler::{Handler, HandlerState};

/// How far an epoch that a learner reports may be ahead of our own: so many elections in a row have
/// not failed while ours was the newest history. Whoever reports more makes epochs up, and there
/// are not many of them.
const MAX_EPOCH_JUMP: u32 = 1 << 16;

/// Connections that have not said who they are.
const MAX_STRANGERS: usize = 64;

/// How far the leader has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Waits until a quorum has said which epochs it has accepted.
    Epochs,
    /// Stores the new epoch as accepted.
    Accepting,
    /// Waits until a quorum has accepted the new epoch.
    EpochAcks,
    /// Waits until a quorum holds our history, and our own current epoch is stored.
    History,
    /// Broadcasts.
    Serving,
}

/// What the leader cannot do any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StepDown {
    /// A barrier has waited for too long.
    #[error("no quorum within initLimit")]
    NoQuorumInTime,
    /// Those that could make a quorum elect again, or have another leader.
    #[error("those who elected this server do not follow it")]
    Abandoned,
    /// Too few learners were heard from.
    #[error("no quorum of learners has been heard from within syncLimit")]
    QuorumLost,
    /// Our own disk takes too long.
    #[error("our own log has not been synced within syncLimit")]
    SlowDisk,
    /// The counter of this epoch is spent.
    #[error(
        "zxid lower 32 bits have rolled over, forcing re-election, and therefore new epoch start"
    )]
    Rollover,
}

#[derive(Debug)]
pub(crate) struct Leader {
    own: ServerId,
    quorums: Quorums,
    stage: Stage,
    /// When the barrier in front of us must have been passed.
    deadline: i64,
    /// Voters who have said which epoch they have accepted, and the highest of those.
    introduced: Tracker,
    highest_accepted: u32,
    /// The new epoch, from [`Stage::Accepting`] on.
    epoch: u32,
    /// Our current epoch and last zxid at the start.
    summary: (i64, Zxid),
    /// Voters who have accepted the new epoch.
    accepted: Tracker,
    /// Voters who hold our history, ourselves once our own current epoch is stored.
    ready: Tracker,
    handlers: BTreeMap<LinkId, Handler>,
    broadcast: Broadcast,
    /// When learners are pinged next, and how often that was done.
    next_round: i64,
    rounds: u64,
}

impl Leader {
    /// Begins to lead: everything in our log is our history.
    pub(crate) fn new(cx: &mut Context<'_>) -> Self {
        let own = cx.settings.own;
        let quorums = Quorums::new([Arc::clone(cx.config)]);
        let mut leader = Self {
            own,
            stage: Stage::Epochs,
            deadline: cx.now.saturating_add(cx.settings.init_ms()),
            introduced: quorums.tracker(),
            highest_accepted: cx.epochs.accepted,
            epoch: 0,
            summary: (cx.epochs.current_code(), cx.history.last()),
            accepted: quorums.tracker(),
            ready: quorums.tracker(),
            handlers: BTreeMap::new(),
            broadcast: Broadcast::new(own, quorums.clone(), cx.history.last()),
            next_round: cx.now,
            rounds: 0,
            quorums,
        };
        // What we hold is what all will hold: none of it can be taken back any more by ourselves.
        let tail: Vec<_> = cx.history.behind(cx.history.committed()).collect();
        let tail: Vec<_> = tail.into_iter().map(|entry| entry.zxid).collect();
        for zxid in tail {
            cx.history.commit(zxid);
            cx.output(Output::Commit(zxid));
        }
        leader.introduced.add(own);
        leader.choose_epoch(cx);
        leader
    }

    /// A server that is alone and leads from the start, without epochs, behind the history that
    /// ends in `last`.
    pub(crate) fn alone(own: ServerId, config: Arc<EnsembleConfig>, last: Zxid) -> Self {
        let quorums = Quorums::new([config]);
        Self {
            own,
            stage: Stage::Serving,
            deadline: i64::MAX,
            introduced: quorums.tracker(),
            highest_accepted: last.epoch(),
            epoch: last.epoch(),
            summary: (last.epoch().into(), last),
            accepted: quorums.tracker(),
            ready: quorums.tracker(),
            handlers: BTreeMap::new(),
            broadcast: Broadcast::new(own, quorums.clone(), last),
            next_round: i64::MAX,
            rounds: 0,
            quorums,
        }
    }

    /// Makes as if everything up to `last` had been proposed and committed.
    #[cfg(test)]
    pub(crate) fn go_on_behind(&mut self, last: Zxid) {
        self.broadcast = Broadcast::new(self.own, self.quorums.clone(), last);
    }

    pub(crate) fn is_serving(&self) -> bool {
        self.stage == Stage::Serving
    }

    /// Whether those voters that are connected or not known to be elsewhere are a quorum.
    pub(crate) fn may_be_established(&self, is_elsewhere: impl Fn(&ServerId) -> bool) -> bool {
        let mut ours = self.quorums.tracker();
        for &voter in self.quorums.voters() {
            if !is_elsewhere(&voter) {
                ours.add(voter);
            }
        }
        for handler in self.handlers.values().filter(|handler| handler.votes) {
            ours.add(handler.server);
        }
        ours.has_all_quorums()
    }

    /// The epoch of this leader, once it is chosen.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    pub(crate) fn poll_timeout(&self) -> i64 {
        match self.stage {
            Stage::Serving => self.next_round,
            Stage::Epochs | Stage::Accepting | Stage::EpochAcks | Stage::History => self.deadline,
        }
    }

    /// How many proposals wait for their commit.
    pub(crate) fn outstanding(&self) -> usize {
        self.broadcast.outstanding()
    }

    /// The newest proposal, or the zxid before the first one.
    pub(crate) fn last_proposed(&self) -> Zxid {
        self.broadcast.last_proposed()
    }

    /// The learners that serve clients: who, and whether it votes.
    pub(crate) fn learners(&self) -> impl Iterator<Item = (ServerId, bool)> {
        self.handlers
            .values()
            .filter(|handler| handler.state == HandlerState::Serving)
            .map(|handler| (handler.server, handler.votes))
    }

    /// Sends a packet to a learner that serves clients.
    pub(crate) fn send(&self, cx: &mut Context<'_>, link: LinkId, packet: QuorumPacket) {
        let serves = |handler: &Handler| handler.state == HandlerState::Serving;
        if self.handlers.get(&link).is_some_and(serves) {
            cx.send(link, packet);
        }
    }

    /// Someone has connected.
    pub(crate) fn accepted(&mut self, cx: &mut Context<'_>, link: LinkId) {
        let strangers = self
            .handlers
            .iter()
            .filter(|(_, handler)| handler.state == HandlerState::Connected);
        // Learners speak at once, so it is not they whose place is taken.
        if strangers.clone().count() >= MAX_STRANGERS
            && let Some((&oldest, _)) = strangers.min_by_key(|(_, handler)| handler.heard)
        {
            self.drop_link(cx, oldest, "too many do not say who they are");
        }
        self.handlers.insert(link, Handler::new(cx.now));
        let after_ms = cx.settings.init_ms();
        cx.output(Output::ReadTimeout { link, after_ms });
    }

    /// A connection has ended.
    pub(crate) fn closed(&mut self, cx: &mut Context<'_>, link: LinkId) {
        if let Some(handler) = self.handlers.remove(&link)
            && handler.state != HandlerState::Connected
        {
            tracing::info!(sid = handler.server.0, "a learner has gone");
            cx.output(Output::LearnerGone { link });
        }
    }

    /// Ends the other connections of a server that is about to be synchronized. What is still on its
    /// way by them may acknowledge records that it will be told to cut.
    fn drop_earlier_links(&mut self, cx: &mut Context<'_>, link: LinkId) {
        let server = self.handler(link).server;
        let earlier = self.handlers.iter().filter(|&(&other, handler)| {
            other != link && handler.server == server && handler.has_acked_epoch()
        });
        let earlier: Vec<_> = earlier.map(|(&other, _)| other).collect();
        for other in earlier {
            self.drop_link(cx, other, "it has connected again");
        }
    }

    /// Ends a connection from our side.
    fn drop_link(&mut self, cx: &mut Context<'_>, link: LinkId, reason: &str) {
        if let Some(handler) = self.handlers.get(&link) {
            tracing::warn!(sid = handler.server.0, "dropping a learner: {reason}");
        }
        cx.close(link);
        self.closed(cx, link);
    }

    pub(crate) fn received(&mut self, cx: &mut Context<'_>, link: LinkId, packet: QuorumPacket) {
        let Some(handler) = self.handlers.get_mut(&link) else {
            return;
        };
        handler.heard = cx.now;
        match handler.state {
            HandlerState::Connected => self.introduction(cx, link, &packet),
            HandlerState::AwaitsEpochAck => self.epoch_ack(cx, link, &packet),
            HandlerState::AwaitsAck | HandlerState::AwaitsService | HandlerState::Serving => {
                self.learner_says(cx, link, packet);
            }
            HandlerState::AwaitsEpoch
            | HandlerState::AwaitsElection { .. }
            | HandlerState::Searching { .. } => {
                self.drop_link(cx, link, "it has spoken out of turn");
            }
        }
    }

    /// FOLLOWERINFO or OBSERVERINFO.
    fn introduction(&mut self, cx: &mut Context<'_>, link: LinkId, packet: &QuorumPacket) {
        let votes = match packet.r#type {
            PacketType::FollowerInfo => true,
            PacketType::ObserverInfo => false,
            other => {
                let reason = format!("its first packet is {other:?}");
                return self.drop_link(cx, link, &reason);
            }
        };
        let info = packet.data.as_deref().map(LearnerInfo::parse);
        let Some(Ok(info)) = info else {
            return self.drop_link(cx, link, "it does not say who it is");
        };
        let accepted = packet.zxid.epoch();
        if info.protocol_version < LearnerInfo::PROTOCOL {
            return self.drop_link(cx, link, "it speaks the protocol from before 3.4");
        }
        if info.config_version > cx.config.version {
            return self.drop_link(cx, link, "its configuration is newer than ours");
        }
        if info.server == self.own {
            return self.drop_link(cx, link, "it bears our own id");
        }
        let handler = self.handler(link);
        handler.server = info.server;
        handler.votes = votes;
        handler.state = HandlerState::AwaitsEpoch;
        tracing::info!(
            sid = info.server.0,
            "a {} has connected, accepted epoch {accepted:#x}",
            if votes { "follower" } else { "observer" },
        );
        if self.stage != Stage::Epochs {
            if self.stage != Stage::Accepting {
                self.announce_epoch(cx, link);
            }
            return;
        }
        // Strangers have no say in which epoch it will be: they could use up all there are.
        if cx.config.members.contains_key(&info.server) {
            if accepted > cx.epochs.accepted.saturating_add(MAX_EPOCH_JUMP) {
                return self.drop_link(cx, link, "its epoch cannot be");
            }
            self.highest_accepted = self.highest_accepted.max(accepted);
        }
        if votes {
            self.introduced.add(info.server);
        }
        self.choose_epoch(cx);
    }

    /// The first barrier: with a quorum's accepted epochs known, the next one is new to all.
    fn choose_epoch(&mut self, cx: &mut Context<'_>) {
        if !self.introduced.has_all_quorums() {
            return;
        }
        let epoch = self.highest_accepted.saturating_add(1);
        if epoch > Epochs::LAST {
            tracing::error!("no epoch is left after {:#x}", self.highest_accepted);
            return;
        }
        self.epoch = epoch;
        self.enter(cx, Stage::Accepting);
        cx.disk(DiskRequest::AcceptEpoch(epoch));
    }

    fn enter(&mut self, cx: &Context<'_>, stage: Stage) {
        self.stage = stage;
        self.deadline = cx.now.saturating_add(cx.settings.init_ms());
    }

    fn announce_epoch(&mut self, cx: &mut Context<'_>, link: LinkId) {
        self.handler(link).state = HandlerState::AwaitsEpochAck;
        let protocol = Bytes::copy_from_slice(&LearnerInfo::PROTOCOL.to_be_bytes());
        let zxid = Zxid::new(self.epoch, 0);
        cx.send(
            link,
            QuorumPacket::with_data(PacketType::LeaderInfo, zxid, protocol),
        );
    }

    fn epoch_ack(&mut self, cx: &mut Context<'_>, link: LinkId, packet: &QuorumPacket) {
        let current = packet
            .data
            .as_deref()
            .and_then(|data| data.first_chunk::<4>());
        let (PacketType::AckEpoch, Some(current)) = (packet.r#type, current) else {
            return self.drop_link(cx, link, "it has not acknowledged the epoch");
        };
        let current = i64::from(i32::from_be_bytes(*current)).max(-1);
        let last = packet.zxid;
        self.drop_earlier_links(cx, link);
        if self.stage != Stage::EpochAcks {
            return self.synchronize(cx, link, last);
        }
        if current != -1 {
            if (current, last) > self.summary {
                return self.drop_link(cx, link, "its history is newer than ours");
            }
            let (server, votes) = (self.handler(link).server, self.handler(link).votes);
            if votes && last != Zxid(-1) {
                self.accepted.add(server);
            }
        }
        self.handler(link).state = HandlerState::AwaitsElection { last };
        self.finish_election(cx);
    }

    /// The second barrier: a quorum has promised to take part in no older epoch, and none of it
    /// has a newer history than ours.
    fn finish_election(&mut self, cx: &mut Context<'_>) {
        if self.stage != Stage::EpochAcks || !self.accepted.has_all_quorums() {
            return;
        }
        self.enter(cx, Stage::History);
        cx.disk(DiskRequest::EnterEpoch(self.epoch));
        let waiting: Vec<_> = self
            .handlers
            .iter()
            .filter_map(|(&link, handler)| match handler.state {
                HandlerState::AwaitsElection { last } => Some((link, last)),
                _ => None,
            })
            .collect();
        for (link, last) in waiting {
            self.synchronize(cx, link, last);
        }
    }

    /// The disk has done what was asked.
    pub(crate) fn done(&mut self, cx: &mut Context<'_>, done: DiskDone) {
        match done {
            DiskDone::EpochAccepted(epoch)
                if self.stage == Stage::Accepting && epoch == self.epoch =>
            {
                self.enter(cx, Stage::EpochAcks);
                let waiting: Vec<_> = self
                    .handlers
                    .iter()
                    .filter(|(_, handler)| handler.state == HandlerState::AwaitsEpoch)
                    .map(|(&link, _)| link)
                    .collect();
                for link in waiting {
                    self.announce_epoch(cx, link);
                }
                // Our own answer for this epoch: it is durable, and it will not be given again.
                self.accepted.add(self.own);
                self.finish_election(cx);
            }
            DiskDone::EpochEntered(epoch)
                if self.stage == Stage::History && epoch == self.epoch =>
            {
                self.ready.add(self.own);
                self.establish(cx);
            }
            _ => {}
        }
    }

    /// The third barrier: a quorum holds our history.
    fn establish(&mut self, cx: &mut Context<'_>) {
        let is_stored = cx.epochs.current == Some(self.epoch);
        if self.stage != Stage::History || !is_stored || !self.ready.has_all_quorums() {
            return;
        }
        self.stage = Stage::Serving;
        let start = Zxid::new(self.epoch, 0);
        self.broadcast = Broadcast::new(self.own, self.quorums.clone(), start);
        self.next_round = cx.now;
        cx.output(Output::Serve {
            role: Role::Leading,
            epoch: self.epoch,
        });
        let waiting: Vec<_> = self
            .handlers
            .iter()
            .filter(|(_, handler)| handler.state == HandlerState::AwaitsService)
            .map(|(&link, _)| link)
            .collect();
        for link in waiting {
            self.release(cx, link);
        }
    }

    /// A packet of a learner that has been sent our history.
    fn learner_says(&mut self, cx: &mut Context<'_>, link: LinkId, packet: QuorumPacket) {
        let is_serving = self.is_serving();
        let handler = self.handler(link);
        let data = packet.data.unwrap_or_default();
        match packet.r#type {
            // Whenever it comes: 3.8.0 may acknowledge proposals before NEWLEADER
            // (ZOOKEEPER-4685).
            PacketType::Ack if packet.zxid.counter() == 0 => self.ready(cx, link, packet.zxid),
            PacketType::Ack => {
                let (server, votes) = (handler.server, handler.votes);
                handler.acknowledged(packet.zxid, cx.now);
                if votes && is_serving {
                    self.broadcast.ack(server, packet.zxid);
                    self.commit(cx);
                }
            }
            _ if handler.state == HandlerState::AwaitsAck => {
                let reason = format!("it has answered NEWLEADER with {:?}", packet.r#type);
                self.drop_link(cx, link, &reason);
            }
            PacketType::Ping => cx.output(Output::Touched { data }),
            PacketType::Request if is_serving => cx.output(Output::Request {
                link,
                data,
                ids: packet.authinfo.unwrap_or_default(),
            }),
            PacketType::Revalidate if is_serving => {
                cx.output(Output::Revalidate { link, data });
            }
            other => tracing::warn!(sid = handler.server.0, "ignoring a packet: {other:?}"),
        }
    }

    /// A learner holds our history.
    fn ready(&mut self, cx: &mut Context<'_>, link: LinkId, zxid: Zxid) {
        let (epoch, stage) = (self.epoch, self.stage);
        let handler = self.handler(link);
        if handler.state != HandlerState::AwaitsAck || zxid.epoch() != epoch {
            // The second one, behind UPTODATE, says nothing new.
            return;
        }
        handler.state = HandlerState::AwaitsService;
        let (server, votes) = (handler.server, handler.votes);
        if stage == Stage::Serving {
            self.release(cx, link);
        } else {
            if votes {
                self.ready.add(server);
            }
            self.establish(cx);
        }
    }

    /// Lets a learner serve clients, and sends what was held back from it meanwhile.
    fn release(&mut self, cx: &mut Context<'_>, link: LinkId) {
        let handler = self.handler(link);
        let held = handler.release(cx.now);
        tracing::info!(sid = handler.server.0, "a learner is up to date");
        // It had nothing to say since it acknowledged NEWLEADER, however long others took for that.
        let after_ms = cx.settings.sync_ms();
        cx.output(Output::ReadTimeout { link, after_ms });
        cx.send_bare(link, PacketType::UpToDate, QuorumPacket::NO_ZXID);
        for packet in held {
            cx.send(link, packet);
        }
    }

    /// The zxid of the next proposal; `None` before there may be one, and once the counter of this
    /// epoch is spent.
    pub(crate) fn next_zxid(&self) -> Option<Zxid> {
        let last = self.is_serving().then(|| self.broadcast.last_proposed());
        last.and_then(Zxid::next)
    }

    /// Sends a proposal to all that follow. The caller has it written to our own log.
    pub(crate) fn propose(&mut self, cx: &mut Context<'_>, zxid: Zxid, payload: &Bytes) {
        self.broadcast.propose(zxid, cx.now);
        let packet = || QuorumPacket::with_data(PacketType::Proposal, zxid, Bytes::clone(payload));
        for (&link, handler) in &mut self.handlers {
            if handler.forwards && handler.votes {
                handler.proposed(zxid, cx.now);
                handler.forward(cx, link, packet());
            }
        }
    }

    /// Everything up to `zxid` is on our own stable storage.
    pub(crate) fn flushed(&mut self, cx: &mut Context<'_>, zxid: Zxid) {
        if self.is_serving() {
            self.broadcast.flushed(zxid);
            self.commit(cx);
        }
    }

    /// Commits what can be.
    fn commit(&mut self, cx: &mut Context<'_>) {
        while let Some(zxid) = self.broadcast.poll_commit() {
            for (&link, handler) in &mut self.handlers {
                if !handler.forwards {
                    continue;
                }
                let packet = match handler.votes {
                    true => QuorumPacket::bare(PacketType::Commit, zxid),
                    false => {
                        let entry = cx.history.behind(Zxid(zxid.0 - 1)).next();
                        let entry = entry.expect("what is not committed is in memory");
                        let payload = Bytes::clone(&entry.payload);
                        QuorumPacket::with_data(PacketType::Inform, zxid, payload)
                    }
                };
                handler.forward(cx, link, packet);
            }
            cx.history.commit(zxid);
            cx.output(Output::Commit(zxid));
        }
    }

    /// Does what is due, and tells whether this server can go on leading.
    pub(crate) fn timeout(&mut self, cx: &mut Context<'_>) -> Result<(), StepDown> {
        if self.stage != Stage::Serving {
            return match cx.now < self.deadline {
                true => Ok(()),
                false => Err(StepDown::NoQuorumInTime),
            };
        }
        let half_tick = (cx.settings.tick_ms / 2).max(1);
        while self.next_round <= cx.now {
            self.rounds += 1;
            self.next_round = self.next_round.saturating_add(half_tick);
            if self.next_round <= cx.now {
                // We were stopped for longer than that; what was missed is not made up for.
                self.next_round = cx.now.saturating_add(half_tick);
            }
            self.round(cx)?;
        }
        Ok(())
    }

    fn round(&mut self, cx: &mut Context<'_>) -> Result<(), StepDown> {
        let patience = cx.settings.sync_ms();
        let disk = self.broadcast.waits_for_disk_since();
        if disk.is_some_and(|since| cx.now - since > patience) {
            return Err(StepDown::SlowDisk);
        }
        let is_tick = self.rounds.is_multiple_of(2);
        if is_tick && !self.heard_from_quorum(cx.now - patience) {
            return Err(StepDown::QuorumLost);
        }
        let links: Vec<_> = self.handlers.keys().copied().collect();
        for link in links {
            let handler = self.handler(link);
            if handler.is_behind(cx.now - patience) {
                self.drop_link(
                    cx,
                    link,
                    "it has not acknowledged proposals within syncLimit",
                );
            } else if handler.has_history() {
                let zxid = self.broadcast.last_proposed();
                cx.send_bare(link, PacketType::Ping, zxid);
            }
        }
        Ok(())
    }

    fn heard_from_quorum(&self, since: i64) -> bool {
        let mut heard = self.quorums.tracker();
        heard.add(self.own);
        for handler in self.handlers.values() {
            if handler.votes && handler.is_synchronized() && since <= handler.heard {
                heard.add(handler.server);
            }
        }
        heard.has_all_quorums()
    }

    /// What the log on disk can do for a learner.
    pub(crate) fn found(&mut self, cx: &mut Context<'_>, link: LinkId, found: LogSearch) {
        if let Some(handler) = self.handlers.get(&link)
            && let HandlerState::Searching { last } = handler.state
        {
            self.synchronize_from_disk(cx, link, last, found);
        }
    }

    /// Ends every connection.
    pub(crate) fn resign(&mut self, cx: &mut Context<'_>) {
        for &link in self.handlers.keys() {
            cx.close(link);
        }
        self.handlers.clear();
    }

    fn handler(&mut self, link: LinkId) -> &mut Handler {
        self.handlers
            .get_mut(&link)
            .expect("the caller has looked it up")
    }
}
