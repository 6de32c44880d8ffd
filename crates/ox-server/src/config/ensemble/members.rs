//! The lines `server.N`, `group.N` and `weight.N`: in the static file, or in the dynamic file that
//! it names.
//!
//! Source: `QuorumPeerConfig.parseDynamicConfig`, `QuorumMaj`, `QuorumHierarchical`; operations.md
//! 1.3 and 1.10, quorum.md 1.2 to 1.4.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ox_proto::{ConfigTextError, EnsembleConfig, MemberRole, ServerId};

use super::super::file;
use super::super::problem::Origin;
use super::super::reader::{Place, Reader, Setting};
use super::ClientEndpoint;

/// A membership configuration, and where each member's line stands.
#[derive(Default)]
pub(super) struct Membership {
    pub(super) config: EnsembleConfig,
    lines: BTreeMap<ServerId, (String, Origin)>,
}

impl Membership {
    /// Reads all lines. `None` if one of them is wrong, or all together.
    pub(super) fn read(reader: &mut Reader, several_addresses: bool) -> Option<Self> {
        let problems = reader.problems.len();
        let mut membership = Self::default();
        let (lines, version) = lines(reader);
        membership.config.version = version;
        for (key, Setting { value, origin }) in lines {
            match membership.add(&key, &value, &origin, several_addresses) {
                Ok(None) => {}
                Ok(Some(warning)) => reader.warn(origin, &key, warning),
                Err(reason) => reader.problem(origin, &key, reason, ""),
            }
        }
        if reader.problems.len() > problems {
            return None;
        }
        membership.complete(reader)
    }

    /// Takes up one line; what is returned is a reason to warn.
    fn add(
        &mut self,
        key: &str,
        value: &str,
        origin: &Origin,
        several_addresses: bool,
    ) -> Result<Option<&'static str>, String> {
        let count = |config: &EnsembleConfig| {
            config.members.len() + config.groups.len() + config.weights.len()
        };
        let before = count(&self.config);
        let added = self.config.add_line(key, value);
        added.map_err(|error| error.to_string())?;
        if count(&self.config) == before {
            return Err("another line has the same number".to_owned());
        }
        let is_new = |id: &&ServerId| !self.lines.contains_key(id);
        let Some(&id) = self.config.members.keys().find(is_new) else {
            return Ok(None);
        };
        self.lines.insert(id, (key.to_owned(), origin.clone()));
        if value.contains('|') && !several_addresses {
            return Err(format!(
                "Multiple address feature is disabled, but multiple addresses were specified for \
                 sid {}",
                id.0
            ));
        }
        match id.0 {
            // An election reads a negative number as the version of its protocol, and the largest
            // as "any observer" (QuorumCnxManager).
            ..0 | i64::MAX => Err("an id that no election understands".to_owned()),
            0..256 => Ok(None),
            256.. => Ok(Some(
                "only the lowest 8 bits of an id are in session ids, and no other server may have \
                 the same ones",
            )),
        }
    }

    fn complete(mut self, reader: &mut Reader) -> Option<Self> {
        let whole = reader.whole.clone();
        self.config = match std::mem::take(&mut self.config).complete() {
            Ok(config) => config,
            Err(error) => {
                let line = match &error {
                    ConfigTextError::NoGroup(id) => self.line(*id),
                    ConfigTextError::TwoGroups(_)
                    | ConfigTextError::Escape
                    | ConfigTextError::UnknownKey(_)
                    | ConfigTextError::Number(_)
                    | ConfigTextError::Member(_) => None,
                };
                let (key, origin) = line.unwrap_or((String::new(), whole));
                let allowed = "every participant in exactly one group";
                reader.problem(origin, &key, error.to_string(), allowed);
                return None;
            }
        };
        // Java's server ends by a NullPointerException.
        let config = &self.config;
        let weightless = |id: &&ServerId| !config.weights.contains_key(id);
        let stranger = config.groups.values().flatten().find(weightless);
        if let Some(id) = stranger {
            let reason = format!("Server {} of a group is no participant", id.0);
            reader.problem(whole, "", reason, "a server.N line, or a weight.N line");
            return None;
        }
        if let Some((id, _)) = config.weights.iter().find(|(_, weight)| **weight < 0) {
            let reason = format!("weight of server {} is negative", id.0);
            reader.problem(whole, "", reason, "a number from 0");
            return None;
        }
        Some(self)
    }

    /// The key and the place of a member's line.
    pub(super) fn line(&self, id: ServerId) -> Option<(String, Origin)> {
        self.lines.get(&id).cloned()
    }

    /// The line of the first participant, or of the first observer if there is none.
    pub(super) fn first_line(&self) -> Option<(String, Origin)> {
        let observers = self.config.members.iter();
        let observers = observers.filter(|(_, member)| member.role == MemberRole::Observer);
        let mut ids = self.config.voters().chain(observers.map(|(&id, _)| id));
        ids.next().and_then(|id| self.line(id))
    }

    /// Where clients of a member connect, if its line says so.
    pub(super) fn endpoint(&self, id: ServerId) -> Option<ClientEndpoint> {
        let (key, origin) = self.line(id)?;
        let address = self.config.members.get(&id)?.client.clone()?;
        Some(ClientEndpoint {
            address,
            origin,
            key,
            id,
        })
    }
}

fn is_member_key(key: &str) -> bool {
    ["server.", "group", "weight"]
        .iter()
        .any(|start| key.starts_with(start))
}

/// The lines of the file, or of the dynamic file it names, and the version of the configuration.
fn lines(reader: &mut Reader) -> (BTreeMap<String, Setting>, i64) {
    let lines: BTreeMap<String, Setting> = reader
        .file()
        .iter()
        .filter(|(key, _)| is_member_key(key))
        .map(|(key, setting)| (key.clone(), setting.clone()))
        .collect();
    let Some(Setting { value, origin }) = reader.text("dynamicConfigFile", Place::File) else {
        return (lines, static_version(reader));
    };
    for (key, setting) in lines {
        let reason = format!("parameter: {key} must be in a separate dynamic config file");
        reader.problem(setting.origin, &key, reason, "");
    }
    let version = version_of_name(&value);
    (
        dynamic_lines(reader, &PathBuf::from(value), origin),
        version,
    )
}

/// A line of the static file that no writer of such files makes, but Java heeds.
fn static_version(reader: &mut Reader) -> i64 {
    let key = "version";
    let Some(Setting { value, origin }) = reader.text(key, Place::File) else {
        return 0;
    };
    i64::from_str_radix(&value, 16).unwrap_or_else(|_| {
        let reason = format!("For input string: \"{value}\" under radix 16");
        reader.problem(origin, key, reason, "a zxid in hex, without 0x");
        0
    })
}

/// The version stands behind the last dot of a dynamic file's name, in hex: 0 if there is none.
fn version_of_name(name: &str) -> i64 {
    let (_, version) = name.rsplit_once('.').unwrap_or_default();
    i64::from_str_radix(version, 16).unwrap_or(0)
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
