//! What a reconfig request asks for: some members more and some less, or other members altogether.
//!
//! Invariant: what comes out can be told to every server: it has voters, and its text fits into a
//! notification. Source: `PrepRequestProcessor.pRequest2Txn`, case `reconfig`,
//! `QuorumPeerConfig.parseDynamicConfig`; quorum.md 11.1. What Java refuses, and with which error,
//! was compared with a running 3.9.5.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{ConfigTextError, EnsembleConfig, Member, MemberError, MemberRole};
use crate::{ErrorCode, ReconfigRequest, ServerId};

/// The longest text of a configuration, in bytes. Every vote carries it, and a vote has 512 KiB.
const MAX_TEXT: usize = 256 << 10;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReconfigError {
    /// `reconfigEnabled` is off.
    #[error("reconfigEnabled is off")]
    Disabled,
    /// A server that is alone has no members.
    #[error("a standalone server has no members")]
    Standalone,
    /// Another one has been proposed, and is not in force.
    #[error("another reconfiguration is in progress")]
    InProgress,
    /// The client meant to change another configuration.
    #[error("the configuration has version {actual:x}, not {expected:x}")]
    Version {
        /// What the client has said.
        expected: i64,
        /// What is in force.
        actual: i64,
    },
    /// What is asked for cannot be.
    #[error("{0}")]
    Arguments(String),
    /// A number that is none: what Java fails over before it can refuse.
    #[error("{0}")]
    Unreadable(String),
    /// Too few of those that are to vote are here and up to date.
    #[error("there must be a connected and synced quorum in the new configuration")]
    NoQuorum,
}

impl ReconfigError {
    /// What the client is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Disabled => ErrorCode::ReconfigDisabled,
            Self::Standalone => ErrorCode::Unimplemented,
            Self::InProgress => ErrorCode::ReconfigInProgress,
            Self::Version { .. } => ErrorCode::BadVersion,
            Self::Arguments(_) => ErrorCode::BadArguments,
            Self::Unreadable(_) => ErrorCode::MarshallingError,
            Self::NoQuorum => ErrorCode::NewConfigNoQuorum,
        }
    }
}

/// What the servers of an ensemble allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReconfigRules {
    /// `standaloneEnabled`: an ensemble has two voters at least.
    pub standalone_enabled: bool,
    /// `multiAddress.enabled`.
    pub several_addresses: bool,
}

impl EnsembleConfig {
    /// The configuration that a request asks for, in place of this one. The version is still this
    /// one's.
    ///
    /// # Errors
    /// [`ReconfigError::Arguments`] and [`ReconfigError::Unreadable`].
    pub fn changed(
        &self,
        request: &ReconfigRequest,
        rules: ReconfigRules,
    ) -> Result<Self, ReconfigError> {
        let mut config = match &request.new_members {
            Some(members) => replaced(members, rules)?,
            None => self.with_some_changed(request)?,
        };
        config.version = self.version;
        check(&config, rules)?;
        Ok(config)
    }

    fn with_some_changed(&self, request: &ReconfigRequest) -> Result<Self, ReconfigError> {
        if !self.groups.is_empty() {
            return Err(arguments(
                "an incremental reconfiguration, and the ensemble has groups and weights",
            ));
        }
        let mut config = self.clone();
        for leaving in parts(request.leaving_servers.as_deref(), ',') {
            config.members.remove(&ServerId(number(leaving)?));
        }
        let mut places = Places::default();
        for (&id, member) in &config.members {
            places.add(id, member);
        }
        for joining in parts(request.joining_servers.as_deref(), ',') {
            let [name, value] = parts(Some(joining), '=').collect::<Vec<_>>()[..] else {
                return Err(arguments(&format!(
                    "{joining}: not of the form server.N=..."
                )));
            };
            let id = name.rsplit_once('.').map_or(name, |(_, id)| id);
            let id = ServerId(number(id)?);
            let member = Member::parse(id, value);
            let member = member.map_err(wrong_member)?;
            if member.client.is_none() {
                return Err(arguments(&format!(
                    "{joining}: each server should have 3 ports specified"
                )));
            }
            if let Some(before) = config.members.remove(&id) {
                places.remove(id, &before);
            }
            if let Some(other) = places.clash(&member) {
                return Err(arguments(&format!(
                    "{joining}: server.{} has one of these addresses",
                    other.0
                )));
            }
            places.add(id, &member);
            config.members.insert(id, member);
        }
        Ok(config)
    }
}

/// Commas may stand for ends of lines.
fn replaced(members: &str, rules: ReconfigRules) -> Result<EnsembleConfig, ReconfigError> {
    let config = EnsembleConfig::parse(&members.replace(',', "\n"));
    let config = config.map_err(|error| match error {
        ConfigTextError::Number(_) | ConfigTextError::Escape => {
            ReconfigError::Unreadable(error.to_string())
        }
        ConfigTextError::Member(error) => wrong_member(error),
        ConfigTextError::UnknownKey(_)
        | ConfigTextError::TwoGroups(_)
        | ConfigTextError::NoGroup(_) => arguments(&error.to_string()),
    })?;
    let voters = config.voters().count();
    let observers = config.members.len() - voters;
    // Java's parser fails over these before its check of the number of voters.
    match (voters, observers) {
        (0, 1..) | (0, 0) if !rules.standalone_enabled || observers > 0 => Err(
            ReconfigError::Unreadable("no participant in the new configuration".to_owned()),
        ),
        (1, 1..) if rules.standalone_enabled => Err(ReconfigError::Unreadable(
            "Observers w/o quorum is an invalid configuration".to_owned(),
        )),
        (_, _) => Ok(config),
    }
}

fn check(config: &EnsembleConfig, rules: ReconfigRules) -> Result<(), ReconfigError> {
    for (id, member) in &config.members {
        // An election reads a negative number as the version of its protocol, and the largest as
        // "any observer".
        if id.0 < 0 || id.0 == i64::MAX {
            return Err(arguments(&format!(
                "server.{}: an id that no election understands",
                id.0
            )));
        }
        if member.addresses.len() > 1 && !rules.several_addresses {
            return Err(arguments(&format!(
                "Multiple address feature is disabled, but multiple addresses were specified for \
                 sid {}",
                id.0
            )));
        }
        let hosts = member.addresses.iter().map(|it| &it.host);
        let mut hosts = hosts.chain(member.client.iter().map(|it| &it.host));
        if let Some(host) = hosts.find(|host| !is_host(host)) {
            return Err(arguments(&format!("server.{}: {host:?} is no host", id.0)));
        }
    }
    // Such a server could end Java's; none of ours has them either.
    let strangers = config.groups.values().flatten();
    let mut strangers = strangers.filter(|id| !config.weights.contains_key(id));
    if let Some(id) = strangers.next() {
        return Err(arguments(&format!(
            "Server {} of a group is no participant",
            id.0
        )));
    }
    if let Some((id, _)) = config.weights.iter().find(|(_, weight)| **weight < 0) {
        return Err(arguments(&format!("weight of server {} is negative", id.0)));
    }
    let least = if rules.standalone_enabled { 2 } else { 1 };
    if config.voters().count() < least {
        return Err(arguments(&format!(
            "new configuration must include at least {least} followers"
        )));
    }
    let text = config.to_string();
    // What all members read must be what was judged here.
    if EnsembleConfig::parse(&text).ok().as_ref() != Some(config) {
        return Err(arguments("a configuration that would be read as another"));
    }
    // With its version, which may be longer than the present one.
    let length = text.len() + 2 * size_of::<i64>();
    if length > MAX_TEXT {
        return Err(arguments(&format!(
            "a configuration of {length} bytes, and votes tell {MAX_TEXT}"
        )));
    }
    Ok(())
}

/// Which servers are at which ports, so that a long request costs no more than its length.
#[derive(Debug, Default)]
struct Places(BTreeMap<(String, u16), BTreeSet<ServerId>>);

impl Places {
    fn add(&mut self, id: ServerId, member: &Member) {
        for place in places_of(member) {
            self.0.entry(place).or_default().insert(id);
        }
    }

    fn remove(&mut self, id: ServerId, member: &Member) {
        for place in places_of(member) {
            if let Some(owners) = self.0.get_mut(&place) {
                owners.remove(&id);
            }
        }
    }

    /// Somebody who is where a server wants to be.
    fn clash(&self, member: &Member) -> Option<ServerId> {
        let mut places = places_of(member);
        places.find_map(|place| self.0.get(&place)?.first().copied())
    }
}

/// Hosts and ports of a server; those of this machine alone, and those that stand for all, can be meant
/// by several.
fn places_of(member: &Member) -> impl Iterator<Item = (String, u16)> {
    let addresses = member.addresses.iter();
    let both = addresses.flat_map(|it| [(&it.host, it.quorum_port), (&it.host, it.election_port)]);
    let client = member.client.iter();
    let all = both.chain(client.map(|client| (&client.host, client.port)));
    all.map(|(host, port)| (host.to_lowercase(), port))
        .filter(|(host, _)| !is_special(host))
}

fn is_special(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || address.is_unspecified(),
        Err(_) => host == "localhost",
    }
}

/// A name that would change the meaning of a configuration's text is none.
fn is_host(host: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte);
    !host.is_empty() && host.bytes().all(is_plain)
}

fn number(text: &str) -> Result<i64, ReconfigError> {
    text.parse()
        .map_err(|_| ReconfigError::Unreadable(format!("For input string: \"{text}\"")))
}

/// A port that is a number, but no port, is more than Java's sockets can take.
fn wrong_member(error: MemberError) -> ReconfigError {
    match &error {
        MemberError::Port { port, .. } if port.parse::<i32>().is_ok() => {
            ReconfigError::Unreadable(error.to_string())
        }
        MemberError::Port { .. }
        | MemberError::Form(_)
        | MemberError::SamePorts(_)
        | MemberError::Role(_)
        | MemberError::Roles(..) => arguments(&error.to_string()),
    }
}

fn arguments(reason: &str) -> ReconfigError {
    ReconfigError::Arguments(reason.to_owned())
}

/// Java's `StringUtils.split`: trimmed, and without those that are empty then.
fn parts(text: Option<&str>, separator: char) -> impl Iterator<Item = &str> {
    let parts = text.unwrap_or_default().split(separator).map(str::trim);
    parts.filter(|part| !part.is_empty())
}

impl EnsembleConfig {
    /// Whether two configurations say the same, their versions apart.
    pub fn has_same_members(&self, other: &Self) -> bool {
        let Self {
            version: _,
            members,
            groups,
            weights,
        } = self;
        (members, groups, weights) == (&other.members, &other.groups, &other.weights)
    }

    /// Where learners would find a server that votes, in a fixed order. `None` if it does not.
    pub fn addresses_of_voter(&self, server: ServerId) -> Option<Vec<(&str, u16)>> {
        let member = self.members.get(&server);
        let member = member.filter(|member| member.role == MemberRole::Participant)?;
        let addresses = member.addresses.iter();
        let mut addresses: Vec<_> = addresses
            .map(|address| (address.host.as_str(), address.quorum_port))
            .collect();
        addresses.sort_unstable();
        Some(addresses)
    }
}

#[cfg(test)]
mod tests;
