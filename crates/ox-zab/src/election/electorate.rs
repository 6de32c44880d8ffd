//! Who votes, whose votes can win, and how many are enough: the configurations, as an election
//! sees them.

use std::sync::Arc;

use bytes::Bytes;
use ox_proto::{EnsembleConfig, Notification, PeerState, ServerId};

use super::round::Ballots;
use super::vote::{Ballot, Vote};
use crate::Quorums;

#[derive(Clone, Debug, Hash)]
pub(super) struct Electorate {
    pub(super) committed: Arc<EnsembleConfig>,
    pub(super) last_seen: Arc<EnsembleConfig>,
    /// The text of the committed one, as it goes into every notification.
    pub(super) text: Bytes,
    quorums: Quorums,
    /// Of the committed one alone.
    in_force: Quorums,
}

impl Electorate {
    pub(super) fn new(committed: Arc<EnsembleConfig>, last_seen: Arc<EnsembleConfig>) -> Self {
        Self {
            text: Bytes::from(committed.to_string()),
            quorums: Quorums::of(&committed, &last_seen),
            in_force: Quorums::new([Arc::clone(&committed)]),
            committed,
            last_seen,
        }
    }

    pub(super) fn voters(&self) -> &[ServerId] {
        self.quorums.voters()
    }

    pub(super) fn is_voter(&self, server: ServerId) -> bool {
        self.quorums.is_voter(server)
    }

    /// The voters that can be elected.
    pub(super) fn electable(&self) -> impl Iterator<Item = ServerId> + '_ {
        let voters = self.voters().iter().copied();
        voters.filter(|&server| self.committed.weight(server) > 0)
    }

    /// Whether `new` is to be taken over from one who holds `current`.
    pub(super) fn better(&self, new: &Vote, current: &Vote) -> bool {
        self.committed.weight(new.leader) > 0 && new.rank() > current.rank()
    }

    /// Whether a quorum of each configuration supports `reference`.
    pub(super) fn agree(&self, ballots: &Ballots, reference: &Ballot) -> bool {
        support(&self.quorums, ballots, reference)
    }

    /// Whether enough follow the leader of `reference` for us to do so: a quorum of the configuration
    /// in force. What was proposed besides, its quorum may not know, and has given up if it has
    /// another leader. (Java asks for both, and stays outside until there is a newer configuration.)
    pub(super) fn follow(&self, ballots: &Ballots, reference: &Ballot) -> bool {
        support(&self.in_force, ballots, reference)
    }

    /// What `text` says, if it is a configuration that can be in force and a newer one.
    pub(super) fn newer(&self, text: &[u8]) -> Option<EnsembleConfig> {
        let config = EnsembleConfig::parse(std::str::from_utf8(text).ok()?).ok()?;
        let newer = config.version > self.committed.version;
        (newer && config.voters().next().is_some()).then_some(config)
    }

    pub(super) fn notification(&self, state: PeerState, vote: Vote) -> Notification {
        Notification {
            state: Some(state),
            leader: vote.leader,
            zxid: vote.zxid,
            election_epoch: vote.election_epoch,
            peer_epoch: vote.peer_epoch,
            version: Notification::VERSION,
            config: Some(self.text.clone()),
        }
    }
}

fn support(quorums: &Quorums, ballots: &Ballots, reference: &Ballot) -> bool {
    let mut tracker = quorums.tracker();
    for (&server, ballot) in ballots {
        if reference.supports(ballot) {
            tracker.add(server);
        }
    }
    tracker.has_all_quorums()
}
