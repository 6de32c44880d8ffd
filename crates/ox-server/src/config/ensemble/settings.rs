//! The settings of a member, one struct per component. Each default stands beside its key.
//!
//! Most keys may be given as `-Dzookeeper.<key>` too; the limits, `quorumListenOnAllIPs`,
//! `observerMasterPort` and the local sessions only in the file, as in Java. Source: operations.md
//! 1.4 to 1.6, quorum.md 1.1.

use std::time::Duration;

use ox_replica::LocalSessions;

use super::super::reader::{Place, Reader, Setting};
use super::super::value::millis;
use super::is_true;

/// A span of time that is counted in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticks {
    /// How many.
    pub count: u32,
    /// The length of each: `tickTime`.
    pub tick: Duration,
}

impl Ticks {
    /// The length of all.
    pub fn duration(self) -> Duration {
        self.tick.saturating_mul(self.count)
    }
}

/// What a member is told about limits, links and roles.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberSettings {
    /// `initLimit`: how long a learner may take until it has the leader's state, and how long a
    /// leader waits for a quorum.
    pub init_limit: Ticks,
    /// `syncLimit`: how long a learner and its leader may be silent, and how long a proposal may
    /// lack an ack.
    pub sync_limit: Ticks,
    /// `quorumListenOnAllIPs`: quorum and election port are bound on every address.
    pub listen_on_all_addresses: bool,
    /// `multiAddress.enabled`: a member may have several addresses, and elections say so.
    pub several_addresses: bool,
    /// Elections and their links.
    pub election: ElectionSettings,
    /// What this server does when it leads.
    pub leader: LeaderSettings,
    /// What this server does when it does not lead.
    pub learner: LearnerSettings,
    /// `observerMasterPort`: followers serve observers there. `None` is off.
    pub observer_master: Option<ObserverMaster>,
    /// Whether sessions may be known to their own server alone.
    pub local_sessions: LocalSessions,
    /// `-Dreadonlymode.enabled`: without a quorum, clients that ask for it are served reads.
    pub read_only: bool,
    /// `db.autocreate`: off, a server with an empty directory has no vote until it is synced or
    /// finds the file `initialize`.
    pub create_database: bool,
}

impl MemberSettings {
    pub(super) fn read(reader: &mut Reader, tick: Duration) -> Self {
        let init_limit = ticks(reader, "initLimit", tick);
        let sync_limit = ticks(reader, "syncLimit", tick);
        Self {
            init_limit,
            sync_limit,
            listen_on_all_addresses: reader.boolean("quorumListenOnAllIPs", false),
            several_addresses: several_addresses(reader),
            election: ElectionSettings::read(reader, sync_limit),
            leader: LeaderSettings::read(reader),
            learner: LearnerSettings::read(reader, init_limit),
            observer_master: ObserverMaster::read(reader),
            local_sessions: local_sessions(reader),
            read_only: is_true(reader, "readonlymode.enabled", Place::Flag),
            create_database: reader.property_boolean("db.autocreate", true),
        }
    }
}

/// Elections and their links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectionSettings {
    /// `cnxTimeout`: how long another server may take to accept a connection.
    pub connect_timeout: Duration,
    /// `quorumCnxnTimeoutMs`: how long it may then take to say who it is; `syncLimit` if not given.
    pub handshake_timeout: Duration,
    /// `electionPortBindRetry`: how often binding the election port is tried, one second apart,
    /// before the process ends with 14. `None` is for ever.
    pub bind_attempts: Option<u32>,
    /// `tcpKeepAlive`: keepalive on the links.
    pub tcp_keep_alive: bool,
    /// `fastleader.minNotificationInterval`: after how much silence votes are sent again at first;
    /// each time it doubles.
    pub min_notification_interval: Duration,
    /// `fastleader.maxNotificationInterval`: and at most.
    pub max_notification_interval: Duration,
}

impl ElectionSettings {
    const BIND_ATTEMPTS: i32 = 3;

    fn read(reader: &mut Reader, sync_limit: Ticks) -> Self {
        let connect_ms: i32 = reader.number_from("cnxTimeout", Place::Property, 5000, 0);
        let handshake_ms: i32 = reader.number("quorumCnxnTimeoutMs", Place::Property, -1);
        let min_ms = "fastleader.minNotificationInterval";
        let min_ms: i32 = reader.number_from(min_ms, Place::Property, 200, 1);
        let max_ms = "fastleader.maxNotificationInterval";
        let max_ms: i32 = reader.number_from(max_ms, Place::Property, 60_000, 1);
        Self {
            connect_timeout: match connect_ms {
                // To Java's sockets 0 is no limit.
                0 => millis(i32::MAX),
                _ => millis(connect_ms),
            },
            handshake_timeout: match handshake_ms {
                1.. => millis(handshake_ms),
                _ => sync_limit.duration(),
            },
            bind_attempts: Self::bind_attempts(reader),
            tcp_keep_alive: reader.property_boolean("tcpKeepAlive", false),
            min_notification_interval: millis(min_ms),
            max_notification_interval: millis(max_ms),
        }
    }

    fn bind_attempts(reader: &mut Reader) -> Option<u32> {
        let key = "electionPortBindRetry";
        let attempts: i32 = reader.number(key, Place::Property, Self::BIND_ATTEMPTS);
        let attempts = u32::try_from(attempts).unwrap_or_else(|_| {
            let text = format!(
                "contains invalid value: {attempts}(must be >= 0). Use default value of {} instead.",
                Self::BIND_ATTEMPTS
            );
            reader.warn_about(key, Place::Property, text);
            Self::BIND_ATTEMPTS.unsigned_abs()
        });
        Some(attempts).filter(|&attempts| attempts > 0)
    }
}

/// What a server does when it leads.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaderSettings {
    /// `leaderServes`: off for the exact word `no`; then clients are left to the others.
    pub serves_clients: bool,
    /// `leader.maxTimeToWaitForEpoch`: a new leader gives up when it has waited this long for a
    /// quorum and one of its voters is looking again. `None` waits for `initLimit`.
    pub max_time_to_wait_for_epoch: Option<Duration>,
    /// `leader.maxConcurrentSnapSyncs`: how many observers are sent a snapshot at once. At least 1.
    pub max_concurrent_snap_syncs: u32,
    /// `leader.maxConcurrentDiffSyncs`: how many are sent transactions at once. At least 1.
    pub max_concurrent_diff_syncs: u32,
    /// `snapshotSizeFactor`: how much of the log on disk is sent to a learner rather than a
    /// snapshot, as a part of the snapshot's size. `None`: the log on disk is not used.
    pub snapshot_size_factor: Option<f64>,
    /// `commitLogCount`: how many committed proposals are kept in memory for learners. At least
    /// 500.
    pub commit_log_count: usize,
    /// `forceSnapshotSync`: every learner gets a snapshot, whatever it lacks.
    pub force_snapshot_sync: bool,
}

impl LeaderSettings {
    const SNAPSHOT_SIZE_FACTOR: f64 = 0.33;
    const COMMIT_LOG_COUNT: i32 = 500;

    fn read(reader: &mut Reader) -> Self {
        let place = Place::Property;
        let wait_ms: i32 = reader.number("leader.maxTimeToWaitForEpoch", place, -1);
        let snaps: i32 = reader.number_from("leader.maxConcurrentSnapSyncs", place, 10, 1);
        let diffs: i32 = reader.number_from("leader.maxConcurrentDiffSyncs", place, 100, 1);
        let kept = Self::COMMIT_LOG_COUNT;
        let kept = reader.number_from("commitLogCount", place, kept, kept);
        Self {
            serves_clients: !reader.is_word("leaderServes", "no"),
            max_time_to_wait_for_epoch: (wait_ms >= 0).then(|| millis(wait_ms)),
            max_concurrent_snap_syncs: snaps.unsigned_abs(),
            max_concurrent_diff_syncs: diffs.unsigned_abs(),
            snapshot_size_factor: Self::snapshot_size_factor(reader),
            commit_log_count: usize::try_from(kept).unwrap_or(usize::MAX),
            force_snapshot_sync: reader.property_boolean("forceSnapshotSync", false),
        }
    }

    fn snapshot_size_factor(reader: &mut Reader) -> Option<f64> {
        let default = Self::SNAPSHOT_SIZE_FACTOR;
        let key = "snapshotSizeFactor";
        let Some(Setting { value, origin }) = reader.text(key, Place::Property) else {
            return Some(default);
        };
        // A comparison with what is no number at all is false.
        let factor = value.parse().ok().filter(|factor: &f64| *factor <= 1.0);
        if factor.is_none() {
            let text = format!("\"{value}\" is no number up to 1, {default} is used");
            reader.warn(origin, key, text);
        }
        Some(factor.unwrap_or(default)).filter(|factor| *factor >= 0.0)
    }
}

/// What a server does when it does not lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnerSettings {
    /// `connectToLearnerMasterLimit`, or else `initLimit`: how long connecting to the leader may
    /// take in all.
    pub connect_limit: Ticks,
    /// `leaderConnectDelayDuringRetryMs`: how long it waits before it tries again.
    pub connect_delay: Duration,
    /// `syncEnabled`, or `-Dzookeeper.observer.syncEnabled`: an observer keeps a log and snapshots.
    pub observer_sync: bool,
    /// `observer.reconnectDelayMs`: an observer waits for a random part of this before it connects.
    pub observer_reconnect_delay: Duration,
    /// `observer.election.DelayMs`: and of this before it looks for another leader.
    pub observer_election_delay: Duration,
}

impl LearnerSettings {
    fn read(reader: &mut Reader, init_limit: Ticks) -> Self {
        let connect_limit = ticks(reader, "connectToLearnerMasterLimit", init_limit.tick);
        let place = Place::Property;
        let connect_ms: i32 = reader.number_from("leaderConnectDelayDuringRetryMs", place, 100, 0);
        let reconnect_ms: i64 = reader.number("observer.reconnectDelayMs", place, 0);
        let election_ms: i64 = reader.number("observer.election.DelayMs", place, 200);
        let in_file = reader.boolean("syncEnabled", true);
        Self {
            connect_limit: match connect_limit.count {
                0 => init_limit,
                _ => connect_limit,
            },
            connect_delay: millis(connect_ms),
            observer_sync: reader.property_boolean("observer.syncEnabled", in_file),
            observer_reconnect_delay: millis(reconnect_ms),
            observer_election_delay: millis(election_ms),
        }
    }
}

/// A follower that serves observers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObserverMaster {
    /// `observerMasterPort`.
    pub port: u16,
    /// `observerMaster.sizeLimit`, in bytes: how much is kept for observers that lag.
    pub size_limit: usize,
}

impl ObserverMaster {
    const SIZE_LIMIT: i32 = 32 << 20;

    fn read(reader: &mut Reader) -> Option<Self> {
        let limit = "observerMaster.sizeLimit";
        let limit = reader.number_from(limit, Place::Property, Self::SIZE_LIMIT, 0);
        let key = "observerMasterPort";
        let allowed = "a port, 1 to 65535, or 0 for none";
        let number = reader.int(key, allowed).filter(|&number| number > 0)?;
        let Ok(port) = u16::try_from(number) else {
            let origin = reader.origin(key, Place::File);
            reader.problem(origin, key, format!("port out of range:{number}"), allowed);
            return None;
        };
        Some(Self {
            port,
            size_limit: usize::try_from(limit).unwrap_or(0),
        })
    }
}

fn local_sessions(reader: &mut Reader) -> LocalSessions {
    let enabled = reader.boolean("localSessionsEnabled", false);
    let upgrading = reader.boolean("localSessionsUpgradingEnabled", false);
    match (enabled, upgrading) {
        (false, _) => LocalSessions::Off,
        (true, false) => LocalSessions::On,
        (true, true) => LocalSessions::Upgrading,
    }
}

/// In Java the line in the file alone does not do; here either place does.
fn several_addresses(reader: &mut Reader) -> bool {
    reader.boolean_or_property("multiAddress.enabled", false)
}

fn ticks(reader: &mut Reader, key: &'static str, tick: Duration) -> Ticks {
    let count = reader.int(key, "a number of ticks").unwrap_or(0);
    Ticks {
        count: u32::try_from(count).unwrap_or(0),
        tick,
    }
}
