//! Who belongs to an ensemble: one membership configuration, and its text.
//!
//! The text is what servers tell each other in elections and NEWLEADER, and what
//! `/zookeeper/config` holds. Source: `QuorumPeer.QuorumServer`, `QuorumMaj`,
//! `QuorumHierarchical`; quorum.md 1.2 and 1.3.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::{Endpoint, ServerId};

mod change;
mod parse;
#[cfg(test)]
mod tests;

pub use change::{ReconfigError, ReconfigRules};
pub use parse::{ConfigTextError, MemberError};

/// Whether a member votes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberRole {
    /// It votes.
    #[default]
    Participant,
    /// It learns what the others have decided.
    Observer,
}

/// One of the addresses of a member.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerAddress {
    /// A name or an address, an IPv6 one without brackets.
    pub host: String,
    /// Where learners connect.
    pub quorum_port: u16,
    /// Where votes go.
    pub election_port: u16,
}

impl PeerAddress {
    /// Where learners connect.
    pub fn quorum(&self) -> Endpoint {
        Endpoint::new(self.host.clone(), self.quorum_port)
    }

    /// Where votes go.
    pub fn election(&self) -> Endpoint {
        Endpoint::new(self.host.clone(), self.election_port)
    }
}

/// Where clients of a member connect, as its server line says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress {
    /// A name or an address; `0.0.0.0` if the line names none.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl ClientAddress {
    /// The host of a line that names none: all addresses.
    pub const ANY_HOST: &str = "0.0.0.0";
}

/// One `server.N` line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// Whether it votes.
    pub role: MemberRole,
    /// At least one, in order; more than one only with `multiAddress.enabled`.
    pub addresses: Vec<PeerAddress>,
    /// `None` if the line names no client port.
    pub client: Option<ClientAddress>,
}

/// A membership configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EnsembleConfig {
    /// 0 until a reconfiguration has given it one: then the zxid of that.
    pub version: i64,
    /// All members.
    pub members: BTreeMap<ServerId, Member>,
    /// With groups a quorum is a majority of weights in a majority of groups; without, a majority
    /// of participants.
    pub groups: BTreeMap<i64, BTreeSet<ServerId>>,
    /// With groups, the weight of each participant.
    pub weights: BTreeMap<ServerId, i64>,
}

impl EnsembleConfig {
    /// The members that vote.
    pub fn voters(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.members
            .iter()
            .filter(|(_, member)| member.role == MemberRole::Participant)
            .map(|(&id, _)| id)
    }

    /// Whether a server votes.
    pub fn is_voter(&self, server: ServerId) -> bool {
        self.members
            .get(&server)
            .is_some_and(|member| member.role == MemberRole::Participant)
    }

    /// What a member's vote weighs; 0 for one that can never be elected.
    pub fn weight(&self, server: ServerId) -> i64 {
        match self.groups.is_empty() {
            true => 1,
            false => self.weights.get(&server).copied().unwrap_or(1),
        }
    }
}

/// As the texts of configurations have it.
impl fmt::Display for MemberRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Participant => "participant",
            Self::Observer => "observer",
        })
    }
}

/// `host:quorumPort:electionPort`.
impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, quorum, election) = (&self.host, self.quorum_port, self.election_port);
        match host.contains(':') {
            true => write!(f, "[{host}]:{quorum}:{election}"),
            false => write!(f, "{host}:{quorum}:{election}"),
        }
    }
}

/// What stands behind `server.N=`.
impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut addresses: Vec<_> = self.addresses.iter().collect();
        addresses.sort();
        for (place, address) in addresses.into_iter().enumerate() {
            let separator = if place == 0 { "" } else { "|" };
            write!(f, "{separator}{address}")?;
        }
        write!(f, ":{}", self.role)?;
        match &self.client {
            None => Ok(()),
            Some(ClientAddress { host, port }) if host.contains(':') => {
                write!(f, ";[{host}]:{port}")
            }
            Some(ClientAddress { host, port }) => write!(f, ";{host}:{port}"),
        }
    }
}

/// The text of the configuration, as servers exchange it.
impl fmt::Display for EnsembleConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, member) in &self.members {
            writeln!(f, "server.{}={member}", id.0)?;
        }
        for (group, members) in &self.groups {
            let members: Vec<_> = members.iter().map(|id| id.0.to_string()).collect();
            writeln!(f, "group.{group}={}", members.join(":"))?;
        }
        if !self.groups.is_empty() {
            for (id, weight) in &self.weights {
                writeln!(f, "weight.{}={weight}", id.0)?;
            }
        }
        write!(f, "version={:x}", self.version)
    }
}
