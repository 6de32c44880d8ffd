//! `server.N` lines and the dynamic configuration file, as far as a server that runs alone needs
//! them: one line is ignored but for its client port, more than one is refused.
//!
//! Source: operations.md 1.3 and 1.10.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::file;
use super::problem::{Origin, Warning};
use super::reader::{Place, Reader, Setting};

/// Where clients connect, from a server line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientEndpoint {
    pub(super) host: Option<String>,
    pub(super) port: u16,
    pub(super) origin: Origin,
    pub(super) key: String,
    pub(super) id: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Participant,
    Observer,
}

struct Member {
    id: i64,
    role: Role,
    client: Option<(Option<String>, u16)>,
}

/// Checks all that is said about an ensemble, and returns the client endpoint of the only member.
pub(super) fn read(reader: &mut Reader, data_dir: &Path) -> Option<ClientEndpoint> {
    election_algorithm(reader);
    peer_type(reader);
    let standalone_enabled = reader.boolean("standaloneEnabled", true);
    let several_addresses = several_addresses_enabled(reader);
    let lines = member_lines(reader);
    let mut members = Vec::new();
    for (key, setting) in &lines {
        match member(key, &setting.value, several_addresses) {
            Ok(Some(member)) => members.push((member, key, setting.origin.clone())),
            Ok(None) => {}
            Err(reason) => reader.problem(setting.origin.clone(), key, reason, ""),
        }
    }
    let (voters, observers): (Vec<_>, Vec<_>) = members
        .into_iter()
        .partition(|(member, ..)| member.role == Role::Participant);
    let complaint = match (voters.len(), observers.len()) {
        (0, _) if !standalone_enabled => {
            Some("standaloneEnabled = false then number of participants should be >0")
        }
        (0, 0) => None,
        (0, _) => Some("Observers w/o participants is an invalid configuration"),
        (1, 1..) if standalone_enabled => Some("Observers w/o quorum is an invalid configuration"),
        (1, 0) if standalone_enabled => None,
        (_, _) => {
            limits_of_an_ensemble(reader, data_dir);
            Some("ensembles are not supported yet: this server can only run alone")
        }
    };
    if let Some(reason) = complaint {
        let (origin, key) = voters.iter().chain(&observers).next().map_or_else(
            || {
                (
                    reader.origin("standaloneEnabled", Place::File),
                    "standaloneEnabled",
                )
            },
            |(_, key, origin)| (origin.clone(), key.as_str()),
        );
        reader.problem(origin, key, reason, "one server.N line, or none");
        return None;
    }
    let own_id = own_id(reader, data_dir);
    let (member, key, origin) = voters.into_iter().next()?;
    reader.warnings.push(Warning {
        origin: origin.clone(),
        key: key.clone(),
        text: "Invalid configuration, only one server specified (ignoring)".to_owned(),
        severe: true,
    });
    if own_id.is_some_and(|own| own != member.id) {
        reader.warn(
            origin,
            key,
            "not the id in myid, so its client port is not used",
        );
        return None;
    }
    let (host, port) = member.client?;
    Some(ClientEndpoint {
        host,
        port,
        origin,
        key: key.clone(),
        id: member.id,
    })
}

fn election_algorithm(reader: &mut Reader) {
    let Some(number) = reader.int("electionAlg", "3") else {
        return;
    };
    if number != 3 {
        let origin = reader.origin("electionAlg", Place::File);
        reader.problem(
            origin,
            "electionAlg",
            "Invalid electionAlg value. Only 3 is supported.",
            "3",
        );
    }
}

fn peer_type(reader: &mut Reader) {
    let Some(Setting { value, origin }) = reader.text("peerType", Place::File) else {
        return;
    };
    if let Err(reason) = role(&value) {
        reader.problem(origin, "peerType", reason, "participant, observer");
    }
}

fn role(word: &str) -> Result<Role, String> {
    match word.trim().to_ascii_lowercase().as_str() {
        "participant" => Ok(Role::Participant),
        "observer" => Ok(Role::Observer),
        _ => Err(format!("Unrecognised peertype: {word}")),
    }
}

/// In Java the line in the file alone does not do; here either place does.
fn several_addresses_enabled(reader: &mut Reader) -> bool {
    reader.property_boolean("multiAddress.enabled", false)
}

fn is_member_key(key: &str) -> bool {
    ["server.", "group", "weight"]
        .iter()
        .any(|start| key.starts_with(start))
}

/// The lines of the file, or of the dynamic file it names.
fn member_lines(reader: &mut Reader) -> BTreeMap<String, Setting> {
    let lines: BTreeMap<String, Setting> = reader
        .file()
        .iter()
        .filter(|(key, _)| is_member_key(key))
        .map(|(key, setting)| (key.clone(), setting.clone()))
        .collect();
    let Some(Setting { value, origin }) = reader.text("dynamicConfigFile", Place::File) else {
        return lines;
    };
    for (key, setting) in lines {
        let reason = format!("parameter: {key} must be in a separate dynamic config file");
        reader.problem(setting.origin, &key, reason, "");
    }
    dynamic_lines(reader, &PathBuf::from(value), origin)
}

fn dynamic_lines(reader: &mut Reader, path: &Path, origin: Origin) -> BTreeMap<String, Setting> {
    let mut lines = file::read(reader, path, origin, "dynamicConfigFile").unwrap_or_default();
    lines.retain(|key, Setting { origin, .. }| {
        if is_member_key(key) {
            return true;
        }
        let (reason, allowed) = match key.as_str() {
            "version" => ("dynamic file shouldn't have version inside".to_owned(), ""),
            _ => {
                let reason = format!("Unrecognised parameter: {key}");
                (reason, "server.N, group.N, weight.N")
            }
        };
        reader.problem(origin.clone(), key, reason, allowed);
        false
    });
    lines
}

/// Reads one line. Groups and weights matter only to a quorum and are none of a single server's.
fn member(key: &str, value: &str, several_addresses: bool) -> Result<Option<Member>, String> {
    let Some(id_text) = key.strip_prefix("server.") else {
        return Ok(None);
    };
    let id = id_text
        .parse()
        .map_err(|_| format!("For input string: \"{id_text}\""))?;
    let malformed = || {
        format!(
            "{value} does not have the form server_config or server_config;client_config where \
             server_config is the pipe separated list of host:port:port or host:port:port:type \
             and client_config is port or host:port"
        )
    };
    let (servers, client) = match value.split(';').collect::<Vec<_>>()[..] {
        [servers] => (servers, None),
        [servers, client] => (servers, Some(client)),
        _ => return Err(malformed()),
    };
    let client = match client.map(host_and_ports) {
        None => None,
        Some(Some(parts)) => Some(match parts[..] {
            [text] => (None, port("0.0.0.0", text)?),
            [host, text] => (Some(host.to_owned()), port(host, text)?),
            _ => return Err(malformed()),
        }),
        Some(None) => return Err(malformed()),
    };
    let addresses: Vec<&str> = servers.split('|').collect();
    if addresses.len() > 1 && !several_addresses {
        return Err(format!(
            "Multiple address feature is disabled, but multiple addresses were specified for sid {id}"
        ));
    }
    let mut agreed: Option<Role> = None;
    for address in addresses {
        let parts = host_and_ports(address).ok_or_else(malformed)?;
        let (host, quorum, election, word) = match parts[..] {
            [host, quorum, election] => (host, quorum, election, None),
            [host, quorum, election, word] => (host, quorum, election, Some(word)),
            _ => return Err(malformed()),
        };
        if port(host, quorum)? == port(host, election)? {
            return Err(format!(
                "Client and election port must be different! Please update the configuration \
                 file on server.{id}"
            ));
        }
        let Some(role) = word.map(role).transpose()? else {
            continue;
        };
        if let Some(other) = agreed.filter(|&other| other != role) {
            return Err(format!(
                "Multiple addresses should have similar roles: {} vs {}",
                role_name(other),
                role_name(role)
            ));
        }
        agreed = Some(role);
    }
    Ok(Some(Member {
        id,
        role: agreed.unwrap_or(Role::Participant),
        client,
    }))
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Participant => "PARTICIPANT",
        Role::Observer => "OBSERVER",
    }
}

/// Splits at colons, but not inside the brackets of an IPv6 address, which are taken off.
fn host_and_ports(text: &str) -> Option<Vec<&str>> {
    let Some(bracketed) = text.strip_prefix('[') else {
        return Some(text.split(':').collect());
    };
    let (host, ports) = bracketed.split_once(']')?;
    let ports = ports.strip_prefix(':')?;
    Some(std::iter::once(host).chain(ports.split(':')).collect())
}

fn port(host: &str, text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| format!("Address unresolved: {host}:{text}"))
}

fn limits_of_an_ensemble(reader: &mut Reader, data_dir: &Path) {
    for (key, reason) in [
        ("initLimit", "initLimit is not set"),
        ("syncLimit", "syncLimit is not set"),
    ] {
        // A value that is no number is reported where all numbers are checked.
        let missing = reader
            .text(key, Place::File)
            .is_none_or(|setting| setting.value == "0");
        if missing {
            let origin = reader.origin(key, Place::File);
            reader.problem(origin, key, reason, "a number of ticks, from 1");
        }
    }
    if own_id(reader, data_dir).is_none() {
        let origin = reader.whole.clone();
        let path = data_dir.join("myid");
        reader.problem(
            origin,
            "",
            "myid file is missing",
            &format!("a number in {}", path.display()),
        );
    }
}

/// The number in `<dataDir>/myid`, if there is such a file. A bad one is a problem in any case.
fn own_id(reader: &mut Reader, data_dir: &Path) -> Option<i64> {
    let path = data_dir.join("myid");
    let text = std::fs::read(&path).ok()?;
    let text = String::from_utf8_lossy(&text);
    let text = text.lines().next().unwrap_or("");
    let id = text.parse().ok();
    let reported = reader
        .problems
        .iter()
        .any(|p| p.origin == Origin::File(path.clone()));
    if id.is_none() && !reported {
        let reason = format!("serverid {text} is not a number");
        reader.problem(Origin::File(path), "", reason, "a number from 1 to 255");
    }
    id
}
