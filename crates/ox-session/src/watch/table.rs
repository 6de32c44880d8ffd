//! One table of watches: from path to clients, and from client to paths.
//!
//! Built for a million watches: a path is kept once and has a number; a path lists its clients, a
//! client has a hash table of the numbers with the modes beside them, 4 bytes each way
//! (design-measurements.md 4).
//!
//! Invariants: a client is in a path's list exactly if the path is in the client's table, with at
//! least one mode; a path without clients is forgotten; of a path's clients, those that watch
//! recursively come first.

use std::hash::BuildHasher;

use foldhash::{SharedSeed, fast::SeedableRandomState};
use hashbrown::hash_table::{Entry, HashTable};
use ox_mutant::{Mutant, is_on};
use ox_proto::path;
use smallvec::SmallVec;

use super::{ClientId, Heard, modes::Modes};

/// One of the two tables.
#[derive(Debug)]
pub(super) struct Table {
    hasher: SeedableRandomState,
    /// Finds a path's number.
    numbers: HashTable<PathId>,
    /// By number. One that is not in use has no clients and is in `free`.
    paths: Vec<Watched>,
    free: Vec<PathId>,
    /// By slot; `None` for a client that never had a watch here.
    clients: Vec<Option<HashTable<Held>>>,
    /// Pairs of client and path.
    watches: usize,
    /// How many of these are recursive.
    recursive: usize,
}

/// The number of a path that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct PathId(u32);

/// A path that is watched.
#[derive(Debug, Default)]
struct Watched {
    path: Box<str>,
    clients: SmallVec<[ClientId; 4]>,
    /// So many at the front of `clients` watch recursively.
    recursive: u32,
}

/// A path that a client watches and how: the number, and below it the modes.
#[derive(Clone, Copy, Debug)]
struct Held(u32);

impl Table {
    pub(super) fn new(hash_seed: u64) -> Self {
        Self {
            hasher: SeedableRandomState::with_seed(hash_seed, SharedSeed::global_fixed()),
            numbers: HashTable::new(),
            paths: Vec::new(),
            free: Vec::new(),
            clients: Vec::new(),
            watches: 0,
            recursive: 0,
        }
    }

    /// Adds to the modes in which `client` watches `path`.
    pub(super) fn add(&mut self, client: ClientId, path: &str, modes: Modes) {
        let id = self.number(path);
        if self.clients.len() <= client.slot() {
            self.clients.resize_with(client.slot() + 1, || None);
        }
        let held = self.clients[client.slot()].get_or_insert_default();
        let hasher = &self.hasher;
        let hash = hasher.hash_one(id);
        let watched = &mut self.paths[id.index()];
        let before = match held.entry(
            hash,
            |held| held.path() == id,
            |held| hasher.hash_one(held.path()),
        ) {
            Entry::Occupied(mut held) => {
                let before = held.get().modes();
                *held.get_mut() = Held::new(id, before | modes);
                before
            }
            Entry::Vacant(place) => {
                place.insert(Held::new(id, modes));
                watched.clients.push(client);
                self.watches += 1;
                Modes::NONE
            }
        };
        if (modes - before).contains(Modes::RECURSIVE) {
            watched.move_to_front(client);
            self.recursive += 1;
        }
    }

    /// Takes away from the modes in which `client` watches `path`; false if none of them was set.
    pub(super) fn remove(&mut self, client: ClientId, path: &str, modes: Modes) -> bool {
        let Some(id) = self.find(path) else {
            return false;
        };
        let Some(Some(held)) = self.clients.get_mut(client.slot()) else {
            return false;
        };
        let hash = self.hasher.hash_one(id);
        let Ok(mut held) = held.find_entry(hash, |held| held.path() == id) else {
            return false;
        };
        let before = held.get().modes();
        let left = before - modes;
        if left == Modes::NONE {
            held.remove();
        } else {
            *held.get_mut() = Held::new(id, left);
        }
        self.take_away(id, client, before, left);
        left != before
    }

    /// The modes in which `client` watches `path`.
    pub(super) fn modes(&self, client: ClientId, path: &str) -> Modes {
        let held = || {
            let id = self.find(path)?;
            let held = self.clients.get(client.slot())?.as_ref()?;
            held.find(self.hasher.hash_one(id), |held| held.path() == id)
        };
        held().map_or(Modes::NONE, |held| held.modes())
    }

    /// Forgets the client and all that it watches.
    pub(super) fn remove_client(&mut self, client: ClientId) {
        let held = self.clients.get_mut(client.slot()).and_then(Option::take);
        for held in held.into_iter().flatten() {
            self.take_away(held.path(), client, held.modes(), Modes::NONE);
        }
    }

    /// Delivers to each client that watches `path`, or one above it recursively, and that has not
    /// heard yet. Uses up the watches that were for once, also those of clients that have heard.
    pub(super) fn fire(
        &mut self,
        path: &str,
        heard: &mut Heard,
        deliver: &mut dyn FnMut(ClientId),
    ) {
        if self.watches == 0 {
            return;
        }
        if let Some(id) = self.find(path) {
            self.fire_here(id, heard, deliver);
        }
        if self.recursive == 0 || is_on(Mutant::W03) {
            return;
        }
        for ancestor in ancestors(path) {
            if let Some(id) = self.find(ancestor) {
                for &client in self.paths[id.index()].recursive() {
                    if heard.first_time(client) {
                        deliver(client);
                    }
                }
            }
        }
    }

    fn fire_here(&mut self, id: PathId, heard: &mut Heard, deliver: &mut dyn FnMut(ClientId)) {
        let Self {
            hasher,
            paths,
            clients,
            watches,
            ..
        } = self;
        let hash = hasher.hash_one(id);
        let watched = &mut paths[id.index()];
        // Recursive watches stay, so those at the front stay at the front.
        watched.clients.retain(|client| {
            if heard.first_time(*client) {
                deliver(*client);
            }
            let held = clients[client.slot()]
                .as_mut()
                .expect("a listed client has a table");
            let Ok(mut held) = held.find_entry(hash, |held| held.path() == id) else {
                unreachable!("a path that lists a client is in its table");
            };
            let left = match is_on(Mutant::W01) {
                true => held.get().modes(),
                false => held.get().modes() - Modes::STANDARD,
            };
            if left == Modes::NONE {
                held.remove();
                *watches -= 1;
                return false;
            }
            *held.get_mut() = Held::new(id, left);
            true
        });
        self.forget_if_unwatched(id);
    }

    /// Pairs of client and path.
    pub(super) fn watches(&self) -> usize {
        self.watches
    }

    /// How many paths are watched.
    pub(super) fn paths(&self) -> usize {
        self.numbers.len()
    }

    /// Every watched path with its clients.
    pub(super) fn by_path(&self) -> impl Iterator<Item = (&str, &[ClientId])> {
        let watched = self
            .paths
            .iter()
            .filter(|watched| !watched.clients.is_empty());
        watched.map(|watched| (&*watched.path, &*watched.clients))
    }

    /// Every client that ever watched something here, with its paths.
    pub(super) fn by_client(&self) -> impl Iterator<Item = (ClientId, impl Iterator<Item = &str>)> {
        (0..)
            .map(ClientId)
            .zip(&self.clients)
            .filter_map(|(client, held)| {
                let paths = held
                    .as_ref()?
                    .iter()
                    .map(|held| &*self.paths[held.path().index()].path);
                Some((client, paths))
            })
    }

    /// Brings a path's list in line once a client's modes there have gone from `before` to `left`.
    fn take_away(&mut self, id: PathId, client: ClientId, before: Modes, left: Modes) {
        let watched = &mut self.paths[id.index()];
        if (before - left).contains(Modes::RECURSIVE) {
            watched.move_from_front(client);
            self.recursive -= 1;
        }
        if left == Modes::NONE {
            watched.drop_client(client);
            self.watches -= 1;
            self.forget_if_unwatched(id);
        }
    }

    fn find(&self, path: &str) -> Option<PathId> {
        let is_path = |id: &PathId| *self.paths[id.index()].path == *path;
        self.numbers
            .find(self.hasher.hash_one(path), is_path)
            .copied()
    }

    /// The path's number; a new one if nobody watched it so far.
    fn number(&mut self, path: &str) -> PathId {
        let Self {
            hasher,
            paths,
            free,
            ..
        } = self;
        let is_path = |id: &PathId| *paths[id.index()].path == *path;
        let hash_of = |id: &PathId| hasher.hash_one(&*paths[id.index()].path);
        let place = match self.numbers.entry(hasher.hash_one(path), is_path, hash_of) {
            Entry::Occupied(number) => return *number.get(),
            Entry::Vacant(place) => place,
        };
        let id = free.pop().unwrap_or_else(|| PathId::nth(paths.len()));
        place.insert(id);
        if id.index() == paths.len() {
            paths.push(Watched::default());
        }
        paths[id.index()].path = path.into();
        id
    }

    fn forget_if_unwatched(&mut self, id: PathId) {
        let watched = &mut self.paths[id.index()];
        if !watched.clients.is_empty() {
            return;
        }
        let hash = self.hasher.hash_one(&*watched.path);
        *watched = Watched::default();
        if let Ok(number) = self.numbers.find_entry(hash, |&number| number == id) {
            number.remove();
        }
        self.free.push(id);
    }
}

impl Watched {
    fn recursive(&self) -> &[ClientId] {
        &self.clients[..self.recursive as usize]
    }

    fn move_to_front(&mut self, client: ClientId) {
        let place = self.place(client);
        self.clients.swap(place, self.recursive as usize);
        self.recursive += 1;
    }

    fn move_from_front(&mut self, client: ClientId) {
        let place = self.place(client);
        self.recursive -= 1;
        self.clients.swap(place, self.recursive as usize);
    }

    /// Only for one that does not watch recursively: the last takes its place.
    fn drop_client(&mut self, client: ClientId) {
        let place = self.place(client);
        self.clients.swap_remove(place);
    }

    /// From the back: a client that was just added is there.
    fn place(&self, client: ClientId) -> usize {
        let place = self.clients.iter().rposition(|&listed| listed == client);
        place.expect("a client is listed under the paths in its table")
    }
}

impl PathId {
    /// # Panics
    /// When there are more paths than a [`Held`] has room for, half a thousand million.
    fn nth(n: usize) -> Self {
        let n = u32::try_from(n)
            .ok()
            .filter(|n| n >> (u32::BITS - Modes::BITS) == 0);
        Self(n.expect("too many watched paths"))
    }

    fn index(self) -> usize {
        self.0 as usize
    }
}

impl Held {
    fn new(path: PathId, modes: Modes) -> Self {
        Self(path.0 << Modes::BITS | modes.to_bits())
    }

    fn path(self) -> PathId {
        PathId(self.0 >> Modes::BITS)
    }

    fn modes(self) -> Modes {
        Modes::from_bits(self.0)
    }
}

/// The paths above this one, nearest first; none above the root.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |&below| {
        (below != path::ROOT).then(|| path::parent(below))
    })
    .skip(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ClientId = ClientId(0);
    const B: ClientId = ClientId(1);

    #[test]
    fn the_number_of_a_forgotten_path_is_used_again() {
        let mut table = Table::new(0);
        for path in ["/a", "/b", "/c"] {
            table.add(A, path, Modes::STANDARD);
            table.fire(
                path,
                &mut Heard {
                    trigger: 1,
                    last: Vec::new(),
                },
                &mut |_| (),
            );
        }
        assert_eq!(
            (table.paths.len(), table.free.len(), table.paths()),
            (1, 1, 0)
        );
    }

    #[test]
    fn ancestors_are_walked_only_while_somebody_watches_recursively() {
        let mut table = Table::new(0);
        table.add(A, "/", Modes::RECURSIVE);
        table.add(A, "/", Modes::RECURSIVE);
        table.add(B, "/", Modes::STANDARD);
        table.add(B, "/", Modes::RECURSIVE);
        assert_eq!(table.recursive, 2);
        table.remove(A, "/", Modes::STANDARD);
        table.remove(A, "/", Modes::ALL);
        assert_eq!(table.recursive, 1);
        table.remove_client(B);
        assert_eq!(table.recursive, 0);
    }

    #[test]
    fn a_path_costs_less_than_a_cache_line_and_a_watch_four_bytes_each_way() {
        assert!(size_of::<Watched>() <= 56);
        assert_eq!((size_of::<ClientId>(), size_of::<Held>()), (4, 4));
    }

    #[test]
    fn the_paths_above_are_found_nearest_first() {
        let above = |path| ancestors(path).collect::<Vec<_>>();
        assert_eq!(above("/a/b/c"), ["/a/b", "/a", "/"]);
        assert_eq!(above("/a"), ["/"]);
        assert_eq!(above("/"), [""; 0]);
    }
}
