//! Lookups of many paths, made ready side by side.
//!
//! In a tree larger than the caches a lookup does little but wait for memory, four times in a row:
//! twice for the index, for the znode, for its name and data. One after the other the lookups of a
//! batch wait for each other too. Here the same places are read for all paths of a batch, stage by
//! stage; within a stage no read depends on another, so the processor has many under way at once.
//! Invariant: nothing is changed and nothing answered; whoever leaves this out gets the same
//! results later.

use std::hint::black_box;

use crate::tree::{DataTree, ROOT};

/// Paths that are made ready together: about as many reads as a core can have under way.
const SIDE_BY_SIDE: usize = 16;

impl DataTree {
    /// Reads what the lookups of these paths are going to read, so that they find it in the caches.
    /// Worth it for paths that are looked up soon, and a few hundred at the most.
    pub fn warm<'a>(&self, paths: impl IntoIterator<Item = &'a str>) {
        let mut paths = paths.into_iter().peekable();
        while paths.peek().is_some() {
            let mut found = [ROOT; SIDE_BY_SIDE];
            for (place, path) in found.iter_mut().zip(&mut paths) {
                *place = self.candidate(path).unwrap_or(ROOT);
            }
            for id in found {
                black_box(self.nodes[id].blob.first_byte());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{DataTree, TreeOptions};

    #[test]
    fn any_paths_in_any_number_can_be_made_ready() {
        let tree = DataTree::new(1, TreeOptions::default());
        tree.warm([]);
        let paths = [
            "",
            "/",
            "/zookeeper",
            "/zookeeper/quota",
            "/not/there",
            "no path",
        ];
        for count in [1, 15, 16, 17, 100] {
            tree.warm(paths.into_iter().cycle().take(count));
        }
    }
}
