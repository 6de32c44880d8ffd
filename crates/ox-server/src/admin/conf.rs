//! `conf` and `dirs`: how the server is set up, and how much it keeps on disk.
//!
//! Source: operations.md 3.2 and 3.4.

use std::collections::BTreeSet;
use std::{fmt::Display, path::PathBuf, time::Duration};

use ox_proto::{EnsembleConfig, MemberRole, PeerAddress, ServerId};

/// The sizes of the directories of snapshots and of logs, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct DirectorySizes {
    /// Of the snapshots.
    pub data: u64,
    /// Of the logs; the same if they share a directory.
    pub log: u64,
}

/// How the server is set up.
#[derive(Clone, Debug)]
pub struct ConfReport {
    /// The port for clients.
    pub client_port: Option<u16>,
    /// The port for clients with TLS.
    pub secure_client_port: Option<u16>,
    /// The directory of the snapshots, `version-2` included.
    pub data_dir: PathBuf,
    /// The directory of the logs, `version-2` included.
    pub data_log_dir: PathBuf,
    /// Their sizes.
    pub sizes: DirectorySizes,
    /// The tick.
    pub tick: Duration,
    /// How many connections one address may have; 0 is any number.
    pub max_client_connections: usize,
    /// The shortest session timeout.
    pub min_session_timeout: Duration,
    /// The longest.
    pub max_session_timeout: Duration,
    /// How many connections may wait to be accepted, if it was given.
    pub backlog: Option<u32>,
    /// What it is in its ensemble; `None` for a server alone.
    pub member: Option<MemberReport>,
}

/// What a server is in its ensemble.
#[derive(Clone, Debug)]
pub struct MemberReport {
    /// Its number.
    pub id: ServerId,
    /// How long a learner may take to begin, in ticks.
    pub init_limit: u32,
    /// How long a learner may be silent, in ticks.
    pub sync_limit: u32,
    /// Its own addresses.
    pub addresses: Vec<PeerAddress>,
    /// Whether it votes.
    pub role: MemberRole,
    /// All members; `None` as long as it serves reads without a quorum.
    pub membership: Option<EnsembleConfig>,
}

/// The answer to `conf`.
pub fn conf(report: &ConfReport) -> String {
    const NONE: &dyn Display = &-1;
    let mut out = String::new();
    let mut line = |key: &str, value: &dyn Display| out += &format!("{key}={value}\n");
    line(
        "clientPort",
        report.client_port.as_ref().map_or(NONE, |port| port),
    );
    line(
        "secureClientPort",
        report.secure_client_port.as_ref().map_or(NONE, |port| port),
    );
    line("dataDir", &report.data_dir.display());
    line("dataDirSize", &report.sizes.data);
    line("dataLogDir", &report.data_log_dir.display());
    line("dataLogSize", &report.sizes.log);
    line("tickTime", &report.tick.as_millis());
    line("maxClientCnxns", &report.max_client_connections);
    line("minSessionTimeout", &report.min_session_timeout.as_millis());
    line("maxSessionTimeout", &report.max_session_timeout.as_millis());
    line(
        "clientPortListenBacklog",
        report.backlog.as_ref().map_or(NONE, |backlog| backlog),
    );
    match &report.member {
        None => line("serverId", &0),
        Some(member) => conf_of_member(member, &mut line),
    }
    if let Some(members) = report
        .member
        .as_ref()
        .and_then(|own| own.membership.as_ref())
    {
        out += &format!("membership: \n{members}");
    }
    out
}

fn conf_of_member(member: &MemberReport, line: &mut impl FnMut(&str, &dyn Display)) {
    line("serverId", &member.id.0);
    line("initLimit", &member.init_limit);
    line("syncLimit", &member.sync_limit);
    line("electionAlg", &3);
    let addresses = member.addresses.iter();
    line(
        "electionPort",
        &ports(addresses.clone().map(|address| address.election_port)),
    );
    line(
        "quorumPort",
        &ports(addresses.map(|address| address.quorum_port)),
    );
    // Java's ordinals.
    let peer_type = match member.role {
        MemberRole::Participant => 0,
        MemberRole::Observer => 1,
    };
    line("peerType", &peer_type);
}

/// Each port once, however many addresses have it.
fn ports(ports: impl Iterator<Item = u16>) -> String {
    let ports: BTreeSet<u16> = ports.collect();
    let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
    ports.join("|")
}

/// The answer to `dirs`.
pub fn dirs(sizes: DirectorySizes) -> String {
    format!("datadir_size: {}\nlogdir_size: {}\n", sizes.data, sizes.log)
}
