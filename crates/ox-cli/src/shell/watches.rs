//! The watches that the session has left: to tell which of them a removal hits, and to leave them
//! again on a new connection.
//!
//! Source: `org.apache.zookeeper.ZKWatchManager`; client-protocol.md 7.4, 7.6.

use std::collections::BTreeSet;

use ox_client::Event;
use ox_proto::{EventType, SetWatches2, WatcherType, Zxid};

/// Paths by kind of watch.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    pub(crate) data: BTreeSet<String>,
    pub(crate) exist: BTreeSet<String>,
    pub(crate) child: BTreeSet<String>,
    pub(crate) persistent: BTreeSet<String>,
    pub(crate) recursive: BTreeSet<String>,
}

impl Watches {
    /// Forgets what `event` has used up.
    pub(crate) fn fired(&mut self, event: &Event) {
        let path = &event.path;
        match event.kind {
            EventType::None => {}
            EventType::NodeCreated | EventType::NodeDataChanged => {
                self.data.remove(path);
                self.exist.remove(path);
            }
            EventType::NodeDeleted => {
                self.data.remove(path);
                self.exist.remove(path);
                self.child.remove(path);
            }
            EventType::NodeChildrenChanged => {
                self.child.remove(path);
            }
        }
    }

    /// Forgets the watches of a kind on a path; names the events that tell of it.
    pub(crate) fn remove(&mut self, path: &str, kind: WatcherType) -> Vec<&'static str> {
        let any = kind == WatcherType::Any;
        let mut removed = Vec::new();
        let persistent = (any || kind == WatcherType::Persistent) && self.persistent.remove(path);
        let recursive =
            (any || kind == WatcherType::PersistentRecursive) && self.recursive.remove(path);
        if persistent || recursive {
            removed.push("PersistentWatchRemoved");
        }
        if any || kind == WatcherType::Data {
            let data = self.data.remove(path);
            if self.exist.remove(path) || data {
                removed.push("DataWatchRemoved");
            }
        }
        if (any || kind == WatcherType::Children) && self.child.remove(path) {
            removed.push("ChildWatchRemoved");
        }
        removed
    }

    /// True if there is a watch of that kind on the path.
    pub(crate) fn contains(&self, path: &str, kind: WatcherType) -> bool {
        let data = || self.data.contains(path) || self.exist.contains(path);
        match kind {
            WatcherType::Children => self.child.contains(path),
            WatcherType::Data => data(),
            WatcherType::Persistent => self.persistent.contains(path),
            WatcherType::PersistentRecursive => self.recursive.contains(path),
            WatcherType::Any => {
                data()
                    || [&self.child, &self.persistent, &self.recursive]
                        .iter()
                        .any(|paths| paths.contains(path))
            }
        }
    }

    /// The request that leaves them all again; `None` if there are none.
    pub(crate) fn request(&self, seen: Zxid) -> Option<SetWatches2> {
        let paths = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
        let request = SetWatches2 {
            relative_zxid: seen.0,
            data_watches: paths(&self.data),
            exist_watches: paths(&self.exist),
            child_watches: paths(&self.child),
            persistent_watches: paths(&self.persistent),
            persistent_recursive_watches: paths(&self.recursive),
        };
        let none = SetWatches2 {
            relative_zxid: seen.0,
            ..SetWatches2::default()
        };
        (request != none).then_some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Watches {
        let path = || BTreeSet::from(["/a".to_owned()]);
        Watches {
            data: path(),
            exist: path(),
            child: path(),
            persistent: path(),
            recursive: path(),
        }
    }

    #[track_caller]
    fn check(kind: EventType, left: [bool; 5]) {
        let mut watches = all();
        watches.fired(&Event {
            kind,
            path: "/a".into(),
            zxid: Zxid(1),
        });
        let sets = [
            &watches.data,
            &watches.exist,
            &watches.child,
            &watches.persistent,
            &watches.recursive,
        ];
        assert_eq!(sets.map(|set| !set.is_empty()), left, "{kind:?}");
    }

    #[test]
    fn events_use_up_the_watches_that_fire_once() {
        check(EventType::NodeCreated, [false, false, true, true, true]);
        check(EventType::NodeDataChanged, [false, false, true, true, true]);
        check(EventType::NodeDeleted, [false, false, false, true, true]);
        check(
            EventType::NodeChildrenChanged,
            [true, true, false, true, true],
        );
    }

    #[test]
    fn a_removal_hits_its_kind_and_tells_each_event_once() {
        let persistent = "PersistentWatchRemoved";
        for (kind, events) in [
            (WatcherType::Data, &["DataWatchRemoved"][..]),
            (WatcherType::Children, &["ChildWatchRemoved"]),
            (WatcherType::Persistent, &[persistent]),
            (WatcherType::PersistentRecursive, &[persistent]),
            (
                WatcherType::Any,
                &[persistent, "DataWatchRemoved", "ChildWatchRemoved"],
            ),
        ] {
            let mut watches = all();
            assert!(watches.contains("/a", kind));
            assert_eq!(watches.remove("/a", kind), events);
            assert!(!watches.contains("/a", kind));
            assert!(watches.remove("/a", kind).is_empty());
        }
    }

    #[test]
    fn without_watches_there_is_nothing_to_leave_again() {
        assert_eq!(Watches::default().request(Zxid(7)), None);
        let request = all().request(Zxid(7)).unwrap();
        assert_eq!(request.relative_zxid, 7);
        assert_eq!(request.persistent_recursive_watches, ["/a"]);
    }
}
