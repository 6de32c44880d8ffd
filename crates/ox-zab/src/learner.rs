//! Follower and observer: registers with a leader, takes over its history, then follows its
//! broadcast.
//!
//! Invariants: an epoch is answered for once, after it is durable; NEWLEADER is acknowledged only
//! when everything committed that came before it is in the log on stable storage and the current
//! epoch is stored behind it (ZOOKEEPER-3911, 4643, 4646); proposals are acknowledged after that
//! (ZOOKEEPER-4685), one by one, in order, each when it is on stable storage; only what is
//! committed and on our own stable storage is applied. Source: `Learner.java`, `Follower.java`,
//! `Observer.java`; quorum.md chapters 7 to 9.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use ox_mutant::{Mutant, is_on};
use ox_proto::{
    EnsembleConfig, LearnerInfo, PacketType, QuorumPacket, ServerId, Txn, TxnRecord, Zxid,
};

use crate::context::{Context, Epochs};
use crate::election::Vote;
use crate::event::{DiskDone, DiskRequest, LinkId, LogSearch, Output, Role};
use crate::master_choice::Choice;
use crate::observer_master::ObserverMaster;

/// Bytes of packets that may wait for the disk.
const MAX_BACKLOG: usize = 256 << 20;

/// How far a learner has come.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
enum Phase {
    /// It waits until it may connect.
    Pausing,
    /// The leader, or a follower in its place, is being connected.
    Dialing,
    /// It has been told who we are.
    Registering,
    /// The new epoch is being stored as accepted.
    Accepting,
    /// The leader will say how our history becomes its own.
    AwaitsSync,
    /// Our log is being cut, or the state is coming.
    Preparing,
    /// Proposals and commits of the leader's history.
    Syncing,
    /// Our log and the current epoch are being stored, behind NEWLEADER.
    Entering,
    /// We hold the leader's history and wait until a quorum does.
    AwaitsService,
    /// The broadcast.
    Serving,
}

/// Why a learner leaves its leader.
#[derive(Clone, Debug, Hash, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Leave {
    /// It cannot be reached.
    #[error("it cannot be reached")]
    Unreachable,
    /// The connection has ended.
    #[error("the connection has ended")]
    Lost,
    /// It is the leader of an older epoch.
    #[error("its epoch {0:#x} is older than the one accepted here")]
    OldEpoch(u32),
    /// It wants our log cut where that cannot be done; it will be asked for its whole state.
    #[error("our log cannot be cut where the leader wants it")]
    Uncuttable,
    /// A reconfiguration has changed our role, or who leads. With a leader named there is no election.
    #[error("a reconfiguration has changed our role, or who leads")]
    Reconfigured {
        /// Who leads now, and the zxid of the reconfiguration.
        designated: Option<(ServerId, Zxid)>,
    },
    /// It does not keep to the protocol.
    #[error("it has sent {0}")]
    Protocol(String),
}

/// What must happen in order.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
enum Step {
    Commit(Committed),
    Synced,
}

/// A commit, and whom it names as the leader if it changes the members.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Committed {
    zxid: Zxid,
    designated: Option<ServerId>,
}

impl Committed {
    fn plain(zxid: Zxid) -> Self {
        let designated = None;
        Self { zxid, designated }
    }

    /// Reads a commit, or an inform: one that activates begins with who is to lead.
    fn read(packet: &QuorumPacket) -> Result<Self, Leave> {
        let zxid = packet.zxid;
        let activates = matches!(
            packet.r#type,
            PacketType::CommitAndActivate | PacketType::InformAndActivate
        );
        let leader = packet.data.as_deref().and_then(<[u8]>::first_chunk::<8>);
        let designated = match (activates, leader) {
            (false, _) => None,
            (true, Some(leader)) => Some(ServerId(i64::from_be_bytes(*leader))),
            (true, None) => return Err(unexpected(packet, "without a leader")),
        };
        Ok(Self { zxid, designated })
    }
}

/// A proposal that is not in our log yet.
#[derive(Clone, Debug, Hash)]
struct Proposed {
    zxid: Zxid,
    payload: Bytes,
    record: Box<TxnRecord>,
}

#[derive(Clone, Debug, Hash)]
pub(crate) struct Learner {
    leader: ServerId,
    /// Where the leader's log ended when it was elected.
    leader_last: Zxid,
    /// The follower that stands in the leader's place for this observer.
    master: Option<ServerId>,
    observes: bool,
    /// When it connects, in monotonic milliseconds.
    dial_at: i64,
    link: Option<LinkId>,
    phase: Phase,
    /// The leader's epoch, once it is accepted here.
    epoch: u32,
    /// Packets that wait until the disk has done what was asked.
    backlog: VecDeque<QuorumPacket>,
    backlog_bytes: usize,
    /// Proposals that are not in our log yet.
    proposed: VecDeque<Proposed>,
    /// The zxid of the proposal that came last; `None` before the first.
    last_proposed: Option<Zxid>,
    /// The state came as a snapshot, and what is committed behind it is applied to that.
    by_state: bool,
    /// Commits that came while their proposals wait for UPTODATE.
    committed: VecDeque<Committed>,
    /// Proposals in our log that have not been acknowledged.
    to_ack: VecDeque<Zxid>,
    /// Proposals that have not been committed.
    outstanding: VecDeque<Zxid>,
    /// The configurations of proposals that change the members and are not committed.
    reconfigs: VecDeque<(Zxid, Arc<EnsembleConfig>)>,
    /// What NEWLEADER has said is to be in force.
    new_config: Option<Arc<EnsembleConfig>>,
    /// Commits and syncs that wait for our own disk.
    steps: VecDeque<Step>,
    /// Everything up to this zxid is committed, as far as this leader has told.
    confirmed: Zxid,
    /// The state came as a snapshot, and may show what commits behind UPTODATE do: those that had
    /// happened by then have come when a ping has.
    is_fuzzy: bool,
    /// Clients are served from this commit on; known once UPTODATE has come, and a ping behind it
    /// if the state is fuzzy.
    serves_from: Option<Zxid>,
    /// UPTODATE has come, and clients are served.
    serves: bool,
    /// On a follower that serves, if it serves observers too.
    observers: Option<Box<ObserverMaster>>,
}

impl Learner {
    /// Begins to follow the leader of `vote`.
    pub(crate) fn follow(cx: &mut Context<'_>, vote: Vote) -> Self {
        let choice = Choice {
            master: None,
            delay_ms: 0,
        };
        Self::new(cx, vote, false, choice)
    }

    /// Begins to observe the leader of `vote`, by the way that was chosen.
    pub(crate) fn observe(cx: &mut Context<'_>, vote: Vote, choice: Choice) -> Self {
        Self::new(cx, vote, true, choice)
    }

    fn new(cx: &mut Context<'_>, vote: Vote, observes: bool, choice: Choice) -> Self {
        let mut learner = Self {
            leader: vote.leader,
            leader_last: vote.zxid,
            master: choice.master,
            observes,
            dial_at: cx.now.saturating_add(choice.delay_ms),
            link: None,
            phase: Phase::Pausing,
            epoch: 0,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            proposed: VecDeque::new(),
            last_proposed: None,
            by_state: false,
            committed: VecDeque::new(),
            to_ack: VecDeque::new(),
            outstanding: VecDeque::new(),
            reconfigs: VecDeque::new(),
            new_config: None,
            steps: VecDeque::new(),
            confirmed: Zxid::ZERO,
            is_fuzzy: false,
            serves_from: None,
            serves: false,
            observers: None,
        };
        learner.dial_if_due(cx);
        learner
    }

    fn dial_if_due(&mut self, cx: &mut Context<'_>) {
        if self.phase != Phase::Pausing || cx.now < self.dial_at {
            return;
        }
        self.phase = Phase::Dialing;
        cx.output(match self.master {
            Some(server) => Output::DialMaster { server },
            None => Output::Dial {
                server: self.leader,
            },
        });
    }

    /// When something is due, in monotonic milliseconds.
    pub(crate) fn poll_timeout(&self) -> i64 {
        match (self.phase, &self.observers) {
            (Phase::Pausing, _) => self.dial_at,
            (_, Some(observers)) => observers.poll_timeout(),
            (_, None) => i64::MAX,
        }
    }

    /// Does what is due.
    pub(crate) fn timeout(&mut self, cx: &mut Context<'_>) {
        self.dial_if_due(cx);
        if let Some(observers) = &mut self.observers {
            observers.timeout(cx);
        }
    }

    pub(crate) fn leader(&self) -> ServerId {
        self.leader
    }

    /// Whether it observes.
    pub(crate) fn observes(&self) -> bool {
        self.observes
    }

    /// Whom it has connected to, or wants to: the leader, or a follower in its place.
    pub(crate) fn master(&self) -> ServerId {
        self.master.unwrap_or(self.leader)
    }

    /// What it does for observers, on a follower that serves them.
    pub(crate) fn observers(&self) -> Option<&ObserverMaster> {
        self.observers.as_deref()
    }

    pub(crate) fn is_serving(&self) -> bool {
        self.serves
    }

    /// The leader's epoch, once it is known.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Proposals that have not been committed.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Asks the leader something for our own clients.
    pub(crate) fn ask(&mut self, cx: &mut Context<'_>, packet: QuorumPacket) {
        if let Some(observers) = &mut self.observers {
            observers.asks(&packet);
        }
        self.send(cx, packet);
    }

    /// Someone has connected to our observer master port.
    pub(crate) fn observer_accepted(&mut self, cx: &mut Context<'_>, link: LinkId) {
        match &mut self.observers {
            Some(observers) => observers.accepted(cx, link),
            None => cx.close(link),
        }
    }

    /// A packet of an observer.
    pub(crate) fn observer_received(
        &mut self,
        cx: &mut Context<'_>,
        link: LinkId,
        packet: QuorumPacket,
    ) {
        if let Some(observers) = &mut self.observers {
            observers.received(cx, link, packet);
        }
    }

    /// The connection of an observer has ended.
    pub(crate) fn observer_closed(&mut self, cx: &mut Context<'_>, link: LinkId) {
        if let Some(observers) = &mut self.observers {
            observers.closed(cx, link);
        }
    }

    /// What the log on disk can do for an observer.
    pub(crate) fn found(&mut self, cx: &mut Context<'_>, link: LinkId, found: LogSearch) {
        if let Some(observers) = &mut self.observers {
            observers.found(cx, link, found);
        }
    }

    /// Sends a packet to the leader.
    fn send(&self, cx: &mut Context<'_>, packet: QuorumPacket) {
        if let Some(link) = self.link {
            cx.send(link, packet);
        }
    }

    /// The leader was dialed.
    pub(crate) fn dialed(
        &mut self,
        cx: &mut Context<'_>,
        link: Option<LinkId>,
    ) -> Result<(), Leave> {
        let link = link.ok_or(Leave::Unreachable)?;
        self.link = Some(link);
        self.phase = Phase::Registering;
        let r#type = match self.observes {
            true => PacketType::ObserverInfo,
            false => PacketType::FollowerInfo,
        };
        let info = LearnerInfo {
            server: cx.settings.own,
            protocol_version: LearnerInfo::PROTOCOL,
            config_version: cx.configs.committed().version,
        };
        let after_ms = cx.settings.init_ms();
        cx.output(Output::ReadTimeout { link, after_ms });
        let zxid = Zxid::new(cx.epochs.accepted, 0);
        cx.send(link, QuorumPacket::with_data(r#type, zxid, info.to_bytes()));
        Ok(())
    }

    /// Whether the leader is being connected.
    pub(crate) fn awaits_connection(&self) -> bool {
        self.phase == Phase::Dialing
    }

    /// Whether this is our connection to the leader.
    pub(crate) fn is_link(&self, link: LinkId) -> bool {
        self.link == Some(link)
    }

    pub(crate) fn received(
        &mut self,
        cx: &mut Context<'_>,
        packet: QuorumPacket,
    ) -> Result<(), Leave> {
        if self.is_waiting() {
            self.backlog_bytes += packet.data.as_ref().map_or(0, Bytes::len);
            self.backlog.push_back(packet);
            return match self.backlog_bytes <= MAX_BACKLOG {
                true => Ok(()),
                false => Err(Leave::Protocol("more than can wait for the disk".into())),
            };
        }
        match self.phase {
            Phase::Registering => self.leader_info(cx, &packet),
            Phase::AwaitsSync => self.sync_mode(cx, &packet),
            Phase::Syncing => self.in_sync(cx, packet),
            Phase::AwaitsService => self.before_service(cx, packet),
            Phase::Serving => self.in_broadcast(cx, packet),
            Phase::Pausing
            | Phase::Dialing
            | Phase::Accepting
            | Phase::Preparing
            | Phase::Entering => unreachable!("packets wait"),
        }
    }

    /// Whether packets wait for the disk, or for the state that is on its way.
    fn is_waiting(&self) -> bool {
        match self.phase {
            Phase::Pausing
            | Phase::Dialing
            | Phase::Accepting
            | Phase::Preparing
            | Phase::Entering => true,
            Phase::Registering
            | Phase::AwaitsSync
            | Phase::Syncing
            | Phase::AwaitsService
            | Phase::Serving => false,
        }
    }

    /// Takes up the packets that have waited.
    fn go_on(&mut self, cx: &mut Context<'_>) -> Result<(), Leave> {
        while !self.is_waiting()
            && let Some(packet) = self.backlog.pop_front()
        {
            self.backlog_bytes -= packet.data.as_ref().map_or(0, Bytes::len);
            self.received(cx, packet)?;
        }
        Ok(())
    }

    fn leader_info(&mut self, cx: &mut Context<'_>, packet: &QuorumPacket) -> Result<(), Leave> {
        if packet.r#type != PacketType::LeaderInfo {
            return Err(unexpected(packet, "in place of LEADERINFO"));
        }
        let epoch = packet.zxid.epoch();
        if epoch < cx.epochs.accepted && !is_on(Mutant::M05) {
            return Err(Leave::OldEpoch(epoch));
        }
        if epoch > Epochs::LAST {
            return Err(unexpected(packet, "of an epoch that cannot be"));
        }
        self.epoch = epoch;
        if epoch == cx.epochs.accepted {
            // It was answered for already, or may have been: such an answer does not count twice.
            self.ack_epoch(cx, -1);
        } else {
            self.phase = Phase::Accepting;
            cx.disk(DiskRequest::AcceptEpoch(epoch));
        }
        Ok(())
    }

    fn ack_epoch(&mut self, cx: &mut Context<'_>, current: i64) {
        self.phase = Phase::AwaitsSync;
        let current = i32::try_from(current).unwrap_or(-1);
        let data = Bytes::copy_from_slice(&current.to_be_bytes());
        // Only what is on the disk is spoken of: elections wait for it too.
        let last = cx.history.last();
        let last = match cx.epochs.current {
            None => Zxid(-1),
            // It would want our log cut where that cannot be done. Whoever says that it has begun
            // a later epoch is sent the whole state. In the comparison of histories that precedes
            // it, this is no more than our own last zxid is: above this leader's in the same
            // current epoch, and else without weight.
            Some(_) if cx.wants_state && self.leader_last < last => {
                Zxid::new(self.epoch.saturating_add(1), 0)
            }
            Some(_) => last,
        };
        self.send(
            cx,
            QuorumPacket::with_data(PacketType::AckEpoch, last, data),
        );
    }

    /// DIFF, TRUNC or SNAP.
    fn sync_mode(&mut self, cx: &mut Context<'_>, packet: &QuorumPacket) -> Result<(), Leave> {
        let (zxid, last) = (packet.zxid, cx.history.last());
        match packet.r#type {
            PacketType::Diff => {
                tracing::info!("Getting a diff from the leader {zxid}");
                self.begin_sync(cx, last);
            }
            // What follows would have a gap before it.
            PacketType::Trunc if zxid > last => {
                return Err(unexpected(packet, "above our own last zxid"));
            }
            // The tail came from this very leader, which may count our acks of it: it stays, and
            // what is sent again is known already (quorum.md 6.4).
            PacketType::Trunc if last.epoch() == self.epoch && !is_on(Mutant::M28) => {
                tracing::info!("keeping what this leader has sent before behind {zxid}");
                self.begin_sync(cx, zxid);
            }
            PacketType::Trunc => {
                tracing::warn!("Truncating log to get in sync with the leader {zxid}");
                let reload = zxid < cx.history.committed();
                cx.disk(DiskRequest::Truncate { to: zxid, reload });
                self.phase = Phase::Preparing;
            }
            PacketType::Snap => {
                tracing::info!("Getting a snapshot from leader {zxid}");
                self.phase = Phase::Preparing;
            }
            _ => return Err(unexpected(packet, "in place of DIFF, TRUNC or SNAP")),
        }
        Ok(())
    }

    /// Our history is the leader's up to `position`.
    fn begin_sync(&mut self, cx: &mut Context<'_>, position: Zxid) {
        self.confirmed = position;
        self.phase = Phase::Syncing;
        // Records of the new epoch must not stand in the log of a server that says it is in an
        // older one, unless this says why (quorum.md 8.2).
        cx.disk(DiskRequest::AnnounceEpoch(self.epoch));
    }

    /// The state has come whole and the database holds it.
    pub(crate) fn replaced(&mut self, cx: &mut Context<'_>) -> Result<(), Leave> {
        if self.phase != Phase::Preparing {
            return Err(Leave::Protocol("a state that was not announced".into()));
        }
        self.by_state = true;
        self.is_fuzzy = true;
        let last = cx.history.last();
        self.begin_sync(cx, last);
        self.go_on(cx)
    }

    /// The disk has done what was asked.
    pub(crate) fn done(&mut self, cx: &mut Context<'_>, done: DiskDone) -> Result<(), Leave> {
        match (self.phase, done) {
            (Phase::Accepting, DiskDone::EpochAccepted(epoch)) if epoch == self.epoch => {
                let current = cx.epochs.current_code();
                self.ack_epoch(cx, current);
            }
            (Phase::Preparing, DiskDone::Truncated { last }) => self.begin_sync(cx, last),
            (Phase::Preparing, DiskDone::NotTruncated) => return Err(Leave::Uncuttable),
            (Phase::Entering, DiskDone::EpochEntered(epoch)) if epoch == self.epoch => {
                self.entered(cx)?;
            }
            _ => return Ok(()),
        }
        self.go_on(cx)
    }

    /// A packet of the leader's history.
    fn in_sync(&mut self, cx: &mut Context<'_>, packet: QuorumPacket) -> Result<(), Leave> {
        match packet.r#type {
            PacketType::Proposal => self.proposal(cx, packet),
            PacketType::Commit | PacketType::CommitAndActivate => {
                let entry = self
                    .proposed
                    .pop_front_if(|entry| entry.zxid == packet.zxid);
                let entry = entry.ok_or_else(|| unexpected(&packet, "out of order"))?;
                let committed = Committed::read(&packet)?;
                self.take_over(cx, entry)?;
                self.activate(cx, &committed)
            }
            PacketType::Inform | PacketType::InformAndActivate => {
                let committed = Committed::read(&packet)?;
                let entry = self.informed(cx, packet)?;
                self.take_over(cx, entry)?;
                self.activate(cx, &committed)
            }
            PacketType::NewLeader => self.new_leader(cx, &packet),
            // They come from a leader whose pinger runs already.
            _ => Ok(()),
        }
    }

    /// Keeps a proposal that may not be logged yet.
    fn proposal(&mut self, cx: &mut Context<'_>, packet: QuorumPacket) -> Result<(), Leave> {
        let entry = self.read_proposal(cx, packet)?;
        self.proposed.push_back(entry);
        Ok(())
    }

    /// Reads a transaction that is committed already. One that changes the members stands behind
    /// the id of the server that is to lead then.
    fn informed(&mut self, cx: &mut Context<'_>, packet: QuorumPacket) -> Result<Proposed, Leave> {
        let mut packet = packet;
        if packet.r#type == PacketType::InformAndActivate {
            let data = packet.data.unwrap_or_default();
            packet.data = Some(data.slice(data.len().min(size_of::<i64>())..));
        }
        self.read_proposal(cx, packet)
    }

    fn read_proposal(
        &mut self,
        cx: &mut Context<'_>,
        packet: QuorumPacket,
    ) -> Result<Proposed, Leave> {
        let zxid = packet.zxid;
        if self.last_proposed.is_some_and(|last| !zxid.follows(last)) {
            return Err(unexpected(&packet, "with a gap before it"));
        }
        if zxid.counter() == 0 || zxid.epoch() > self.epoch {
            return Err(unexpected(&packet, "which this leader cannot have"));
        }
        let payload = packet.data.unwrap_or_default();
        // What cannot be read could not be applied, nor read back from our own log.
        let record = TxnRecord::decode_shared(&payload, cx.settings.max_record)
            .ok()
            .filter(|record| record.header.zxid == zxid)
            .ok_or_else(|| Leave::Protocol(format!("a proposal {zxid} that cannot be read")))?;
        self.note_reconfig(cx, &record)?;
        self.last_proposed = Some(zxid);
        Ok(Proposed {
            zxid,
            payload,
            record: Box::new(record),
        })
    }

    /// What changes the members counts from its proposal on.
    fn note_reconfig(&mut self, cx: &mut Context<'_>, record: &TxnRecord) -> Result<(), Leave> {
        let Txn::Reconfig(txn) = &record.txn else {
            return Ok(());
        };
        if !cx.configs.is_enabled() {
            return Ok(());
        }
        let zxid = record.header.zxid;
        let text = std::str::from_utf8(txn.data.as_deref().unwrap_or_default()).ok();
        let config = text.and_then(|text| EnsembleConfig::parse(text).ok());
        let config =
            config.filter(|config| config.version == zxid.0 && config.voters().count() > 0);
        let what = || Leave::Protocol(format!("a reconfiguration {zxid} that cannot be read"));
        let config = config.ok_or_else(what)?;
        // An old one stands in the history that comes in a synchronization.
        if config.version > cx.configs.committed().version && !is_on(Mutant::G03) {
            cx.see(config.clone());
        }
        let config = Arc::new(config);
        if is_on(Mutant::G04) {
            cx.activate(&config);
        }
        self.reconfigs.push_back((zxid, config));
        Ok(())
    }

    /// Puts in force what a commit says that names a leader.
    fn activate(&mut self, cx: &mut Context<'_>, committed: &Committed) -> Result<(), Leave> {
        let &Committed { zxid, designated } = committed;
        while self.reconfigs.front().is_some_and(|(at, _)| *at < zxid) {
            self.reconfigs.pop_front();
        }
        let Some((_, config)) = self.reconfigs.pop_front_if(|(at, _)| *at == zxid) else {
            return Ok(());
        };
        let Some(leader) = designated else {
            return Ok(());
        };
        match cx.activate(&config) {
            Some(activated) if activated.role_changed || leader != self.leader => {
                let designated = Some((leader, zxid));
                Err(Leave::Reconfigured { designated })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Puts in force what NEWLEADER has said. One that is of this very epoch and not committed yet
    /// waits for its commit: a Java leader names what is only proposed.
    fn activate_new_config(&mut self, cx: &mut Context<'_>) -> Result<(), Leave> {
        let Some(config) = self.new_config.take() else {
            return Ok(());
        };
        let version = Zxid(config.version);
        let is_proposed = version.epoch() == self.epoch && version.counter() != 0;
        if is_proposed && version > self.confirmed {
            return Ok(());
        }
        match cx.activate(&config) {
            Some(activated)
                if activated.role_changed || activated.unseats(&config, self.leader) =>
            {
                let designated = None;
                Err(Leave::Reconfigured { designated })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Something of the leader's history that is committed.
    fn take_over(&mut self, cx: &mut Context<'_>, entry: Proposed) -> Result<(), Leave> {
        self.confirmed = self.confirmed.max(entry.zxid);
        if self.by_state {
            let record = entry.record;
            cx.output(Output::Apply { record });
            return Ok(());
        }
        log(cx, entry)
    }

    /// Everything that the leader's history holds has come.
    fn new_leader(&mut self, cx: &mut Context<'_>, packet: &QuorumPacket) -> Result<(), Leave> {
        if packet.zxid != Zxid::new(self.epoch, 0) {
            return Err(unexpected(packet, "of another epoch"));
        }
        self.read_new_config(cx, packet)?;
        if is_on(Mutant::M08) {
            self.ack_new_leader(cx);
        }
        while let Some(entry) = self.proposed.pop_front_if(|_| is_on(Mutant::M17)) {
            self.take_over(cx, entry)?;
        }
        while let Some(entry) = self.proposed.pop_front_if(|_| is_on(Mutant::M09)) {
            self.accept(cx, entry)?;
        }
        self.phase = Phase::Entering;
        if self.by_state {
            cx.disk(DiskRequest::Install);
        }
        // Behind everything that was appended: the data first, the epoch second.
        cx.disk(DiskRequest::EnterEpoch(self.epoch));
        Ok(())
    }

    /// The configuration that a new leader goes by.
    fn read_new_config(
        &mut self,
        cx: &mut Context<'_>,
        packet: &QuorumPacket,
    ) -> Result<(), Leave> {
        let data = packet.data.as_deref().unwrap_or_default();
        // A leader that knows of none sends a byte or nothing.
        if !cx.configs.is_enabled() || data.len() <= 1 {
            return Ok(());
        }
        let text = std::str::from_utf8(data).ok();
        let config = text.and_then(|text| EnsembleConfig::parse(text).ok());
        let config = config.filter(|config| config.voters().count() > 0);
        let config =
            config.ok_or_else(|| unexpected(packet, "with a configuration of no sense"))?;
        cx.see(config.clone());
        self.new_config = Some(Arc::new(config));
        Ok(())
    }

    fn entered(&mut self, cx: &mut Context<'_>) -> Result<(), Leave> {
        self.phase = Phase::AwaitsService;
        if self.by_state {
            self.confirmed = cx.history.last();
        }
        self.by_state = false;
        if let Some(link) = self.link {
            let after_ms = cx.settings.sync_ms();
            cx.output(Output::ReadTimeout { link, after_ms });
        }
        self.commit_confirmed(cx)?;
        if is_on(Mutant::M12) {
            cx.history.lose_newest();
        }
        self.ack_new_leader(cx);
        Ok(())
    }

    fn ack_new_leader(&mut self, cx: &mut Context<'_>) {
        let zxid = Zxid::new(self.epoch, 0);
        self.send(cx, QuorumPacket::bare(PacketType::Ack, zxid));
    }

    /// Applies what was committed before we came.
    fn commit_confirmed(&mut self, cx: &mut Context<'_>) -> Result<(), Leave> {
        let behind = cx.history.behind(cx.history.committed());
        let ready: Vec<_> = behind
            .map(|entry| entry.zxid)
            .take_while(|&zxid| zxid <= self.confirmed)
            .collect();
        let commits = ready.into_iter().map(Committed::plain);
        self.steps.extend(commits.map(Step::Commit));
        self.advance(cx)
    }

    /// Between our acknowledgement of NEWLEADER and UPTODATE.
    fn before_service(&mut self, cx: &mut Context<'_>, packet: QuorumPacket) -> Result<(), Leave> {
        match packet.r#type {
            PacketType::Proposal => self.proposal(cx, packet),
            PacketType::Commit | PacketType::CommitAndActivate => {
                self.committed.push_back(Committed::read(&packet)?);
                Ok(())
            }
            PacketType::Inform | PacketType::InformAndActivate => {
                let committed = Committed::read(&packet)?;
                let entry = self.informed(cx, packet)?;
                self.committed.push_back(committed);
                self.proposed.push_back(entry);
                Ok(())
            }
            PacketType::UpToDate => self.up_to_date(cx),
            _ => Ok(()),
        }
    }

    fn up_to_date(&mut self, cx: &mut Context<'_>) -> Result<(), Leave> {
        self.activate_new_config(cx)?;
        self.phase = Phase::Serving;
        self.ack_new_leader(cx);
        if self.observes && !is_on(Mutant::M04) {
            // What is not committed comes again, as an inform.
            let committed = &self.committed;
            self.proposed
                .retain(|entry| committed.iter().any(|it| it.zxid == entry.zxid));
            self.last_proposed = self.proposed.back().map(|entry| entry.zxid);
        }
        for entry in std::mem::take(&mut self.proposed) {
            self.accept(cx, entry)?;
        }
        for committed in std::mem::take(&mut self.committed) {
            self.commit(cx, committed)?;
        }
        self.acknowledge(cx);
        if !self.is_fuzzy {
            self.serve_behind_commits(cx);
        }
        Ok(())
    }

    /// Serves clients once every commit that has come by now is applied.
    fn serve_behind_commits(&mut self, cx: &mut Context<'_>) {
        let last = self.steps.iter().rev().find_map(|step| match step {
            Step::Commit(committed) => Some(committed.zxid),
            Step::Synced => None,
        });
        self.serves_from = Some(last.unwrap_or(cx.history.committed()));
        self.serve_if_ready(cx);
    }

    /// Serves clients, unless the database shows something that this leader has not committed:
    /// then when it has. Nor before everything is applied that the leader had committed when it
    /// sent UPTODATE: a state that was taken while transactions were applied holds some of those
    /// behind its zxid, and a reader would be shown them under a zxid that is too low. Our own
    /// leaders send their commits only behind UPTODATE, and a ping behind those.
    fn serve_if_ready(&mut self, cx: &mut Context<'_>) {
        let committed = cx.history.committed();
        let is_whole = self.serves_from.is_some_and(|from| from <= committed);
        if self.serves || !is_whole || self.confirmed < committed {
            return;
        }
        self.serves = true;
        if let (false, Some(link), Some(limit)) =
            (self.observes, self.link, cx.settings.observers.master_limit)
        {
            let observers = ObserverMaster::new(cx, link, self.epoch, limit);
            self.observers = Some(Box::new(observers));
        }
        cx.output(Output::Serve {
            role: match self.observes {
                true => Role::Observing,
                false => Role::Following,
            },
            epoch: self.epoch,
        });
    }

    /// Takes a proposal of the broadcast.
    fn accept(&mut self, cx: &mut Context<'_>, entry: Proposed) -> Result<(), Leave> {
        self.outstanding.push_back(entry.zxid);
        if !self.observes || is_on(Mutant::M04) {
            self.to_ack.push_back(entry.zxid);
        }
        log(cx, entry)
    }

    /// A packet of the broadcast.
    fn in_broadcast(&mut self, cx: &mut Context<'_>, packet: QuorumPacket) -> Result<(), Leave> {
        match packet.r#type {
            PacketType::Proposal if self.observes && !is_on(Mutant::M04) => {}
            PacketType::Proposal => {
                let entry = self.read_proposal(cx, packet)?;
                self.accept(cx, entry)?;
                // What was sent before is on the disk already.
                self.acknowledge(cx);
            }
            PacketType::Commit | PacketType::CommitAndActivate
                if self.observes && !is_on(Mutant::M04) => {}
            PacketType::Commit | PacketType::CommitAndActivate => {
                self.commit(cx, Committed::read(&packet)?)?;
            }
            PacketType::Inform | PacketType::InformAndActivate => {
                let committed = Committed::read(&packet)?;
                let entry = self.informed(cx, packet)?;
                self.accept(cx, entry)?;
                self.commit(cx, committed)?;
            }
            PacketType::Sync => {
                self.steps.push_back(Step::Synced);
                self.advance(cx)?;
            }
            PacketType::Ping => {
                if std::mem::take(&mut self.is_fuzzy) {
                    self.serve_behind_commits(cx);
                }
                cx.output(Output::Pinged { zxid: packet.zxid });
            }
            PacketType::Revalidate => {
                let observers = self.observers.as_mut();
                if !observers.is_some_and(|observers| observers.revalidated(cx, &packet)) {
                    let data = packet.data.unwrap_or_default();
                    cx.output(Output::Revalidated { data });
                }
            }
            other => tracing::debug!("ignoring a packet of the leader: {other:?}"),
        }
        Ok(())
    }

    /// The leader has committed a proposal: it must be the oldest.
    fn commit(&mut self, cx: &mut Context<'_>, committed: Committed) -> Result<(), Leave> {
        let zxid = committed.zxid;
        match self.outstanding.front() {
            None => {
                tracing::warn!("Committing {zxid} without seeing txn");
                return Ok(());
            }
            Some(&oldest) if oldest == zxid => {}
            Some(oldest) => {
                let what = format!("COMMIT {zxid} while {oldest} is the oldest proposal");
                return Err(Leave::Protocol(what));
            }
        }
        self.outstanding.pop_front();
        self.confirmed = self.confirmed.max(zxid);
        self.steps.push_back(Step::Commit(committed));
        self.advance(cx)
    }

    /// Our own disk has caught up.
    pub(crate) fn flushed(&mut self, cx: &mut Context<'_>) -> Result<(), Leave> {
        if self.phase == Phase::Serving || is_on(Mutant::M09) {
            self.acknowledge(cx);
        }
        self.advance(cx)
    }

    fn acknowledge(&mut self, cx: &mut Context<'_>) {
        let flushed = cx.history.flushed();
        let is_stored = |zxid: &mut Zxid| *zxid <= flushed || is_on(Mutant::M01);
        while let Some(zxid) = self.to_ack.pop_front_if(is_stored) {
            self.send(cx, QuorumPacket::bare(PacketType::Ack, zxid));
        }
    }

    /// Does what need not wait any more, in order.
    fn advance(&mut self, cx: &mut Context<'_>) -> Result<(), Leave> {
        let flushed = cx.history.flushed();
        let is_ready = |step: &mut Step| match step {
            Step::Commit(committed) => committed.zxid <= flushed,
            Step::Synced => true,
        };
        while let Some(step) = self.steps.pop_front_if(is_ready) {
            match step {
                Step::Commit(committed) => self.perform_commit(cx, &committed)?,
                Step::Synced => {
                    let observers = self.observers.as_mut();
                    if !observers.is_some_and(|observers| observers.synced(cx)) {
                        cx.output(Output::Synced);
                    }
                }
            }
        }
        self.serve_if_ready(cx);
        Ok(())
    }

    fn perform_commit(&mut self, cx: &mut Context<'_>, committed: &Committed) -> Result<(), Leave> {
        let &Committed { zxid, designated } = committed;
        // The database may hold it since before the connection was made.
        if cx.history.committed() < zxid {
            if let Some(observers) = &mut self.observers {
                observers.commits(cx, zxid, designated);
            }
            cx.history.commit(zxid);
            cx.output(Output::Commit(zxid));
            if let Some(observers) = &mut self.observers {
                observers.committed(cx);
            }
        }
        self.activate(cx, committed)
    }

    /// Ends the connections.
    pub(crate) fn leave(&mut self, cx: &mut Context<'_>) {
        if let Some(observers) = &mut self.observers {
            observers.resign(cx);
        }
        if let Some(link) = self.link.take() {
            cx.close(link);
        }
    }
}

/// Writes an entry to our log, unless it stands there.
fn log(cx: &mut Context<'_>, entry: Proposed) -> Result<(), Leave> {
    let Proposed {
        zxid,
        payload,
        record,
    } = entry;
    let last = cx.history.last();
    if zxid <= last {
        return Ok(());
    }
    if !zxid.follows(last) {
        let what = format!("a proposal {zxid} that does not follow {last}");
        return Err(Leave::Protocol(what));
    }
    cx.history.append(zxid, Bytes::clone(&payload));
    cx.output(Output::Append { record, payload });
    Ok(())
}

fn unexpected(packet: &QuorumPacket, how: &str) -> Leave {
    Leave::Protocol(format!("{:?} {} {how}", packet.r#type, packet.zxid))
}
