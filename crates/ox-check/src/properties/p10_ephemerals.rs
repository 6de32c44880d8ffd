//! An ephemeral is there from its creation to the end of its session, and no longer. The end of a
//! session takes all of its ephemerals by one transaction, and nothing is done for it afterwards.
//!
//! Source: reliability.md 3.2 P10; client-protocol.md 11.3.

use std::collections::{BTreeMap, BTreeSet};

use crate::case::Case;
use crate::report::{Property, Report};
use crate::request::{Answer, Outcome, Stat};
use crate::txn::{Change, NodeKind, Txn};

pub(crate) fn check(case: &Case<'_>, report: &mut Report) {
    for (index, txn) in case.txns.iter().enumerate() {
        lives(case, index, txn, report);
        closes_whole(case, index, txn, report);
    }
    outlives(case, report);
}

/// Nothing is done for a session that is closed, and no ephemeral made for one that never was.
fn lives(case: &Case<'_>, index: usize, txn: &Txn, report: &mut Report) {
    let life = case.model.life(txn.session);
    let session = txn.session;
    let mut wrong = |text: String| {
        let write = case.write_of(txn).map(|(id, _)| id);
        let text = format!("{:#x} of {session:#x}: {text}", txn.zxid);
        report.add(Property::Ephemerals, write.as_slice(), text);
    };
    let done = !txn.change.failed() && !matches!(txn.change, Change::CloseSession { .. });
    if done && life.until.is_some_and(|until| until <= index) {
        wrong("the session was closed before".to_owned());
    }
    let exists = life.from.is_some_and(|from| from <= index);
    if !txn.change.failed() && makes_ephemeral(&txn.change) && !exists {
        wrong("an ephemeral of a session that nobody created".to_owned());
    }
}

fn makes_ephemeral(change: &Change) -> bool {
    match change {
        Change::Create { kind, .. } => *kind == NodeKind::Ephemeral,
        Change::Multi(parts) => parts.iter().any(makes_ephemeral),
        _ => false,
    }
}

/// The record of a closed session lists its ephemerals, no more and no fewer.
fn closes_whole(case: &Case<'_>, index: usize, txn: &Txn, report: &mut Report) {
    let Change::CloseSession { paths: Some(paths) } = &txn.change else {
        return;
    };
    let listed: BTreeSet<&str> = paths.iter().map(|path| &**path).collect();
    let owned = case.model.ephemerals_at(txn.session, index);
    let (zxid, session) = (txn.zxid, txn.session);
    for path in owned.difference(&listed) {
        let text = format!("{zxid:#x} closes {session:#x} and leaves {path}");
        report.add(Property::Ephemerals, &[], text);
    }
    for path in listed.difference(&owned) {
        let text = format!("{zxid:#x} closes {session:#x}, which does not own {path}");
        report.add(Property::Ephemerals, &[], text);
    }
}

/// No read shows an ephemeral of a session that the reader knows, or its server must know, to be
/// closed.
fn outlives(case: &Case<'_>, report: &mut Report) {
    let mut seen: BTreeMap<i64, i64> = BTreeMap::new();
    for (id, operation) in &case.replies {
        let seen = seen.entry(operation.session).or_default();
        let known = match case.options.exact_reads {
            true => operation.zxid,
            false => *seen,
        };
        *seen = operation.zxid.max(*seen);
        if operation.request.is_write() {
            continue;
        }
        for_each_stat(&operation.outcome, &mut |stat| {
            let owner = stat.ephemeral_owner;
            let Some(until) = case.model.life(owner).until.filter(|_| owner != 0) else {
                return;
            };
            let closed = case.txns[until - 1].zxid;
            if closed <= known {
                let text =
                    format!("a znode of {owner:#x}, closed by {closed:#x}, is shown at {known:#x}");
                report.add(Property::Ephemerals, &[*id], text);
            }
        });
    }
}

/// Hands on each stat that an answer holds.
pub(crate) fn for_each_stat(outcome: &Outcome, each: &mut dyn FnMut(&Stat)) {
    match outcome {
        Outcome::Ok(
            Answer::Created(_, stat)
            | Answer::Stat(stat)
            | Answer::Data(_, stat)
            | Answer::Children(_, Some(stat))
            | Answer::Acl(_, stat),
        ) => each(stat),
        Outcome::Ok(Answer::Multi(parts)) => {
            for part in parts {
                for_each_stat(part, each);
            }
        }
        Outcome::Ok(_) | Outcome::Error(_) | Outcome::Unknown => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{CreateMode, Request};
    use crate::testing::{World, create, create_as, exists, set};

    /// The session 1 ends by its transaction with this index.
    const CLOSING: usize = 4;

    fn world() -> World {
        let mut world = World::new();
        let [a, b] = [world.connect(1), world.connect(2)];
        world.write(a, create_as("/e", CreateMode::Ephemeral));
        world.write(a, create_as("/f", CreateMode::Ephemeral));
        world.read(b, exists("/e"));
        world.write(a, Request::CloseSession);
        world.read(b, exists("/e"));
        world
    }

    #[track_caller]
    fn check(damage: impl FnOnce(&mut World)) {
        let mut world = world();
        damage(&mut world);
        world.check_breaks(Property::Ephemerals);
    }

    #[test]
    fn ephemerals_go_with_their_session() {
        let world = world();
        assert!(matches!(
            world.history.txns[CLOSING].change,
            Change::CloseSession { .. }
        ));
        world.check_good();
    }

    #[test]
    fn an_ephemeral_that_stays_is_seen() {
        check(|world| {
            let shown = world.history.operations[2].outcome.clone();
            world.history.operations[4].outcome = shown;
        });
    }

    #[test]
    fn a_close_that_leaves_one_is_seen() {
        check(|world| {
            let paths = Some(vec!["/e".into()]);
            world.history.txns[CLOSING].change = Change::CloseSession { paths };
        });
    }

    #[test]
    fn a_close_that_takes_what_others_own_is_seen() {
        check(|world| {
            let paths = ["/e", "/f", "/zookeeper"].map(Into::into).to_vec();
            let paths = Some(paths);
            world.history.txns[CLOSING].change = Change::CloseSession { paths };
        });
    }

    #[test]
    fn a_write_after_the_end_is_seen() {
        check(|world| {
            let a = world.connect(1);
            world.write(a, create("/late"));
        });
        // A refused one is as it should be.
        let mut world = world();
        let a = world.connect(1);
        world.write(a, set("/none", "1"));
        world.check_good();
    }

    #[test]
    fn an_ephemeral_of_nobody_is_seen() {
        check(|world| {
            world.history.txns.remove(0);
        });
    }
}
