//! Every zxid that a client was told of is in the merged log, and in the log or snapshot of every
//! live server, with the same bytes; no log has a gap, or a record twice.
//!
//! Source: reliability.md 3.2 P8; "reliability" in the programmer's guide.

use crate::case::Case;
use crate::history::{OpId, ServerLog};
use crate::report::{Property, Report};
use crate::request::Outcome;

pub(crate) fn check(case: &Case<'_>, report: &mut Report) {
    merged(case, report);
    told(case, report);
    let seen = last_seen(case);
    for log in &case.history.logs {
        held(case, log, seen, report);
    }
}

/// The merged log rises, without gaps within an epoch.
fn merged(case: &Case<'_>, report: &mut Report) {
    let mut wrong = |text| report.add(Property::Durability, &[], text);
    let mut before = 0;
    for txn in &case.history.txns {
        let zxid = txn.zxid;
        if zxid <= before {
            wrong(format!("merged log: {zxid:#x} behind {before:#x}"));
        }
        let next = match epoch(before) == epoch(zxid) {
            true => before + 1,
            false => (epoch(zxid) << 32) + 1,
        };
        if case.options.errors_in_log && zxid != next && before < zxid {
            wrong(format!("merged log: {zxid:#x} behind {before:#x}, a gap"));
        }
        before = zxid;
    }
}

/// What clients were told of is in the merged log, and under the same zxid.
fn told(case: &Case<'_>, report: &mut Report) {
    let mut wrong = |ids: &[OpId], text| report.add(Property::Durability, ids, text);
    for (id, operation) in &case.replies {
        let zxid = operation.zxid;
        let failed = matches!(operation.outcome, Outcome::Error(_));
        let shows = 0 < zxid && (!failed || case.options.errors_in_log);
        if shows && zxid.trailing_zeros() < 32 && case.find(zxid).is_none() {
            wrong(&[*id], format!("{zxid:#x} was told of and is lost"));
            continue;
        }
        let acknowledged = matches!(operation.outcome, Outcome::Ok(_));
        if !operation.request.is_write() || !acknowledged {
            continue;
        }
        let txn = case.find(zxid).map(|index| case.txns[index]);
        let own =
            txn.is_some_and(|txn| (txn.session, txn.cxid) == (operation.session, operation.xid));
        if !own {
            let text = format!("an acknowledged write is not in the log as {zxid:#x}: {txn:?}");
            wrong(&[*id], text);
        }
    }
    for event in &case.history.events {
        if let Some(zxid) = event.zxid.filter(|zxid| case.find(*zxid).is_none()) {
            wrong(&[], format!("an event told of {zxid:#x}, which is lost"));
        }
    }
}

/// The highest zxid that any client was told of.
fn last_seen(case: &Case<'_>) -> i64 {
    let replies = case.replies.iter().map(|(_, operation)| operation.zxid);
    let events = case.history.events.iter().filter_map(|event| event.zxid);
    replies.chain(events).max().unwrap_or_default()
}

/// A server holds all up to what was seen, as the others hold it. Behind that it may hold more
/// than was committed.
fn held(case: &Case<'_>, log: &ServerLog, seen: i64, report: &mut Report) {
    let server = log.server;
    let mut wrong = |text| {
        let text = format!("server {server}: {text}");
        report.add(Property::Durability, &[], text);
    };
    for pair in log.entries.windows(2) {
        if pair[1].0 <= pair[0].0 {
            wrong(format!("{:#x} behind {:#x}", pair[1].0, pair[0].0));
        }
    }
    let mut entries = log.entries.iter().peekable();
    let must = seen.max(log.applied);
    for txn in case.txns.iter().take_while(|txn| txn.zxid <= must) {
        while let Some((strange, _)) = entries.next_if(|(zxid, _)| *zxid < txn.zxid) {
            wrong(format!("{strange:#x} is in no other log"));
        }
        match entries.next_if(|(zxid, _)| *zxid == txn.zxid) {
            Some((zxid, bytes)) => {
                if *bytes != txn.fingerprint && *bytes != 0 && txn.fingerprint != 0 {
                    wrong(format!("{zxid:#x} has other bytes"));
                }
            }
            None if txn.zxid <= log.covered => {}
            None => wrong(format!("{:#x} is lost", txn.zxid)),
        }
    }
}

fn epoch(zxid: i64) -> i64 {
    zxid >> 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, create, get, set};

    fn world() -> World {
        let mut world = World::new();
        let a = world.connect(1);
        world.write(a, create("/x"));
        world.write(a, set("/x", "1"));
        world.read(a, get("/x"));
        world.keep_logs(3);
        world
    }

    #[track_caller]
    fn check(damage: impl FnOnce(&mut World)) {
        let mut world = world();
        damage(&mut world);
        world.check_breaks(Property::Durability);
    }

    #[test]
    fn all_that_was_seen_is_everywhere() {
        world().check_good();
    }

    #[test]
    fn what_a_snapshot_holds_may_be_missing_in_the_log() {
        let mut world = world();
        let log = &mut world.history.logs[1];
        let (first, _) = log.entries.remove(0);
        log.covered = first;
        world.check_good();
    }

    #[test]
    fn more_than_was_committed_may_be_there() {
        let mut world = world();
        let (last, _) = world.history.logs[1].entries[2];
        world.history.logs[1].entries.push((last + 1, 7));
        world.check_good();
    }

    #[test]
    fn a_loss_on_one_server_is_seen() {
        check(|world| world.history.logs[1].entries.truncate(2));
        check(|world| {
            world.history.logs[2].entries.remove(1);
        });
    }

    #[test]
    fn other_bytes_are_seen() {
        check(|world| world.history.logs[1].entries[1].1 ^= 2);
    }

    #[test]
    fn a_record_twice_is_seen() {
        check(|world| {
            let entry = world.history.logs[0].entries[1];
            world.history.logs[0].entries.insert(1, entry);
        });
    }

    #[test]
    fn a_loss_everywhere_is_seen() {
        check(|world| {
            world.history.txns.pop();
            for log in &mut world.history.logs {
                log.entries.pop();
            }
        });
    }

    #[test]
    fn a_gap_is_seen() {
        check(|world| {
            let read = world.history.operations.len() - 1;
            world.history.operations.truncate(read);
            world.history.operations.pop();
            world.history.txns[2].zxid += 1;
            world.history.logs.clear();
        });
    }

    #[test]
    fn the_first_zxid_of_an_epoch_is_the_next() {
        let mut world = world();
        world.elect();
        let b = world.connect(2);
        world.write(b, set("/x", "2"));
        world.history.logs.clear();
        world.check_good();
        world.history.txns.remove(3);
        world.check_breaks(Property::Durability);
    }

    #[test]
    fn a_write_under_another_zxid_is_seen() {
        check(|world| world.history.operations[1].zxid -= 1);
    }
}
