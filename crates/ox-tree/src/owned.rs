//! The znodes that somebody may delete besides clients: ephemerals by session, containers and
//! TTL nodes.
//!
//! Invariant: exactly the znodes whose owner is not 0 are here, each in one of the three.
//! Everything is ordered by znode number; who needs an order that is equal on all servers sorts
//! paths.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ox_proto::SessionId;

use crate::owner::{OwnerKind, TreeOptions, owner_kind};

#[derive(Default)]
pub(crate) struct Owned {
    /// Rare enough not to stand in every znode.
    owners: HashMap<u32, i64, FixedState>,
    ephemerals: BTreeMap<SessionId, BTreeSet<u32>>,
    containers: BTreeSet<u32>,
    ttl_nodes: BTreeSet<u32>,
}

impl Owned {
    /// Notes the owner, not 0, of a znode that had none.
    pub(crate) fn insert(&mut self, id: u32, owner: i64, options: &TreeOptions) {
        self.owners.insert(id, owner);
        match owner_kind(owner, options) {
            OwnerKind::Persistent => false,
            OwnerKind::Ephemeral(session) => self.ephemerals.entry(session).or_default().insert(id),
            OwnerKind::Container => self.containers.insert(id),
            OwnerKind::Ttl(_) => self.ttl_nodes.insert(id),
        };
    }

    pub(crate) fn remove(&mut self, id: u32, options: &TreeOptions) {
        let Some(owner) = self.owners.remove(&id) else {
            return;
        };
        match owner_kind(owner, options) {
            OwnerKind::Persistent => {}
            OwnerKind::Ephemeral(session) => {
                if let Some(ids) = self.ephemerals.get_mut(&session) {
                    ids.remove(&id);
                    if ids.is_empty() {
                        self.ephemerals.remove(&session);
                    }
                }
            }
            OwnerKind::Container => {
                self.containers.remove(&id);
            }
            OwnerKind::Ttl(_) => {
                self.ttl_nodes.remove(&id);
            }
        }
    }

    /// The stored owner; 0 for a znode that is not here.
    pub(crate) fn owner(&self, id: u32) -> i64 {
        self.owners.get(&id).copied().unwrap_or_default()
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.ephemerals.keys().copied()
    }

    pub(crate) fn ephemerals(&self, session: SessionId) -> impl Iterator<Item = u32> {
        self.ephemerals.get(&session).into_iter().flatten().copied()
    }

    pub(crate) fn ephemeral_count(&self) -> usize {
        self.owners.len() - self.containers.len() - self.ttl_nodes.len()
    }

    pub(crate) fn containers(&self) -> impl Iterator<Item = u32> {
        self.containers.iter().copied()
    }

    pub(crate) fn ttl_nodes(&self) -> impl Iterator<Item = u32> {
        self.ttl_nodes.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owner::{CONTAINER_OWNER, ttl_owner};

    #[test]
    fn every_owner_is_found_by_its_kind_until_it_is_removed() {
        let options = TreeOptions {
            extended_types: true,
            ..TreeOptions::default()
        };
        let mut owned = Owned::default();
        for (id, owner) in [
            (1, 7),
            (2, 7),
            (3, 8),
            (4, CONTAINER_OWNER),
            (5, ttl_owner(9).unwrap()),
        ] {
            owned.insert(id, owner, &options);
        }
        assert_eq!(
            (owned.owner(3), owned.owner(9), owned.ephemeral_count()),
            (8, 0, 3)
        );
        assert_eq!(owned.ephemerals(SessionId(7)).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(
            owned
                .containers()
                .chain(owned.ttl_nodes())
                .collect::<Vec<_>>(),
            [4, 5]
        );
        for id in [1, 2, 4, 5] {
            owned.remove(id, &options);
        }
        assert_eq!(owned.sessions().collect::<Vec<_>>(), [SessionId(8)]);
        assert_eq!(owned.containers().chain(owned.ttl_nodes()).count(), 0);
        assert_eq!(owned.ephemeral_count(), 1);
    }
}
