//! A client hears of a change it watches before it sees the change: the event stands before every
//! answer whose zxid is that of the change or a later one.
//!
//! Source: reliability.md 3.2 P13; "Watches" in the programmer's guide; client-protocol.md 7.8.

use crate::case::Case;
use crate::report::{Property, Report};
use crate::watches;

pub(crate) fn check(case: &Case<'_>, report: &mut Report) {
    watches::report(case, Property::WatchOrder, report);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::EventKind;
    use crate::testing::{World, children, create, exists, get, set, watching};

    #[test]
    fn an_event_comes_before_what_it_tells_of() {
        let mut world = World::new();
        let [a, b] = [world.connect(1), world.connect(2)];
        world.read(b, watching(exists("/x")));
        world.read(b, watching(children("/")));
        world.write(a, create("/x"));
        world.event(b, EventKind::Created, "/x");
        world.event(b, EventKind::ChildrenChanged, "/");
        world.read(b, watching(get("/x")));
        world.write(b, set("/x", "1"));
        world.check_breaks(Property::WatchOrder);
    }

    /// A watch on `/x`, which is then set; event and answer come in the order given.
    fn world(event_first: bool) -> World {
        let mut world = World::new();
        let [a, b] = [world.connect(1), world.connect(2)];
        world.write(a, create("/x"));
        world.read(b, watching(get("/x")));
        world.write(a, set("/x", "1"));
        let read = world.send(b, get("/x"));
        if event_first {
            world.event(b, EventKind::DataChanged, "/x");
        }
        world.answer_read(read);
        if !event_first {
            world.event(b, EventKind::DataChanged, "/x");
        }
        world
    }

    #[test]
    fn an_event_behind_the_answer_is_seen() {
        world(true).check_good();
        world(false).check_breaks(Property::WatchOrder);
        let report = world(false).report();
        assert_eq!(report.count(Property::WatchOnce), 0, "{report}");
    }

    #[test]
    fn an_event_behind_the_answer_of_an_own_write_is_seen() {
        for event_first in [true, false] {
            let mut world = World::new();
            let a = world.connect(1);
            world.read(a, watching(exists("/x")));
            let write = world.send(a, create("/x"));
            world.execute(write);
            if event_first {
                world.event(a, EventKind::Created, "/x");
            }
            world.answer(write);
            if event_first {
                world.check_good();
            } else {
                world.event(a, EventKind::Created, "/x");
                world.check_breaks(Property::WatchOrder);
            }
        }
    }

    #[test]
    fn a_stale_answer_needs_no_event_before_it() {
        let mut world = world(false);
        let read = world.history.operations.len() - 1;
        let read = &mut world.history.operations[read];
        read.zxid -= 1;
        let report = world.report();
        assert_eq!(report.count(Property::WatchOrder), 0, "{report}");
    }
}
