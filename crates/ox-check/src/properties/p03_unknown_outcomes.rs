//! A write is in the log once at most, whether its outcome is known or not, and nothing is there
//! that nobody asked for. What an unknown outcome was is thereby known: reads are compared with
//! the log.
//!
//! Source: reliability.md 3.2 P3.

use std::collections::BTreeMap;

use crate::case::{Case, ids};
use crate::report::{Property, Report};
use crate::txn::Change;

pub(crate) fn check(case: &Case<'_>, report: &mut Report) {
    let mut wrong = |ids: &[_], text| report.add(Property::UnknownOutcomes, ids, text);
    let mut recorded = BTreeMap::new();
    for (id, write) in ids(case.history).filter(|(_, write)| write.request.is_write()) {
        if let Some(first) = recorded.insert((write.session, write.xid), id) {
            wrong(&[first, id], format!("two writes have xid {}", write.xid));
        }
    }
    let mut logged = BTreeMap::new();
    for txn in &case.txns {
        let by_server = match &txn.change {
            Change::CreateSession { .. } => true,
            // That of an expired session.
            Change::CloseSession { .. } => case.write_of(txn).is_none(),
            _ => txn.session == 0,
        };
        if by_server {
            continue;
        }
        let write = case.write_of(txn).map(|(id, _)| id);
        let key = (txn.session, txn.cxid);
        if let Some(before) = logged.insert(key, txn.zxid) {
            let text = format!("in the log twice, {before:#x} and {:#x}", txn.zxid);
            wrong(write.as_slice(), text);
        }
        if write.is_none() && case.options.complete {
            wrong(&[], format!("nobody asked for {txn:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Outcome;
    use crate::testing::{World, create, set};

    fn world() -> World {
        let mut world = World::new();
        let a = world.connect(1);
        world.write(a, create("/x"));
        let lost = world.write(a, set("/x", "1"));
        world.forget(lost);
        world
    }

    #[test]
    fn an_unknown_write_may_have_been_done() {
        world().check_good();
    }

    #[test]
    fn an_unknown_write_may_not_have_been_done() {
        let mut world = world();
        world.history.txns.pop();
        world.check_good();
    }

    #[test]
    fn nothing_is_done_twice() {
        let mut world = world();
        let mut again = world.history.txns[2].clone();
        again.zxid += 1;
        world.history.txn(again);
        world.check_breaks(Property::UnknownOutcomes);
    }

    #[test]
    fn nothing_comes_from_nowhere() {
        let mut world = world();
        world.history.txns[2].cxid = 77;
        world.check_breaks(Property::UnknownOutcomes);
        world.options.complete = false;
        let report = world.report();
        assert_eq!(report.count(Property::UnknownOutcomes), 0, "{report}");
    }

    #[test]
    fn a_recorder_that_uses_a_number_twice_is_told() {
        let mut world = world();
        let xid = world.history.operations[0].xid;
        world.history.operations[1].xid = xid;
        world.history.operations[1].outcome = Outcome::Unknown;
        world.check_breaks(Property::UnknownOutcomes);
    }
}
