//! From the text of a configuration, or one line of it, to the values.
//!
//! Invariant: what is read here and written again is the same configuration. Source:
//! `QuorumPeer.QuorumServer`, `QuorumPeerConfig.parseDynamicConfig`, `QuorumHierarchical.parse`;
//! quorum.md 1.2 to 1.4. The texts of the errors are Java's, because operators search for them.

use std::collections::BTreeSet;

use super::{ClientAddress, EnsembleConfig, Member, MemberRole, PeerAddress};
use crate::{ServerId, properties};

/// What is wrong with the value of a `server.N` line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// It has too few or too many parts, or an open bracket.
    #[error(
        "{0} does not have the form server_config or server_config;client_config where \
         server_config is the pipe separated list of host:port:port or host:port:port:type and \
         client_config is port or host:port"
    )]
    Form(String),
    /// A port is no number from 0 to 65535.
    #[error("Address unresolved: {host}:{port}")]
    Port {
        /// The host it belongs to.
        host: String,
        /// What stands where the port should.
        port: String,
    },
    /// The quorum port and the election port of one address are the same.
    #[error(
        "Client and election port must be different! Please update the configuration file on \
         server.{}", .0.0
    )]
    SamePorts(ServerId),
    /// A role that is neither `participant` nor `observer`.
    #[error("Unrecognised peertype: {0}")]
    Role(String),
    /// One server cannot have two roles.
    #[error("Multiple addresses should have similar roles: {} vs {}", in_java(*.0), in_java(*.1))]
    Roles(MemberRole, MemberRole),
}

fn in_java(role: MemberRole) -> &'static str {
    match role {
        MemberRole::Participant => "PARTICIPANT",
        MemberRole::Observer => "OBSERVER",
    }
}

/// What is wrong with a configuration's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigTextError {
    /// A `\u` that four hex digits do not follow.
    #[error("Malformed \\uxxxx encoding.")]
    Escape,
    /// Neither a server, a group or a weight, nor the version.
    #[error("Unrecognised parameter: {0}")]
    UnknownKey(String),
    /// An id, a weight or the version is no number.
    #[error("For input string: \"{0}\"")]
    Number(String),
    /// A `server.N` line.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// A server that is named by two groups.
    #[error("Server {}is in multiple groups", .0.0)]
    TwoGroups(ServerId),
    /// There are groups or weights, and a participant that no group names.
    #[error("Server {}is not in a group", .0.0)]
    NoGroup(ServerId),
}

impl MemberRole {
    /// Reads a role, in upper or lower case.
    ///
    /// # Errors
    /// [`MemberError::Role`].
    pub fn parse(word: &str) -> Result<Self, MemberError> {
        match word.trim().to_ascii_lowercase().as_str() {
            "participant" => Ok(Self::Participant),
            "observer" => Ok(Self::Observer),
            _ => Err(MemberError::Role(word.to_owned())),
        }
    }
}

impl Member {
    /// Reads what stands behind `server.N=`; `server` is that N, for the complaint.
    ///
    /// Several addresses are accepted: whether `multiAddress.enabled` allows them is the caller's
    /// question.
    ///
    /// # Errors
    /// The first part that is wrong.
    pub fn parse(server: ServerId, value: &str) -> Result<Self, MemberError> {
        let malformed = || MemberError::Form(value.to_owned());
        let (servers, client) = match split(value, ';').collect::<Vec<_>>()[..] {
            [servers] => (servers, None),
            [servers, client] => (servers, Some(client)),
            _ => return Err(malformed()),
        };
        let client = match client {
            None => None,
            Some(text) => Some(client_address(text, malformed)?),
        };
        let mut agreed: Option<MemberRole> = None;
        let mut addresses = BTreeSet::new();
        for text in servers.split('|') {
            let parts = host_and_ports(text).ok_or_else(malformed)?;
            let (host, quorum, election, word) = match parts[..] {
                [host, quorum, election] => (host, quorum, election, None),
                [host, quorum, election, word] => (host, quorum, election, Some(word)),
                _ => return Err(malformed()),
            };
            let (quorum_port, election_port) = (port(host, quorum)?, port(host, election)?);
            if quorum_port == election_port {
                return Err(MemberError::SamePorts(server));
            }
            addresses.insert(PeerAddress {
                host: host.to_owned(),
                quorum_port,
                election_port,
            });
            let Some(role) = word.map(MemberRole::parse).transpose()? else {
                continue;
            };
            match agreed {
                Some(other) if other != role => return Err(MemberError::Roles(other, role)),
                Some(_) | None => agreed = Some(role),
            }
        }
        Ok(Self {
            role: agreed.unwrap_or_default(),
            addresses: addresses.into_iter().collect(),
            client,
        })
    }
}

fn client_address(
    text: &str,
    malformed: impl Fn() -> MemberError,
) -> Result<ClientAddress, MemberError> {
    let (host, text) = match host_and_ports(text).ok_or_else(&malformed)?[..] {
        [text] => (ClientAddress::ANY_HOST, text),
        [host, text] => (host, text),
        _ => return Err(malformed()),
    };
    Ok(ClientAddress {
        host: host.to_owned(),
        port: port(host, text)?,
    })
}

/// Splits at colons, but not inside the brackets of an IPv6 address, which are taken off.
fn host_and_ports(text: &str) -> Option<Vec<&str>> {
    let text = text.trim();
    let Some(bracketed) = text.strip_prefix('[') else {
        return Some(text.split(':').collect());
    };
    let (host, ports) = bracketed.split_once(']')?;
    let ports = ports.strip_prefix(':')?;
    Some(std::iter::once(host).chain(ports.split(':')).collect())
}

fn port(host: &str, text: &str) -> Result<u16, MemberError> {
    text.parse().map_err(|_| MemberError::Port {
        host: host.to_owned(),
        port: text.to_owned(),
    })
}

impl EnsembleConfig {
    /// Reads the text that servers exchange.
    ///
    /// A configuration without participants is read too: whether it can be one depends on
    /// `standaloneEnabled`.
    ///
    /// # Errors
    /// The first line that is wrong, or what the lines together miss.
    pub fn parse(text: &str) -> Result<Self, ConfigTextError> {
        let properties = properties::parse_text(text);
        if !properties.malformed.is_empty() {
            return Err(ConfigTextError::Escape);
        }
        let mut config = Self::default();
        for entry in &properties.entries {
            match entry.key.as_str() {
                "version" => {
                    config.version = i64::from_str_radix(&entry.value, 16)
                        .map_err(|_| ConfigTextError::Number(entry.value.clone()))?;
                }
                key => config.add_line(key, &entry.value)?,
            }
        }
        config.complete()
    }

    /// Takes up one `server.N`, `group.N` or `weight.N`. The last one of a number counts. When all
    /// are in, [`Self::complete`] them.
    ///
    /// # Errors
    /// The line is wrong; then it has changed nothing.
    pub fn add_line(&mut self, key: &str, value: &str) -> Result<(), ConfigTextError> {
        if let Some(id) = key.strip_prefix("server.") {
            let id = ServerId(number(id)?);
            let member = Member::parse(id, value)?;
            self.members.insert(id, member);
        } else if key.starts_with("group") {
            let group = number(behind_dot(key))?;
            let members = split(value, ':').map(|id| number(id).map(ServerId));
            let members = members.collect::<Result<_, _>>()?;
            self.groups.insert(group, members);
        } else if key.starts_with("weight") {
            let id = ServerId(number(behind_dot(key))?);
            self.weights.insert(id, number(value)?);
        } else {
            return Err(ConfigTextError::UnknownKey(key.to_owned()));
        }
        Ok(())
    }

    /// Checks what concerns more than one line, and gives each participant the weight that Java
    /// gives it where no line does.
    ///
    /// # Errors
    /// With groups or weights each participant has to be in exactly one group.
    pub fn complete(mut self) -> Result<Self, ConfigTextError> {
        if self.groups.is_empty() && self.weights.is_empty() {
            return Ok(self);
        }
        let mut grouped = BTreeSet::new();
        for &server in self.groups.values().flatten() {
            if !grouped.insert(server) {
                return Err(ConfigTextError::TwoGroups(server));
            }
        }
        let voters: Vec<ServerId> = self.voters().collect();
        for voter in voters {
            if !grouped.contains(&voter) {
                return Err(ConfigTextError::NoGroup(voter));
            }
            self.weights.entry(voter).or_insert(1);
        }
        Ok(self)
    }
}

/// Splits as Java does: separators at the end make no empty parts.
fn split(text: &str, separator: char) -> std::str::Split<'_, char> {
    text.trim_end_matches(separator).split(separator)
}

/// What stands behind the first dot, or everything if there is none.
fn behind_dot(key: &str) -> &str {
    key.split_once('.').map_or(key, |(_, rest)| rest)
}

fn number(text: &str) -> Result<i64, ConfigTextError> {
    let text = text.trim();
    text.parse()
        .map_err(|_| ConfigTextError::Number(text.to_owned()))
}
