//! A one-shot watch tells of the first change, once; a persistent one of each change once, in the
//! order of zxids; nobody hears of what he may not read, or does not watch. What is owed to a
//! connection that lasts comes.
//!
//! Source: reliability.md 3.2 P14; client-protocol.md 7.2 to 7.5.

use crate::case::Case;
use crate::report::{Property, Report};
use crate::watches;

pub(crate) fn check(case: &Case<'_>, report: &mut Report) {
    watches::report(case, Property::WatchOnce, report);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{ConnectionId, EventKind};
    use crate::request::{AclEntry, CreateMode, Request, WatchKind};
    use crate::testing::{World, children, create, create_as, delete, exists, get, set, watching};

    fn world() -> (World, [ConnectionId; 2]) {
        let mut world = World::new();
        let both = [world.connect(1), world.connect(2)];
        world.write(both[0], create("/x"));
        (world, both)
    }

    #[test]
    fn a_watch_fires_once() {
        let (mut world, [a, b]) = world();
        world.read(b, watching(get("/x")));
        world.write(a, set("/x", "1"));
        world.event(b, EventKind::DataChanged, "/x");
        world.write(a, set("/x", "2"));
        world.read(b, get("/x"));
        world.check_good();
        world.event(b, EventKind::DataChanged, "/x");
        world.check_breaks(Property::WatchOnce);
    }

    #[test]
    fn two_of_the_same_event_are_seen() {
        let (mut world, [a, b]) = world();
        world.read(b, watching(get("/x")));
        world.write(a, set("/x", "1"));
        world.event(b, EventKind::DataChanged, "/x");
        world.event(b, EventKind::DataChanged, "/x");
        world.check_breaks(Property::WatchOnce);
    }

    #[test]
    fn a_watch_that_never_fires_is_seen() {
        let (mut world, [a, b]) = world();
        world.read(b, watching(get("/x")));
        world.write(a, set("/x", "1"));
        world.check_breaks(Property::WatchOnce);
        world.options.settled = false;
        world.check_good();
        world.options.settled = true;
        let at = world.pass(1);
        world.history.disconnected(b, at);
        world.check_good();
    }

    #[test]
    fn the_wrong_event_is_seen() {
        for (kind, path) in [(EventKind::Deleted, "/x"), (EventKind::DataChanged, "/y")] {
            let (mut world, [a, b]) = world();
            world.read(b, watching(get("/x")));
            world.write(a, set("/x", "1"));
            world.event(b, kind, path);
            world.check_breaks(Property::WatchOnce);
        }
    }

    #[test]
    fn a_deletion_is_told_once_to_who_watches_data_and_children() {
        let (mut world, [a, b]) = world();
        world.read(b, watching(exists("/x")));
        world.read(b, watching(children("/x")));
        world.write(a, delete("/x"));
        world.event(b, EventKind::Deleted, "/x");
        world.check_good();
        world.event(b, EventKind::Deleted, "/x");
        world.check_breaks(Property::WatchOnce);
    }

    #[test]
    fn a_recursive_watch_tells_of_everything_below() {
        let (mut world, [a, b]) = world();
        let path = "/x".into();
        let recursive = true;
        world.read(b, Request::AddWatch { path, recursive });
        world.write(
            a,
            Request::Multi(vec![create("/x/y"), set("/x/y", "1"), delete("/x/y")]),
        );
        world.event(b, EventKind::Created, "/x/y");
        world.event(b, EventKind::DataChanged, "/x/y");
        world.event(b, EventKind::Deleted, "/x/y");
        world.write(a, set("/x", "1"));
        world.event(b, EventKind::DataChanged, "/x");
        let (path, kind) = ("/x".into(), WatchKind::Recursive);
        world.read(b, Request::RemoveWatches { path, kind });
        world.write(a, set("/x", "2"));
        world.check_good();
        world.history.events.swap(1, 2);
        let stamps = [1, 2].map(|index| world.history.events[index].stamp);
        world.history.events[1].stamp = stamps[1];
        world.history.events[2].stamp = stamps[0];
        world.check_breaks(Property::WatchOnce);
    }

    #[test]
    fn a_persistent_watch_tells_of_children_too() {
        let (mut world, [a, b]) = world();
        let path = "/x".into();
        let recursive = false;
        world.read(b, Request::AddWatch { path, recursive });
        for _ in 0..2 {
            world.write(a, create("/x/y"));
            world.event(b, EventKind::ChildrenChanged, "/x");
            world.write(a, delete("/x/y"));
            world.event(b, EventKind::ChildrenChanged, "/x");
        }
        world.check_good();
        world.history.events.remove(1);
        world.check_breaks(Property::WatchOnce);
    }

    #[test]
    fn the_end_of_a_session_tells_in_any_order() {
        for order in [["/e", "/f"], ["/f", "/e"]] {
            let (mut world, [a, b]) = world();
            for path in ["/e", "/f"] {
                world.write(a, create_as(path, CreateMode::Ephemeral));
                world.read(b, watching(get(path)));
            }
            world.write(a, Request::CloseSession);
            for path in order {
                world.event(b, EventKind::Deleted, path);
            }
            world.check_good();
        }
    }

    #[test]
    fn what_may_not_be_read_is_not_told() {
        let (mut world, [a, b]) = world();
        world.history.authenticated(a, "digest", "a:hash");
        let recursive = true;
        let path = "/".into();
        world.read(b, Request::AddWatch { path, recursive });
        world.write(
            a,
            Request::Create {
                path: "/secret".into(),
                data: None,
                acl: [AclEntry::new(31, "digest", "a:hash")].into(),
                mode: CreateMode::Persistent,
            },
        );
        world.check_good();
        world.event(b, EventKind::Created, "/secret");
        world.check_breaks(Property::WatchOnce);
    }

    #[test]
    fn where_reads_are_not_exact_a_watch_may_fire_before_its_answer() {
        let (mut world, [a, b]) = world();
        world.options.exact_reads = false;
        world.read(b, exists("/x"));
        let read = world.send(b, watching(get("/x")));
        world.write(a, set("/x", "1"));
        world.event(b, EventKind::DataChanged, "/x");
        world.answer_read(read);
        world.write(a, set("/x", "2"));
        world.check_good();
        world.options.exact_reads = true;
        world.check_breaks(Property::WatchOnce);
    }
}
