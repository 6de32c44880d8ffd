//! What a server holds while it elects: one call of `lookForLeader`.
//!
//! Invariant: a wait for a better vote is going on only while a quorum agrees with the proposal.

use std::collections::BTreeMap;

use ox_proto::{PeerState, ServerId};

use super::vote::{Ballot, Vote};

/// What voters have told, by voter.
pub(super) type Ballots = BTreeMap<ServerId, Ballot>;

#[derive(Clone, Debug, Hash)]
pub(super) struct Round {
    /// What this server began with; its number of a round is not raised.
    pub(super) initial: Vote,
    /// The best vote so far.
    pub(super) proposal: Vote,
    /// What was told in this round, by this server too. Who has settled meanwhile stays in it.
    pub(super) received: Ballots,
    /// What servers that follow or lead have told, of any round.
    pub(super) settled: Ballots,
    /// Until the proposal is told again.
    pub(super) interval_ms: i64,
    /// When it is told again.
    pub(super) tell_at: i64,
    /// When the proposal wins unless a better one comes.
    pub(super) settles_at: Option<i64>,
}

impl Round {
    pub(super) fn new(initial: Vote, interval_ms: i64) -> Self {
        Self {
            initial,
            proposal: initial,
            received: Ballots::new(),
            settled: Ballots::new(),
            interval_ms,
            tell_at: i64::MAX,
            settles_at: None,
        }
    }

    pub(super) fn deadline(&self) -> i64 {
        self.settles_at.unwrap_or(self.tell_at)
    }

    /// Whether a server has told, as one that elects, a vote of this round.
    pub(super) fn has_vote_of(&self, server: ServerId) -> bool {
        self.received
            .get(&server)
            .is_some_and(|ballot| ballot.state == PeerState::Looking)
    }

    /// Whether our vote has met `from` while it was not electing, and `vote` is the first we hear
    /// since it does. By asking for the first, two servers cannot answer each other for ever.
    pub(super) fn missed_our_vote(&self, from: ServerId, vote: Vote) -> bool {
        self.settled.contains_key(&from) && self.received.get(&from) != Some(&Ballot::looking(vote))
    }

    /// A leader must have said itself that it leads, so that nobody goes on electing one that has
    /// crashed. If the others say that we lead, we do, if it is this round that they speak of.
    pub(super) fn leader_confirms(
        &self,
        ballots: &Ballots,
        vote: &Vote,
        server: ServerId,
        logical_clock: i64,
    ) -> bool {
        match vote.leader == server {
            true => vote.election_epoch == logical_clock,
            false => ballots
                .get(&vote.leader)
                .is_some_and(|ballot| ballot.state == PeerState::Leading),
        }
    }
}
