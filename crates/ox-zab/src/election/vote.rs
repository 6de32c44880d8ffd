//! A vote, and what is kept of the one that another server has told.
//!
//! Source: `Vote.java`; quorum.md 3.2 and 3.4.

use ox_mutant::{Mutant, is_on};
use ox_proto::{Notification, PeerState, ServerId, Zxid};

/// Whom a server wants to lead, and what makes that one worth it.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Vote {
    /// The server voted for, or [`Vote::NOBODY`].
    pub leader: ServerId,
    /// Its newest transaction when the election began; never raised afterwards.
    pub zxid: Zxid,
    /// The round; -1 after a reconfiguration that named the leader.
    pub election_epoch: i64,
    /// Its current epoch: when the election began, or since its leadership is established that of
    /// the leadership.
    pub peer_epoch: i64,
}

impl Vote {
    /// The leader of a vote by somebody who cannot be elected.
    pub const NOBODY: ServerId = ServerId(i64::MIN);

    /// The zxid of a server without a database. Such a server has no vote until it is synchronized.
    pub(super) const NO_DATABASE: Zxid = Zxid(-1);

    /// The vote that a server has told.
    pub fn of(notification: &Notification) -> Self {
        Self {
            leader: notification.leader,
            zxid: notification.zxid,
            election_epoch: notification.election_epoch,
            peer_epoch: notification.peer_epoch,
        }
    }

    /// Whether a voter that tells this vote will not elect by the other one: within a round votes
    /// only rise.
    pub(crate) fn is_beyond(&self, other: &Self) -> bool {
        (self.election_epoch, self.rank()) > (other.election_epoch, other.rank())
    }

    /// Higher is better.
    pub(super) fn rank(&self) -> (i64, Zxid, ServerId) {
        if is_on(Mutant::M13) {
            return (self.zxid.0, Zxid(self.peer_epoch), self.leader);
        }
        (self.peer_epoch, self.zxid, self.leader)
    }
}

/// What a server has told.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct Ballot {
    pub(super) vote: Vote,
    /// What it was doing.
    pub(super) state: PeerState,
    /// The layout of its notification.
    pub(super) version: i32,
}

impl Ballot {
    /// A ballot of a server that elects; there the version does not matter.
    pub(super) fn looking(vote: Vote) -> Self {
        Self {
            vote,
            state: PeerState::Looking,
            version: 0,
        }
    }

    /// Whether both are for the same leadership. Of servers that have one, zxid and round may
    /// differ: they can have come to it in different rounds (ZOOKEEPER-1732). Servers before 3.4.6
    /// do not raise the epoch.
    pub(super) fn supports(&self, other: &Self) -> bool {
        if [self.state, other.state].contains(&PeerState::Looking) {
            return self.vote == other.vote;
        }
        let old_and_new = (self.version > 0) != (other.version > 0);
        self.vote.leader == other.vote.leader
            && (old_and_new || self.vote.peer_epoch == other.vote.peer_epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ballot(state: PeerState, version: i32, fields: [i64; 4]) -> Ballot {
        let [leader, zxid, election_epoch, peer_epoch] = fields;
        let vote = Vote {
            leader: ServerId(leader),
            zxid: Zxid(zxid),
            election_epoch,
            peer_epoch,
        };
        Ballot {
            vote,
            state,
            version,
        }
    }

    #[track_caller]
    fn check(one: Ballot, other: Ballot, expected: bool) {
        assert_eq!(
            (one.supports(&other), other.supports(&one)),
            (expected, expected)
        );
    }

    #[test]
    fn a_vote_of_a_server_that_elects_must_be_equal_in_all() {
        use PeerState::{Following, Looking};
        let reference = ballot(Looking, 0, [3, 5, 2, 1]);
        check(reference, ballot(Looking, 2, [3, 5, 2, 1]), true);
        check(reference, ballot(Following, 2, [3, 5, 2, 1]), true);
        for fields in [[2, 5, 2, 1], [3, 6, 2, 1], [3, 5, 3, 1], [3, 5, 2, 2]] {
            check(reference, ballot(Looking, 0, fields), false);
            check(reference, ballot(Following, 2, fields), false);
        }
    }

    #[test]
    fn settled_servers_agree_by_leader_and_epoch_or_by_leader_if_one_is_old() {
        use PeerState::{Following, Leading};
        let reference = ballot(Following, 2, [3, 5, 2, 1]);
        check(reference, ballot(Leading, 1, [3, 6, 7, 1]), true);
        check(reference, ballot(Leading, 2, [3, 5, 2, 2]), false);
        check(reference, ballot(Leading, 0, [3, 6, 7, 2]), true);
        check(reference, ballot(Leading, 0, [2, 5, 2, 1]), false);
        let old = ballot(Following, 0, [3, 5, 2, 1]);
        check(old, ballot(Leading, 0, [3, 5, 2, 2]), false);
    }
}
