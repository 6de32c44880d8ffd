//! Which servers are enough to decide: quorums of one configuration or of two at once.
//!
//! Invariant: any two quorums of the same configuration have a voter in common; only voters count.
//! Source: `QuorumMaj`, `QuorumHierarchical`, `SyncedLearnerTracker`; quorum.md 1.4.

use std::collections::BTreeSet;
use std::sync::Arc;

use ox_mutant::{Mutant, is_on};
use ox_proto::{EnsembleConfig, ServerId};
use smallvec::{SmallVec, smallvec};

/// Whether `servers` hold a quorum of `config`. Who is no voter of it does not count.
pub fn contains_quorum(config: &EnsembleConfig, servers: &BTreeSet<ServerId>) -> bool {
    has_quorum(config, |server| servers.contains(&server))
}

/// With groups: more than half of the weight in more than half of the groups, those without any
/// weight left out. Without: more than half of the voters.
fn has_quorum(config: &EnsembleConfig, holds: impl Fn(ServerId) -> bool) -> bool {
    let holds = |server| config.is_voter(server) && holds(server);
    if config.groups.is_empty() {
        let (mut held, mut voters) = (0, 0);
        for voter in config.voters() {
            voters += 1;
            held += usize::from(holds(voter));
        }
        return held > voters / 2;
    }
    let (mut won, mut groups) = (0, 0);
    for group in config.groups.values() {
        // Sums of i64 stay far inside an i128. A weight below zero would let two quorums be disjoint.
        let (mut held, mut total) = (0_i128, 0_i128);
        for &server in group {
            let weight = i128::from(config.weight(server).max(0));
            total += weight;
            held += if holds(server) { weight } else { 0 };
        }
        groups += usize::from(total != 0);
        won += usize::from(held > total / 2);
    }
    won > groups / 2
}

/// One bit per voter; more than 128 of them go to the heap.
type Bits = SmallVec<[u64; 2]>;

/// The configurations that must all agree, and who votes in them. Shared by the [`Tracker`]s that
/// are made from it; cloning it costs a reference.
#[derive(Clone, Debug, Hash)]
pub struct Quorums(Arc<Table>);

#[derive(Clone, Debug, Hash)]
struct Table {
    /// The voters of all configurations, ascending; a voter's place is its bit.
    voters: Vec<ServerId>,
    configs: Vec<(Arc<EnsembleConfig>, Rule)>,
}

/// How a configuration is asked, from bits.
#[derive(Clone, Debug, Hash)]
enum Rule {
    /// More than half of the voters of this mask.
    Majority { mask: Bits, voters: u32 },
    /// By weights and groups.
    Hierarchical,
}

impl Quorums {
    /// A quorum of each of `configs` is needed. There must be at least one.
    pub fn new(configs: impl IntoIterator<Item = Arc<EnsembleConfig>>) -> Self {
        let configs: Vec<_> = configs.into_iter().collect();
        assert!(!configs.is_empty(), "a decision without a configuration");
        let voters: BTreeSet<_> = configs.iter().flat_map(|config| config.voters()).collect();
        let voters: Vec<_> = voters.into_iter().collect();
        let configs = configs
            .into_iter()
            .map(|config| {
                let rule = Rule::of(&config, &voters);
                (config, rule)
            })
            .collect();
        Self(Arc::new(Table { voters, configs }))
    }

    /// The committed configuration, and the last-seen one too while it is newer.
    pub fn of(committed: &Arc<EnsembleConfig>, last_seen: &Arc<EnsembleConfig>) -> Self {
        let newer = (last_seen.version > committed.version).then(|| Arc::clone(last_seen));
        if let Some(newer) = newer.clone().filter(|_| is_on(Mutant::M26)) {
            return Self::new([newer]);
        }
        Self::new([Arc::clone(committed)].into_iter().chain(newer))
    }

    /// Whether a server votes in any of the configurations.
    pub fn is_voter(&self, server: ServerId) -> bool {
        self.0.place(server).is_some()
    }

    /// All who vote in any of the configurations, ascending.
    pub fn voters(&self) -> &[ServerId] {
        &self.0.voters
    }

    /// A count that nobody has been added to yet. Allocates nothing up to 128 voters.
    pub fn tracker(&self) -> Tracker {
        Tracker {
            quorums: self.clone(),
            added: zeros(self.0.voters.len()),
        }
    }
}

impl Table {
    fn place(&self, server: ServerId) -> Option<usize> {
        self.voters.binary_search(&server).ok()
    }
}

impl Rule {
    fn of(config: &EnsembleConfig, all: &[ServerId]) -> Self {
        if !config.groups.is_empty() {
            return Self::Hierarchical;
        }
        let (mut mask, mut voters) = (zeros(all.len()), 0);
        for (place, &server) in all.iter().enumerate() {
            if config.is_voter(server) {
                set(&mut mask, place);
                voters += 1;
            }
        }
        Self::Majority { mask, voters }
    }
}

/// Who has agreed to one thing, for instance acknowledged one proposal.
#[derive(Clone, Debug, Hash)]
pub struct Tracker {
    quorums: Quorums,
    added: Bits,
}

impl Tracker {
    /// Nobody yet, of these configurations. Where many are needed, make them by
    /// [`Quorums::tracker`].
    pub fn new(configs: impl IntoIterator<Item = Arc<EnsembleConfig>>) -> Self {
        Quorums::new(configs).tracker()
    }

    /// Counts a server in every configuration that has it as a voter. False if none has.
    pub fn add(&mut self, server: ServerId) -> bool {
        let mut place = self.quorums.0.place(server);
        if place.is_none() && is_on(Mutant::M04) {
            let voters = self.quorums.0.voters.len();
            place = (0..voters).find(|&place| !is_set(&self.added, place));
        }
        let Some(place) = place else {
            return false;
        };
        set(&mut self.added, place);
        true
    }

    /// Counts a server no more.
    pub fn remove(&mut self, server: ServerId) {
        if let Some(place) = self.quorums.0.place(server) {
            self.added[place / 64] &= !(1 << (place % 64));
        }
    }

    /// Whether a server has been counted.
    pub fn contains(&self, server: ServerId) -> bool {
        self.quorums
            .0
            .place(server)
            .is_some_and(|place| is_set(&self.added, place))
    }

    /// Whether every configuration has a quorum among those counted.
    pub fn has_all_quorums(&self) -> bool {
        let table = &*self.quorums.0;
        table.configs.iter().all(|(config, rule)| match rule {
            Rule::Majority { mask, voters } => {
                let both = self
                    .added
                    .iter()
                    .zip(mask)
                    .map(|(added, mask)| added & mask);
                both.map(u64::count_ones).sum::<u32>() > voters / 2
            }
            Rule::Hierarchical => has_quorum(config, |server| self.contains(server)),
        })
    }
}

fn zeros(voters: usize) -> Bits {
    smallvec![0; voters.div_ceil(64)]
}

fn set(bits: &mut Bits, place: usize) {
    bits[place / 64] |= 1 << (place % 64);
}

fn is_set(bits: &Bits, place: usize) -> bool {
    bits[place / 64] & (1 << (place % 64)) != 0
}

#[cfg(test)]
mod tests {
    use ox_proto::{Member, MemberRole};

    use super::*;

    fn member(role: MemberRole) -> Member {
        Member {
            role,
            addresses: Vec::new(),
            client: None,
        }
    }

    /// Voters, and 90 as an observer.
    fn ensemble(voters: impl IntoIterator<Item = i64>) -> EnsembleConfig {
        let mut config = EnsembleConfig::default();
        config
            .members
            .insert(ServerId(90), member(MemberRole::Observer));
        for id in voters {
            let member = member(MemberRole::Participant);
            config.members.insert(ServerId(id), member);
        }
        config
    }

    fn grouped(groups: &[&[i64]], weights: &[(i64, i64)]) -> EnsembleConfig {
        let mut config = ensemble(groups.concat());
        for (group, servers) in (1..).zip(groups) {
            config
                .groups
                .insert(group, servers.iter().copied().map(ServerId).collect());
        }
        config.weights = weights
            .iter()
            .map(|&(id, weight)| (ServerId(id), weight))
            .collect();
        config
    }

    /// Set and tracker must say the same.
    #[track_caller]
    fn check(config: &EnsembleConfig, servers: &[i64], expected: bool) {
        let servers: BTreeSet<_> = servers.iter().copied().map(ServerId).collect();
        assert_eq!(contains_quorum(config, &servers), expected, "{servers:?}");
        let mut tracker = Tracker::new([Arc::new(config.clone())]);
        for &server in &servers {
            assert_eq!(tracker.add(server), config.is_voter(server));
        }
        assert_eq!(tracker.has_all_quorums(), expected, "{servers:?}");
    }

    #[test]
    fn a_majority_is_more_than_half() {
        check(&ensemble([]), &[], false);
        check(&ensemble([]), &[90], false);
        check(&ensemble([1]), &[], false);
        check(&ensemble([1]), &[1], true);
        check(&ensemble([1, 2]), &[2], false);
        check(&ensemble([1, 2, 3]), &[1, 3], true);
        check(&ensemble([1, 2, 3, 4]), &[1, 4], false);
        check(&ensemble([1, 2, 3, 4]), &[1, 2, 4], true);
        check(&ensemble([1, 2, 3, 4, 5]), &[1, 2], false);
        check(&ensemble([1, 2, 3, 4, 5]), &[1, 2, 5], true);
    }

    #[test]
    fn observers_and_strangers_do_not_count() {
        check(&ensemble([1, 2, 3]), &[1, 90], false);
        check(&ensemble([1, 2, 3]), &[1, 7, 8, -5, i64::MAX], false);
        check(&grouped(&[&[1, 2, 3]], &[]), &[1, 7, 90], false);
    }

    #[test]
    fn a_majority_of_groups_must_be_won_by_weight() {
        let nine = grouped(&[&[1, 2, 3], &[4, 5, 6], &[7, 8, 9]], &[]);
        check(&nine, &[1, 2, 4, 5], true);
        check(&nine, &[1, 2, 4, 7], false);
        check(&nine, &[1, 2, 3, 4, 7], false);
        let heavy = grouped(&[&[1, 2, 3]], &[(1, 3)]);
        check(&heavy, &[1], true);
        check(&heavy, &[2, 3], false);
    }

    #[test]
    fn a_group_without_weight_neither_counts_nor_can_be_won() {
        let groups: &[&[i64]] = &[&[1, 2, 3], &[4, 5]];
        let config = grouped(groups, &[(4, 0), (5, 0)]);
        check(&config, &[1, 2], true);
        check(&config, &[1, 4, 5], false);
        let weightless = grouped(groups, &[(1, 0), (2, 0), (3, 0), (4, 0), (5, 0)]);
        check(&weightless, &[1, 2, 3, 4, 5], false);
    }

    #[test]
    fn weights_do_not_overflow() {
        let config = grouped(
            &[&[1, 2, 3]],
            &[(1, i64::MAX), (2, i64::MAX), (3, i64::MAX)],
        );
        check(&config, &[1], false);
        check(&config, &[1, 2], true);
    }

    #[test]
    fn a_weight_below_zero_is_none() {
        let config = grouped(&[&[1, 2, 3]], &[(1, -9), (2, i64::MIN)]);
        check(&config, &[], false);
        check(&config, &[1, 2], false);
        check(&config, &[3], true);
    }

    #[test]
    fn two_configurations_need_a_quorum_each() {
        let old = Arc::new(ensemble([1, 2, 3]));
        let mut new = ensemble([3, 4, 5]);
        new.version = 7;
        let new = Arc::new(new);
        let mut tracker = Quorums::of(&old, &new).tracker();
        for server in [1, 2, 3] {
            assert!(tracker.add(ServerId(server)));
        }
        assert!(!tracker.has_all_quorums());
        tracker.add(ServerId(5));
        assert!(tracker.has_all_quorums());
        tracker.remove(ServerId(3));
        assert!(!tracker.has_all_quorums() && !tracker.contains(ServerId(3)));
        // The one that is not newer is not asked.
        let mut tracker = Quorums::of(&new, &old).tracker();
        assert!(!tracker.add(ServerId(1)));
        tracker.add(ServerId(4));
        tracker.add(ServerId(5));
        assert!(tracker.has_all_quorums());
    }

    #[test]
    fn counting_twice_counts_once() {
        let mut tracker = Tracker::new([Arc::new(ensemble([1, 2, 3]))]);
        tracker.add(ServerId(2));
        tracker.add(ServerId(2));
        assert!(tracker.contains(ServerId(2)) && !tracker.has_all_quorums());
        tracker.remove(ServerId(90));
        assert!(!tracker.contains(ServerId(90)));
    }

    #[test]
    fn any_number_of_voters_can_be_counted() {
        for voters in [64, 65, 128, 129, 1000] {
            let config = ensemble(1..=voters);
            let enough: Vec<_> = (1..=voters / 2 + 1).collect();
            check(&config, &enough, true);
            check(&config, &enough[1..], false);
        }
    }
}
