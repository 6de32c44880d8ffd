//! Znode numbers by the hash of the full path.
//!
//! Invariant: 64 shards that grow one at a time, from hashes kept beside the numbers, so no insert
//! waits for the whole index, and neither growing nor a lookup of what is not there reads a znode.
//! The seed is the caller's, drawn at random in a server: paths are the clients' choice, and so
//! would collisions be.

use std::hash::Hasher;

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;
use hashbrown::HashTable;

const SHARDS: usize = 64;

pub(crate) struct PathIndex {
    shards: Box<[HashTable<Entry>]>,
    seed: u64,
    shared_seed: SharedSeed,
}

/// A znode.
#[derive(Debug)]
struct Entry {
    /// Hash of its path.
    hash: u32,
    id: u32,
}

impl PathIndex {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| HashTable::new()).collect(),
            seed,
            shared_seed: SharedSeed::from_u64(seed),
        }
    }

    pub(crate) fn hash(&self, path: &str) -> u32 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared_seed);
        hasher.write(path.as_bytes());
        let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// The number with this hash that `is_it`.
    pub(crate) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.shards[shard(hash)]
            .find(widen(hash), |entry| entry.hash == hash && is_it(entry.id))
            .map(|entry| entry.id)
    }

    /// Adds a number that is not there yet.
    pub(crate) fn insert(&mut self, hash: u32, id: u32) {
        self.shards[shard(hash)].insert_unique(widen(hash), Entry { hash, id }, Entry::wide_hash);
    }

    /// Makes room for so many more numbers.
    pub(crate) fn reserve(&mut self, count: usize) {
        for shard in &mut self.shards {
            shard.reserve(count / SHARDS, Entry::wide_hash);
        }
    }

    pub(crate) fn remove(&mut self, hash: u32, id: u32) {
        let entry = self.shards[shard(hash)].find_entry(widen(hash), |entry| entry.id == id);
        entry
            .expect("every znode but the root is in the index")
            .remove();
    }
}

impl Entry {
    fn wide_hash(&self) -> u64 {
        widen(self.hash)
    }
}

/// Bits that the table uses last: it takes its place from the low ones and its tag from the top.
fn shard(hash: u32) -> usize {
    (hash >> 19) as usize % SHARDS
}

/// The table wants 64 bits.
fn widen(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inserted_is_found_until_it_is_removed() {
        let mut index = PathIndex::new(1);
        let paths: Vec<String> = (0..5_000).map(|n| format!("/n{n}")).collect();
        let hashes: Vec<u32> = paths.iter().map(|path| index.hash(path)).collect();
        for id in 0..5_000 {
            index.insert(hashes[id as usize], id);
        }
        for id in 0..5_000 {
            assert_eq!(
                index.find(hashes[id as usize], |other| other == id),
                Some(id)
            );
        }
        index.remove(hashes[17], 17);
        assert_eq!(index.find(hashes[17], |other| other == 17), None);
    }

    #[test]
    fn the_seed_changes_the_hash() {
        assert_ne!(PathIndex::new(1).hash("/a"), PathIndex::new(2).hash("/a"));
    }
}
