//! A write does what it was asked to, as the tree behind all transactions before it allows, and
//! its answer says what came of it: error, path, stat, the parts of a multi.
//!
//! Source: reliability.md 3.2 P2; client-protocol.md 4.5, 5.3 and 6.

use crate::case::Case;
use crate::history::{OpId, Operation};
use crate::judge::{self, Expected};
use crate::model::{Header, View};
use crate::reads::is_beside_the_tree;
use crate::report::{Property, Report};
use crate::request::{Answer, Outcome, Stat, error};
use crate::txn::{Change, Txn};

pub(crate) fn check(case: &Case<'_>, report: &mut Report) {
    let mut wrong = |ids: &[OpId], text| report.add(Property::WriteSemantics, ids, text);
    for (_, text) in &case.model.impossible {
        wrong(&[], text.clone());
    }
    for (index, txn) in case.txns.iter().enumerate() {
        let Some((id, write)) = case.write_of(txn) else {
            continue;
        };
        let mut view = View::new(&case.model, index);
        let identities = case.identities(write);
        let header = Header::from(*txn);
        let expected = judge::expect(&mut view, header, &identities, &write.request);
        if let Err(text) = logged(&expected, &txn.change) {
            wrong(&[id], format!("{:#x}: {text}", txn.zxid));
        }
        if let Err(text) = answered(write, txn, case.model.stats_of(index)) {
            wrong(&[id], format!("{:#x}: {text}", txn.zxid));
        }
    }
    refused_without_txn(case, report);
}

/// Where failed writes are not logged, the zxid of the answer says where it belongs.
fn refused_without_txn(case: &Case<'_>, report: &mut Report) {
    if case.options.errors_in_log {
        return;
    }
    for (id, write) in &case.replies {
        let Outcome::Error(code) = write.outcome else {
            continue;
        };
        let judged = write.request.is_write() && 0 < write.zxid && !is_unmodelled(code);
        if !judged || case.find(write.zxid).is_some() {
            continue;
        }
        let mut view = View::new(&case.model, case.count(write.zxid));
        let header = Header {
            zxid: write.zxid,
            session: write.session,
            time: 0,
        };
        let identities = case.identities(write);
        let expected = judge::expect(&mut view, header, &identities, &write.request);
        if let Err(text) = logged(&expected, &Change::Error(code)) {
            report.add(Property::WriteSemantics, &[*id], text);
        }
    }
}

/// Errors whose cause is not in the tree, or not modelled.
fn is_unmodelled(code: i32) -> bool {
    let other = matches!(
        code,
        error::QUOTA_EXCEEDED | error::EPHEMERAL_ON_LOCAL_SESSION
    );
    other || (is_beside_the_tree(code) && code != error::BAD_ARGUMENTS)
}

/// Whether the transaction is what the request had to become.
fn logged(expected: &Expected, change: &Change) -> Result<(), String> {
    let fits = match (expected, change) {
        (Expected::Anything, _) => true,
        (_, Change::Error(code)) if is_unmodelled(*code) => true,
        (Expected::Error(code), Change::Error(found)) => code == found,
        (Expected::FailedPart(index, code), Change::Multi(parts)) => {
            let found = failed_part(parts);
            found == Some((*index, *code)) || found.is_some_and(|(_, code)| is_unmodelled(code))
        }
        (Expected::Change(Change::Multi(expected)), Change::Multi(found)) => {
            let unmodelled = failed_part(found).is_some_and(|(_, code)| is_unmodelled(code));
            let mut pairs = expected.iter().zip(found);
            unmodelled || (expected.len() == found.len() && pairs.all(|(a, b)| same(a, b)))
        }
        (Expected::Change(expected), found) => same(expected, found),
        (Expected::Error(_) | Expected::FailedPart(..), _) => false,
    };
    match fits {
        true => Ok(()),
        false => Err(format!("became {change:?}, expected {expected:?}")),
    }
}

/// Index and code of the part that failed first.
fn failed_part(parts: &[Change]) -> Option<(usize, i32)> {
    let mut parts = parts.iter().enumerate();
    parts.find_map(|(index, part)| match part {
        Change::Error(code) if *code != 0 => Some((index, *code)),
        _ => None,
    })
}

/// A parent's cversion of -1 stands for the next one.
fn same(expected: &Change, found: &Change) -> bool {
    if let Change::Create {
        parent_cversion: -1,
        ..
    } = found
    {
        let mut expected = expected.clone();
        if let Change::Create {
            parent_cversion, ..
        } = &mut expected
        {
            *parent_cversion = -1;
        }
        return expected == *found;
    }
    expected == found
}

/// Whether the answer tells of this transaction.
fn answered(write: &Operation, txn: &Txn, stats: &[Option<Stat>]) -> Result<(), String> {
    if matches!(write.outcome, Outcome::Unknown) {
        return Ok(());
    }
    if 0 < write.zxid && write.zxid != txn.zxid {
        return Err(format!("answered with zxid {:#x}", write.zxid));
    }
    match (&txn.change, &write.outcome) {
        (Change::Multi(parts), Outcome::Ok(Answer::Multi(outcomes))) => {
            if parts.len() != outcomes.len() {
                return Err(format!("answered with {} parts", outcomes.len()));
            }
            let failed = failed_part(parts).map(|(index, _)| index);
            for (index, (part, outcome)) in parts.iter().zip(outcomes).enumerate() {
                let fits = match failed {
                    None => told(part, outcome, stats[index]),
                    Some(failed) if index < failed => *outcome == Outcome::Error(0),
                    Some(failed) if index == failed => told(part, outcome, None),
                    Some(_) => *outcome == Outcome::Error(error::RUNTIME_INCONSISTENCY),
                };
                if !fits {
                    return Err(format!(
                        "part {index}, {part:?}, is answered by {outcome:?}"
                    ));
                }
            }
            Ok(())
        }
        (change, outcome) if told(change, outcome, stats.first().copied().flatten()) => Ok(()),
        (change, outcome) => Err(format!("{change:?} is answered by {outcome:?}")),
    }
}

/// Whether the outcome is that of this change.
fn told(change: &Change, outcome: &Outcome, stat: Option<Stat>) -> bool {
    match (change, outcome) {
        (Change::Error(code), Outcome::Error(found)) => code == found,
        (Change::Error(_), _) | (_, Outcome::Error(_)) => false,
        (_, Outcome::Unknown | Outcome::Ok(Answer::Done)) => true,
        (Change::Create { path, .. }, Outcome::Ok(Answer::Path(found))) => path == found,
        (Change::Create { path, .. }, Outcome::Ok(Answer::Created(found, shown))) => {
            path == found && Some(*shown) == stat
        }
        (Change::SetData { .. } | Change::SetAcl { .. }, Outcome::Ok(Answer::Stat(shown))) => {
            Some(*shown) == stat
        }
        (_, Outcome::Ok(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{CreateMode, Request};
    use crate::testing::{World, create, create_as, delete, set};

    fn world() -> World {
        let mut world = World::new();
        let a = world.connect(1);
        world.write(a, create("/x"));
        world.write(a, create_as("/x/s", CreateMode::PersistentSequential));
        world.write(a, set("/x", "1"));
        world.write(a, set("/none", "1"));
        world.write(a, delete("/x"));
        world.write(
            a,
            Request::Multi(vec![create("/y"), set("/y", "2"), delete("/y")]),
        );
        world.write(
            a,
            Request::Multi(vec![create("/z"), create("/x"), delete("/z")]),
        );
        world.write(a, create_as("/e", CreateMode::Ephemeral));
        world.write(a, create("/e/child"));
        world
    }

    #[test]
    fn a_world_as_it_should_be() {
        world().check_good();
    }

    /// Changes one outcome, and expects that to be seen.
    #[track_caller]
    fn check(index: usize, outcome: Outcome) {
        let mut world = world();
        assert_ne!(world.history.operations[index].outcome, outcome);
        world.history.operations[index].outcome = outcome;
        world.check_breaks(Property::WriteSemantics);
    }

    #[test]
    fn answers_tell_what_was_done() {
        check(0, Outcome::Error(error::NODE_EXISTS));
        check(0, Outcome::Ok(Answer::Path("/y".into())));
        check(1, Outcome::Ok(Answer::Path("/x/s0000000001".into())));
        check(2, Outcome::Ok(Answer::Stat(Stat::default())));
        check(3, Outcome::Ok(Answer::Done));
        check(4, Outcome::Error(error::NO_NODE));
        check(5, Outcome::Ok(Answer::Multi(Vec::new())));
        let parts = vec![Outcome::Ok(Answer::Done); 3];
        check(6, Outcome::Ok(Answer::Multi(parts)));
        check(8, Outcome::Error(error::NO_NODE));
    }

    /// Changes one transaction, and expects that to be seen.
    #[track_caller]
    fn check_txn(index: usize, change: Change) {
        let mut world = world();
        // The first one creates the session.
        let txn = &mut world.history.txns[index + 1];
        assert_ne!(txn.change, change);
        txn.change = change;
        world.check_breaks(Property::WriteSemantics);
    }

    #[test]
    fn transactions_do_what_was_asked() {
        check_txn(0, Change::Error(error::NODE_EXISTS));
        let path = "/x".into();
        let data = Some(b"2".as_slice().into());
        check_txn(
            2,
            Change::SetData {
                path,
                data,
                version: 1,
            },
        );
        let (path, data) = ("/x".into(), Some(b"1".as_slice().into()));
        check_txn(
            2,
            Change::SetData {
                path,
                data,
                version: 2,
            },
        );
        check_txn(4, Change::Delete { path: "/x".into() });
        check_txn(5, Change::Multi(Vec::new()));
        check_txn(6, Change::Multi(vec![Change::Error(-110); 3]));
    }
}
