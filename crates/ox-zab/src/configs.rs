//! The configurations that a member goes by: the one in force, and the newest one proposed.
//!
//! A reconfiguration is proposed like any transaction, and from then on whatever is decided needs a
//! quorum of both configurations, until the new one is activated. Invariants: the version of the one
//! in force never goes down; without `reconfigEnabled` nothing here ever changes. Source:
//! `QuorumPeer.setLastSeenQuorumVerifier`, `setQuorumVerifier`, `processReconfig`; quorum.md chapter
//! 11.

use std::sync::Arc;

use ox_proto::{EnsembleConfig, MemberRole, ServerId};

use crate::quorum::Quorums;

/// The configurations of one member.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Configs {
    own: ServerId,
    /// `reconfigEnabled`.
    enabled: bool,
    committed: Arc<EnsembleConfig>,
    last_seen: Arc<EnsembleConfig>,
    /// What this server is in the one in force; one that is in none follows, and has no vote.
    role: MemberRole,
    /// They are others than the election knows of.
    changed: bool,
}

/// What an activation has changed besides the version.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Activated {
    /// What was in force before.
    pub(crate) previous: Arc<EnsembleConfig>,
    /// This server is something else now.
    pub(crate) role_changed: bool,
}

impl Configs {
    pub(crate) fn new(
        own: ServerId,
        enabled: bool,
        role: MemberRole,
        committed: Arc<EnsembleConfig>,
    ) -> Self {
        Self {
            own,
            enabled,
            last_seen: Arc::clone(&committed),
            committed,
            role,
            changed: false,
        }
    }

    /// Whether they can change.
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// The one in force.
    pub(crate) fn committed(&self) -> &Arc<EnsembleConfig> {
        &self.committed
    }

    /// The newest one that was proposed; the one in force if none is pending.
    pub(crate) fn last_seen(&self) -> &Arc<EnsembleConfig> {
        &self.last_seen
    }

    pub(crate) fn role(&self) -> MemberRole {
        self.role
    }

    /// Whether a proposed configuration waits for its activation.
    pub(crate) fn is_pending(&self) -> bool {
        self.last_seen.version > self.committed.version
    }

    /// Who must agree to what is decided now.
    pub(crate) fn quorums(&self) -> Quorums {
        Quorums::of(&self.committed, &self.last_seen)
    }

    /// Whether a server is in any of them.
    pub(crate) fn contain(&self, server: ServerId) -> bool {
        self.committed.members.contains_key(&server) || self.last_seen.members.contains_key(&server)
    }

    /// Notes what was proposed, or what a new leader says in its place: that may be older, and then
    /// what was proposed has come to nothing. False if it is known.
    pub(crate) fn see(&mut self, config: EnsembleConfig) -> bool {
        let config = match config.version > self.committed.version {
            true => Arc::new(config),
            false => Arc::clone(&self.committed),
        };
        // The very first configuration has no file of its own.
        let is_known = config.version == self.last_seen.version || config.version == 0;
        if !self.enabled || is_known {
            return false;
        }
        self.last_seen = config;
        self.changed = true;
        true
    }

    /// Puts a configuration in force. `None` if it is not newer than the one that is.
    pub(crate) fn activate(&mut self, config: &Arc<EnsembleConfig>) -> Option<Activated> {
        if !self.enabled || config.version <= self.committed.version {
            return None;
        }
        let role = config.members.get(&self.own).map(|member| member.role);
        let role = role.unwrap_or(MemberRole::Participant);
        let activated = Activated {
            previous: std::mem::replace(&mut self.committed, Arc::clone(config)),
            role_changed: role != self.role,
        };
        self.role = role;
        if self.last_seen.version < config.version {
            self.last_seen = Arc::clone(config);
        }
        self.changed = true;
        Some(activated)
    }

    /// Whether they have changed since this was asked last.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}

impl Activated {
    /// Whether more than the version is different in `new`.
    pub(crate) fn differs(&self, new: &EnsembleConfig) -> bool {
        !self.previous.has_same_members(new)
    }

    /// Whether who follows `leader` cannot go on doing so: it does not vote in both, or has moved.
    pub(crate) fn unseats(&self, new: &EnsembleConfig, leader: ServerId) -> bool {
        let before = self.previous.addresses_of_voter(leader);
        let now = new.addresses_of_voter(leader);
        before.is_none() || before != now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::voters;

    fn config(count: i64, version: i64) -> EnsembleConfig {
        EnsembleConfig {
            version,
            ..voters(count)
        }
    }

    fn configs(enabled: bool) -> Configs {
        let committed = Arc::new(config(3, 5));
        Configs::new(ServerId(2), enabled, MemberRole::Participant, committed)
    }

    #[test]
    fn what_is_proposed_counts_besides_until_it_is_activated() {
        let mut configs = configs(true);
        assert!(configs.see(config(1, 7)) && configs.is_pending());
        assert!(!configs.see(config(1, 7)), "known");
        let mut acks = configs.quorums().tracker();
        acks.add(ServerId(2));
        acks.add(ServerId(3));
        assert!(!acks.has_all_quorums(), "not of the new one");
        let new = Arc::clone(configs.last_seen());
        let activated = configs.activate(&new).unwrap();
        assert!(activated.differs(&new) && !activated.role_changed && !configs.is_pending());
        assert_eq!(configs.role(), MemberRole::Participant, "it is in none");
        assert!(configs.activate(&new).is_none(), "once");
        assert!(configs.take_changed() && !configs.take_changed());
    }

    #[test]
    fn what_a_new_leader_does_not_know_comes_to_nothing() {
        let mut configs = configs(true);
        configs.see(config(4, 7));
        assert!(configs.see(config(3, 5)));
        assert!(!configs.is_pending());
        configs.see(config(4, 8));
        assert!(configs.see(config(4, 2)), "older than what is in force");
        assert_eq!(configs.last_seen().version, 5);
    }

    #[test]
    fn switched_off_nothing_changes() {
        let mut configs = configs(false);
        assert!(!configs.see(config(4, 7)));
        assert!(configs.activate(&Arc::new(config(4, 7))).is_none());
        assert_eq!(configs.committed().version, 5);
    }

    #[test]
    fn a_leader_that_moves_or_leaves_is_unseated() {
        let old = EnsembleConfig::parse("server.1=a:1:2\nserver.2=b:1:2\nversion=1").unwrap();
        let check = |text: &str, expected: bool| {
            let new = EnsembleConfig::parse(text).unwrap();
            let activated = Activated {
                previous: Arc::new(old.clone()),
                role_changed: false,
            };
            assert_eq!(activated.unseats(&new, ServerId(1)), expected, "{text}");
        };
        check("server.1=a:1:2\nserver.3=c:1:2", false);
        check("server.1=a:1:9;77", false);
        check("server.1=a:7:2\nserver.2=b:1:2", true);
        check("server.1=a:1:2:observer\nserver.2=b:1:2", true);
        check("server.2=b:1:2", true);
    }
}
