//! What clients see: the tree, the sessions that own parts of it, and the watches on it.

use std::collections::{BTreeMap, VecDeque};

use ox_proto::{SessionId, Zxid};
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
    /// The digests that the tree has had.
    pub digests: DigestLog,
}

/// The digest of the tree after every so many transactions, so that servers can be compared.
/// Source: `DataTree.digestLog`; storage.md 9.4.
#[derive(Clone, Debug, Default)]
pub struct DigestLog {
    digests: VecDeque<(Zxid, i64)>,
}

impl DigestLog {
    const INTERVAL: i64 = 128;
    const LENGTH: usize = 1024;

    /// Notes the digest after `zxid` if it is that one's turn.
    pub fn note(&mut self, zxid: Zxid, digest: i64) {
        if zxid.0 % Self::INTERVAL == 0 {
            if self.digests.len() == Self::LENGTH {
                self.digests.pop_front();
            }
            self.digests.push_back((zxid, digest));
        }
    }

    /// What was noted, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Zxid, i64)> {
        self.digests.iter().copied()
    }
}

impl Database {
    /// A database of what was found on disk.
    pub fn new(
        tree: DataTree,
        sessions: BTreeMap<SessionId, i32>,
        digests: DigestLog,
        hash_seed: u64,
    ) -> Self {
        Self {
            tree,
            sessions,
            watches: Watches::new(hash_seed),
            digests,
        }
    }
}
