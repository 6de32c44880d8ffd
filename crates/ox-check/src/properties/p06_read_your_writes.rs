//! What a session reads after a write of its own that was acknowledged, or behind it on the same
//! connection, is no older than that write.
//!
//! Source: reliability.md 3.2 P6.

use std::collections::BTreeMap;

use crate::case::{Case, ids};
use crate::history::{OpId, Operation};
use crate::report::{Property, Report};
use crate::request::Outcome;

pub(crate) fn check(case: &Case<'_>, report: &mut Report) {
    let acknowledged = |operation: &Operation| {
        operation.request.is_write() && matches!(operation.outcome, Outcome::Ok(_))
    };
    let writes = case.replies.iter().filter(|(_, reply)| acknowledged(reply));
    let mut writes = writes.peekable();
    // The last one of each session that was answered by now, and of each connection, whether it
    // was answered or not: answers come in order.
    let mut of_session: BTreeMap<i64, (i64, OpId)> = BTreeMap::new();
    let mut of_connection = BTreeMap::new();
    for (id, operation) in ids(case.history) {
        let before = |reply: &Operation| {
            let stamp = reply.returned.map(|(_, stamp)| stamp);
            stamp.is_some_and(|stamp| stamp < operation.sent)
        };
        while let Some((id, write)) = writes.next_if(|(_, write)| before(write)) {
            let last = of_session.entry(write.session).or_insert((0, *id));
            *last = (*last).max((write.zxid, *id));
        }
        if acknowledged(operation) {
            let last = of_connection.entry(operation.connection).or_insert((0, id));
            *last = (*last).max((operation.zxid, id));
            continue;
        }
        if operation.request.is_write() || operation.zxid <= 0 {
            continue;
        }
        let own = of_session.get(&operation.session);
        let before_it = of_connection.get(&operation.connection);
        if let Some((zxid, write)) = own.max(before_it).filter(|(z, _)| operation.zxid < *z) {
            let text = format!("read at {:#x} after writing {zxid:#x}", operation.zxid);
            report.add(Property::ReadYourWrites, &[*write, id], text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, create, get, set};

    #[test]
    fn a_read_that_misses_an_own_write_is_seen() {
        let mut world = World::new();
        let a = world.connect(1);
        let write = world.write(a, create("/x"));
        let read = world.read(a, get("/x"));
        world.check_good();
        world.operation(read).zxid = 1;
        world.check_breaks(Property::ReadYourWrites);
        // It was sent before the other was answered, but behind it.
        world.operation(write).returned = Some((9, 90));
        world.check_breaks(Property::ReadYourWrites);
    }

    #[test]
    fn a_read_on_the_next_connection_is_seen() {
        let mut world = World::new();
        let a = world.connect(1);
        world.write(a, create("/x"));
        let at = world.pass(1);
        world.history.disconnected(a, at);
        let b = world.connect(1);
        let read = world.read(b, get("/x"));
        world.check_good();
        world.operation(read).zxid = 1;
        world.check_breaks(Property::ReadYourWrites);
    }

    #[test]
    fn a_read_may_miss_what_others_write() {
        let mut world = World::new();
        let [a, b] = [world.connect(1), world.connect(2)];
        world.write(a, create("/x"));
        let read = world.read(b, get("/x"));
        world.write(a, set("/x", "1"));
        world.operation(read).zxid = 2;
        world.operation(read).outcome = Outcome::Error(-101);
        world.check_good();
    }
}
