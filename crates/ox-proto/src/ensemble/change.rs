//! What a reconfig request asks for: some members more and some less, or other members altogether.
//!
//! Invariant: what comes out can be told to every server: it has voters, and its text fits into a
//! notification. Source: `PrepRequestProcessor.pRequest2Txn`, case `reconfig`,
//! `QuorumPeerConfig.parseDynamicConfig`; quorum.md 11.1. What Java refuses, and with which error,
//! was compared with a running 3.9.5.

use std::net::IpAddr;

use super::{ConfigTextError, EnsembleConfig, Member, MemberError, MemberRole};
use crate::{ErrorCode, Notification, ReconfigRequest, ServerId};

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
            let others = config.members.iter().filter(|(other, _)| **other != id);
            if let Some((other, _)) = others.into_iter().find(|(_, other)| clash(&member, other)) {
                return Err(arguments(&format!(
                    "{joining}: server.{} has one of these addresses",
                    other.0
                )));
            }
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
        if let Some(address) = member.addresses.iter().find(|it| !is_host(&it.host)) {
            return Err(arguments(&format!(
                "server.{}: {:?} is no host",
                id.0, address.host
            )));
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
    // With its version, which may be longer than the present one.
    let length = config.to_string().len() + 2 * size_of::<i64>();
    if length > Notification::MAX_CONFIG {
        return Err(arguments(&format!(
            "a configuration of {length} bytes, which no election could tell"
        )));
    }
    Ok(())
}

/// Whether two servers would have an address in common; those of this machine alone, and those that
/// stand for all, can be meant by both.
fn clash(one: &Member, other: &Member) -> bool {
    let all = |member: &Member| {
        let addresses = member.addresses.iter();
        let both = addresses.flat_map(|it| {
            let host = it.host.to_lowercase();
            [(host.clone(), it.quorum_port), (host, it.election_port)]
        });
        let client = member.client.iter();
        let client = client.map(|client| (client.host.to_lowercase(), client.port));
        both.chain(client).collect::<Vec<_>>()
    };
    let others = all(other);
    all(one)
        .into_iter()
        .any(|address| !is_special(&address.0) && others.contains(&address))
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
mod tests {
    use super::*;

    const JAVA: ReconfigRules = ReconfigRules {
        standalone_enabled: true,
        several_addresses: false,
    };
    const GROWING: ReconfigRules = ReconfigRules {
        standalone_enabled: false,
        ..JAVA
    };

    fn three() -> EnsembleConfig {
        let text = "server.1=a:1:2;3\nserver.2=b:1:2;3\nserver.3=c:1:2:observer;3\nversion=9";
        EnsembleConfig::parse(text).unwrap()
    }

    fn request(joining: &str, leaving: &str, members: Option<&str>) -> ReconfigRequest {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        ReconfigRequest {
            joining_servers: some(joining),
            leaving_servers: some(leaving),
            new_members: members.map(str::to_owned),
            current_config_id: -1,
        }
    }

    #[track_caller]
    fn check(joining: &str, leaving: &str, rules: ReconfigRules, expected: Result<&str, i32>) {
        check_request(&request(joining, leaving, None), rules, expected);
    }

    #[track_caller]
    fn check_members(members: &str, rules: ReconfigRules, expected: Result<&str, i32>) {
        check_request(&request("", "", Some(members)), rules, expected);
    }

    #[track_caller]
    fn check_request(request: &ReconfigRequest, rules: ReconfigRules, expected: Result<&str, i32>) {
        let changed = three().changed(request, rules);
        let ids = changed
            .map(|config| {
                assert_eq!(config.version, 9);
                let members = config.members.iter();
                let texts =
                    members.map(
                        |(id, member)| match member.role == MemberRole::Participant {
                            true => id.0.to_string(),
                            false => format!("({})", id.0),
                        },
                    );
                texts.collect::<Vec<_>>().join(" ")
            })
            .map_err(|error| error.code().code());
        assert_eq!(ids, expected.map(str::to_owned));
    }

    #[test]
    fn servers_leave_and_join_in_that_order() {
        check("server.4=d:1:2;3", "2", JAVA, Ok("1 (3) 4"));
        check(" 4 = d:1:2;3 , ", " 3,,1 ,77", JAVA, Ok("2 4"));
        check("server.3=c:1:2;3", "", JAVA, Ok("1 2 3"));
        check("server.2=b:1:2:observer;3", "", GROWING, Ok("1 (2) (3)"));
        check("", "", JAVA, Ok("1 2 (3)"));
        check("server.2=z:1:2;3", "2", JAVA, Ok("1 2 (3)"));
    }

    #[test]
    fn what_is_malformed_is_refused_as_java_does() {
        check("server.4=d:1:2", "", JAVA, Err(-8));
        check("server.4=d:1;3", "", JAVA, Err(-8));
        check("server.4", "", JAVA, Err(-8));
        check("server.4=d:1:2;3=5", "", JAVA, Err(-8));
        check("server.4=d:1:1;3", "", JAVA, Err(-8));
        check("server.4=d:1:x;3", "", JAVA, Err(-8));
        check("server.4=d:1:70000;3", "", JAVA, Err(-5));
        check("server.4=d:1:2;-3", "", JAVA, Err(-5));
        check("server.x=d:1:2;3", "", JAVA, Err(-5));
        check("", "two", JAVA, Err(-5));
        check("server.4=d:1:2|e:1:2;3", "", JAVA, Err(-8));
        check("server.-4=d:1:2;3", "", JAVA, Err(-8));
        check("server.4=d\\\\:1:2;3", "", JAVA, Err(-8));
    }

    #[test]
    fn an_address_belongs_to_one_server_unless_it_is_of_this_machine() {
        check("server.4=A:1:9;8", "", JAVA, Err(-8));
        check("server.4=a:9:3;8", "", JAVA, Ok("1 2 (3) 4"));
        check("server.4=d:9:7;a:2", "", JAVA, Err(-8));
        check("server.4=a:1:2;3", "1", JAVA, Ok("2 (3) 4"));
        let twice = "server.4=127.0.0.1:1:2;3,server.5=127.0.0.1:1:2;3,server.6=::1:1:2;3";
        check(twice, "", JAVA, Err(-8));
        let twice = "server.4=127.0.0.1:1:2;3,server.5=127.0.0.1:1:2;3";
        check(twice, "", JAVA, Ok("1 2 (3) 4 5"));
    }

    #[test]
    fn voters_are_left() {
        check("", "2", JAVA, Err(-8));
        check("", "2", GROWING, Ok("1 (3)"));
        check("", "1,2", GROWING, Err(-8));
    }

    #[test]
    fn new_members_take_the_place_of_all() {
        check_members("server.7=g:1:2;3,server.8=h:1:2", JAVA, Ok("7 8"));
        check_members(
            "server.7=g:1:2\nserver.8=h:1:2:observer",
            GROWING,
            Ok("7 (8)"),
        );
        check_members("server.7=g:1:2\nserver.8=h:1:2:observer", JAVA, Err(-5));
        check_members("server.8=h:1:2:observer", JAVA, Err(-5));
        check_members("", JAVA, Err(-8));
        check_members("", GROWING, Err(-5));
        check_members("server.7=g:1:2", JAVA, Err(-8));
        check_members("server.7=g:1:2,tickTime=4", JAVA, Err(-8));
        check_members("server.x=g:1:2,server.8=h:1:2", JAVA, Err(-5));
        check_members("server.7=\\u12", JAVA, Err(-5));
    }

    #[test]
    fn groups_come_and_go_only_as_a_whole() {
        let grouped = "server.1=a:1:2,server.2=b:1:2,group.1=1:2,weight.2=3";
        check_members(grouped, JAVA, Ok("1 2"));
        check_members("server.1=a:1:2,server.2=b:1:2,group.1=1", JAVA, Err(-8));
        check_members("server.1=a:1:2,server.2=b:1:2,group.1=1:2:7", JAVA, Err(-8));
        check_members(
            "server.1=a:1:2,server.2=b:1:2,group.1=1:2,weight.1=-1",
            JAVA,
            Err(-8),
        );
        let config = three()
            .changed(&request("", "", Some(grouped)), JAVA)
            .unwrap();
        let more = config.changed(&request("server.4=d:1:2;3", "", None), JAVA);
        assert_eq!(more.unwrap_err().code(), ErrorCode::BadArguments);
    }

    #[test]
    fn a_text_that_no_election_could_tell_is_refused() {
        let line = |id: i64| format!("server.{id}={}:1:2:observer", "o".repeat(60));
        let many: Vec<String> = (10..8000).map(line).collect();
        let many = format!("server.1=a:1:2\nserver.2=b:1:2\n{}", many.join("\n"));
        check_members(&many, JAVA, Err(-8));
    }
}
