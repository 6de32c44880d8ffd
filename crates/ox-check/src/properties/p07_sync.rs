//! What is read behind a sync is no older than any write that was acknowledged before the sync was
//! sent. A change of leader excuses it, for sync is no round of the quorum; then it is counted.
//!
//! Source: reliability.md 3.2 P7; client-protocol.md 11.6.

use std::collections::BTreeMap;

use crate::case::{Case, ids};
use crate::history::{OpId, Operation};
use crate::report::{Property, Report};
use crate::request::{Outcome, Request};

pub(crate) fn check(case: &Case<'_>, report: &mut Report) {
    let acknowledged = acknowledged(case);
    // The last sync of a connection whose next read has not been looked at.
    let mut synced = BTreeMap::new();
    for (id, operation) in ids(case.history) {
        let done = matches!(operation.outcome, Outcome::Ok(_));
        if matches!(operation.request, Request::Sync { .. }) && done {
            let before = acknowledged.partition_point(|(at, _)| *at < operation.invoked);
            let Some((_, zxid)) = before.checked_sub(1).map(|last| acknowledged[last]) else {
                continue;
            };
            judge(case, report, &[id], operation, operation, zxid);
            synced.insert(operation.connection, (id, operation, zxid));
        } else if !operation.request.is_write() && 0 < operation.zxid {
            let Some((sync_id, sync, zxid)) = synced.remove(&operation.connection) else {
                continue;
            };
            judge(case, report, &[sync_id, id], sync, operation, zxid);
        }
    }
}

/// When each write was acknowledged, and the highest zxid that was by then.
fn acknowledged(case: &Case<'_>) -> Vec<(i64, i64)> {
    let mut all: Vec<(i64, i64)> = case
        .replies
        .iter()
        .filter(|(_, reply)| reply.request.is_write() && matches!(reply.outcome, Outcome::Ok(_)))
        .filter_map(|(_, reply)| Some((reply.returned?.0, reply.zxid)))
        .collect();
    all.sort_unstable();
    let mut highest = 0;
    for (_, zxid) in &mut all {
        highest = highest.max(*zxid);
        *zxid = highest;
    }
    all
}

fn judge(
    case: &Case<'_>,
    report: &mut Report,
    ids: &[OpId],
    sync: &Operation,
    shown: &Operation,
    zxid: i64,
) {
    if zxid <= shown.zxid {
        return;
    }
    let returned = sync.returned.map_or(i64::MAX, |(at, _)| at);
    let mut unstable = case.history.unstable.iter();
    let excused = unstable.any(|(from, until)| *from <= returned && sync.invoked <= *until);
    if excused && !case.options.quorum_sync {
        report.stale_syncs += 1;
        return;
    }
    let text = format!(
        "{:#x} is shown behind a sync, {zxid:#x} was acknowledged before it",
        shown.zxid
    );
    report.add(Property::Sync, ids, text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, create, get};

    fn world() -> (World, [OpId; 2]) {
        let mut world = World::new();
        let [a, b] = [world.connect(1), world.connect(2)];
        world.write(a, create("/x"));
        let path = "/x".into();
        let sync = world.read(b, Request::Sync { path });
        let read = world.read(b, get("/x"));
        (world, [sync, read])
    }

    #[test]
    fn a_sync_shows_what_was_acknowledged() {
        world().0.check_good();
    }

    #[test]
    fn a_stale_sync_is_seen() {
        let (mut world, [sync, _]) = world();
        world.operation(sync).zxid -= 1;
        world.check_breaks(Property::Sync);
    }

    #[test]
    fn a_stale_read_behind_a_sync_is_seen() {
        let (mut world, [_, read]) = world();
        world.operation(read).zxid -= 1;
        world.check_breaks(Property::Sync);
    }

    #[test]
    fn a_change_of_leader_excuses_it() {
        let (mut world, ids) = world();
        for id in ids {
            world.operation(id).zxid -= 1;
        }
        let read = world.operation(ids[1]);
        read.outcome = Outcome::Error(-101);
        let at = read.invoked;
        world.history.unstable(at - 1, at);
        world.check_good();
        assert_eq!(world.report().stale_syncs, 2);
        world.options.quorum_sync = true;
        world.check_breaks(Property::Sync);
        world.options.quorum_sync = false;
        world.history.unstable = vec![(at + 5, at + 6)];
        world.check_breaks(Property::Sync);
    }

    #[test]
    fn what_is_acknowledged_later_may_be_missing() {
        let (mut world, [sync, read]) = world();
        let invoked = world.operation(sync).invoked;
        world.history.operations[0].returned = Some((invoked, 90));
        world.operation(sync).zxid -= 1;
        world.operation(read).zxid -= 1;
        world.operation(read).outcome = Outcome::Error(-101);
        world.check_good();
    }
}
