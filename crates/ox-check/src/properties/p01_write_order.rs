//! Acknowledged writes have zxids of their own, and the zxids agree with real time: a write that
//! was answered before another was sent has the lower one.
//!
//! Source: reliability.md 3.2 P1; the guarantee of linearizable writes in the programmer's guide.

use crate::case::{Case, ids};
use crate::history::{OpId, Operation};
use crate::report::{Property, Report};
use crate::request::Outcome;

pub(crate) fn check(case: &Case<'_>, report: &mut Report) {
    let mut wrong = |ids: [OpId; 2], text| report.add(Property::WriteOrder, &ids, text);
    let mut writes: Vec<(OpId, &Operation)> = ids(case.history)
        .filter(|(_, operation)| operation.request.is_write() && 0 < operation.zxid)
        .filter(|(_, operation)| matches!(operation.outcome, Outcome::Ok(_)))
        .collect();
    writes.sort_by_key(|(_, write)| write.zxid);
    // Of those with a lower zxid, the one that was sent last.
    let mut last_sent: Option<(OpId, &Operation)> = None;
    for pair in writes.windows(2) {
        if pair[0].1.zxid == pair[1].1.zxid {
            let text = format!("two writes with zxid {:#x}", pair[0].1.zxid);
            wrong([pair[0].0, pair[1].0], text);
        }
    }
    for (id, write) in writes {
        let returned = write.returned.map_or(i64::MAX, |(at, _)| at);
        if let Some((later, sent)) = last_sent.filter(|(_, sent)| returned < sent.invoked) {
            let text = format!(
                "a write with zxid {:#x} was answered before that with {:#x} was sent",
                write.zxid, sent.zxid
            );
            wrong([id, later], text);
        }
        if last_sent.is_none_or(|(_, sent)| sent.invoked < write.invoked) {
            last_sent = Some((id, write));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::report::Property;
    use crate::testing::{World, create, set};

    #[test]
    fn zxids_agree_with_real_time() {
        let mut world = World::new();
        let [a, b] = [world.connect(1), world.connect(2)];
        world.write(a, create("/x"));
        world.write(b, set("/x", "1"));
        world.check_good();
    }

    #[test]
    fn a_zxid_belongs_to_one_write() {
        let mut world = World::new();
        let a = world.connect(1);
        let first = world.write(a, create("/x"));
        let second = world.write(a, set("/x", "1"));
        let zxid = world.operation(first).zxid;
        world.operation(second).zxid = zxid;
        world.check_breaks(Property::WriteOrder);
    }

    #[test]
    fn a_later_write_does_not_have_the_lower_zxid() {
        let mut world = World::new();
        let [a, b] = [world.connect(1), world.connect(2)];
        let first = world.write(a, create("/x"));
        let second = world.write(b, create("/y"));
        let zxids = [first, second].map(|id| world.operation(id).zxid);
        world.operation(first).zxid = zxids[1];
        world.operation(second).zxid = zxids[0];
        world.check_breaks(Property::WriteOrder);
        // Two that overlap may come in any order.
        world.operation(second).invoked = world.operation(first).invoked;
        let report = world.report();
        assert_eq!(report.count(Property::WriteOrder), 0, "{report}");
    }
}
