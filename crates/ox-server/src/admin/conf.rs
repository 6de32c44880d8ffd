//! `conf` and `dirs`: how the server is set up, and how much it keeps on disk.
//!
//! Source: operations.md 3.2 and 3.4.

use std::{fmt::Display, path::PathBuf, time::Duration};

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
}

/// The answer to `conf`.
pub fn conf(report: &ConfReport) -> String {
    const NONE: &dyn Display = &-1;
    let mut out = String::new();
    let mut line = |key, value: &dyn Display| out += &format!("{key}={value}\n");
    line(
        "clientPort",
        report.client_port.as_ref().map_or(NONE, |port| port),
    );
    line("secureClientPort", NONE);
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
    // Of a server that is alone.
    line("serverId", &0);
    out
}

/// The answer to `dirs`.
pub fn dirs(sizes: DirectorySizes) -> String {
    format!("datadir_size: {}\nlogdir_size: {}\n", sizes.data, sizes.log)
}
