//! What clients see: the tree, the sessions that own parts of it, and the watches on it.

use std::collections::BTreeMap;

use ox_proto::SessionId;
use ox_session::Watches;
use ox_tree::DataTree;

/// The state that reads are answered from and that committed transactions change.
pub struct Database {
    /// The znodes.
    pub tree: DataTree,
    /// The sessions that exist, with their timeouts in milliseconds: part of every snapshot.
    pub sessions: BTreeMap<SessionId, i32>,
    /// The watches of this server's connections.
    pub watches: Watches,
}

impl Database {
    /// A database of what was found on disk.
    pub fn new(tree: DataTree, sessions: BTreeMap<SessionId, i32>, hash_seed: u64) -> Self {
        Self {
            tree,
            sessions,
            watches: Watches::new(hash_seed),
        }
    }
}
