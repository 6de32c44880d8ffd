//! Fast leader election: which server a quorum can agree on, and how a server that comes late
//! learns whom the others follow.
//!
//! A server that is LOOKING tells all voters its vote and takes over every better one it hears of;
//! better is the higher (peer epoch, zxid, id). Rounds are numbered by a logical clock: only votes
//! of one round are counted together, and whoever hears of a later round joins it. A server that
//! is not LOOKING answers those that are with the vote it was elected by, or elected by.
//!
//! Invariants: a server leads only after a quorum of each configuration has told it an equal vote
//! for it; whom it follows it has either elected like that, or that server itself has said that it
//! leads. Only voters that have a weight are ever elected. Nothing that is received makes this
//! grow: what it keeps, it keeps per voter. That no committed transaction is lost is not its
//! concern: the leader's epoch and history are agreed upon afterwards, and that fails if the
//! election has chosen badly.
//!
//! # What has to be waited for
//!
//! Once a quorum agrees, Java waits another 200 ms (`finalizeWait`) for a better vote. Safety does
//! not need that; it makes it rare that a server leads while those who have elected it go over to a
//! better one, and then sits there alone until `initLimit` is over. Here the wait is left out in
//! two cases.
//!
//! *Every voter that can win has told a vote of this round.* Within a round a server's vote only
//! rises, and it begins with the server itself; so none of them began with more than it has told,
//! and nothing that was told is better than our proposal. A vote rises only to what some voter
//! began with. So our proposal is the highest vote that this round can have, and all who leave out
//! the wait for this reason have the same one. The vote of a voter of weight 0 for itself wins over
//! none, so it need not be heard. Who crashes and comes back into the same round begins with what
//! its disk holds: no more than before, unless it has followed a leader meanwhile, and then a
//! quorum has left this round.
//!
//! *Those that have not told one are gone:* they have spoken to this server before, and since then
//! have closed their connection ([`Election::closed`]). That is how a leader ends. If such a server
//! is back at once, with a better vote that reaches some of the others before they agree and some
//! after, then there is the lonely leader for whom Java waits; Java has it too if the better vote
//! comes 200 ms later. A voter that has not spoken yet is waited for, so that servers that are
//! started one after the other find each other.
//!
//! Votes, rounds and quorums are Java's, so that next to Java servers it is as safe. It is live as
//! well. A Java server that still waits while we lead finds our votes unchanged, ends its wait and
//! connects. One that still waits while we follow it does not listen yet: so connecting has to be
//! tried for longer than its wait (Java tries for 400 ms). If it changes its mind after all, our
//! attempts fail, we look again in a later round, and it joins that or answers. Where the wait is
//! not left out it is as long as Java's, but what changes nothing does not begin it anew.
//!
//! Two more waits of Java are shortened. Who begins to look a moment before the others sends its
//! vote to servers that are not LOOKING yet; they answer it and forget it, and hear it again only
//! when its first timer ends, after 200 ms. Here a vote of the very next round is kept for that
//! long, and counted when this server begins the round, as is every vote that comes while it only
//! waits for its disk to begin it; and a server that has answered as one that
//! is not LOOKING is told our proposal again when it begins our round with less.
//!
//! Source: `FastLeaderElection.java`, `Vote.java`; quorum.md chapter 3.

mod electorate;
mod round;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod vote;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use ox_mutant::{Mutant, is_on};
use ox_proto::{EnsembleConfig, MemberRole, Notification, PeerState, ServerId, Zxid};

pub use vote::Vote;

use electorate::Electorate;
use round::Round;
use vote::Ballot;

/// How long an election waits for what. All in milliseconds.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct ElectionTiming {
    /// Until a vote is told again; doubled each time (`fastleader.minNotificationInterval`).
    pub min_notification_interval_ms: i64,
    /// What doubling ends at (`fastleader.maxNotificationInterval`).
    pub max_notification_interval_ms: i64,
    /// How long a better vote is waited for once a quorum agrees. At least one round-trip between
    /// the servers.
    pub finalize_wait_ms: i64,
}

impl Default for ElectionTiming {
    /// Java's.
    fn default() -> Self {
        Self {
            min_notification_interval_ms: 200,
            max_notification_interval_ms: 60_000,
            finalize_wait_ms: 200,
        }
    }
}

/// What an [`Election`] is told at its beginning.
#[derive(Clone, Debug, Hash)]
pub struct ElectionSettings {
    /// This server.
    pub server: ServerId,
    /// Whether it is a participant or an observer. A participant need not be a voter: one that is
    /// in no configuration yet follows without a vote.
    pub role: MemberRole,
    /// The configuration in force.
    pub committed: Arc<EnsembleConfig>,
    /// The newest one that has been proposed. It counts too while it is newer.
    pub last_seen: Arc<EnsembleConfig>,
    /// Whether newer configurations are taken over from others' notifications.
    pub reconfig_enabled: bool,
    /// The waits.
    pub timing: ElectionTiming,
}

/// What an [`Election`] wants done.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub enum ElectionOutput {
    /// Send this. Only the newest to each server matters; an older one not sent yet may be dropped.
    Send {
        /// A member or, with an answer, anybody.
        to: ServerId,
        /// What to send.
        notification: Notification,
    },
    /// Connect to every voter there is no connection to.
    DialAll,
    /// The round is over.
    Elected {
        /// Who leads; this server if `state` says so.
        leader: ServerId,
        /// What this server does from now on; never LOOKING.
        state: PeerState,
        /// What was agreed upon.
        vote: Vote,
    },
    /// This newer configuration is in force from now on, also here. If it differs in more than its
    /// version, the round has ended without result: make the connections anew and
    /// [`Election::look`] again.
    AdoptConfig(EnsembleConfig),
}

/// Whether a server that has spoken before can still be heard.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
enum Presence {
    Here,
    Gone,
}

/// The part of a server that elects and that answers those who elect, over all its rounds.
#[derive(Clone, Debug, Hash)]
pub struct Election {
    server: ServerId,
    role: MemberRole,
    reconfig_enabled: bool,
    timing: ElectionTiming,
    electorate: Electorate,
    state: PeerState,
    /// The number of the round, or of the one that was joined last.
    logical_clock: i64,
    /// What this server was elected or joined by last, or at first a vote for itself. `None` only
    /// before it looks for the first time.
    current: Option<Vote>,
    /// While it elects.
    round: Option<Round>,
    /// Votes of the next round, or of a later one, that have come before this server began it, and
    /// when.
    early: BTreeMap<ServerId, (i64, Vote)>,
    /// Voters that have spoken since this server started.
    presence: BTreeMap<ServerId, Presence>,
    outputs: VecDeque<ElectionOutput>,
}

impl Election {
    /// In the place of the time at which an early vote was heard: it does not grow old.
    const WHILE_WAITING: i64 = i64::MAX;

    /// Elects nobody until it is told to [`look`](Self::look).
    pub fn new(settings: ElectionSettings) -> Self {
        Self {
            server: settings.server,
            role: settings.role,
            reconfig_enabled: settings.reconfig_enabled,
            timing: settings.timing,
            electorate: Electorate::new(settings.committed, settings.last_seen),
            state: PeerState::Looking,
            logical_clock: 0,
            current: None,
            round: None,
            early: BTreeMap::new(),
            presence: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// What this server is doing, as it tells the others.
    pub fn state(&self) -> PeerState {
        self.state
    }

    /// What it was elected or joined by last, with the epoch of [`established`](Self::established).
    pub fn vote(&self) -> Option<Vote> {
        self.current
    }

    /// When [`timeout`](Self::timeout) wants to be called.
    pub fn poll_timeout(&self) -> Option<i64> {
        self.round.as_ref().map(Round::deadline)
    }

    /// The next effect, in order.
    pub fn poll_output(&mut self) -> Option<ElectionOutput> {
        self.outputs.pop_front()
    }

    /// Begins a round. `last_zxid` is the newest transaction in the log, committed or not, or -1 if
    /// there is no database; `current_epoch` is that of the file of this name.
    pub fn look(&mut self, now_ms: i64, last_zxid: Zxid, current_epoch: i64) {
        // A number that a peer has made up must not wrap around.
        self.logical_clock = self.logical_clock.saturating_add(1);
        self.state = PeerState::Looking;
        self.current.get_or_insert(Vote {
            leader: self.server,
            zxid: last_zxid,
            election_epoch: -1,
            peer_epoch: current_epoch,
        });
        let initial = self.initial_vote(last_zxid, current_epoch);
        let interval_ms = self.timing.min_notification_interval_ms;
        self.round = Some(Round::new(initial, interval_ms));
        self.propose(now_ms, initial);
        self.conclude(now_ms);
        for (from, (heard_at, vote)) in std::mem::take(&mut self.early) {
            if now_ms - heard_at <= interval_ms {
                self.hear_looking(now_ms, from, vote);
            }
        }
    }

    /// Takes in what `from` has sent: by its connection, never by what it says.
    pub fn handle(&mut self, now_ms: i64, from: ServerId, notification: &Notification) {
        if from == self.server || self.adopt_config(notification.config.as_ref()) {
            return;
        }
        if !self.electorate.is_voter(from) {
            // Observers and servers that want to join ask like this. One that is settled has answered,
            // and two that look without a vote know nothing: if such were answered in turn (Java does),
            // the two would go on for as long as they are so.
            let asks = matches!(notification.state, None | Some(PeerState::Looking));
            let knows = self.state != PeerState::Looking || self.electorate.is_voter(self.server);
            if asks && knows {
                self.answer(from, self.current, self.logical_clock);
            }
            return;
        }
        self.presence.insert(from, Presence::Here);
        let Some(state) = notification.state else {
            return;
        };
        let vote = Vote::of(notification);
        match (self.state, state) {
            // This server is about to begin its round, once its disk is done. What it is told
            // until then is not told again soon, as nobody knows that it does not listen yet.
            (PeerState::Looking, PeerState::Looking) if self.round.is_none() => {
                if vote.election_epoch > self.logical_clock {
                    self.early.insert(from, (Self::WHILE_WAITING, vote));
                }
            }
            (PeerState::Looking, PeerState::Looking) => {
                // A voter answers whoever has no vote: if that answered in turn, they would for ever.
                if vote.election_epoch < self.logical_clock && self.electorate.is_voter(self.server)
                {
                    let proposal = self.round.as_ref().map(|round| round.proposal);
                    self.answer(from, proposal, self.logical_clock);
                }
                self.hear_looking(now_ms, from, vote);
            }
            (PeerState::Looking, PeerState::Following | PeerState::Leading) => {
                let version = notification.version;
                self.hear_settled(
                    now_ms,
                    from,
                    Ballot {
                        vote,
                        state,
                        version,
                    },
                );
            }
            (
                PeerState::Following | PeerState::Leading | PeerState::Observing,
                PeerState::Looking,
            ) => {
                if vote.election_epoch == self.logical_clock.saturating_add(1) {
                    self.early.insert(from, (now_ms, vote));
                }
                if let Some(current) = self.current {
                    self.answer(from, Some(current), current.election_epoch);
                }
            }
            (PeerState::Looking, PeerState::Observing)
            | (
                PeerState::Following | PeerState::Leading | PeerState::Observing,
                PeerState::Following | PeerState::Leading | PeerState::Observing,
            ) => {}
        }
    }

    /// The time of [`poll_timeout`](Self::poll_timeout) has come. `delivered`: some queue to a
    /// peer is empty, so there is somebody to hear it if the vote is told again.
    pub fn timeout(&mut self, now_ms: i64, delivered: bool) {
        let Some(round) = &mut self.round else {
            return;
        };
        if now_ms < round.deadline() {
            return;
        }
        if round.settles_at.is_some() {
            let vote = round.proposal;
            return self.finish(vote);
        }
        round.interval_ms = round
            .interval_ms
            .saturating_mul(2)
            .min(self.timing.max_notification_interval_ms);
        match delivered {
            true => self.tell_all(now_ms),
            false => {
                round.tell_at = now_ms.saturating_add(round.interval_ms);
                self.outputs.push_back(ElectionOutput::DialAll);
            }
        }
    }

    /// A server has closed its connection and there is no other with it: its process has ended, as
    /// far as can be known. To say this of a server that is there costs time, not safety.
    pub fn closed(&mut self, now_ms: i64, server: ServerId) {
        if let Some(presence) = self.presence.get_mut(&server) {
            *presence = Presence::Gone;
            self.conclude(now_ms);
        }
    }

    /// Whether a voter has spoken, and has not closed its connection since.
    pub fn is_heard(&self, server: ServerId) -> bool {
        self.presence.get(&server) == Some(&Presence::Here)
    }

    /// The leadership of this epoch is established, on the leader as on who follows it. The others
    /// must hear of the epoch, or who comes late cannot match their votes (ZOOKEEPER-1732).
    pub fn established(&mut self, epoch: i64) {
        self.early.clear();
        if let Some(current) = &mut self.current {
            current.peer_epoch = epoch;
        }
    }

    /// A reconfiguration has named the next leader: there is no election. `zxid` is that of the
    /// reconfiguration, on the old leader its newest. The epoch follows by
    /// [`established`](Self::established).
    pub fn designate(&mut self, leader: ServerId, zxid: Zxid) {
        self.current = Some(Vote {
            leader,
            zxid,
            election_epoch: -1,
            peer_epoch: -1,
        });
        self.set_state(self.state_under(leader));
    }

    /// Takes the role that the present vote gives this server, without an election. `None` before
    /// there is a vote.
    pub fn take_role(&mut self) -> Option<(PeerState, Vote)> {
        let vote = self.current?;
        self.set_state(self.state_under(vote.leader));
        Some((self.state, vote))
    }

    /// Whether a round is going on.
    pub fn is_running(&self) -> bool {
        self.round.is_some()
    }

    /// Says what this server is doing from now on. A round that is going on ends without result.
    pub fn set_state(&mut self, state: PeerState) {
        self.round = None;
        self.state = state;
    }

    /// Puts other configurations in force, and the role that this server has in them. A round that
    /// is going on ends without result.
    pub fn set_configs(
        &mut self,
        committed: Arc<EnsembleConfig>,
        last_seen: Arc<EnsembleConfig>,
        role: MemberRole,
    ) {
        self.round = None;
        self.replace_configs(committed, last_seen, role);
    }

    fn replace_configs(
        &mut self,
        committed: Arc<EnsembleConfig>,
        last_seen: Arc<EnsembleConfig>,
        role: MemberRole,
    ) {
        self.role = role;
        self.electorate = Electorate::new(committed, last_seen);
        let electorate = &self.electorate;
        self.early.retain(|&server, _| electorate.is_voter(server));
        self.presence
            .retain(|&server, _| electorate.is_voter(server));
    }

    /// What this server begins with. Who cannot be elected votes for nobody.
    fn initial_vote(&self, last_zxid: Zxid, current_epoch: i64) -> Vote {
        let observer = self.role == MemberRole::Observer;
        let electable = !observer && self.electorate.committed.is_voter(self.server);
        Vote {
            leader: if electable { self.server } else { Vote::NOBODY },
            zxid: if observer { Zxid(i64::MIN) } else { last_zxid },
            election_epoch: self.logical_clock,
            peer_epoch: if observer { i64::MIN } else { current_epoch },
        }
    }

    /// A vote of a server that elects.
    fn hear_looking(&mut self, now_ms: i64, from: ServerId, vote: Vote) {
        let mut vote = vote;
        if is_on(Mutant::M14) {
            vote.election_epoch = self.logical_clock;
        }
        let Some(round) = &mut self.round else {
            return;
        };
        let unknown = [vote.zxid, round.initial.zxid].contains(&Vote::NO_DATABASE);
        if unknown {
            return;
        }
        if !self.electorate.is_voter(vote.leader) {
            // A voter that cannot be elected, as it votes in a proposed configuration only, has no
            // other vote until it hears one of its own round. Java never joins that round.
            if vote.leader == Vote::NOBODY && vote.election_epoch > self.logical_clock {
                self.logical_clock = vote.election_epoch;
                round.received.clear();
                let initial = Vote {
                    election_epoch: vote.election_epoch,
                    ..round.initial
                };
                self.propose(now_ms, initial);
                self.conclude(now_ms);
            }
            return;
        }
        if vote.election_epoch < self.logical_clock {
            return;
        }
        if vote.election_epoch > self.logical_clock {
            self.logical_clock = vote.election_epoch;
            round.received.clear();
            let initial = Vote {
                election_epoch: vote.election_epoch,
                ..round.initial
            };
            let better = self.electorate.better(&vote, &initial);
            self.propose(now_ms, if better { vote } else { initial });
        } else if self.electorate.better(&vote, &round.proposal) {
            self.propose(now_ms, vote);
        } else if round.missed_our_vote(from, vote)
            && self.electorate.better(&round.proposal, &vote)
            && self.electorate.is_voter(self.server)
        {
            let proposal = round.proposal;
            self.answer(from, Some(proposal), self.logical_clock);
        }
        self.receive(from, Ballot::looking(vote));
        self.conclude(now_ms);
    }

    /// A vote of a server that follows or leads.
    fn hear_settled(&mut self, now_ms: i64, from: ServerId, ballot: Ballot) {
        let Some(round) = &mut self.round else {
            return;
        };
        let Ballot { vote, .. } = ballot;
        if !self.electorate.is_voter(vote.leader) {
            return;
        }
        let electorate = &self.electorate;
        let agree = |ballots: &_| match vote.leader == self.server {
            true => electorate.agree(ballots, &ballot),
            false => electorate.follow(ballots, &ballot),
        };
        if vote.election_epoch == self.logical_clock {
            // Java keeps these without their version, so that of a modern sender the leader alone
            // is compared; the epoch may have been raised for some and not yet for others.
            let kept = Ballot {
                version: 0,
                ..ballot
            };
            round.received.insert(from, kept);
            if agree(&round.received)
                && round.leader_confirms(&round.received, &vote, self.server, self.logical_clock)
            {
                return self.finish(vote);
            }
        }
        round.settled.insert(from, ballot);
        if agree(&round.settled)
            && round.leader_confirms(&round.settled, &vote, self.server, self.logical_clock)
        {
            self.logical_clock = vote.election_epoch;
            return self.finish(vote);
        }
        self.conclude(now_ms);
    }

    fn receive(&mut self, from: ServerId, ballot: Ballot) {
        if let Some(round) = &mut self.round {
            round.received.insert(from, ballot);
        }
    }

    /// Changes the proposal of the running round, and tells it.
    fn propose(&mut self, now_ms: i64, vote: Vote) {
        let Some(round) = &mut self.round else {
            return;
        };
        round.proposal = vote;
        round.settles_at = None;
        let counts =
            self.electorate.is_voter(self.server) && round.initial.zxid != Vote::NO_DATABASE;
        if counts {
            self.receive(self.server, Ballot::looking(vote));
        }
        self.tell_all(now_ms);
    }

    /// Ends the round if a quorum agrees and nothing is left to wait for.
    fn conclude(&mut self, now_ms: i64) {
        let Some(round) = &mut self.round else {
            return;
        };
        let proposal = round.proposal;
        if !self
            .electorate
            .agree(&round.received, &Ballot::looking(proposal))
        {
            round.settles_at = None;
            return;
        }
        let gone = |server| self.presence.get(&server) == Some(&Presence::Gone);
        let settled = self
            .electorate
            .electable()
            .all(|server| round.has_vote_of(server) || gone(server) && server != proposal.leader);
        match settled {
            true => self.finish(proposal),
            false => {
                let wait_ms = self.timing.finalize_wait_ms;
                round
                    .settles_at
                    .get_or_insert(now_ms.saturating_add(wait_ms));
            }
        }
    }

    fn finish(&mut self, vote: Vote) {
        self.set_state(self.state_under(vote.leader));
        self.current = Some(vote);
        self.outputs.push_back(ElectionOutput::Elected {
            leader: vote.leader,
            state: self.state,
            vote,
        });
    }

    /// What this server does when `leader` leads.
    fn state_under(&self, leader: ServerId) -> PeerState {
        match self.role {
            _ if leader == self.server => PeerState::Leading,
            MemberRole::Participant => PeerState::Following,
            MemberRole::Observer => PeerState::Observing,
        }
    }

    /// Takes over a newer configuration. True if the round cannot go on with it, so that what came
    /// with it means nothing any more.
    fn adopt_config(&mut self, text: Option<&Bytes>) -> bool {
        let Some(text) = text else {
            return false;
        };
        let electing = self.reconfig_enabled && self.state == PeerState::Looking;
        if !electing || *text == self.electorate.text {
            return false;
        }
        let Some(config) = self.electorate.newer(text) else {
            return false;
        };
        let same = self.electorate.committed.has_same_members(&config);
        let last_seen = Arc::clone(&self.electorate.last_seen);
        let role = config.members.get(&self.server).map(|member| member.role);
        self.replace_configs(
            Arc::new(config.clone()),
            last_seen,
            role.unwrap_or(MemberRole::Participant),
        );
        self.outputs.push_back(ElectionOutput::AdoptConfig(config));
        if !same {
            self.round = None;
        }
        !same
    }

    /// Tells all voters the proposal.
    fn tell_all(&mut self, now_ms: i64) {
        let Some(round) = &mut self.round else {
            return;
        };
        round.tell_at = now_ms.saturating_add(round.interval_ms);
        let notification = self
            .electorate
            .notification(PeerState::Looking, round.proposal);
        for &to in self.electorate.voters() {
            if to != self.server {
                let notification = notification.clone();
                self.outputs
                    .push_back(ElectionOutput::Send { to, notification });
            }
        }
    }

    /// Sends `vote`, if there is any yet, with this number of a round.
    fn answer(&mut self, to: ServerId, vote: Option<Vote>, election_epoch: i64) {
        if let Some(vote) = vote {
            let vote = Vote {
                election_epoch,
                ..vote
            };
            let notification = self.electorate.notification(self.state, vote);
            self.outputs
                .push_back(ElectionOutput::Send { to, notification });
        }
    }
}
