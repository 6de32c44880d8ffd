//! What clients see: the tree, the sessions that own parts of it, and the watches on it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ox_proto::{Id, SessionId, Zxid};
use ox_session::{ClientId, Watches};
use ox_tree::DataTree;

use crate::state::State;

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
    /// How often another state has taken the place of this one. Whoever reads the tree piece by
    /// piece must begin anew when it changes.
    pub generation: u64,
    /// Who the connections are.
    pub(crate) identities: HashMap<ClientId, Arc<[Id]>, FixedState>,
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
    pub fn new(state: State, hash_seed: u64) -> Self {
        Self {
            tree: state.tree,
            sessions: state.sessions,
            watches: Watches::new(hash_seed),
            digests: state.digests,
            generation: 0,
            identities: HashMap::with_hasher(FixedState::with_seed(hash_seed)),
        }
    }

    /// Puts another state in place of znodes and sessions.
    pub(crate) fn replace(&mut self, state: State) {
        self.tree = state.tree;
        self.sessions = state.sessions;
        self.digests = state.digests;
        self.generation += 1;
    }

    /// Says who a connection that the core knows is: by these identities events are let through
    /// to it from now on. They stand here, and not in the core, since a connection that has
    /// authenticated leaves its next watch here, and no event may come between.
    pub fn identify(&mut self, client: ClientId, ids: Arc<[Id]>) {
        self.identities.insert(client, ids);
    }
}
