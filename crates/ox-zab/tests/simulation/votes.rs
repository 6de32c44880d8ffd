//! Who leads must have been voted for. Invariant E1: a server begins to lead only when a quorum,
//! itself included, has told a vote for it in the round that it is in, or has told that it follows
//! it already. Source: quorum.md 3.3 to 3.5.

use std::collections::{BTreeMap, BTreeSet};

use ox_proto::{Notification, PeerState, ServerId};

use crate::checks::{Check, ensure};
use crate::network::Place;

/// What was told in elections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Votes {
    /// Who has told as one that elects a vote for whom, in which round.
    told: BTreeSet<(Place, ServerId, i64)>,
    /// Who has told that it follows whom, or leads.
    settled: BTreeSet<(Place, ServerId)>,
    /// The round that each server told last.
    round: BTreeMap<Place, i64>,
    /// Who leads.
    leads: BTreeSet<Place>,
}

impl Votes {
    pub(crate) fn sent(&mut self, place: Place, notification: &Notification) {
        let (leader, round) = (notification.leader, notification.election_epoch);
        match notification.state {
            Some(PeerState::Looking) => {
                self.told.insert((place, leader, round));
                self.round.insert(place, round);
            }
            Some(PeerState::Following | PeerState::Leading) => {
                self.settled.insert((place, leader));
            }
            Some(PeerState::Observing) | None => {}
        }
    }

    /// What a server does now; `voters` have the first places.
    pub(crate) fn state(
        &mut self,
        place: Place,
        server: ServerId,
        state: PeerState,
        voters: usize,
    ) -> Check {
        if state != PeerState::Leading {
            self.leads.remove(&place);
            return Ok(());
        }
        if !self.leads.insert(place) {
            return Ok(());
        }
        let round = self.round.get(&place).copied().unwrap_or_default();
        let supports = |voter: &Place| {
            *voter == place
                || self.told.contains(&(*voter, server, round))
                || self.settled.contains(&(*voter, server))
        };
        let supporters = (0..voters).filter(supports).count();
        ensure(voters / 2 < supporters, || {
            format!("E1: {place} leads, and {supporters} of {voters} want it in round {round}")
        })
    }
}
