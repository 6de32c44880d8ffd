//! On a connection answers come in the order of the requests, without one left out; the writes of
//! a session have zxids in the order of their sending, and none overtakes an earlier one that got
//! lost on the same connection.
//!
//! Source: reliability.md 3.2 P4; client-protocol.md 3.4.

use std::collections::BTreeMap;

use crate::case::{Case, Item, ids};
use crate::history::OpId;
use crate::report::{Property, Report};
use crate::request::{Request, error};
use crate::txn::Change;

pub(crate) fn check(case: &Case<'_>, report: &mut Report) {
    answers(case, report);
    left_out(case, report);
    writes(case, report);
}

fn answers(case: &Case<'_>, report: &mut Report) {
    for stream in &case.streams {
        let mut last: Option<(OpId, u32)> = None;
        for item in stream {
            let Item::Reply(id, operation) = item else {
                continue;
            };
            if let Some((before, _)) = last.filter(|(_, sent)| operation.sent < *sent) {
                let text = "answered behind a later request".to_owned();
                report.add(Property::Fifo, &[*id, before], text);
            }
            last = Some((*id, operation.sent));
        }
    }
}

fn left_out(case: &Case<'_>, report: &mut Report) {
    let mut unanswered = BTreeMap::new();
    for (id, operation) in ids(case.history) {
        match (operation.returned, unanswered.get(&operation.connection)) {
            (None, None) => {
                unanswered.insert(operation.connection, id);
            }
            (Some(_), Some(first)) => {
                let text = "a later request was answered, an earlier one was not".to_owned();
                report.add(Property::Fifo, &[*first, id], text);
            }
            (None, Some(_)) | (Some(_), None) => {}
        }
    }
}

fn is_refused_as_moved(change: &Change) -> bool {
    match change {
        Change::Error(code) => [error::SESSION_MOVED, error::SESSION_EXPIRED].contains(code),
        Change::Multi(parts) => parts.iter().any(is_refused_as_moved),
        _ => false,
    }
}

fn writes(case: &Case<'_>, report: &mut Report) {
    let mut zxids: Vec<Option<i64>> = vec![None; case.history.operations.len()];
    for txn in &case.txns {
        // Refused since the session lives elsewhere by now, or is over, a late write may come after newer ones.
        if is_refused_as_moved(&txn.change) {
            continue;
        }
        if let Some((id, _)) = case.write_of(txn) {
            zxids[id.index()].get_or_insert(txn.zxid);
        }
    }
    let mut last: BTreeMap<i64, (i64, OpId)> = BTreeMap::new();
    let mut missing = BTreeMap::new();
    for (id, write) in ids(case.history).filter(|(_, write)| write.request.is_write()) {
        // Who has lost a session to another connection may still close it, as late as it likes.
        if write.request == Request::CloseSession && write.returned.is_none() {
            continue;
        }
        let Some(zxid) = zxids[id.index()] else {
            if write.returned.is_none() && case.options.errors_in_log {
                missing.entry(write.connection).or_insert(id);
            }
            continue;
        };
        if let Some(first) = missing.get(&write.connection) {
            let text = format!("{zxid:#x} has overtaken a write that was lost");
            report.add(Property::Fifo, &[*first, id], text);
        }
        let (before, earlier) = last.get(&write.session).copied().unwrap_or((0, id));
        if zxid < before {
            let text = format!("{zxid:#x} was sent behind {before:#x}");
            report.add(Property::Fifo, &[earlier, id], text);
        }
        last.insert(write.session, (zxid, id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, create, get, set};

    #[test]
    fn pipelined_requests_are_answered_in_turn() {
        let mut world = World::new();
        let a = world.connect(1);
        let first = world.send(a, create("/x"));
        let second = world.send(a, get("/x"));
        world.execute(first);
        world.answer(first);
        world.answer_read(second);
        let lost = world.send(a, set("/x", "1"));
        world.send(a, get("/x"));
        world.execute(lost);
        world.check_good();
    }

    #[test]
    fn an_answer_out_of_turn_is_seen() {
        let mut world = World::new();
        let a = world.connect(1);
        let first = world.send(a, get("/"));
        let second = world.send(a, get("/"));
        world.answer_read(second);
        world.answer_read(first);
        world.check_breaks(Property::Fifo);
    }

    #[test]
    fn an_answer_left_out_is_seen() {
        let mut world = World::new();
        let a = world.connect(1);
        world.send(a, get("/"));
        world.read(a, get("/"));
        world.check_breaks(Property::Fifo);
    }

    #[test]
    fn writes_keep_their_order() {
        let mut world = World::new();
        let a = world.connect(1);
        let [first, second] = [create("/x"), create("/y")].map(|request| world.send(a, request));
        world.execute(second);
        world.execute(first);
        world.check_breaks(Property::Fifo);
    }

    #[test]
    fn no_write_overtakes_a_lost_one() {
        let mut world = World::new();
        let a = world.connect(1);
        let [_lost, second] = [create("/x"), create("/y")].map(|request| world.send(a, request));
        world.execute(second);
        world.check_breaks(Property::Fifo);
    }

    #[test]
    fn on_another_connection_a_lost_write_is_no_obstacle() {
        let mut world = World::new();
        let a = world.connect(1);
        world.send(a, create("/x"));
        let at = world.pass(1);
        world.history.disconnected(a, at);
        let b = world.connect(1);
        world.write(b, create("/y"));
        world.check_good();
    }
}
