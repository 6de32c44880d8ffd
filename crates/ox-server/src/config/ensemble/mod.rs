//! What makes a server a member of an ensemble: who belongs to it, which of them this server is,
//! and the settings that only members have.
//!
//! Invariant: an [`Ensemble`] can be run: its own id is among the members, the limits are set, the
//! groups are whole. Source: `QuorumPeerConfig.setupQuorumPeerConfig`, `parseDynamicConfig`,
//! `checkValidity`; operations.md 1.3 and 1.6, quorum.md 1.

use std::path::Path;
use std::time::Duration;

use ox_proto::{ClientAddress, EnsembleConfig, MemberRole, ReconfigRules, ServerId};

use super::problem::{Origin, Warning};
use super::reader::{Place, Reader, Setting};
use super::value;

mod hosts;
mod members;
mod my_id;
mod reconfig;
mod settings;

pub use reconfig::Reconfig;
pub use settings::{
    ElectionSettings, LeaderSettings, LearnerSettings, MemberSettings, ObserverMaster, Ticks,
};

use members::Membership;

/// What a server is told that does not run alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Ensemble {
    /// The number in `<dataDir>/myid`; one of `members`.
    pub id: ServerId,
    /// Whether this server votes, by its line among the members.
    pub role: MemberRole,
    /// Who belongs to the ensemble, with the groups and weights that make its quorums. Names of
    /// hosts are not resolved: what they stand for may change.
    pub members: EnsembleConfig,
    /// `closeSessionTxn.enabled`: a closeSession lists what it deletes. Off only as long as there
    /// are servers older than 3.6.
    pub close_session_lists: bool,
    /// How the members may be changed, if they may.
    pub reconfig: Option<Reconfig>,
    /// Limits, links, and what depends on the role.
    pub settings: MemberSettings,
}

/// Where clients connect, from a server line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientEndpoint {
    pub(super) address: ClientAddress,
    pub(super) origin: Origin,
    pub(super) key: String,
    pub(super) id: ServerId,
}

/// Reads all that is said about an ensemble. Returns the client endpoint of this server's own line,
/// and the ensemble if there is one: one participant alone is none, unless `standaloneEnabled` is
/// off.
pub(super) fn read(
    reader: &mut Reader,
    data_dir: &Path,
    tick: Duration,
) -> (Option<ClientEndpoint>, Option<Ensemble>) {
    election_algorithm(reader);
    let written_role = peer_type(reader);
    let standalone_enabled = reader.boolean("standaloneEnabled", true);
    let settings = MemberSettings::read(reader, tick);
    let Some(membership) = Membership::read(reader, settings.several_addresses) else {
        return (None, None);
    };
    let voters = membership.config.voters().count();
    let observers = membership.config.members.len() - voters;
    let complaint = match (voters, observers) {
        (0, _) if !standalone_enabled => Some((
            "standaloneEnabled = false then number of participants should be >0",
            "a server.N line for each server",
        )),
        (0, 1..) => Some((
            "Observers w/o participants is an invalid configuration",
            "at least one participant",
        )),
        (1, 1..) if standalone_enabled => Some((
            "Observers w/o quorum is an invalid configuration",
            "two participants or more, or standaloneEnabled=false",
        )),
        (_, _) => None,
    };
    if let Some((reason, allowed)) = complaint {
        let (key, origin) = membership.first_line().unwrap_or_else(|| {
            let origin = reader.origin("standaloneEnabled", Place::File);
            ("standaloneEnabled".to_owned(), origin)
        });
        reader.problem(origin, &key, reason, allowed);
        return (None, None);
    }
    if standalone_enabled && voters < 2 {
        return (alone(reader, data_dir, &membership), None);
    }
    reader.in_ensemble = true;
    let rules = ReconfigRules {
        standalone_enabled,
        several_addresses: settings.several_addresses,
    };
    match ensemble(reader, data_dir, membership, settings, written_role) {
        Some((endpoint, mut ensemble)) => {
            ensemble.reconfig = Reconfig::read(reader, ensemble.id, rules);
            (endpoint, Some(ensemble))
        }
        None => (None, None),
    }
}

/// The line of a server that runs alone is ignored but for its client port.
fn alone(reader: &mut Reader, data_dir: &Path, membership: &Membership) -> Option<ClientEndpoint> {
    let own_id = my_id::read(reader, data_dir);
    let id = membership.config.voters().next()?;
    let (key, origin) = membership.line(id)?;
    reader.warnings.push(Warning {
        origin: origin.clone(),
        key: key.clone(),
        text: "Invalid configuration, only one server specified (ignoring)".to_owned(),
        severe: true,
    });
    if own_id.is_some_and(|own| own != id) {
        let text = "not the id in myid, so its client port is not used";
        reader.warn(origin, &key, text);
        return None;
    }
    membership.endpoint(id)
}

fn ensemble(
    reader: &mut Reader,
    data_dir: &Path,
    membership: Membership,
    settings: MemberSettings,
    written_role: Option<MemberRole>,
) -> Option<(Option<ClientEndpoint>, Ensemble)> {
    count_voters(reader, membership.config.voters().count());
    for key in ["initLimit", "syncLimit"] {
        limit_is_set(reader, key);
    }
    hosts::given_twice(reader, &membership);
    hosts::unresolved(reader, &membership);
    let Some(id) = my_id::read(reader, data_dir) else {
        my_id::missing(reader, data_dir);
        return None;
    };
    let Some(member) = membership.config.members.get(&id) else {
        let origin = Origin::File(my_id::path(data_dir));
        let reason = format!("My id {} not in the peer list", id.0);
        let ids = membership.config.members.keys();
        let ids: Vec<_> = ids.map(|id| id.0.to_string()).collect();
        reader.problem(origin, "", reason, &ids.join(", "));
        found_after_the_configuration(reader);
        return None;
    };
    let role = member.role;
    my_id::fits_ttl_nodes(reader, data_dir, id);
    if let Some(written) = written_role.filter(|&written| written != role) {
        let text = format!(
            "Peer type from servers list ({}) doesn't match peerType ({}). Defaulting to servers \
             list.",
            java_name(role),
            java_name(written)
        );
        reader.warn_about("peerType", Place::File, text);
    }
    let endpoint = membership.endpoint(id);
    let ensemble = Ensemble {
        id,
        role,
        members: membership.config,
        close_session_lists: reader.property_boolean("closeSessionTxn.enabled", true),
        reconfig: None,
        settings,
    };
    Some((endpoint, ensemble))
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

fn peer_type(reader: &mut Reader) -> Option<MemberRole> {
    let Setting { value, origin } = reader.text("peerType", Place::File)?;
    match MemberRole::parse(&value) {
        Ok(role) => Some(role),
        Err(error) => {
            let reason = error.to_string();
            reader.problem(origin, "peerType", reason, "participant, observer");
            None
        }
    }
}

fn java_name(role: MemberRole) -> String {
    role.to_string().to_uppercase()
}

/// Whether `key` says so; a bad boolean is reported by whoever uses the setting.
fn is_true(reader: &mut Reader, key: &'static str, place: Place) -> bool {
    reader
        .text(key, place)
        .is_some_and(|setting| setting.value.eq_ignore_ascii_case("true"))
}

fn count_voters(reader: &mut Reader, voters: usize) {
    let text = match voters {
        ..=2 => "No server failure will be tolerated. You need at least 3 servers.",
        _ if voters.is_multiple_of(2) => {
            "Non-optimal configuration, consider an odd number of servers."
        }
        _ => return,
    };
    let origin = reader.whole.clone();
    reader.warn(origin, "", text);
}

fn limit_is_set(reader: &mut Reader, key: &'static str) {
    let written = reader.text(key, Place::File);
    let ticks = match &written {
        // What is no number has been reported.
        Some(setting) => value::int(&setting.value).unwrap_or(1),
        None => 0,
    };
    let reason = match ticks {
        1.. => return,
        0 => format!("{key} is not set"),
        _ => format!("{key} is negative: {ticks}"),
    };
    let origin = reader.origin(key, Place::File);
    reader.problem(origin, key, reason, "a number of ticks, from 1");
}

/// Java finds the problem reported last only when it runs the server.
fn found_after_the_configuration(reader: &mut Reader) {
    if let Some(problem) = reader.problems.last_mut() {
        problem.exit_code = 1;
    }
}
