//! Row by row what client-protocol.md 7.2 to 7.6 say of these tables, then the tables against the
//! plainest model of Java's two maps.

use std::collections::{BTreeMap, BTreeSet};

use ox_proto::{
    EventType::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted},
    path,
};
use proptest::prelude::*;

use super::{Trigger::*, *};

/// What `deliver` was told.
type Event = (ClientId, EventType, String, AclOf);

fn watches(set: &[(u32, &str, WatchKind)]) -> Watches {
    let mut watches = Watches::new(7);
    for &(client, path, kind) in set {
        watches.add(ClientId(client), path, kind);
    }
    watches
}

fn fire(watches: &mut Watches, trigger: Trigger, path: &str) -> Vec<Event> {
    let mut events = Vec::new();
    watches.fire(trigger, path, &mut |client, event, path, acl| {
        events.push((client, event, path.to_owned(), acl));
    });
    events
}

/// Sets the watches, fires the triggers one after the other, and compares all events.
#[track_caller]
fn check(
    set: &[(u32, &str, WatchKind)],
    triggers: &[(Trigger, &str)],
    expected: &[(u32, EventType, &str)],
) {
    let mut watches = watches(set);
    let fired = triggers
        .iter()
        .flat_map(|&(trigger, path)| fire(&mut watches, trigger, path));
    let events: Vec<_> = fired
        .map(|(client, event, path, _)| (client.0, event, path))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|&(c, e, p)| (c, e, p.to_owned()))
        .collect();
    assert_eq!(events, expected);
}

use WatchKind::{Child, Data, Persistent, PersistentRecursive as Recursive};

#[test]
fn a_create_fires_the_node_and_then_its_parent() {
    check(
        &[(1, "/", Child), (1, "/a", Data)],
        &[(Created, "/a")],
        &[(1, NodeCreated, "/a"), (1, NodeChildrenChanged, "/")],
    );
}

#[test]
fn a_delete_fires_the_node_as_data_as_children_and_then_its_parent() {
    check(
        &[
            (1, "/a/b", Child),
            (2, "/a/b", Data),
            (1, "/a", Child),
            (2, "/a", Child),
        ],
        &[(Deleted, "/a/b")],
        &[
            (2, NodeDeleted, "/a/b"),
            (1, NodeDeleted, "/a/b"),
            (1, NodeChildrenChanged, "/a"),
            (2, NodeChildrenChanged, "/a"),
        ],
    );
}

#[test]
fn a_delete_reaches_a_client_once_and_uses_up_both_its_watches() {
    check(
        &[(1, "/a", Data), (1, "/a", Child)],
        &[(Deleted, "/a"), (Deleted, "/a"), (Created, "/a/b")],
        &[(1, NodeDeleted, "/a")],
    );
}

#[test]
fn setting_data_fires_the_data_watches_alone() {
    check(
        &[
            (1, "/a", Child),
            (2, "/a", Data),
            (3, "/", Data),
            (4, "/", Child),
            (5, "/a/b", Data),
        ],
        &[(DataChanged, "/a")],
        &[(2, NodeDataChanged, "/a")],
    );
}

#[test]
fn setting_the_data_of_the_root_fires_the_root() {
    check(
        &[(1, "/", Data), (2, "/", Recursive)],
        &[(DataChanged, "/")],
        &[(2, NodeDataChanged, "/"), (1, NodeDataChanged, "/")],
    );
}

#[test]
fn a_standard_watch_fires_once_until_it_is_set_again() {
    check(
        &[(1, "/a", Data), (1, "/", Child), (1, "/a", Data)],
        &[
            (Created, "/a"),
            (Deleted, "/a"),
            (Created, "/a"),
            (DataChanged, "/a"),
        ],
        &[(1, NodeCreated, "/a"), (1, NodeChildrenChanged, "/")],
    );
}

#[test]
fn the_operations_of_a_multi_fire_in_their_order() {
    check(
        &[
            (1, "/m1", Data),
            (1, "/", Child),
            (1, "/m2", Data),
            (1, "/a", Data),
        ],
        &[(Created, "/m1"), (Created, "/m2"), (DataChanged, "/a")],
        &[
            (1, NodeCreated, "/m1"),
            (1, NodeChildrenChanged, "/"),
            (1, NodeCreated, "/m2"),
            (1, NodeDataChanged, "/a"),
        ],
    );
}

#[test]
fn when_a_session_ends_the_parent_fires_with_its_first_ephemeral() {
    check(
        &[
            (1, "/e1", Data),
            (1, "/e2", Data),
            (1, "/e3", Data),
            (1, "/", Child),
        ],
        &[(Deleted, "/e1"), (Deleted, "/e2"), (Deleted, "/e3")],
        &[
            (1, NodeDeleted, "/e1"),
            (1, NodeChildrenChanged, "/"),
            (1, NodeDeleted, "/e2"),
            (1, NodeDeleted, "/e3"),
        ],
    );
}

#[test]
fn a_persistent_watch_hears_all_of_its_own_path_and_outlives_the_node() {
    check(
        &[(1, "/a", Persistent)],
        &[
            (Created, "/a"),
            (DataChanged, "/a"),
            (DataChanged, "/a"),
            (Created, "/a/b"),
            (DataChanged, "/a/b"),
            (Deleted, "/a/b"),
            (Deleted, "/a"),
            (Created, "/a"),
        ],
        &[
            (1, NodeCreated, "/a"),
            (1, NodeDataChanged, "/a"),
            (1, NodeDataChanged, "/a"),
            (1, NodeChildrenChanged, "/a"),
            (1, NodeChildrenChanged, "/a"),
            (1, NodeDeleted, "/a"),
            (1, NodeCreated, "/a"),
        ],
    );
}

#[test]
fn a_recursive_watch_hears_of_everything_below_but_never_of_children() {
    check(
        &[(1, "/a", Recursive)],
        &[
            (Created, "/a"),
            (Created, "/a/b"),
            (Created, "/a/b/c"),
            (DataChanged, "/a/b/c"),
            (Deleted, "/a/b/c"),
            (Created, "/ab"),
            (DataChanged, "/"),
        ],
        &[
            (1, NodeCreated, "/a"),
            (1, NodeCreated, "/a/b"),
            (1, NodeCreated, "/a/b/c"),
            (1, NodeDataChanged, "/a/b/c"),
            (1, NodeDeleted, "/a/b/c"),
        ],
    );
}

#[test]
fn a_client_hears_once_however_many_modes_and_ancestors_match() {
    check(
        &[
            (1, "/", Recursive),
            (1, "/a", Recursive),
            (1, "/a/b", Recursive),
            (1, "/a/b", Persistent),
            (1, "/a/b", Data),
            (2, "/", Recursive),
        ],
        &[(DataChanged, "/a/b"), (Deleted, "/a/b")],
        &[
            (1, NodeDataChanged, "/a/b"),
            (2, NodeDataChanged, "/a/b"),
            (1, NodeDeleted, "/a/b"),
            (2, NodeDeleted, "/a/b"),
        ],
    );
}

#[test]
fn a_delete_heard_of_from_above_is_not_told_again_to_the_child_watch() {
    check(
        &[(1, "/", Recursive), (1, "/a", Child)],
        &[(Deleted, "/a"), (Created, "/a/b")],
        &[(1, NodeDeleted, "/a"), (1, NodeCreated, "/a/b")],
    );
}

#[test]
fn a_fired_standard_watch_leaves_the_other_modes_of_its_path() {
    for (kind, which) in [
        (Persistent, WatcherType::Persistent),
        (Recursive, WatcherType::PersistentRecursive),
    ] {
        let mut watches = watches(&[(1, "/a", kind), (1, "/a", Data)]);
        fire(&mut watches, DataChanged, "/a");
        assert!(
            !watches.contains(ClientId(1), "/a", WatcherType::Data),
            "{kind:?}"
        );
        assert!(watches.contains(ClientId(1), "/a", which), "{kind:?}");
        assert_eq!(fire(&mut watches, DataChanged, "/a").len(), 1, "{kind:?}");
    }
}

#[test]
fn the_acl_asked_is_that_of_the_node_or_for_child_events_of_the_parent() {
    let mut watches = watches(&[
        (1, "/a", Persistent),
        (2, "/a", Child),
        (1, "/", Persistent),
    ]);
    let mut acls = |trigger| -> Vec<(EventType, AclOf)> {
        fire(&mut watches, trigger, "/a")
            .into_iter()
            .map(|(_, event, _, acl)| (event, acl))
            .collect()
    };
    let children = (NodeChildrenChanged, AclOf::Parent);
    assert_eq!(acls(Created), [(NodeCreated, AclOf::Node), children]);
    assert_eq!(acls(DataChanged), [(NodeDataChanged, AclOf::Node)]);
    let deleted = (NodeDeleted, AclOf::Node);
    assert_eq!(acls(Deleted), [deleted, deleted, children]);
}

/// What each type finds, and what is left of a path watched in every way once it has removed.
#[test]
fn each_watcher_type_finds_and_removes_its_own_modes() {
    use WatcherType as Type;
    let client = ClientId(3);
    let kinds = [Data, Child, Persistent, Recursive];
    let types = [
        (Type::Data, &kinds[..1]),
        (Type::Children, &kinds[1..2]),
        (Type::Persistent, &kinds[2..3]),
        (Type::PersistentRecursive, &kinds[3..]),
        (Type::Any, &kinds[..]),
    ];
    for (which, found_by) in types {
        for kind in kinds {
            let mut one = watches(&[(3, "/a", kind)]);
            let found = found_by.contains(&kind);
            assert_eq!(
                one.contains(client, "/a", which),
                found,
                "{which:?} {kind:?}"
            );
            assert_eq!(one.remove(client, "/a", which), found, "{which:?} {kind:?}");
            assert_eq!(one.is_empty(), found, "{which:?} {kind:?}");
        }
        let mut all = watches(&kinds.map(|kind| (3, "/a", kind)));
        assert!(all.remove(client, "/a", which));
        assert!(!all.remove(client, "/a", which));
        for (other, _) in types {
            let left = which != Type::Any && other != which;
            assert_eq!(
                all.contains(client, "/a", other),
                left,
                "{which:?} {other:?}"
            );
        }
    }
}

#[test]
fn only_the_exact_path_and_client_match() {
    let mut watches = watches(&[(1, "/a", Recursive), (2, "/b", Data)]);
    for (client, path) in [
        (1, "/"),
        (1, "/a/b"),
        (1, "/b"),
        (2, "/a"),
        (9, "/a"),
        (1, ""),
    ] {
        assert!(
            !watches.contains(ClientId(client), path, WatcherType::Any),
            "{client} {path}"
        );
        assert!(
            !watches.remove(ClientId(client), path, WatcherType::Any),
            "{client} {path}"
        );
    }
}

#[test]
fn all_watches_of_a_client_end_with_it_and_its_slot_can_be_used_again() {
    let mut watches = watches(&[(1, "/a", Recursive), (1, "/", Child), (1, "/a", Persistent)]);
    watches.remove_client(ClientId(1));
    watches.remove_client(ClientId(8));
    assert!(watches.is_empty());
    assert_eq!(watches.by_client().count(), 0);
    assert_eq!(fire(&mut watches, Created, "/a"), []);
    watches.add(ClientId(1), "/a", Data);
    assert_eq!(fire(&mut watches, Deleted, "/a").len(), 1);
}

#[test]
fn the_reports_show_the_data_table_and_the_total_both() {
    let mut watches = watches(&[
        (1, "/a", Persistent),
        (1, "/a", Data),
        (2, "/a", Recursive),
        (2, "/b", Data),
        (3, "/b", Child),
        (4, "/c", Data),
    ]);
    fire(&mut watches, DataChanged, "/c");
    assert_eq!(watches.total(), 5);
    // Client 4 has set a watch, though it has fired; client 3 has none in the data table.
    assert_eq!(
        watches.data_counts(),
        WatchCounts {
            clients: 3,
            paths: 2,
            watches: 3
        }
    );
    let by_path: BTreeMap<_, BTreeSet<_>> = watches
        .by_path()
        .map(|(path, clients)| (path, clients.iter().map(|c| c.0).collect()))
        .collect();
    assert_eq!(
        by_path,
        BTreeMap::from([("/a", BTreeSet::from([1, 2])), ("/b", BTreeSet::from([2]))])
    );
    let by_client: BTreeMap<_, BTreeSet<_>> = watches
        .by_client()
        .map(|(client, paths)| (client.0, paths.collect()))
        .collect();
    let expected = [
        (1, BTreeSet::from(["/a"])),
        (2, BTreeSet::from(["/a", "/b"])),
        (4, BTreeSet::new()),
    ];
    assert_eq!(by_client, BTreeMap::from(expected));
}

/// A path that addWatch lets through although no znode can have it.
#[test]
fn any_string_can_be_watched() {
    let mut watches = watches(&[(1, "", Recursive), (1, "a//", Persistent)]);
    assert_eq!(fire(&mut watches, Created, "/a"), []);
    assert!(watches.remove(ClientId(1), "", WatcherType::Any));
    assert!(watches.remove(ClientId(1), "a//", WatcherType::Any));
    assert!(watches.is_empty());
}

/// Java's two maps, written down without a thought for cost.
#[derive(Default)]
struct Model {
    data: BTreeMap<(String, u32), BTreeSet<Mode>>,
    child: BTreeMap<(String, u32), BTreeSet<Mode>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    Standard,
    Persistent,
    Recursive,
}

impl Model {
    fn add(&mut self, client: u32, path: &str, kind: WatchKind) {
        let key = (path.to_owned(), client);
        let (data, child) = match kind {
            Data => (Some(Mode::Standard), None),
            Child => (None, Some(Mode::Standard)),
            Persistent => (Some(Mode::Persistent), Some(Mode::Persistent)),
            Recursive => (Some(Mode::Recursive), None),
        };
        for (table, mode) in [(&mut self.data, data), (&mut self.child, child)] {
            if let Some(mode) = mode {
                table.entry(key.clone()).or_default().insert(mode);
            }
        }
    }

    fn remove(&mut self, client: u32, path: &str, which: WatcherType) -> bool {
        let key = (path.to_owned(), client);
        let mut removed = false;
        for (is_data, table) in [(true, &mut self.data), (false, &mut self.child)] {
            let Some(modes) = table.get_mut(&key) else {
                continue;
            };
            let before = modes.len();
            modes.retain(|mode| match which {
                WatcherType::Children => is_data || *mode != Mode::Standard,
                WatcherType::Data => !is_data || *mode != Mode::Standard,
                WatcherType::Any => false,
                WatcherType::Persistent => *mode != Mode::Persistent,
                WatcherType::PersistentRecursive => *mode != Mode::Recursive,
            });
            removed |= modes.len() < before;
            table.retain(|_, modes| !modes.is_empty());
        }
        removed
    }

    fn remove_client(&mut self, gone: u32) {
        self.data.retain(|(_, client), _| *client != gone);
        self.child.retain(|(_, client), _| *client != gone);
    }

    /// The sets of clients that hear of each trigger in turn.
    fn fire(&mut self, trigger: Trigger, path: &str) -> Vec<(EventType, String, BTreeSet<u32>)> {
        let parent = path::parent(path);
        let none = BTreeSet::new();
        let mut steps = Vec::new();
        let mut step = |table: &mut _, event, path: &str, skip: &BTreeSet<u32>| {
            let mut clients = Self::trigger(table, path);
            clients.retain(|client| !skip.contains(client));
            steps.push((event, path.to_owned(), clients.clone()));
            clients
        };
        match trigger {
            DataChanged => {
                step(&mut self.data, NodeDataChanged, path, &none);
            }
            Created => {
                step(&mut self.data, NodeCreated, path, &none);
                step(&mut self.child, NodeChildrenChanged, parent, &none);
            }
            Deleted => {
                let heard = step(&mut self.data, NodeDeleted, path, &none);
                step(&mut self.child, NodeDeleted, path, &heard);
                step(&mut self.child, NodeChildrenChanged, parent, &none);
            }
        }
        steps
    }

    fn trigger(table: &mut BTreeMap<(String, u32), BTreeSet<Mode>>, path: &str) -> BTreeSet<u32> {
        let mut clients = BTreeSet::new();
        for ((watched, client), modes) in &mut *table {
            let above = watched == "/" || path.starts_with(&format!("{watched}/"));
            if watched == path || above && modes.contains(&Mode::Recursive) {
                clients.insert(*client);
            }
            if watched == path {
                modes.remove(&Mode::Standard);
            }
        }
        table.retain(|_, modes| !modes.is_empty());
        clients
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(u32, &'static str, WatchKind),
    Remove(u32, &'static str, WatcherType),
    RemoveClient(u32),
    Fire(Trigger, &'static str),
}

fn step() -> impl Strategy<Value = Step> {
    let path = prop::sample::select(vec!["/", "/a", "/a/b", "/a/b/c", "/ab", "/b"]);
    let kind = prop::sample::select(vec![Data, Child, Persistent, Recursive]);
    let which = prop::sample::select(
        (1..=5)
            .filter_map(WatcherType::from_code)
            .collect::<Vec<_>>(),
    );
    let trigger = prop::sample::select(vec![Created, Deleted, DataChanged]);
    prop_oneof![
        8 => (0..6_u32, path.clone(), kind).prop_map(|(c, p, k)| Step::Add(c, p, k)),
        3 => (0..6_u32, path.clone(), which).prop_map(|(c, p, w)| Step::Remove(c, p, w)),
        1 => (0..6_u32).prop_map(Step::RemoveClient),
        5 => (trigger, path).prop_map(|(t, p)| Step::Fire(t, p)),
    ]
}

/// Events of the real table as the model tells them: consecutive ones of a trigger as one set.
fn check_fire(watches: &mut Watches, model: &mut Model, trigger: Trigger, path: &str) {
    let mut events = fire(watches, trigger, path).into_iter();
    for (event, path, clients) in model.fire(trigger, path) {
        let acl = if event == NodeChildrenChanged {
            AclOf::Parent
        } else {
            AclOf::Node
        };
        let mut heard = BTreeSet::new();
        for (client, was, at, asked) in events.by_ref().take(clients.len()) {
            assert_eq!((was, &at, asked), (event, &path, acl));
            heard.insert(client.0);
        }
        assert_eq!(heard, clients, "{event:?} {path}");
    }
    assert_eq!(events.next(), None);
}

fn check_contents(watches: &Watches, model: &Model, seen: &BTreeSet<u32>) {
    assert_eq!(watches.total(), model.data.len() + model.child.len());
    let mut by_path = BTreeSet::new();
    for (path, clients) in watches.by_path() {
        by_path.extend(clients.iter().map(|client| (path.to_owned(), client.0)));
    }
    let mut by_client = BTreeSet::new();
    let mut clients = BTreeSet::new();
    for (client, paths) in watches.by_client() {
        clients.insert(client.0);
        by_client.extend(paths.map(|path| (path.to_owned(), client.0)));
    }
    let expected: BTreeSet<_> = model.data.keys().cloned().collect();
    assert_eq!(
        (&by_path, &by_client, &clients),
        (&expected, &expected, seen)
    );
    let paths = expected
        .iter()
        .map(|(path, _)| path)
        .collect::<BTreeSet<_>>()
        .len();
    let counts = WatchCounts {
        clients: seen.len(),
        paths,
        watches: expected.len(),
    };
    assert_eq!(watches.data_counts(), counts);
}

proptest! {
    #[test]
    fn the_tables_do_what_javas_two_maps_do(steps in prop::collection::vec(step(), 1..80)) {
        let mut watches = Watches::new(1);
        let mut model = Model::default();
        let mut seen = BTreeSet::new();
        for step in steps {
            match step {
                Step::Add(client, path, kind) => {
                    watches.add(ClientId(client), path, kind);
                    model.add(client, path, kind);
                    if kind != Child {
                        seen.insert(client);
                    }
                }
                Step::Remove(client, path, which) => {
                    let removed = model.remove(client, path, which);
                    prop_assert_eq!(watches.contains(ClientId(client), path, which), removed);
                    prop_assert_eq!(watches.remove(ClientId(client), path, which), removed);
                }
                Step::RemoveClient(client) => {
                    watches.remove_client(ClientId(client));
                    model.remove_client(client);
                    seen.remove(&client);
                }
                Step::Fire(trigger, path) => check_fire(&mut watches, &mut model, trigger, path),
            }
            check_contents(&watches, &model, &seen);
        }
    }
}
