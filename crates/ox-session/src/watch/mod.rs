//! Who wants to hear of what: the watches of 3.9.
//!
//! Two tables, one for data and one for children, from path to clients. A client may watch one
//! path in several modes at once: once only (gone when it fires), persistent, and persistent and
//! recursive. Recursive watches are in the data table only, so their clients never hear that
//! children changed. The watches belong to a connection and end with it.
//!
//! Invariant: a client hears of one trigger at most once, however many of its watches match; and a
//! one-shot watch that matches is used up even if its client hears of the trigger by another.
//! Source: `WatchManager`, `WatcherMode`, `DataTree`; client-protocol.md 7.2 to 7.6.

mod modes;
mod table;
#[cfg(test)]
mod tests;

use ox_mutant::{Mutant, is_on};
use ox_proto::{EventType, WatcherType, path};

use self::{modes::Modes, table::Table};

/// A connection, by the number of its slot: small, dense, and used again once
/// [`Watches::remove_client`] has been called for it. Tables are as long as the largest is high.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u32);

impl ClientId {
    fn slot(self) -> usize {
        self.0 as usize
    }
}

/// How a client watches a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchKind {
    /// Its data and whether it exists, once: getData and exists.
    Data,
    /// Its children, once: getChildren.
    Child,
    /// Both, until removed: addWatch.
    Persistent,
    /// Its data and that of everything below, until removed: addWatch.
    PersistentRecursive,
}

/// What a transaction did to a znode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// It made it.
    Created,
    /// It deleted it.
    Deleted,
    /// It set its data.
    DataChanged,
}

/// Whose acl decides if a client may hear of an event (client-protocol.md 7.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AclOf {
    /// That of the znode that the transaction changed.
    Node,
    /// That of its parent.
    Parent,
}

/// The size of the data table, as `wchs` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchCounts {
    /// Clients that have set a watch, be it fired by now or not.
    pub clients: usize,
    /// Paths with a watch.
    pub paths: usize,
    /// Pairs of client and path.
    pub watches: usize,
}

/// All watches of one server.
#[derive(Debug)]
pub struct Watches {
    data: Table,
    child: Table,
    heard: Heard,
}

impl Watches {
    /// No watches. The seed keeps clients from choosing paths that collide.
    pub fn new(hash_seed: u64) -> Self {
        Self {
            data: Table::new(hash_seed),
            child: Table::new(hash_seed),
            heard: Heard::default(),
        }
    }

    /// Sets a watch. Setting it twice is setting it once.
    pub fn add(&mut self, client: ClientId, path: &str, kind: WatchKind) {
        match kind {
            WatchKind::Data => self.data.add(client, path, Modes::STANDARD),
            WatchKind::Child => self.child.add(client, path, Modes::STANDARD),
            WatchKind::Persistent => {
                self.data.add(client, path, Modes::PERSISTENT);
                self.child.add(client, path, Modes::PERSISTENT);
            }
            WatchKind::PersistentRecursive => self.data.add(client, path, Modes::RECURSIVE),
        }
    }

    /// Removes the client's watches of this type on exactly this path. False if there were none.
    pub fn remove(&mut self, client: ClientId, path: &str, which: WatcherType) -> bool {
        let (data, child) = match which {
            WatcherType::Children => (Modes::NONE, Modes::STANDARD),
            WatcherType::Data => (Modes::STANDARD, Modes::NONE),
            WatcherType::Any => (Modes::ALL, Modes::ALL),
            WatcherType::Persistent => (Modes::PERSISTENT, Modes::PERSISTENT),
            WatcherType::PersistentRecursive => (Modes::RECURSIVE, Modes::NONE),
        };
        let in_data = self.data.remove(client, path, data);
        let in_child = self.child.remove(client, path, child);
        in_data || in_child
    }

    /// True if the client has a watch of this type on exactly this path.
    pub fn contains(&self, client: ClientId, path: &str, which: WatcherType) -> bool {
        let data = || self.data.modes(client, path);
        let child = || self.child.modes(client, path);
        match which {
            WatcherType::Children => child().contains(Modes::STANDARD),
            WatcherType::Data => data().contains(Modes::STANDARD),
            WatcherType::Any => data() != Modes::NONE || child() != Modes::NONE,
            WatcherType::Persistent => data().contains(Modes::PERSISTENT),
            WatcherType::PersistentRecursive => data().contains(Modes::RECURSIVE),
        }
    }

    /// Removes all watches of a connection that has ended.
    pub fn remove_client(&mut self, client: ClientId) {
        self.data.remove_client(client);
        self.child.remove_client(client);
    }

    /// Tells `deliver` every event that this change causes, in ZooKeeper's order: who hears of it,
    /// the event, its path, and whose acl must let the client read. The watches are used up
    /// whether it is delivered or not.
    pub fn fire(
        &mut self,
        trigger: Trigger,
        path: &str,
        deliver: &mut dyn FnMut(ClientId, EventType, &str, AclOf),
    ) {
        match trigger {
            Trigger::DataChanged => self.fire_data(EventType::NodeDataChanged, path, deliver),
            Trigger::Created => {
                self.fire_data(EventType::NodeCreated, path, deliver);
                self.fire_parent(path, deliver);
            }
            Trigger::Deleted => {
                self.fire_data(EventType::NodeDeleted, path, deliver);
                // Not a new trigger: who has heard of it as data does not hear of it again.
                self.child.fire(path, &mut self.heard, &mut |client| {
                    deliver(client, EventType::NodeDeleted, path, AclOf::Node);
                });
                if !is_on(Mutant::W06) {
                    self.fire_parent(path, deliver);
                }
            }
        }
    }

    fn fire_data(
        &mut self,
        event: EventType,
        path: &str,
        deliver: &mut dyn FnMut(ClientId, EventType, &str, AclOf),
    ) {
        self.heard.forget();
        self.data.fire(path, &mut self.heard, &mut |client| {
            deliver(client, event, path, AclOf::Node);
        });
    }

    fn fire_parent(
        &mut self,
        path: &str,
        deliver: &mut dyn FnMut(ClientId, EventType, &str, AclOf),
    ) {
        let parent = path::parent(path);
        self.heard.forget();
        self.child.fire(parent, &mut self.heard, &mut |client| {
            deliver(
                client,
                EventType::NodeChildrenChanged,
                parent,
                AclOf::Parent,
            );
        });
    }

    /// True if nobody watches anything.
    pub fn is_empty(&self) -> bool {
        self.total() == 0
    }

    /// Pairs of client and path in the two tables together: a persistent watch counts twice.
    pub fn total(&self) -> usize {
        self.data.watches() + self.child.watches()
    }

    /// The size of the data table.
    pub fn data_counts(&self) -> WatchCounts {
        WatchCounts {
            clients: self.data.by_client().count(),
            paths: self.data.paths(),
            watches: self.data.watches(),
        }
    }

    /// The data table by path, in no order.
    pub fn by_path(&self) -> impl Iterator<Item = (&str, &[ClientId])> {
        self.data.by_path()
    }

    /// The data table by client. One whose watches have all fired is still there, without paths.
    pub fn by_client(&self) -> impl Iterator<Item = (ClientId, impl Iterator<Item = &str>)> {
        self.data.by_client()
    }
}

/// Who has heard of the present trigger. Forgetting is one step, whoever had heard.
#[derive(Debug, Default)]
struct Heard {
    trigger: u64,
    /// By client: the last trigger it heard of.
    last: Vec<u64>,
}

impl Heard {
    fn forget(&mut self) {
        self.trigger += 1;
    }

    /// True the first time that it is called for this client since the last `forget`.
    fn first_time(&mut self, client: ClientId) -> bool {
        if self.last.len() <= client.slot() {
            self.last.resize(client.slot() + 1, 0);
        }
        std::mem::replace(&mut self.last[client.slot()], self.trigger) != self.trigger
    }
}
