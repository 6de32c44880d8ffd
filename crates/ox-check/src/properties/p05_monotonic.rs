//! A session's view never goes back, whichever server it is connected to, and what a read shows is
//! the state at the zxid of its answer; where servers are not that exact, some state that is no
//! older than what the session has seen before.
//!
//! Source: reliability.md 3.2 P5; "single system image" in the programmer's guide.

use std::collections::BTreeMap;

use crate::case::{Case, Item};
use crate::history::{OpId, Operation};
use crate::reads;
use crate::report::{Property, Report};

pub(crate) fn check(case: &Case<'_>, report: &mut Report) {
    let mut seen: BTreeMap<i64, (i64, OpId)> = BTreeMap::new();
    for (id, operation) in &case.replies {
        let (before, earlier) = seen.get(&operation.session).copied().unwrap_or((0, *id));
        let zxid = operation.zxid;
        if zxid <= 0 {
            continue;
        }
        if zxid < before {
            let text = format!("{zxid:#x} was answered behind {before:#x}");
            report.add(Property::Monotonic, &[earlier, *id], text);
        } else {
            seen.insert(operation.session, (zxid, *id));
        }
        committed(case, *id, operation, report);
        if reads::is_judged(&operation.request)
            && let Err(text) = shows_a_state(case, operation, before)
        {
            let text = format!("{:?} at {zxid:#x}: {text}", operation.request);
            report.add(Property::Monotonic, &[*id], text);
        }
    }
    behind_events(case, report);
}

/// Nothing is shown before it is committed.
fn committed(case: &Case<'_>, id: OpId, operation: &Operation, report: &mut Report) {
    let index = case.find(operation.zxid);
    let at = index.and_then(|index| case.txns[index].at);
    if let (Some(at), Some((returned, _))) = (at, operation.returned)
        && returned < at
    {
        let text = format!("{:#x} was shown before it was committed", operation.zxid);
        report.add(Property::Monotonic, &[id], text);
    }
}

fn shows_a_state(case: &Case<'_>, operation: &Operation, before: i64) -> Result<(), String> {
    let at_reply = case.count(operation.zxid);
    let exact = reads::compare(case, operation, at_reply);
    if case.options.exact_reads || exact.is_ok() {
        return exact;
    }
    let first = case.count(before).min(at_reply);
    let last = (at_reply + 1).min(case.txns.len());
    let mut window = (first..=last).rev();
    match window.any(|count| reads::compare(case, operation, count).is_ok()) {
        true => Ok(()),
        false => exact,
    }
}

/// What is answered behind an event is not older than the event.
fn behind_events(case: &Case<'_>, report: &mut Report) {
    for stream in &case.streams {
        let mut seen = 0;
        for item in stream {
            match item {
                Item::Event(event) => seen = seen.max(event.zxid.unwrap_or(0)),
                Item::Reply(id, operation) if 0 < operation.zxid && operation.zxid < seen => {
                    let zxid = operation.zxid;
                    let text = format!("{zxid:#x} was answered behind an event of {seen:#x}");
                    report.add(Property::Monotonic, &[*id], text);
                }
                Item::Reply(..) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::history::EventKind;
    use crate::request::{Answer, Outcome, Request, Stat};
    use crate::testing::{World, children, create, delete, exists, get, set};

    /// Reads of all kinds; the last of them is the operation with the highest number.
    fn world() -> World {
        let mut world = World::new();
        let [a, b] = [world.connect(1), world.connect(2)];
        world.write(a, create("/x"));
        world.read(b, get("/x"));
        world.write(a, create("/x/y"));
        world.read(b, children("/x"));
        world.write(a, set("/x", "1"));
        world.read(b, exists("/x"));
        world.write(a, delete("/x/y"));
        world.read(b, get("/x/y"));
        world.read(b, Request::MultiRead(vec![get("/x"), children("/x")]));
        world.read(b, get("/x"));
        world
    }

    #[track_caller]
    fn check(damage: impl FnOnce(&mut World)) {
        let mut world = world();
        damage(&mut world);
        world.check_breaks(Property::Monotonic);
    }

    #[test]
    fn reads_show_the_state_of_their_zxid() {
        world().check_good();
    }

    #[test]
    fn a_view_that_goes_back_is_seen() {
        check(|world| world.history.operations[9].zxid = 4);
    }

    #[test]
    fn a_view_that_goes_back_on_another_server_is_seen() {
        check(|world| {
            let b = world.history.operations[9].connection;
            let at = world.pass(1);
            world.history.disconnected(b, at);
            let c = world.connect(2);
            let read = world.read(c, get("/x"));
            // As of a server that has not heard of the last deletion.
            world.operation(read).zxid -= 1;
        });
    }

    #[test]
    fn a_wrong_state_is_seen() {
        check(|world| world.history.operations[9].outcome = Outcome::Error(-101));
        check(|world| {
            let stat = Stat::default();
            world.history.operations[9].outcome = Outcome::Ok(Answer::Data(None, stat));
        });
        let children = |names: &[&str]| {
            let names = names.iter().map(|name| Arc::from(*name)).collect();
            Outcome::Ok(Answer::Children(names, None))
        };
        check(|world| world.history.operations[3].outcome = children(&[]));
        check(|world| world.history.operations[3].outcome = children(&["z"]));
        check(|world| world.history.operations[3].outcome = children(&["y", "y"]));
        check(|world| world.history.operations[7].outcome = Outcome::Error(-102));
    }

    #[test]
    fn a_stale_read_is_excused_only_in_a_window() {
        let mut world = world();
        let stale = world.history.operations[1].outcome.clone();
        world.history.operations[9].outcome = stale;
        world.options.exact_reads = false;
        // The session has seen the end of the log before.
        world.check_breaks(Property::Monotonic);
        world.history.operations.truncate(9);
        let c = world.connect(3);
        let read = world.read(c, get("/x"));
        let stale = world.history.operations[1].outcome.clone();
        world.operation(read).outcome = stale;
        world.check_good();
        world.options.exact_reads = true;
        world.check_breaks(Property::Monotonic);
    }

    #[test]
    fn what_is_not_committed_is_not_shown() {
        check(|world| {
            let last = world.history.txns.len() - 1;
            world.history.txns[last].at = Some(1_000_000);
        });
    }

    #[test]
    fn an_answer_older_than_an_event_before_it_is_seen() {
        check(|world| {
            let b = world.history.operations[9].connection;
            world.event(b, EventKind::Deleted, "/x/y");
            let read = world.read(b, get("/x"));
            world.operation(read).zxid -= 1;
        });
    }
}
