//! Acl lists by number, each distinct list once.
//!
//! Invariant: a list is here while a znode uses it. A number is not used again soon after its
//! list has gone: an image that is being written has put the numbers on record already.
//! Source: `org.apache.zookeeper.server.ReferenceCountedACLCache`.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use foldhash::SharedSeed;
use foldhash::fast::{FixedState, FoldHasher};
use hashbrown::{HashMap, HashTable};
use ox_proto::Acl;

/// The number of the open list, which is always here: everything for everybody.
pub(crate) const OPEN: u32 = 0;

/// Numbers stay below this, so that a znode has room for flags beside them.
const LIMIT: u32 = 1 << 30;

struct Entry {
    list: Arc<[Acl]>,
    hash: u64,
    uses: usize,
}

pub(crate) struct AclTable {
    open: Arc<[Acl]>,
    entries: HashMap<u32, Entry, FixedState>,
    numbers: HashTable<u32>,
    seed: SharedSeed,
    last: u32,
}

impl AclTable {
    pub(crate) fn new(hash_seed: u64) -> Self {
        Self {
            open: Arc::new([Acl::world(Acl::ALL)]),
            entries: HashMap::default(),
            numbers: HashTable::new(),
            seed: SharedSeed::from_u64(hash_seed),
            last: OPEN,
        }
    }

    pub(crate) fn list(&self, number: u32) -> &Arc<[Acl]> {
        match number {
            OPEN => &self.open,
            _ => &self.entries[&number].list,
        }
    }

    /// The lists besides the open one, by number.
    pub(crate) fn lists(&self) -> Vec<(u32, &Arc<[Acl]>)> {
        let mut lists: Vec<_> = self
            .entries
            .iter()
            .map(|(number, entry)| (*number, &entry.list))
            .collect();
        lists.sort_unstable_by_key(|(number, _)| *number);
        lists
    }

    /// The number of `list`, for one more user.
    pub(crate) fn acquire(&mut self, list: &[Acl]) -> u32 {
        if *list == *self.open {
            return OPEN;
        }
        let hash = hash(&self.seed, list);
        let entries = &mut self.entries;
        if let Some(number) = self
            .numbers
            .find(hash, |number| *entries[number].list == *list)
        {
            self.entries
                .get_mut(number)
                .expect("both maps hold the same numbers")
                .uses += 1;
            return *number;
        }
        let number = self.free_number();
        self.entries.insert(
            number,
            Entry {
                list: list.into(),
                hash,
                uses: 1,
            },
        );
        let entries = &self.entries;
        self.numbers
            .insert_unique(hash, number, |number| entries[number].hash);
        number
    }

    /// One more user of a list that is here.
    pub(crate) fn acquire_again(&mut self, number: u32) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.uses += 1;
        }
    }

    /// One user less.
    pub(crate) fn release(&mut self, number: u32) {
        let Some(entry) = self.entries.get_mut(&number) else {
            return; // The open list is not counted.
        };
        entry.uses -= 1;
        if entry.uses == 0 {
            let hash = entry.hash;
            self.entries.remove(&number);
            let found = self.numbers.find_entry(hash, |other| *other == number);
            found.expect("both maps hold the same numbers").remove();
        }
    }

    fn free_number(&mut self) -> u32 {
        assert!(
            self.entries.len() < LIMIT as usize / 2,
            "too many distinct acl lists"
        );
        loop {
            self.last = self.last % (LIMIT - 1) + 1;
            if !self.entries.contains_key(&self.last) {
                return self.last;
            }
        }
    }
}

fn hash(seed: &SharedSeed, list: &[Acl]) -> u64 {
    let mut state = FoldHasher::with_seed(0, seed);
    for acl in list {
        acl.perms.hash(&mut state);
        acl.id.scheme.hash(&mut state);
        acl.id.id.hash(&mut state);
    }
    state.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lists_share_a_number_until_the_last_user_has_gone() {
        let mut table = AclTable::new(1);
        let read = [Acl::world(Acl::READ)];
        assert_eq!(table.acquire(&[Acl::world(Acl::ALL)]), OPEN);
        let number = table.acquire(&read);
        assert_eq!(table.acquire(&read), number);
        assert_ne!(table.acquire(&[]), number);
        assert_eq!(**table.list(number), read);
        table.release(number);
        assert_eq!(table.lists().len(), 2);
        table.release(number);
        assert_eq!(table.lists().len(), 1);
        table.release(OPEN);
        assert_eq!(**table.list(OPEN), [Acl::world(Acl::ALL)]);
    }

    #[test]
    fn a_number_is_not_used_again_at_once() {
        let mut table = AclTable::new(1);
        let first = table.acquire(&[Acl::world(1)]);
        table.release(first);
        assert_ne!(table.acquire(&[Acl::world(2)]), first);
    }
}
