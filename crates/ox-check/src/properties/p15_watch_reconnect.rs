//! A client that sets its watches anew hears once, and at once, of what it has missed since the
//! zxid it names; the other watches wait again.
//!
//! Source: reliability.md 3.2 P15; client-protocol.md 7.6.

use crate::case::Case;
use crate::report::{Property, Report};
use crate::watches;

pub(crate) fn check(case: &Case<'_>, report: &mut Report) {
    watches::report(case, Property::WatchReconnect, report);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::history::{ConnectionId, EventKind};
    use crate::request::{Request, SetWatches};
    use crate::testing::{World, create, delete, set};

    const MISSED: [(EventKind, &str); 5] = [
        (EventKind::DataChanged, "/set"),
        (EventKind::Deleted, "/gone"),
        (EventKind::Created, "/new"),
        (EventKind::Deleted, "/gone"),
        (EventKind::ChildrenChanged, "/"),
    ];

    /// Sets watches on a new connection, and hears of what it has missed.
    fn world(missed: &[(EventKind, &str)]) -> (World, [ConnectionId; 2]) {
        let mut world = World::new();
        let [a, b] = [world.connect(1), world.connect(2)];
        for path in ["/set", "/gone", "/same"] {
            world.write(a, create(path));
        }
        let relative_zxid = world.history.txns.len().try_into().expect("a small number");
        let at = world.pass(1);
        world.history.disconnected(b, at);
        world.write(a, set("/set", "1"));
        world.write(a, delete("/gone"));
        world.write(a, create("/new"));
        let b = world.connect(2);
        let paths = |paths: &[&str]| paths.iter().map(|path| Arc::from(*path)).collect();
        let sets = SetWatches {
            relative_zxid,
            data: paths(&["/same", "/set", "/gone"]),
            exist: paths(&["/new", "/none"]),
            child: paths(&["/gone", "/same", "/"]),
            persistent: Vec::new(),
            recursive: paths(&["/same"]),
        };
        let request = world.send(b, Request::SetWatches(Box::new(sets)));
        for (kind, path) in missed {
            let at = world.pass(1);
            world.history.event(b, *kind, *path, None, at);
        }
        world.answer_read(request);
        (world, [a, b])
    }

    #[test]
    fn what_was_missed_is_told_once() {
        let (mut world, [a, b]) = world(&MISSED);
        // What had nothing to tell waits, the others do not.
        world.write(a, set("/set", "2"));
        world.write(a, create("/none"));
        world.event(b, EventKind::Created, "/none");
        world.write(a, create("/same/child"));
        world.event(b, EventKind::Created, "/same/child");
        world.event(b, EventKind::ChildrenChanged, "/same");
        world.check_good();
    }

    #[test]
    fn what_is_missing_is_seen() {
        for missing in 0..MISSED.len() {
            let mut missed = MISSED.to_vec();
            missed.remove(missing);
            world(&missed).0.check_breaks(Property::WatchReconnect);
        }
    }

    #[test]
    fn what_is_told_twice_or_wrongly_is_seen() {
        let again = [&MISSED[..], &MISSED[4..]].concat();
        world(&again).0.check_breaks(Property::WatchReconnect);
        let mut wrong = MISSED;
        wrong[0].0 = EventKind::Deleted;
        world(&wrong).0.check_breaks(Property::WatchReconnect);
    }

    #[test]
    fn an_event_out_of_the_blue_is_seen() {
        let (mut world, [_, b]) = world(&MISSED);
        let at = world.pass(1);
        world.history.event(b, EventKind::Created, "/new", None, at);
        world.read(b, crate::testing::get("/new"));
        world.check_breaks(Property::WatchReconnect);
    }
}
