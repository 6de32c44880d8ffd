//! A member of an ensemble: which role it has, and what outlives the roles.
//!
//! Invariants: a role begins only when everything that was handed to the disk is durable, so what
//! a vote or an introduction says cannot be taken back by a power cut; a database that was half
//! replaced is read anew before that (ZOOKEEPER-3642). What a role leaves in the log and has not
//! committed stays part of the history (ZOOKEEPER-2845). Source: `QuorumPeer.java`; quorum.md 3.6
//! and 3.7.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use ox_proto::{
    EnsembleConfig, Member, MemberRole, PacketType, PeerState, QuorumPacket, ReconfigError,
    ReconfigRequest, ServerId, Zxid,
};

use crate::configs::Configs;
use crate::context::{Context, Epochs};
use crate::election::{Election, ElectionOutput, ElectionSettings, ElectionTiming, Vote};
use crate::event::{DiskDone, DiskRequest, Input, LinkId, LogSearch, Output};
use crate::history::History;
use crate::leader::Leader;
use crate::learner::{Learner, Leave};
use crate::master_choice::MasterChoice;
use crate::settings::ZabSettings;

/// Connections that may wait until it is known whether we lead.
const MAX_EARLY: usize = 32;

/// How long a server waits before it elects again when it has left leaders without serving under
/// them: not after the first, then longer each time. Some leaders refuse a server as often as it
/// asks, until another election.
const RETRIES_MS: [i64; 6] = [0, 0, 100, 200, 400, 800];

/// What a member starts with.
#[derive(Clone, Debug, Hash)]
pub struct Membership {
    /// Whether this server is a participant or an observer.
    pub role: MemberRole,
    /// Who belongs to the ensemble: what is in force.
    pub config: Arc<EnsembleConfig>,
    /// What was proposed and not activated before this server stopped.
    pub proposed: Option<EnsembleConfig>,
    /// What the disk says.
    pub epochs: Epochs,
    /// How long elections wait for what.
    pub timing: ElectionTiming,
}

/// One member.
#[derive(Clone, Debug, Hash)]
pub struct Peer {
    settings: ZabSettings,
    configs: Configs,
    epochs: Epochs,
    history: History,
    election: Election,
    state: State,
    /// The election knows that the epoch of this role has begun.
    is_established: bool,
    /// A reconfiguration has said who leads, so the next role begins without an election.
    is_appointed: bool,
    /// Leaders in a row that were left without having served under them.
    failures: usize,
    /// When the next election may begin, in monotonic milliseconds.
    look_at: i64,
    /// Requests that the disk has not answered.
    disk_requests: usize,
    /// A state that was sent whole has taken the place of the database, and not that of the disk.
    half_replaced: bool,
    /// Our log could not be cut where a leader wanted it, and has not been synchronized since.
    wants_state: bool,
    /// An epoch that a member has accepted, and that was too late for it to follow us: the next one of
    /// ours will be later.
    promised: u32,
    /// Connections to our quorum port from before we knew whether we lead, with how they have
    /// introduced themselves: until they are answered they have no more to say.
    early: BTreeMap<LinkId, Option<QuorumPacket>>,
    /// Whom it connects to as an observer.
    masters: MasterChoice,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Debug, Hash)]
enum State {
    /// It is alone, and leads without anybody's consent.
    Alone(Box<Leader>),
    /// It elects as soon as the disk is done.
    Waiting,
    /// It elects.
    Looking,
    Leading(Box<Leader>),
    Learning(Box<Learner>),
}

impl Peer {
    /// A member of an ensemble whose log is `history`.
    pub fn member(settings: ZabSettings, membership: Membership, history: History) -> Self {
        let Membership {
            role,
            config,
            proposed,
            epochs,
            timing,
        } = membership;
        let mut configs = Configs::new(settings.own, settings.reconfig.is_some(), role, config);
        if let Some(proposed) = proposed {
            configs.see(proposed);
        }
        configs.take_changed();
        let election = Election::new(ElectionSettings {
            server: settings.own,
            role,
            committed: Arc::clone(configs.committed()),
            last_seen: Arc::clone(configs.last_seen()),
            reconfig_enabled: configs.is_enabled(),
            timing,
        });
        let masters = MasterChoice::new(&settings.observers, configs.committed());
        Self {
            settings,
            configs,
            epochs,
            history,
            election,
            state: State::Waiting,
            is_established: false,
            is_appointed: false,
            failures: 0,
            look_at: i64::MIN,
            disk_requests: 0,
            half_replaced: false,
            wants_state: false,
            promised: 0,
            early: BTreeMap::new(),
            masters,
            outputs: VecDeque::new(),
        }
    }

    /// A server that is alone, whose log ends at `last`: an ensemble of one without elections and
    /// epochs.
    pub fn alone(settings: ZabSettings, last: Zxid) -> Self {
        let own = settings.own;
        let itself = Member {
            role: MemberRole::Participant,
            addresses: Vec::new(),
            client: None,
        };
        let config = EnsembleConfig {
            members: [(own, itself)].into(),
            ..EnsembleConfig::default()
        };
        let epochs = Epochs {
            accepted: last.epoch(),
            current: Some(last.epoch()),
        };
        let membership = Membership {
            role: MemberRole::Participant,
            config: Arc::new(config),
            proposed: None,
            epochs,
            timing: ElectionTiming::default(),
        };
        let mut peer = Self::member(settings, membership, History::new(last, 0));
        peer.is_established = true;
        let leader = Leader::alone(own, Arc::clone(peer.configs.committed()), last);
        peer.state = State::Alone(Box::new(leader));
        peer
    }

    /// Begins: a member elects, a server that is alone serves.
    pub fn start(&mut self, now: i64) {
        if self.configs.is_pending() {
            self.parts(now).1.tell_members();
        }
        match self.state {
            State::Alone(_) => self.outputs.push_back(Output::Serve {
                role: crate::Role::Leading,
                epoch: self.history.last().epoch(),
            }),
            _ => self.look_if_ready(now),
        }
    }

    /// Takes one event in. `now` is in monotonic milliseconds.
    pub fn handle(&mut self, now: i64, input: Input) {
        match input {
            Input::Notification { from, notification } => {
                self.election.handle(now, from, &notification);
                self.after_election(now);
                if notification.state == Some(PeerState::Looking) {
                    self.voter_looks(now, from, &Vote::of(&notification));
                }
            }
            Input::Silenced { server } => {
                self.election.closed(now, server);
                self.after_election(now);
                self.check_followers(now);
            }
            Input::Accepted { link } => self.accepted(now, link),
            Input::AcceptedObserver { link } => self.accepted_observer(now, link),
            Input::Dialed { server, link } => self.dialed(now, server, link),
            Input::Closed { link } => self.closed(now, link),
            Input::Received { link, packet } => self.received(now, link, packet),
            Input::Replaced { link } => self.replaced(now, link),
            Input::Flushed(zxid) => self.flushed(now, zxid),
            Input::Done(done) => self.done(now, done),
            Input::Found { link, found } => self.found(now, link, found),
            Input::Timeout { delivered } => self.timeout(now, delivered),
        }
    }

    /// The next effect, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is due, in monotonic milliseconds.
    pub fn poll_timeout(&self) -> i64 {
        match &self.state {
            State::Alone(_) => i64::MAX,
            State::Waiting if self.is_quiet() => self.look_at,
            State::Waiting => i64::MAX,
            State::Learning(learner) => learner.poll_timeout(),
            State::Looking => self.election.poll_timeout().unwrap_or(i64::MAX),
            State::Leading(leader) => leader.poll_timeout(),
        }
    }

    /// Whether this server is an ensemble of one without elections and epochs.
    pub fn is_alone(&self) -> bool {
        matches!(self.state, State::Alone(_))
    }

    /// Whether it elects, with all that it holds on the disk. Before that its database may be
    /// another server's in part.
    pub fn is_electing(&self) -> bool {
        matches!(self.state, State::Looking)
    }

    /// What this server is doing.
    pub fn state(&self) -> PeerState {
        match &self.state {
            State::Alone(_) | State::Leading(_) => PeerState::Leading,
            State::Waiting | State::Looking => PeerState::Looking,
            State::Learning(learner) => match learner.observes() {
                false => PeerState::Following,
                true => PeerState::Observing,
            },
        }
    }

    /// Whom this server follows, if anybody, or itself.
    pub fn leader(&self) -> Option<ServerId> {
        match &self.state {
            State::Alone(_) | State::Leading(_) => Some(self.settings.own),
            State::Waiting | State::Looking => None,
            State::Learning(learner) => Some(learner.leader()),
        }
    }

    /// Who belongs to the ensemble: the configuration in force.
    pub fn config(&self) -> &Arc<EnsembleConfig> {
        self.configs.committed()
    }

    /// The newest configuration that was proposed; the one in force if none is pending.
    pub fn last_seen_config(&self) -> &EnsembleConfig {
        self.configs.last_seen()
    }

    /// Whether this server votes, by the configuration in force. One that is in none follows.
    pub fn role(&self) -> MemberRole {
        self.configs.role()
    }

    /// The tree that was found on the disk holds this configuration, so it was proposed at least.
    /// Only before [`start`](Self::start).
    pub fn recall_config(&mut self, config: EnsembleConfig) {
        if config.version > self.configs.last_seen().version && self.configs.see(config) {
            self.configs_changed();
        }
    }

    /// What a reconfig request comes to, if this server leads and can do it: the next configuration,
    /// still with the version of the present one.
    ///
    /// # Errors
    /// In the order in which Java finds them.
    pub fn plan_reconfig(
        &self,
        now: i64,
        request: &ReconfigRequest,
    ) -> Result<EnsembleConfig, ReconfigError> {
        let rules = self.settings.reconfig.ok_or(ReconfigError::Disabled)?;
        let State::Leading(leader) = &self.state else {
            return Err(ReconfigError::Standalone);
        };
        if self.configs.is_pending() {
            return Err(ReconfigError::InProgress);
        }
        let config = self.configs.committed();
        let (expected, actual) = (request.current_config_id, config.version);
        if ![-1, actual].contains(&expected) {
            return Err(ReconfigError::Version { expected, actual });
        }
        let config = config.changed(request, rules)?;
        let new = Arc::new(config.clone());
        match leader.is_followed_by_quorum_of(&self.settings, now, new) {
            true => Ok(config),
            false => Err(ReconfigError::NoQuorum),
        }
    }

    /// The epochs on stable storage.
    pub fn epochs(&self) -> Epochs {
        self.epochs
    }

    /// What the log holds.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The learners that serve clients: who, and whether it follows rather than observes.
    pub fn learners(&self) -> Vec<(ServerId, bool)> {
        match &self.state {
            State::Leading(leader) => leader.learners().collect(),
            State::Learning(learner) => match learner.observers() {
                Some(observers) => observers.handlers().serving().collect(),
                None => Vec::new(),
            },
            State::Alone(_) | State::Waiting | State::Looking => Vec::new(),
        }
    }

    /// How many proposals wait for their commit.
    pub fn outstanding(&self) -> usize {
        match &self.state {
            State::Alone(leader) | State::Leading(leader) => leader.outstanding(),
            State::Learning(learner) => learner.outstanding(),
            State::Waiting | State::Looking => 0,
        }
    }

    /// The newest proposal of a leader.
    pub fn last_proposed(&self) -> Zxid {
        match &self.state {
            State::Alone(leader) | State::Leading(leader) => leader.last_proposed(),
            State::Waiting | State::Looking | State::Learning(_) => self.history.last(),
        }
    }

    /// The zxid of the next proposal. `None` on who does not lead a quorum, and once the counter of
    /// this epoch is spent; a server that is alone is free to go on in the next epoch.
    pub fn next_zxid(&self) -> Option<Zxid> {
        match &self.state {
            State::Alone(leader) => leader
                .next_zxid()
                .or_else(|| leader.last_proposed().next_epoch()),
            State::Leading(leader) => leader.next_zxid(),
            State::Waiting | State::Looking | State::Learning(_) => None,
        }
    }

    /// Broadcasts a transaction. The caller has it written to our own log.
    ///
    /// # Panics
    /// If `zxid` is not the next.
    pub fn propose(&mut self, now: i64, zxid: Zxid, payload: Bytes) {
        assert_eq!(Some(zxid), self.next_zxid(), "it may not be proposed");
        self.history.append(zxid, Bytes::clone(&payload));
        self.with_leader(now, |leader, cx| leader.propose(cx, zxid, &payload));
    }

    /// Broadcasts a transaction that changes the members to `config`, the version of which is its
    /// zxid.
    ///
    /// # Panics
    /// If `zxid` is not the next.
    pub fn propose_reconfig(
        &mut self,
        now: i64,
        zxid: Zxid,
        payload: Bytes,
        config: EnsembleConfig,
    ) {
        assert_eq!(Some(zxid), self.next_zxid(), "it may not be proposed");
        assert_eq!(config.version, zxid.0, "the version is the zxid");
        self.history.append(zxid, Bytes::clone(&payload));
        self.with_leader(now, |leader, cx| {
            leader.propose_reconfig(cx, zxid, &payload, config);
        });
    }

    /// The counter of this epoch is spent: a new one must begin.
    pub fn roll_over(&mut self, now: i64) {
        if let State::Leading(_) = self.state {
            self.step_down(now, &crate::leader::StepDown::Rollover);
        }
    }

    /// Sends a packet to the leader.
    pub fn send_to_leader(&mut self, now: i64, packet: QuorumPacket) {
        let (state, mut cx) = self.parts(now);
        if let State::Learning(learner) = state {
            learner.ask(&mut cx, packet);
        }
    }

    /// Sends a packet to a learner that serves clients. Only a leader does; a follower's observers
    /// are served by this peer alone.
    pub fn send_to_learner(&mut self, now: i64, link: LinkId, packet: QuorumPacket) {
        let (state, mut cx) = self.parts(now);
        if let State::Leading(leader) = state {
            leader.send(&mut cx, link, packet);
        }
    }

    /// The same before all that has not been polled: to be called when an [`Output::Commit`] has
    /// been, it puts the packet behind the learner's COMMIT of that zxid and before the next.
    pub fn send_next_to_learner(&mut self, now: i64, link: LinkId, packet: QuorumPacket) {
        let before = self.outputs.len();
        self.send_to_learner(now, link, packet);
        let new = self.outputs.len() - before;
        self.outputs.rotate_right(new);
    }

    fn parts(&mut self, now: i64) -> (&mut State, Context<'_>) {
        let context = Context {
            now,
            settings: &self.settings,
            configs: &mut self.configs,
            epochs: self.epochs,
            wants_state: self.wants_state,
            history: &mut self.history,
            outputs: &mut self.outputs,
            disk_requests: &mut self.disk_requests,
        };
        (&mut self.state, context)
    }

    fn with_leader(&mut self, now: i64, act: impl FnOnce(&mut Leader, &mut Context<'_>)) {
        let (state, mut cx) = self.parts(now);
        if let State::Alone(leader) | State::Leading(leader) = state {
            act(leader, &mut cx);
        }
        self.after_role();
    }

    /// Lets the learner act; if it cannot go on, the server elects again.
    fn with_learner(
        &mut self,
        now: i64,
        act: impl FnOnce(&mut Learner, &mut Context<'_>) -> Result<(), Leave>,
    ) {
        let (state, mut cx) = self.parts(now);
        let State::Learning(learner) = state else {
            return;
        };
        if let Err(reason) = act(learner, &mut cx) {
            tracing::warn!(
                sid = learner.master().0,
                "leaving the server we learn from: {reason}"
            );
            let leader = learner.leader();
            if let Leave::Reconfigured { designated } = reason {
                self.configs_changed();
                if let Some((designated, zxid)) = designated {
                    self.appoint((designated != leader).then_some(designated), zxid);
                }
            }
            self.look_again(now);
        } else {
            self.after_role();
        }
    }

    /// The election hears of other configurations, and an observer of other followers.
    fn configs_changed(&mut self) {
        if self.configs.take_changed() {
            let (committed, last_seen) = (self.configs.committed(), self.configs.last_seen());
            self.masters.set_voters(committed);
            let (committed, last_seen) = (Arc::clone(committed), Arc::clone(last_seen));
            let role = self.configs.role();
            self.election.set_configs(committed, last_seen, role);
        }
    }

    /// A leader that has been established, and a learner that is up to date, say so in their votes.
    fn after_role(&mut self) {
        self.configs_changed();
        if self.is_established {
            return;
        }
        let epoch = match &self.state {
            State::Leading(leader) if leader.is_serving() => leader.epoch(),
            State::Learning(learner) if learner.is_serving() => learner.epoch(),
            _ => return,
        };
        self.is_established = true;
        self.election.established(epoch.into());
    }

    /// The next role begins without an election, under another leader if there is one.
    fn appoint(&mut self, leader: Option<ServerId>, zxid: Zxid) {
        self.is_appointed = true;
        if let Some(leader) = leader {
            self.election.designate(leader, zxid);
        }
    }

    /// Ends the role, and goes on to elect once the disk is done.
    fn look_again(&mut self, now: i64) {
        self.configs_changed();
        if let State::Leading(leader) = &self.state
            && let Some(successor) = leader.successor()
        {
            let zxid = leader.last_proposed();
            self.appoint(Some(successor), zxid);
        }
        let (state, mut cx) = self.parts(now);
        let (served, observed) = match state {
            State::Leading(leader) => {
                leader.resign(&mut cx);
                (leader.is_serving(), false)
            }
            State::Learning(learner) => {
                learner.leave(&mut cx);
                (learner.is_serving(), learner.observes())
            }
            State::Alone(_) | State::Waiting | State::Looking => (false, false),
        };
        let has_failed = matches!(state, State::Learning(_)) && !served;
        self.failures = if has_failed { self.failures + 1 } else { 0 };
        let mut wait = RETRIES_MS[self.failures.min(RETRIES_MS.len() - 1)];
        if observed && !self.is_appointed {
            // When a leader ends, its observers should not all ask at once who is next.
            wait += self.masters.election_delay_ms();
        }
        self.look_at = now.saturating_add(wait);
        if served {
            self.outputs.push_back(Output::Retire);
        }
        self.state = State::Waiting;
        if !self.is_appointed {
            self.election.set_state(PeerState::Looking);
        }
        if self.half_replaced && self.disk_requests == 0 {
            self.parts(now).1.disk(DiskRequest::Reload);
        }
        self.look_if_ready(now);
    }

    fn step_down(&mut self, now: i64, reason: &crate::leader::StepDown) {
        tracing::warn!("not leading any more: {reason}");
        self.look_again(now);
    }

    /// Someone elects, with this vote.
    fn voter_looks(&mut self, now: i64, server: ServerId, vote: &Vote) {
        let elected_by = self.election.vote();
        let is_voter = self.configs.quorums().is_voter(server);
        let (state, cx) = self.parts(now);
        let State::Leading(leader) = state else {
            return;
        };
        let is_lost = elected_by.is_some_and(|own| vote.is_beyond(&own));
        if is_voter && let Err(reason) = leader.looking(&cx, server, is_lost) {
            return self.step_down(now, &reason);
        }
        self.check_followers(now);
    }

    /// A leader that nobody can be expected to follow gives up.
    fn check_followers(&mut self, now: i64) {
        let State::Leading(leader) = &self.state else {
            return;
        };
        let election = &self.election;
        if let Err(reason) = leader.may_be_followed(|server| election.is_heard(server)) {
            self.step_down(now, &reason);
        }
    }

    /// A leader makes way for a member that cannot follow it any more.
    fn check_promises(&mut self, now: i64) {
        if let State::Leading(leader) = &self.state
            && let Some(epoch) = leader.outlived_by()
        {
            self.promised = self.promised.max(epoch);
            self.step_down(now, &crate::leader::StepDown::Outlived(epoch));
        }
    }

    /// Whether the disk has done all that it was asked for, and the database holds the same.
    fn is_quiet(&self) -> bool {
        self.disk_requests == 0
            && !self.half_replaced
            && self.history.flushed() == self.history.last()
    }

    fn look_if_ready(&mut self, now: i64) {
        if matches!(self.state, State::Waiting) && self.is_quiet() && self.look_at <= now {
            if std::mem::take(&mut self.is_appointed)
                && let Some((state, vote)) = self.election.take_role()
            {
                return self.elected(now, state, vote);
            }
            tracing::info!(
                zxid = %self.history.last(),
                epoch = ?self.epochs.current,
                "LOOKING",
            );
            self.state = State::Looking;
            self.begin_round(now);
            self.after_election(now);
        }
    }

    fn begin_round(&mut self, now: i64) {
        let (last, current) = (self.history.last(), self.epochs.current_code());
        let last = match self.epochs.current {
            Some(_) => last,
            None => Zxid(-1),
        };
        self.election.look(now, last, current);
    }

    /// Performs what the election wants done.
    fn after_election(&mut self, now: i64) {
        while let Some(output) = self.election.poll_output() {
            match output {
                ElectionOutput::Send { to, notification } => {
                    self.outputs.push_back(Output::Notify { to, notification });
                }
                ElectionOutput::DialAll => self.outputs.push_back(Output::DialPeers),
                ElectionOutput::Elected { state, vote, .. } => self.elected(now, state, vote),
                ElectionOutput::AdoptConfig(config) => {
                    let (_, mut cx) = self.parts(now);
                    cx.activate(&Arc::new(config));
                    // The election has it already.
                    if self.configs.take_changed() {
                        self.masters.set_voters(self.configs.committed());
                    }
                    if matches!(self.state, State::Looking) && !self.election.is_running() {
                        self.begin_round(now);
                    }
                }
            }
        }
    }

    fn elected(&mut self, now: i64, state: PeerState, vote: Vote) {
        let early = std::mem::take(&mut self.early);
        let promised = self.promised;
        self.is_established = false;
        match state {
            PeerState::Leading => {
                tracing::info!("LEADING");
                let (_, mut cx) = self.parts(now);
                let leader = Leader::new(&mut cx, promised);
                self.state = State::Leading(Box::new(leader));
                for (link, introduction) in early {
                    self.accepted(now, link);
                    if let Some(packet) = introduction {
                        self.received(now, link, packet);
                    }
                }
            }
            PeerState::Following | PeerState::Observing => {
                let observes = state == PeerState::Observing;
                let what = if observes { "OBSERVING" } else { "FOLLOWING" };
                tracing::info!(sid = vote.leader.0, "{what}");
                let choice = observes.then(|| self.masters.next(vote.leader));
                let (_, mut cx) = self.parts(now);
                for link in early.into_keys() {
                    cx.close(link);
                }
                let learner = match choice {
                    Some(choice) => Learner::observe(&mut cx, vote, choice),
                    None => Learner::follow(&mut cx, vote),
                };
                self.state = State::Learning(Box::new(learner));
            }
            PeerState::Looking => unreachable!("an election ends in a role"),
        }
    }

    fn accepted(&mut self, now: i64, link: LinkId) {
        match &mut self.state {
            State::Leading(_) => self.with_leader(now, |leader, cx| leader.accepted(cx, link)),
            // It may know already that we lead. Then it speaks at once, so that it takes the place
            // of one that does not.
            State::Waiting | State::Looking => {
                if self.early.len() >= MAX_EARLY {
                    let silent = self.early.iter().find(|(_, packet)| packet.is_none());
                    let gives_way = silent.map_or(link, |(&silent, _)| silent);
                    self.parts(now).1.close(gives_way);
                    if self.early.remove(&gives_way).is_none() {
                        return;
                    }
                }
                self.early.insert(link, None);
            }
            State::Alone(_) | State::Learning(_) => self.parts(now).1.close(link),
        }
    }

    fn accepted_observer(&mut self, now: i64, link: LinkId) {
        let (state, mut cx) = self.parts(now);
        match state {
            State::Learning(learner) => learner.observer_accepted(&mut cx, link),
            State::Alone(_) | State::Waiting | State::Looking | State::Leading(_) => {
                cx.close(link);
            }
        }
    }

    fn found(&mut self, now: i64, link: LinkId, found: LogSearch) {
        let (state, mut cx) = self.parts(now);
        match state {
            State::Leading(leader) => leader.found(&mut cx, link, found),
            State::Learning(learner) => learner.found(&mut cx, link, found),
            State::Alone(_) | State::Waiting | State::Looking => {}
        }
    }

    fn dialed(&mut self, now: i64, server: ServerId, link: Option<LinkId>) {
        let is_wanted = matches!(&self.state, State::Learning(learner)
            if learner.master() == server && learner.awaits_connection());
        if is_wanted {
            self.with_learner(now, |learner, cx| learner.dialed(cx, link));
        } else if let Some(link) = link {
            self.parts(now).1.close(link);
        }
    }

    fn closed(&mut self, now: i64, link: LinkId) {
        self.early.remove(&link);
        match &self.state {
            State::Leading(_) => {
                self.with_leader(now, |leader, cx| leader.closed(cx, link));
                self.check_followers(now);
            }
            State::Learning(learner) if learner.is_link(link) => {
                self.with_learner(now, |_, _| Err(Leave::Lost));
            }
            State::Learning(_) => self.with_learner(now, |learner, cx| {
                learner.observer_closed(cx, link);
                Ok(())
            }),
            State::Alone(_) | State::Waiting | State::Looking => {}
        }
    }

    fn received(&mut self, now: i64, link: LinkId, packet: QuorumPacket) {
        match &mut self.state {
            State::Leading(_) => {
                self.with_leader(now, |leader, cx| leader.received(cx, link, packet));
                self.check_promises(now);
            }
            State::Learning(learner) if learner.is_link(link) => {
                self.with_learner(now, |learner, cx| learner.received(cx, packet));
            }
            State::Learning(_) => self.with_learner(now, |learner, cx| {
                learner.observer_received(cx, link, packet);
                Ok(())
            }),
            State::Waiting | State::Looking => {
                let is_first = packet.r#type == PacketType::FollowerInfo
                    || packet.r#type == PacketType::ObserverInfo;
                match self.early.get_mut(&link) {
                    Some(early @ None) if is_first => *early = Some(packet),
                    Some(_) => {
                        self.early.remove(&link);
                        self.parts(now).1.close(link);
                    }
                    None => {}
                }
            }
            State::Alone(_) => {}
        }
    }

    fn replaced(&mut self, now: i64, link: LinkId) {
        self.half_replaced = true;
        match &self.state {
            State::Learning(learner) if learner.is_link(link) => {
                self.with_learner(now, |learner, cx| learner.replaced(cx));
            }
            // It came too late: the disk knows what this server is, whatever it does by now.
            State::Alone(_)
            | State::Waiting
            | State::Looking
            | State::Leading(_)
            | State::Learning(_) => self.look_again(now),
        }
    }

    fn flushed(&mut self, now: i64, zxid: Zxid) {
        self.history.flush(zxid);
        match &self.state {
            State::Alone(_) | State::Leading(_) => {
                self.with_leader(now, |leader, cx| leader.flushed(cx, zxid));
            }
            State::Learning(_) => self.with_learner(now, |learner, cx| learner.flushed(cx)),
            State::Waiting => self.look_if_ready(now),
            State::Looking => {}
        }
    }

    fn done(&mut self, now: i64, done: DiskDone) {
        self.disk_requests = self.disk_requests.saturating_sub(1);
        match done {
            DiskDone::EpochAccepted(epoch) => {
                self.epochs.accepted = self.epochs.accepted.max(epoch);
            }
            DiskDone::EpochAnnounced(_) | DiskDone::ConfigKept => {}
            DiskDone::EpochEntered(epoch) => {
                self.epochs.current = Some(epoch);
                self.wants_state = false;
            }
            DiskDone::Truncated { last } => {
                self.history.truncate(last);
                self.outputs.push_back(Output::Forget { after: last });
            }
            DiskDone::NotTruncated => self.wants_state = true,
            DiskDone::Installed { last } | DiskDone::Reloaded { last } => {
                self.half_replaced = false;
                self.history.restart(last);
            }
        }
        match &self.state {
            State::Leading(_) => self.with_leader(now, |leader, cx| leader.done(cx, done)),
            State::Learning(_) => self.with_learner(now, |learner, cx| learner.done(cx, done)),
            State::Waiting => {
                if self.half_replaced && self.disk_requests == 0 {
                    self.parts(now).1.disk(DiskRequest::Reload);
                }
                self.look_if_ready(now);
            }
            State::Alone(_) | State::Looking => {}
        }
    }

    fn timeout(&mut self, now: i64, delivered: bool) {
        match &self.state {
            State::Looking => {
                self.election.timeout(now, delivered);
                self.after_election(now);
            }
            State::Leading(_) => {
                let mut outcome = Ok(());
                self.with_leader(now, |leader, cx| outcome = leader.timeout(cx));
                if let Err(reason) = outcome {
                    self.step_down(now, &reason);
                }
            }
            State::Learning(_) => self.with_learner(now, |learner, cx| {
                learner.timeout(cx);
                Ok(())
            }),
            State::Waiting => self.look_if_ready(now),
            State::Alone(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{LeaderSettings, ObserverSettings};
    use crate::testing::voters;

    /// The only voter of its ensemble, with a disk that takes no time.
    struct OnlyVoter {
        peer: Peer,
        seen: Vec<Output>,
    }

    impl OnlyVoter {
        fn start() -> Self {
            let settings = ZabSettings {
                own: ServerId(1),
                tick_ms: 1000,
                init_limit: 10,
                sync_limit: 5,
                force_snapshot_sync: false,
                leader: LeaderSettings::default(),
                observers: ObserverSettings::default(),
                reconfig: None,
                max_record: 1000,
            };
            let membership = Membership {
                role: MemberRole::Participant,
                config: Arc::new(voters(1)),
                proposed: None,
                epochs: Epochs {
                    accepted: 0,
                    current: Some(0),
                },
                timing: ElectionTiming::default(),
            };
            let peer = Peer::member(settings, membership, History::new(Zxid::ZERO, 10));
            let mut only = Self {
                peer,
                seen: Vec::new(),
            };
            only.peer.start(0);
            only.perform();
            only
        }

        fn perform(&mut self) {
            while let Some(output) = self.peer.poll_output() {
                let done = match output {
                    Output::Disk(DiskRequest::AcceptEpoch(epoch)) => DiskDone::EpochAccepted(epoch),
                    Output::Disk(DiskRequest::EnterEpoch(epoch)) => DiskDone::EpochEntered(epoch),
                    output => {
                        self.seen.push(output);
                        continue;
                    }
                };
                self.peer.handle(0, Input::Done(done));
            }
        }

        fn propose(&mut self) -> Zxid {
            let zxid = self.peer.next_zxid().unwrap();
            self.peer.propose(0, zxid, Bytes::from_static(b"txn"));
            self.peer.handle(0, Input::Flushed(zxid));
            self.perform();
            assert_eq!(self.seen.pop(), Some(Output::Commit(zxid)));
            zxid
        }
    }

    /// ZOOKEEPER-1277: the counter ran over into the epoch.
    #[test]
    fn zk1277_a_spent_counter_makes_a_new_epoch() {
        let mut only = OnlyVoter::start();
        assert_eq!(only.propose(), Zxid::new(1, 1));
        let nearly = Zxid::new(1, 0xffff_fffd);
        only.peer.history.restart(nearly);
        let State::Leading(leader) = &mut only.peer.state else {
            panic!("it leads");
        };
        leader.go_on_behind(nearly);
        assert_eq!(only.propose(), Zxid::new(1, 0xffff_fffe));
        assert_eq!(only.peer.next_zxid(), None);
        only.seen.clear();
        only.peer.roll_over(0);
        only.perform();
        let serve = Output::Serve {
            role: crate::Role::Leading,
            epoch: 2,
        };
        assert_eq!(only.seen, [Output::Retire, serve]);
        assert_eq!(only.propose(), Zxid::new(2, 1));
    }
}
