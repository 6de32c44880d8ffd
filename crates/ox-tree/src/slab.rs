//! Values by number, in chunks.
//!
//! Invariant: a value never moves while it is here, and growing never copies what is there, so
//! one insert among millions costs what any other does. A number is used again after `remove`.

use std::ops::{Index, IndexMut};

/// No value has this number.
pub(crate) const NONE: u32 = u32::MAX;

const CHUNK_BITS: u32 = 12;
const CHUNK_LEN: usize = 1 << CHUNK_BITS;

pub(crate) struct Slab<T> {
    chunks: Vec<Vec<T>>,
    free: Vec<u32>,
}

impl<T: Default> Slab<T> {
    pub(crate) fn new() -> Self {
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
        }
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.capacity() - self.free.len()
    }

    fn capacity(&self) -> usize {
        match self.chunks.last() {
            Some(last) => (self.chunks.len() - 1) * CHUNK_LEN + last.len(),
            None => 0,
        }
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(id) = self.free.pop() {
            self[id] = value;
            return id;
        }
        let id = u32::try_from(self.capacity()).expect("fewer than 2^32 values");
        assert_ne!(id, NONE, "the last number means none");
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK_LEN => chunk.push(value),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK_LEN);
                chunk.push(value);
                self.chunks.push(chunk);
            }
        }
        id
    }

    /// Takes the value out and leaves the default in its place until the number is used again.
    pub(crate) fn remove(&mut self, id: u32) -> T {
        self.free.push(id);
        std::mem::take(&mut self[id])
    }
}

fn split(id: u32) -> (usize, usize) {
    ((id >> CHUNK_BITS) as usize, id as usize % CHUNK_LEN)
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, id: u32) -> &T {
        let (chunk, offset) = split(id);
        &self.chunks[chunk][offset]
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, id: u32) -> &mut T {
        let (chunk, offset) = split(id);
        &mut self.chunks[chunk][offset]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_used_again() {
        let mut slab = Slab::new();
        for value in 0..10_000_u32 {
            assert_eq!(slab.insert(value), value);
        }
        assert_eq!(
            (slab.len(), slab[9_999], slab[4_096]),
            (10_000, 9_999, 4_096)
        );
        assert_eq!(slab.remove(4_096), 4_096);
        assert_eq!((slab.len(), slab[4_096]), (9_999, 0));
        assert_eq!(slab.insert(7), 4_096);
        assert_eq!(slab.insert(8), 10_000);
        assert_eq!((slab.len(), slab[4_096]), (10_001, 7));
    }
}
