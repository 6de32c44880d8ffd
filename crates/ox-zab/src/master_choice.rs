//! Whom an observer connects to: the leader, or one follower after the other.
//!
//! The order of the followers is drawn once, so that observers spread over them. The leader does
//! not listen where followers do; Java tries it there all the same and fails. Source:
//! `QuorumPeer.findLearnerMaster`, `nextObserverMaster`; quorum.md 12.2.

use std::sync::Arc;

use ox_proto::{EnsembleConfig, ServerId};

use crate::random::Random;
use crate::settings::ObserverSettings;

#[derive(Clone, Debug, Hash)]
pub(crate) struct MasterChoice {
    settings: ObserverSettings,
    random: Random,
    /// The voters, in the order of this observer; empty if it connects to the leader.
    order: Vec<ServerId>,
    /// The place of the next one.
    next: usize,
}

/// What an observer does next.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The follower to connect to; `None` is the leader.
    pub(crate) master: Option<ServerId>,
    /// How many milliseconds it waits before that.
    pub(crate) delay_ms: i64,
}

impl MasterChoice {
    pub(crate) fn new(settings: &ObserverSettings, config: &Arc<EnsembleConfig>) -> Self {
        let mut choice = Self {
            settings: settings.clone(),
            random: Random::new(settings.seed),
            order: Vec::new(),
            next: 0,
        };
        choice.set_voters(config);
        choice
    }

    /// Other servers vote from now on.
    pub(crate) fn set_voters(&mut self, config: &EnsembleConfig) {
        if self.settings.master_limit.is_some() {
            self.order = config.voters().collect();
            self.random.shuffle(&mut self.order);
            self.next = 0;
        }
    }

    /// Whom to try next, now that this server leads.
    pub(crate) fn next(&mut self, leader: ServerId) -> Choice {
        let mut delay_ms = 0;
        if self.order.iter().all(|&server| server == leader) {
            let delay_ms = self.random.below(self.settings.reconnect_delay_ms);
            let master = None;
            return Choice { master, delay_ms };
        }
        loop {
            if self.next == self.order.len() {
                self.next = 0;
                delay_ms = self.random.below(self.settings.reconnect_delay_ms);
            }
            let server = self.order[self.next];
            self.next += 1;
            if server != leader {
                let master = Some(server);
                return Choice { master, delay_ms };
            }
        }
    }

    /// How many milliseconds to wait before electing again.
    pub(crate) fn election_delay_ms(&mut self) -> i64 {
        self.random.below(self.settings.election_delay_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::members;

    fn settings(seed: u64, with_masters: bool) -> ObserverSettings {
        ObserverSettings {
            master_limit: with_masters.then_some(1),
            reconnect_delay_ms: 1_000_000,
            election_delay_ms: 0,
            seed,
        }
    }

    #[test]
    fn followers_are_tried_in_turn_and_only_a_new_round_waits() {
        let config = Arc::new(members(4, 1));
        let mut choice = MasterChoice::new(&settings(3, true), &config);
        let round: Vec<_> = (0..3).map(|_| choice.next(ServerId(2))).collect();
        let mut masters: Vec<_> = round
            .iter()
            .map(|choice| choice.master.unwrap().0)
            .collect();
        assert!(round.iter().all(|choice| choice.delay_ms == 0));
        let again = choice.next(ServerId(2));
        // The leader may have stood at the end of the list.
        assert_eq!(again.master, round[0].master);
        assert!(again.delay_ms > 0);
        masters.sort_unstable();
        assert_eq!(masters, [1, 3, 4]);
    }

    #[test]
    fn observers_begin_with_different_followers() {
        let config = Arc::new(members(3, 1));
        let first = |seed| MasterChoice::new(&settings(seed, true), &config).next(ServerId(9));
        let firsts: std::collections::BTreeSet<_> =
            (0..50).map(|seed| first(seed).master.unwrap()).collect();
        assert_eq!(firsts.len(), 3);
    }

    #[test]
    fn the_leader_is_connected_to_when_there_is_nobody_else() {
        let config = Arc::new(members(3, 1));
        let choice = MasterChoice::new(&settings(3, false), &config).next(ServerId(2));
        assert_eq!(choice.master, None);
        assert!(choice.delay_ms > 0);
        let alone = Arc::new(members(1, 1));
        let choice = MasterChoice::new(&settings(3, true), &alone).next(ServerId(1));
        assert_eq!(choice.master, None);
    }
}
