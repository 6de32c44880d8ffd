//! Values by number, in chunks.
//!
//! Invariant: a value never moves while it is here, and growing never copies what is there, so
//! one insert among millions costs what any other does. A number is used again after `remove`.

use std::ops::{Index, IndexMut};

/// No value has this number.
pub(crate) const NONE: u32 = u32::MAX;

/// A size that allocators hand out without slack.
const CHUNK_BYTES: usize = 1 << 18;

pub(crate) struct Slab<T> {
    chunks: Vec<Vec<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    const CHUNK_LEN: usize = CHUNK_BYTES / size_of::<T>();

    fn place(id: u32) -> (usize, usize) {
        (id as usize / Self::CHUNK_LEN, id as usize % Self::CHUNK_LEN)
    }
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
            Some(last) => (self.chunks.len() - 1) * Self::CHUNK_LEN + last.len(),
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
            Some(chunk) if chunk.len() < Self::CHUNK_LEN => chunk.push(value),
            _ => {
                let mut chunk = Vec::with_capacity(Self::CHUNK_LEN);
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

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, id: u32) -> &T {
        let (chunk, offset) = Self::place(id);
        &self.chunks[chunk][offset]
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, id: u32) -> &mut T {
        let (chunk, offset) = Self::place(id);
        &mut self.chunks[chunk][offset]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_used_again() {
        let mut slab = Slab::new();
        for value in 0..200_000_u32 {
            assert_eq!(slab.insert(value), value);
        }
        assert_eq!(
            (slab.len(), slab[199_999], slab[65_536]),
            (200_000, 199_999, 65_536)
        );
        assert_eq!(slab.remove(65_536), 65_536);
        assert_eq!((slab.len(), slab[65_536]), (199_999, 0));
        assert_eq!(slab.insert(7), 65_536);
        assert_eq!(slab.insert(8), 200_000);
        assert_eq!((slab.len(), slab[65_536]), (200_001, 7));
    }
}
