//! A session that its client did not close ends when the leader has heard nothing of it for its
//! timeout, not before; and when its client is dead it does end. Behind its end nothing more is
//! answered to it.
//!
//! Source: reliability.md 3.2 P11; client-protocol.md 11.1.

use std::collections::BTreeMap;

use crate::case::Case;
use crate::history::{Connection, Time};
use crate::report::{Property, Report};
use crate::request::{Outcome, Request};
use crate::txn::{Change, Txn};

pub(crate) fn check(case: &Case<'_>, report: &mut Report) {
    let mut ends: BTreeMap<i64, &Txn> = BTreeMap::new();
    for txn in &case.txns {
        if matches!(txn.change, Change::CloseSession { .. }) {
            ends.entry(txn.session).or_insert(txn);
        }
    }
    answered(case, &ends, report);
    let mut sessions: BTreeMap<i64, Vec<&Connection>> = BTreeMap::new();
    for connection in &case.history.connections {
        sessions
            .entry(connection.session)
            .or_default()
            .push(connection);
    }
    for (session, connections) in &sessions {
        let end = ends.get(session).copied();
        if let Some(text) = too_early(case, *session, connections, end) {
            report.add(Property::SessionLife, &[], text);
        }
        if let Some(text) = too_late(case, *session, connections, end) {
            report.add(Property::SessionLife, &[], text);
        }
    }
}

/// What was answered behind the end of the session it was for, by a server that knew of that.
fn answered(case: &Case<'_>, ends: &BTreeMap<i64, &Txn>, report: &mut Report) {
    for (id, operation) in &case.replies {
        let Some(end) = ends.get(&operation.session) else {
            continue;
        };
        let closes = operation.request == Request::CloseSession && operation.zxid == end.zxid;
        let is_served = matches!(operation.outcome, Outcome::Ok(_));
        if end.zxid <= operation.zxid && is_served && !closes {
            let (session, zxid) = (operation.session, operation.zxid);
            let text = format!(
                "session {session:#x} has ended by {:#x} and is answered at {zxid:#x}",
                end.zxid
            );
            report.add(Property::SessionLife, &[*id], text);
        }
    }
}

fn too_early(
    case: &Case<'_>,
    session: i64,
    connections: &[&Connection],
    end: Option<&Txn>,
) -> Option<String> {
    let end = end.filter(|end| case.write_of(end).is_none())?;
    let (at, heard) = (end.at?, *case.history.heard.get(&session)?);
    // The timeout is granted anew by each connection.
    let timeout = connections
        .iter()
        .map(|connection| connection.timeout)
        .min()?;
    let silence = at - heard;
    (silence + case.options.session_tolerance < timeout).then(|| {
        format!(
            "session {session:#x} of timeout {timeout} has expired after a silence of {silence}"
        )
    })
}

fn too_late(
    case: &Case<'_>,
    session: i64,
    connections: &[&Connection],
    end: Option<&Txn>,
) -> Option<String> {
    let bound = case.options.session_bound?;
    // A connection that lasts means a client that lives.
    let closed: Option<Vec<Time>> = connections.iter().map(|one| one.closed).collect();
    let died = closed?.into_iter().max()?;
    let died = died.max(case.history.heard.get(&session).copied().unwrap_or(died));
    let timeout = connections
        .iter()
        .map(|connection| connection.timeout)
        .max()?;
    let unstable = case.history.unstable.iter();
    let without_leader: Time = unstable
        .map(|(from, until)| (until - died.max(*from)).max(0))
        .sum();
    // A new leader begins with the whole timeout once more.
    let deadline = died + 2 * timeout + bound + without_leader;
    let ended = match end {
        Some(end) => end.at?,
        None => case.history.ended?,
    };
    (deadline < ended).then(|| {
        let what = if end.is_some() {
            "was closed"
        } else {
            "is open"
        };
        format!("session {session:#x} {what} at {ended}, its client was dead at {died}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, exists};

    /// A session is heard of at 10, its client dies, and it expires or not. The timeout is 10000.
    fn world(expires: Option<i64>) -> World {
        let mut world = World::new();
        let a = world.connect(1);
        world.history.heard(1, 10);
        world.history.disconnected(a, 10);
        if let Some(at) = expires {
            world.pass(at - 1);
            world.commit(1, 0, Change::CloseSession { paths: None });
        }
        world.history.ended(60_000);
        world.options.session_bound = Some(5_000);
        world
    }

    #[test]
    fn a_session_ends_after_its_timeout() {
        world(Some(10_010)).check_good();
        world(Some(25_010)).check_good();
    }

    #[test]
    fn one_that_ends_early_is_seen() {
        let mut early = world(Some(10_009));
        early.check_breaks(Property::SessionLife);
        early.options.session_tolerance = 1;
        early.check_good();
    }

    #[test]
    fn one_that_ends_late_is_seen() {
        let mut late = world(Some(25_011));
        late.check_breaks(Property::SessionLife);
        late.history.unstable(5, 11);
        late.check_good();
    }

    #[test]
    fn one_that_is_answered_behind_its_end_is_seen() {
        let mut world = World::new();
        let a = world.connect(1);
        world.read(a, exists("/"));
        world.write(a, Request::CloseSession);
        world.check_good();
        world.read(a, exists("/"));
        world.check_breaks(Property::SessionLife);
    }

    #[test]
    fn one_that_never_ends_is_seen() {
        world(None).check_breaks(Property::SessionLife);
        let mut alive = world(None);
        alive.connect(1);
        alive.check_good();
    }
}
