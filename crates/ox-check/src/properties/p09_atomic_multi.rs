//! Who has seen one part of a multi sees all of it: what a session reads after it was shown a zxid
//! of a multi is a state with that multi, whole.
//!
//! Source: reliability.md 3.2 P9; "atomicity" in the programmer's guide.

use std::collections::BTreeMap;

use super::p10_ephemerals::for_each_stat;
use crate::case::Case;
use crate::history::OpId;
use crate::reads;
use crate::report::{Property, Report};
use crate::txn::Change;

pub(crate) fn check(case: &Case<'_>, report: &mut Report) {
    let is_multi = |zxid| {
        let index = case.find(zxid);
        index.is_some_and(|index| matches!(case.txns[index].change, Change::Multi(_)))
    };
    let mut seen: BTreeMap<i64, (i64, OpId)> = BTreeMap::new();
    for (id, read) in &case.replies {
        if read.request.is_write() || read.zxid <= 0 {
            continue;
        }
        let shown = seen.entry(read.session).or_insert((0, *id));
        for_each_stat(&read.outcome, &mut |stat| {
            let zxids = [stat.czxid, stat.mzxid, stat.pzxid].into_iter();
            let last = zxids.filter(|zxid| is_multi(*zxid)).max();
            *shown = (*shown).max((last.unwrap_or(0), *id));
        });
        let (multi, earlier) = *shown;
        if multi == 0 || !reads::is_judged(&read.request) {
            continue;
        }
        let first = case.count(multi);
        let last = case.count(read.zxid);
        let last = match case.options.exact_reads {
            true => last,
            false => (last + 1).min(case.txns.len()),
        };
        let whole = (first..=last)
            .rev()
            .any(|count| reads::compare(case, read, count).is_ok());
        if !whole {
            let text = format!(
                "{:?}: a state without the whole of the multi {multi:#x}",
                read.request
            );
            report.add(Property::AtomicMulti, &[earlier, *id], text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::ConnectionId;
    use crate::request::Request;
    use crate::testing::{World, create, get, set};

    fn world() -> (World, ConnectionId) {
        let mut world = World::new();
        let [a, b] = [world.connect(1), world.connect(2)];
        world.write(a, Request::Multi(vec![create("/x"), create("/y")]));
        world.read(b, get("/y"));
        world.write(a, Request::Multi(vec![set("/x", "1"), set("/y", "1")]));
        world.read(b, get("/x"));
        world.read(b, get("/y"));
        (world, b)
    }

    #[test]
    fn all_of_a_multi_is_seen() {
        world().0.check_good();
    }

    #[test]
    fn half_of_a_multi_is_found_out() {
        for exact in [true, false] {
            let (mut world, _) = world();
            world.options.exact_reads = exact;
            // The last read shows the second znode as it was before.
            let before = world.history.operations[1].outcome.clone();
            world.history.operations[4].outcome = before;
            world.check_breaks(Property::AtomicMulti);
        }
    }

    #[test]
    fn the_state_before_all_of_it_is_no_half() {
        let (mut world, b) = world();
        world.options.exact_reads = false;
        let before = world.history.operations[1].outcome.clone();
        world.history.operations.truncate(3);
        let read = world.read(b, get("/y"));
        world.operation(read).outcome = before;
        world.check_good();
    }
}
