//! `dump` and `hash`: the sessions with all that hangs on them, and the digests of the tree.
//!
//! Source: operations.md 3.2 and 3.4.

use std::{collections::BTreeMap, net::SocketAddr};

use chrono::TimeZone;
use ox_proto::{SessionId, Zxid};

use super::java_text;

/// Sessions, their ephemerals, and the connections. Times are in milliseconds since 1970.
#[derive(Clone, Debug)]
pub struct SessionDump {
    /// Which sessions expire when that no other server knows; `None` where there are none of the
    /// kind.
    pub local: Option<BTreeMap<i64, Vec<SessionId>>>,
    /// The others.
    pub global: GlobalSessions,
    /// The paths that end with each session that has any.
    pub ephemerals: Vec<(SessionId, Vec<String>)>,
    /// Which connections are closed when, should nothing more come in. The session of one that
    /// has none as yet is [`SessionId::NONE`].
    pub connections: BTreeMap<i64, Vec<(SocketAddr, SessionId)>>,
}

/// The sessions that all servers know.
#[derive(Clone, Debug)]
pub enum GlobalSessions {
    /// Which expire when: who leads, or is alone, knows that.
    ByExpiry(BTreeMap<i64, Vec<SessionId>>),
    /// Their timeouts in milliseconds, which all servers know.
    ByTimeout(BTreeMap<SessionId, i32>),
}

/// The answer to `dump`, with times as they are in `zone`.
pub fn dump<Z: TimeZone>(report: &SessionDump, zone: &Z) -> String {
    let mut out = "SessionTracker dump:\n".to_owned();
    if let Some(local) = &report.local {
        out += "Local ";
        put_sessions(&mut out, local, zone);
    }
    match &report.global {
        GlobalSessions::ByExpiry(buckets) => {
            if report.local.is_some() {
                out += "Global ";
            }
            put_sessions(&mut out, buckets, zone);
        }
        GlobalSessions::ByTimeout(sessions) => {
            out += &format!("Global Sessions({}):\n", sessions.len());
            for (session, timeout_ms) in sessions {
                out += &format!("{session}\t{timeout_ms}ms\n");
            }
        }
    }

    out += "ephemeral nodes dump:\n";
    out += &format!("Sessions with Ephemerals ({}):\n", report.ephemerals.len());
    for (session, paths) in &report.ephemerals {
        out += &format!("{session}:\n");
        for path in paths {
            out += &format!("\t{path}\n");
        }
    }

    out += "Connections dump:\n";
    let buckets = &report.connections;
    out += &format!(
        "Connections Sets ({})/({}):\n",
        buckets.len(),
        total(buckets)
    );
    for (&expires, connections) in buckets {
        put_bucket(&mut out, connections.len(), expires, zone);
        for &(peer, session) in connections {
            out += &format!("\tip: {} sessionId: {session}\n", java_text::address(peer));
        }
    }
    out
}

fn put_sessions<Z: TimeZone>(out: &mut String, buckets: &BTreeMap<i64, Vec<SessionId>>, zone: &Z) {
    *out += &format!("Session Sets ({})/({}):\n", buckets.len(), total(buckets));
    for (&expires, sessions) in buckets {
        put_bucket(out, sessions.len(), expires, zone);
        for session in sessions {
            *out += &format!("\t{session}\n");
        }
    }
}

fn total<T>(buckets: &BTreeMap<i64, Vec<T>>) -> usize {
    buckets.values().map(Vec::len).sum()
}

fn put_bucket<Z: TimeZone>(out: &mut String, len: usize, expires: i64, zone: &Z) {
    *out += &format!("{len} expire at {}:\n", java_text::date(expires, zone));
}

/// The answer to `hash`: what the tree's digest was after these transactions.
pub fn hash(digests: impl IntoIterator<Item = (Zxid, i64)>) -> String {
    let line = |(Zxid(zxid), digest)| format!("{zxid:x}: {digest}\n");
    digests.into_iter().map(line).collect()
}
