//! The leader: agrees on a new epoch with a quorum, brings learners to its own history, then
//! broadcasts.
//!
//! Invariants: LEADERINFO leaves only when the epoch it names is durable here; no request is
//! proposed and no UPTODATE sent before a quorum has acknowledged NEWLEADER and our own current
//! epoch is durable; who does not vote never counts. A server answers for one epoch only once, so
//! of two leaders that try the same epoch at most one passes the second barrier.
//!
//! # A leader that nobody follows
//!
//! Who was elected and is not followed after all waits for `initLimit` at each barrier, and the
//! others elect without it, or cannot at all if it is needed. So a leader that is not established
//! gives up as soon as it knows that no quorum will come. Those that may still come are this server
//! itself, the voters that are connected to it, and those that can be heard and have not been seen
//! electing in a later round than the one that has elected us, or in that round by a better vote:
//! votes only rise, so they have gone over to somebody else. If these are no quorum it elects with
//! the others.
//!
//! That does not make leaders fall again and again. A voter begins a later round only when it has
//! left its leader, or could not reach it. It comes back into the round that has elected us only if
//! a quorum of servers that follow and lead says that we lead (quorum.md 3.5); but those are among
//! the ones that may still come, and they are none. So what the leader gives up was lost, and then
//! it is in the later round with the others, which begin no other before this one ends. A single
//! voter that cannot reach us, and therefore elects again and again, ends nothing as long as the
//! others are there; nor does one that starts late, in whatever round. A word that comes late, from
//! before a voter has followed us, is no harm either: it is connected. If a server counts as not to
//! be heard and is there nevertheless, that costs an election.
//!
//! Java waits, unless `leader.maxTimeToWaitForEpoch` says otherwise, and then only at the first
//! barrier; that setting is here too.
//!
//! # Another leader
//!
//! A reconfiguration may leave this server without a vote, or move it. Then it names one of those
//! that hold the reconfiguration, commits nothing any more, and goes when the others have gone to
//! that one: if it closed their connections itself, some might never read who it is.
//!
//! # A member that cannot follow any more
//!
//! Who is about to lead stores the new epoch before anybody hears of it. If it fails at that more than
//! once, and the others then agree on an epoch without it, theirs is older than what it has promised,
//! and it refuses them as long as they lead. With Java it stays outside until something else ends
//! that epoch. Here a leader that serves makes way when a member comes that has promised a later
//! epoch, and remembers which, so that this happens once.
//!
//! Source: `Leader.java`, `LearnerHandler.java`; quorum.md chapters 6 and 11.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use ox_mutant::{Mutant, is_on};
use ox_proto::{EnsembleConfig, PacketType, QuorumPacket, ServerId, Zxid};

use crate::broadcast::Broadcast;
use crate::context::{Context, Epochs};
use crate::event::{DiskDone, DiskRequest, LinkId, LogSearch, Output, Role};
use crate::learner_handler::{EpochAck, Handler, HandlerState, Handlers, Introduction, commit_of};
use crate::quorum::{Quorums, Tracker};
use crate::settings::ZabSettings;
use crate::sync::Ours;

/// How far an epoch that a learner reports may be ahead of our own: so many elections in a row have
/// not failed while ours was the newest history. Whoever reports more makes epochs up, and there
/// are not many of them.
const MAX_EPOCH_JUMP: u32 = 1 << 16;

/// Bytes that are kept for a learner until it is up to date. Its link would not take more at once,
/// and a learner that speaks from time to time without ever acknowledging NEWLEADER is not silent.
const MAX_HELD: usize = 256 << 20;

/// How far the leader has come.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StepDown {
    /// A barrier has waited for too long.
    #[error("no quorum within initLimit")]
    NoQuorumInTime,
    /// Too few voters are left that may follow.
    #[error("too few voters may still follow, others are in a later round of the election")]
    Deserted,
    /// The setting of this name says how long.
    #[error("a voter is looking, and there was no epoch within leader.maxTimeToWaitForEpoch")]
    NoEpochInTime,
    /// Too few learners were heard from.
    #[error("no quorum of learners has been heard from within syncLimit")]
    QuorumLost,
    /// A reconfiguration has named another leader.
    #[error("a reconfiguration has named another leader")]
    Succeeded,
    /// Our own disk takes too long.
    #[error("our own log has not been synced within syncLimit")]
    SlowDisk,
    /// A member cannot follow us any more, and no leader before a later epoch than this one.
    #[error("a member has promised to take part in no epoch before {0:#x}")]
    Outlived(u32),
    /// The counter of this epoch is spent.
    #[error(
        "zxid lower 32 bits have rolled over, forcing re-election, and therefore new epoch start"
    )]
    Rollover,
}

#[derive(Clone, Debug, Hash)]
pub(crate) struct Leader {
    own: ServerId,
    quorums: Quorums,
    stage: Stage,
    /// When it was elected, in monotonic milliseconds.
    began: i64,
    /// Voters that elect in a later round than the one that has elected us.
    electing: BTreeSet<ServerId>,
    /// When the barrier in front of us must have been passed.
    deadline: i64,
    /// Voters who have said which epoch they have accepted, and the highest of those.
    introduced: Tracker,
    highest_accepted: u32,
    /// The new epoch, from [`Stage::Accepting`] on.
    epoch: u32,
    /// Our current epoch and last zxid at the start.
    summary: (i64, Zxid),
    /// A later epoch than ours, which a member has accepted.
    outlived_by: Option<u32>,
    /// Voters who have accepted the new epoch.
    accepted: Tracker,
    /// Voters who hold our history, ourselves once our own current epoch is stored.
    ready: Tracker,
    handlers: Handlers,
    broadcast: Broadcast,
    /// The reconfiguration that has been proposed and not committed.
    reconfig: Option<(Zxid, Arc<EnsembleConfig>)>,
    /// Who is to lead in our place, and since when.
    successor: Option<(ServerId, i64)>,
    /// When learners are pinged next, and how often that was done.
    next_round: i64,
    rounds: u64,
}

impl Leader {
    /// Begins to lead: everything in our log is our history. Our epoch must be later than `promised`,
    /// which a member has accepted.
    pub(crate) fn new(cx: &mut Context<'_>, promised: u32) -> Self {
        let own = cx.settings.own;
        let quorums = Quorums::new([Arc::clone(cx.configs.committed())]);
        let mut leader = Self {
            own,
            stage: Stage::Epochs,
            began: cx.now,
            electing: BTreeSet::new(),
            deadline: cx.now.saturating_add(cx.settings.init_ms()),
            introduced: quorums.tracker(),
            highest_accepted: cx.epochs.accepted.max(promised),
            epoch: 0,
            summary: (cx.epochs.current_code(), cx.history.last()),
            outlived_by: None,
            accepted: quorums.tracker(),
            ready: quorums.tracker(),
            handlers: Handlers::default(),
            broadcast: Broadcast::new(own, quorums.clone(), cx.history.last()),
            reconfig: None,
            successor: None,
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
            began: 0,
            electing: BTreeSet::new(),
            deadline: i64::MAX,
            introduced: quorums.tracker(),
            highest_accepted: last.epoch(),
            epoch: last.epoch(),
            summary: (last.epoch().into(), last),
            outlived_by: None,
            accepted: quorums.tracker(),
            ready: quorums.tracker(),
            handlers: Handlers::default(),
            broadcast: Broadcast::new(own, quorums.clone(), last),
            reconfig: None,
            successor: None,
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

    /// The epoch that a member has accepted, if it can follow us no more.
    pub(crate) fn outlived_by(&self) -> Option<u32> {
        self.outlived_by
    }

    /// The epoch of this leader, once it is chosen.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Who is to lead in our place.
    pub(crate) fn successor(&self) -> Option<ServerId> {
        self.successor.map(|(server, _)| server)
    }

    /// Whether a quorum of `config` follows, and has been heard from lately.
    pub(crate) fn is_followed_by_quorum_of(
        &self,
        settings: &ZabSettings,
        now: i64,
        config: Arc<EnsembleConfig>,
    ) -> bool {
        let since = now.saturating_sub(settings.sync_ms());
        let mut held = Tracker::new([config]);
        held.add(self.own);
        for handler in self.handlers.values() {
            let is_here = handler.state == HandlerState::Serving && since <= handler.heard;
            if handler.votes && is_here {
                held.add(handler.server);
            }
        }
        held.has_all_quorums()
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
        self.handlers.serving()
    }

    /// Sends a packet to a learner that serves clients.
    pub(crate) fn send(&self, cx: &mut Context<'_>, link: LinkId, packet: QuorumPacket) {
        self.handlers.send(cx, link, packet);
    }

    /// Someone has connected.
    pub(crate) fn accepted(&mut self, cx: &mut Context<'_>, link: LinkId) {
        self.handlers.accepted(cx, link);
    }

    /// A connection has ended.
    pub(crate) fn closed(&mut self, cx: &mut Context<'_>, link: LinkId) {
        self.handlers.closed(cx, link);
    }

    /// Ends a connection from our side.
    fn drop_link(&mut self, cx: &mut Context<'_>, link: LinkId, reason: &str) {
        self.handlers.drop_link(cx, link, reason);
    }

    pub(crate) fn received(&mut self, cx: &mut Context<'_>, link: LinkId, packet: QuorumPacket) {
        let Some(handler) = self.handlers.get_mut(link) else {
            return;
        };
        handler.heard = cx.now;
        match handler.state {
            HandlerState::Connected => self.introduction(cx, link, &packet),
            HandlerState::AwaitsEpochAck => self.epoch_ack(cx, link, &packet),
            HandlerState::AwaitsAck | HandlerState::AwaitsService | HandlerState::Serving => {
                self.hear(cx, link, packet);
            }
            HandlerState::AwaitsEpoch
            | HandlerState::AwaitsElection { .. }
            | HandlerState::AwaitsHistory { .. }
            | HandlerState::Searching { .. } => {
                self.drop_link(cx, link, "it has spoken out of turn");
            }
        }
    }

    /// FOLLOWERINFO or OBSERVERINFO.
    fn introduction(&mut self, cx: &mut Context<'_>, link: LinkId, packet: &QuorumPacket) {
        let introduction = match Introduction::read(cx, packet) {
            Ok(introduction) => introduction,
            Err(reason) => return self.drop_link(cx, link, &reason),
        };
        let Introduction {
            server,
            votes,
            accepted,
        } = introduction;
        self.handlers.introduced(link, introduction);
        self.electing.remove(&server);
        // Strangers have no say in which epoch it will be: they could use up all there are.
        let is_member = cx.configs.contain(server);
        let can_be = accepted <= cx.epochs.accepted.saturating_add(MAX_EPOCH_JUMP);
        if self.stage != Stage::Epochs {
            if self.stage != Stage::Accepting {
                self.handlers.announce_epoch(cx, link, self.epoch);
            }
            if self.is_serving() && self.epoch < accepted && is_member && can_be {
                self.outlived_by = Some(accepted);
            }
            return;
        }
        if is_member {
            if !can_be {
                return self.drop_link(cx, link, "its epoch cannot be");
            }
            self.highest_accepted = self.highest_accepted.max(accepted);
        }
        if votes {
            self.introduced.add(server);
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

    fn epoch_ack(&mut self, cx: &mut Context<'_>, link: LinkId, packet: &QuorumPacket) {
        let Some(EpochAck { current, last }) = EpochAck::read(packet) else {
            return self.drop_link(cx, link, "it has not acknowledged the epoch");
        };
        self.handlers.drop_earlier_links(cx, link);
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
        let waits =
            |handler: &Handler| matches!(handler.state, HandlerState::AwaitsElection { .. });
        for link in self.handlers.links(waits) {
            if let HandlerState::AwaitsElection { last } = self.handler(link).state {
                self.synchronize(cx, link, last);
            }
        }
    }

    /// What learners are brought to.
    fn ours(&self, cx: &Context<'_>) -> Ours {
        let committed = cx.history.committed();
        Ours {
            epoch: self.epoch,
            is_established: self.is_serving(),
            last_processed: match self.is_serving() {
                true => committed.max(Zxid::new(self.epoch, 0)),
                false => committed,
            },
        }
    }

    /// Sends a learner whose last zxid is `last` what it lacks, and NEWLEADER.
    fn synchronize(&mut self, cx: &mut Context<'_>, link: LinkId, last: Zxid) {
        let ours = self.ours(cx);
        let position = self.handlers.synchronize(cx, link, ours, last);
        self.forget_acks(link, position);
    }

    /// What the log on disk can do for a learner.
    pub(crate) fn found(&mut self, cx: &mut Context<'_>, link: LinkId, found: LogSearch) {
        let ours = self.ours(cx);
        let position = self.handlers.synchronize_from_disk(cx, link, ours, found);
        self.forget_acks(link, position);
    }

    /// What a learner has acknowledged behind the position from which it is synchronized, it may
    /// have been told to cut: it does so again.
    fn forget_acks(&mut self, link: LinkId, position: Option<Zxid>) {
        if let (Some(handler), Some(position)) = (self.handlers.get(link), position)
            && !is_on(Mutant::M28)
        {
            self.broadcast.forget_acks(handler.server, position);
        }
    }

    /// The disk has done what was asked.
    pub(crate) fn done(&mut self, cx: &mut Context<'_>, done: DiskDone) {
        match done {
            DiskDone::EpochAccepted(epoch)
                if self.stage == Stage::Accepting && epoch == self.epoch =>
            {
                self.enter(cx, Stage::EpochAcks);
                self.prepare_configs(cx);
                let waits = |handler: &Handler| handler.state == HandlerState::AwaitsEpoch;
                for link in self.handlers.links(waits) {
                    self.handlers.announce_epoch(cx, link, self.epoch);
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

    /// What NEWLEADER will say is to be in force, so a quorum of that is needed too: what was proposed
    /// and not activated, and the first of all configurations with a version.
    fn prepare_configs(&mut self, cx: &mut Context<'_>) {
        let first = cx.configs.committed();
        if cx.configs.is_enabled() && first.version == 0 && !cx.configs.is_pending() {
            let first = EnsembleConfig {
                version: Zxid::new(self.epoch, 0).0,
                ..EnsembleConfig::clone(first)
            };
            cx.see(first);
        }
        if !is_on(Mutant::G02) {
            self.quorums = cx.configs.quorums();
            self.ready = self.quorums.tracker();
        }
    }

    /// Puts in force what is proposed. `acks` have acknowledged that, and all before it.
    fn activate(&mut self, cx: &mut Context<'_>, acks: &Tracker) -> ServerId {
        let config = Arc::clone(cx.configs.last_seen());
        let now = config.addresses_of_voter(self.own);
        let before = cx.configs.committed().addresses_of_voter(self.own);
        let stays = now.is_some() && now == before;
        let successor = match stays {
            true => None,
            false => self.broadcast.most_advanced(acks, &config),
        };
        cx.activate(&config);
        self.quorums = cx.configs.quorums();
        self.broadcast.set_quorums(self.quorums.clone(), true);
        if let Some(successor) = successor {
            tracing::warn!(
                sid = successor.0,
                "the new configuration has another leader"
            );
            self.successor = Some((successor, cx.now));
            self.broadcast.end();
        }
        successor.unwrap_or(self.own)
    }

    /// The third barrier: a quorum holds our history.
    fn establish(&mut self, cx: &mut Context<'_>) {
        let is_stored = cx.epochs.current == Some(self.epoch);
        let is_ready = self.ready.has_all_quorums() || is_on(Mutant::M15);
        if self.stage != Stage::History || !is_stored || !is_ready {
            return;
        }
        self.stage = Stage::Serving;
        let start = match is_on(Mutant::M16) {
            true => Zxid::new(self.epoch, cx.history.last().counter()),
            false => Zxid::new(self.epoch, 0),
        };
        self.broadcast = Broadcast::new(self.own, self.quorums.clone(), start);
        if cx.configs.is_pending() {
            let ready = self.ready.clone();
            self.activate(cx, &ready);
        }
        self.next_round = cx.now;
        cx.output(Output::Serve {
            role: Role::Leading,
            epoch: self.epoch,
        });
        let waits = |handler: &Handler| handler.state == HandlerState::AwaitsService;
        for link in self.handlers.links(waits) {
            self.handlers
                .release(cx, link, self.broadcast.last_proposed());
        }
    }

    /// A packet of a learner that has been sent our history.
    fn hear(&mut self, cx: &mut Context<'_>, link: LinkId, packet: QuorumPacket) {
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
        if !self.handlers.synchronized(link, zxid, self.epoch) {
            // The second one, behind UPTODATE, says nothing new.
            return;
        }
        if self.is_serving() {
            let zxid = self.broadcast.last_proposed();
            self.handlers.release(cx, link, zxid);
            return;
        }
        // By its id, as in Java: who observes now may be a voter of what is proposed.
        let server = self.handler(link).server;
        self.ready.add(server);
        self.establish(cx);
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
        for (link, handler) in self.handlers.iter_mut() {
            if handler.forwards && handler.votes {
                handler.proposed(zxid, cx.now);
                handler.forward(cx, link, packet());
            }
        }
        self.drop_those_too_far_behind(cx);
    }

    /// The same of a transaction that changes the members: it commits, and whatever is proposed behind
    /// it, when quorums of both configurations hold it.
    pub(crate) fn propose_reconfig(
        &mut self,
        cx: &mut Context<'_>,
        zxid: Zxid,
        payload: &Bytes,
        config: EnsembleConfig,
    ) {
        cx.see(config);
        self.reconfig = Some((zxid, Arc::clone(cx.configs.last_seen())));
        self.quorums = cx.configs.quorums();
        self.broadcast.set_quorums(self.quorums.clone(), false);
        self.propose(cx, zxid, payload);
    }

    /// Ends the connections of learners for which too much is kept.
    fn drop_those_too_far_behind(&mut self, cx: &mut Context<'_>) {
        for link in self
            .handlers
            .links(|handler| MAX_HELD < handler.held_memory())
        {
            self.drop_link(
                cx,
                link,
                "too much has been proposed since its synchronization began",
            );
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
        while let Some((zxid, acks)) = self.broadcast.poll_commit() {
            let is_reconfig = self.reconfig.take_if(|(at, _)| *at == zxid).is_some();
            let designated = is_reconfig.then(|| self.activate(cx, &acks));
            for (link, handler) in self.handlers.iter_mut() {
                if handler.forwards {
                    let packet = commit_of(cx, zxid, handler.votes, designated);
                    handler.forward(cx, link, packet);
                }
            }
            cx.history.commit(zxid);
            cx.output(Output::Commit(zxid));
        }
        self.drop_those_too_far_behind(cx);
    }

    /// A voter elects; `is_lost` if in a later round than the one that has elected us, or in that
    /// one by a better vote.
    pub(crate) fn looking(
        &mut self,
        cx: &Context<'_>,
        server: ServerId,
        is_lost: bool,
    ) -> Result<(), StepDown> {
        if is_lost {
            self.electing.insert(server);
        }
        let limit = cx.settings.leader.max_wait_for_epoch_ms;
        if self.stage == Stage::Epochs && limit.is_some_and(|limit| limit <= cx.now - self.began) {
            return Err(StepDown::NoEpochInTime);
        }
        Ok(())
    }

    /// Whether a quorum is there or may still come. `is_heard` says who is connected in the
    /// election.
    pub(crate) fn may_be_followed(
        &self,
        is_heard: impl Fn(ServerId) -> bool,
    ) -> Result<(), StepDown> {
        if self.is_serving() {
            return self.is_needed();
        }
        if self.electing.is_empty() {
            return Ok(());
        }
        let mut hoped_for = self.quorums.tracker();
        hoped_for.add(self.own);
        for &voter in self.quorums.voters() {
            if is_heard(voter) && !self.electing.contains(&voter) {
                hoped_for.add(voter);
            }
        }
        for handler in self.handlers.values() {
            if handler.votes {
                hoped_for.add(handler.server);
            }
        }
        match hoped_for.has_all_quorums() {
            true => Ok(()),
            false => Err(StepDown::Deserted),
        }
    }

    /// Whether those that are to go to another leader are still here.
    fn is_needed(&self) -> Result<(), StepDown> {
        match self.successor.is_none() || self.heard_from_quorum(i64::MIN) {
            true => Ok(()),
            false => Err(StepDown::Succeeded),
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
        if self
            .successor
            .is_some_and(|(_, since)| cx.now - since > patience)
        {
            return Err(StepDown::Succeeded);
        }
        let disk = self.broadcast.waits_for_disk_since();
        if disk.is_some_and(|since| cx.now - since > patience) {
            return Err(StepDown::SlowDisk);
        }
        let is_tick = self.rounds.is_multiple_of(2);
        if is_tick && !self.heard_from_quorum(cx.now - patience) {
            return Err(StepDown::QuorumLost);
        }
        for link in self.handlers.links(|_| true) {
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
            if handler.is_synchronized() && since <= handler.heard {
                heard.add(handler.server);
            }
        }
        heard.has_all_quorums()
    }

    /// Ends every connection.
    pub(crate) fn resign(&mut self, cx: &mut Context<'_>) {
        self.handlers.close_all(cx);
    }

    fn handler(&mut self, link: LinkId) -> &mut Handler {
        self.handlers.known(link)
    }
}
