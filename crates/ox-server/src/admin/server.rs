//! `srvr`, `stat` and `mntr`: the server as a whole.
//!
//! Source: operations.md 3.3, 3.5 and 3.6.

use std::{fmt::Display, time::Duration};

use ox_proto::{PeerState, ServerId, Zxid};
use ox_replica::Mode;

use super::{
    VERSION,
    connections::{self, ConnectionReport},
    java_text,
    metrics::{Histogram, Metrics, Summary},
};

/// The server as it is at one moment. What it has counted so far is in [`Metrics`].
#[derive(Clone, Debug)]
pub struct Report {
    /// What it is to its clients.
    pub mode: Mode,
    /// Its part in its ensemble; `None` for a server that is alone, or serves reads only.
    pub peer: Option<PeerReport>,
    /// The last transaction that was applied.
    pub zxid: Zxid,
    /// Znodes, the root counted once.
    pub node_count: usize,
    /// Bytes of all paths and data.
    pub approximate_data_size: i64,
    /// Znodes that end with their session.
    pub ephemerals_count: usize,
    /// Watches of both tables.
    pub watch_count: usize,
    /// Sessions that all servers know.
    pub sessions: usize,
    /// Sessions that no other server knows.
    pub local_sessions: usize,
    /// Open connections, the one that asks included.
    pub connections: usize,
    /// Requests that are not answered yet.
    pub outstanding: usize,
    /// Since the server began to serve as what it is.
    pub uptime: Duration,
    /// Open file descriptors of the process, if known.
    pub open_files: Option<u64>,
    /// How many it may have, if known.
    pub max_open_files: Option<u64>,
}

/// A member's part in its ensemble.
#[derive(Clone, Copy, Debug)]
pub struct PeerReport {
    /// What it is doing.
    pub state: PeerState,
    /// How many members vote.
    pub quorum_size: usize,
    /// Whom it follows or observes.
    pub leader: Option<ServerId>,
    /// Observers that it keeps up to date; `None` where it keeps none: a follower without a port for
    /// them, or an observer.
    pub synced_observers: Option<usize>,
    /// What only a leader knows.
    pub leading: Option<LeaderReport>,
}

/// What a leader knows of its learners.
#[derive(Clone, Copy, Debug)]
pub struct LeaderReport {
    /// All that are connected and up to date.
    pub learners: usize,
    /// Those among them that vote.
    pub synced_followers: usize,
    /// Those that follow and do not vote.
    pub synced_non_voting_followers: usize,
    /// Their syncs that wait for a commit.
    pub pending_syncs: usize,
}

impl Report {
    /// Java's root is there twice: by its name and by the empty one.
    fn java_node_count(&self) -> usize {
        self.node_count + 1
    }
}

/// The answer to `srvr`.
pub fn srvr(report: &Report, metrics: &Metrics) -> String {
    let mut out = heading(report);
    put_summary(&mut out, report, metrics);
    out
}

fn heading(report: &Report) -> String {
    let note = match report.mode {
        Mode::ReadOnly => "READ-ONLY mode; serving only read-only clients\n",
        Mode::Standalone | Mode::Leader | Mode::Follower | Mode::Observer => "",
    };
    format!("Zookeeper version: {VERSION}\n{note}")
}

/// The answer to `stat`.
pub fn stat(report: &Report, metrics: &Metrics, connections: &[ConnectionReport]) -> String {
    let mut out = heading(report) + "Clients:\n";
    for connection in connections {
        connections::put_brief(&mut out, connection);
    }
    out.push('\n');
    put_summary(&mut out, report, metrics);
    out
}

fn put_summary(out: &mut String, report: &Report, metrics: &Metrics) {
    let mut line = |name: &str, value: &dyn Display| *out += &format!("{name}: {value}\n");
    let (min, average, max) = (
        metrics.latency.min(),
        average(&metrics.latency),
        metrics.latency.max(),
    );
    line(
        "Latency min/avg/max",
        &format_args!("{min}/{average}/{max}"),
    );
    line("Received", &metrics.packets_received.value());
    line("Sent", &metrics.packets_sent.value());
    line("Connections", &report.connections);
    line("Outstanding", &report.outstanding);
    line("Zxid", &report.zxid);
    line("Mode", &report.mode);
    line("Node count", &report.java_node_count());
    if report.mode == Mode::Leader {
        let sizes = &metrics.proposal_size;
        let (last, min, max) = (sizes.last(), sizes.min(), sizes.max());
        let sizes = format_args!("{last}/{min}/{max}").to_string();
        line("Proposal sizes last/min/max", &sizes);
    }
}

fn average(summary: &Summary) -> String {
    java_text::average(summary.sum(), summary.count())
}

/// The answer to `mntr`: the keys that everybody wants, in the order of old, then the others.
pub fn mntr(report: &Report, metrics: &Metrics) -> String {
    let mut monitor = Monitor(String::new());
    monitor.put("version", VERSION);
    monitor.put("server_state", report.mode);
    if let Some(peer) = &report.peer {
        monitor.put("peer_state", peer_state(peer.state));
        if let (PeerState::Observing, Some(leader)) = (peer.state, peer.leader) {
            monitor.put("observer_master_id", leader.0);
        }
    }
    monitor.put("avg_latency", average(&metrics.latency));
    monitor.put("max_latency", metrics.latency.max());
    monitor.put("min_latency", metrics.latency.min());
    monitor.put("packets_received", metrics.packets_received.value());
    monitor.put("packets_sent", metrics.packets_sent.value());
    monitor.put("num_alive_connections", report.connections);
    monitor.put("outstanding_requests", report.outstanding);
    monitor.put("znode_count", report.java_node_count());
    monitor.put("watch_count", report.watch_count);
    monitor.put("ephemerals_count", report.ephemerals_count);
    monitor.put("approximate_data_size", report.approximate_data_size);
    monitor.put_if_known("open_file_descriptor_count", report.open_files);
    monitor.put_if_known("max_file_descriptor_count", report.max_open_files);
    monitor.put("global_sessions", report.sessions);
    monitor.put("local_sessions", report.local_sessions);
    monitor.put("uptime", report.uptime.as_millis());
    if let Some(peer) = &report.peer {
        put_peer(&mut monitor, report, peer, metrics);
    }

    monitor.put(
        "last_client_response_size",
        metrics.client_response_size.last(),
    );
    monitor.put(
        "max_client_response_size",
        metrics.client_response_size.max(),
    );
    monitor.put(
        "min_client_response_size",
        metrics.client_response_size.min(),
    );
    for (name, counter) in [
        ("auth_failed_count", &metrics.auth_failed_count),
        ("bytes_received_count", &metrics.bytes_received_count),
        ("response_bytes", &metrics.response_bytes),
        ("watch_bytes", &metrics.watch_bytes),
        ("looking_count", &metrics.looking_count),
        (
            "connection_request_count",
            &metrics.connection_request_count,
        ),
        ("connection_rejected", &metrics.connection_rejected),
        ("connection_drop_count", &metrics.connection_drop_count),
        (
            "sessionless_connections_expired",
            &metrics.sessionless_connections_expired,
        ),
        ("stale_sessions_expired", &metrics.stale_sessions_expired),
        ("unsuccessful_handshake", &metrics.unsuccessful_handshake),
        ("tls_handshake_exceeded", &metrics.tls_handshake_exceeded),
        (
            "fsync_threshold_exceed_count",
            &metrics.fsync_threshold_exceed_count,
        ),
    ] {
        monitor.put(name, counter.value());
    }
    monitor.put_summary("election_time", &metrics.election_time);
    monitor.put_summary("fsynctime", &metrics.fsynctime);
    monitor.put_summary("snapshottime", &metrics.snapshottime);
    monitor.put_histogram("updatelatency", &metrics.updatelatency);
    monitor.put_histogram("readlatency", &metrics.readlatency);
    monitor.0
}

fn put_peer(monitor: &mut Monitor, report: &Report, peer: &PeerReport, metrics: &Metrics) {
    monitor.put("quorum_size", peer.quorum_size);
    if let Some(leading) = &peer.leading {
        monitor.put("learners", leading.learners);
        monitor.put("synced_followers", leading.synced_followers);
        monitor.put(
            "synced_observers",
            peer.synced_observers.unwrap_or_default(),
        );
        monitor.put("pending_syncs", leading.pending_syncs);
        monitor.put("leader_uptime", report.uptime.as_millis());
        monitor.put("last_proposal_size", metrics.proposal_size.last());
        monitor.put("min_proposal_size", metrics.proposal_size.min());
        monitor.put("max_proposal_size", metrics.proposal_size.max());
        let number = leading.synced_non_voting_followers;
        monitor.put("synced_non_voting_followers", number);
    } else if let Some(observers) = peer.synced_observers {
        monitor.put("synced_observers", observers);
    }
}

/// Who serves under a leader is in the last phase always.
fn peer_state(state: PeerState) -> &'static str {
    match state {
        PeerState::Looking => "looking",
        PeerState::Leading => "leading - broadcast",
        PeerState::Following => "following - broadcast",
        PeerState::Observing => "observing - broadcast",
    }
}

/// The text of `mntr` so far.
struct Monitor(String);

impl Monitor {
    fn put(&mut self, key: impl Display, value: impl Display) {
        self.0 += &format!("zk_{key}\t{value}\n");
    }

    /// Java says -1 where the system does not tell.
    fn put_if_known(&mut self, key: &str, value: Option<u64>) {
        match value {
            Some(value) => self.put(key, value),
            None => self.put(key, -1),
        }
    }

    fn put_summary(&mut self, name: &str, summary: &Summary) {
        self.put(format_args!("avg_{name}"), average(summary));
        self.put(format_args!("min_{name}"), summary.min());
        self.put(format_args!("max_{name}"), summary.max());
        self.put(format_args!("cnt_{name}"), summary.count());
        self.put(format_args!("sum_{name}"), summary.sum());
    }

    fn put_histogram(&mut self, name: &str, histogram: &Histogram) {
        self.put_summary(name, histogram.summary());
        for (label, per_mille) in [("p50", 500), ("p95", 950), ("p99", 990), ("p999", 999)] {
            self.put(
                format_args!("{label}_{name}"),
                histogram.percentile(per_mille),
            );
        }
    }
}
