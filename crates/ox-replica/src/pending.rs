//! The tree as it will be once everything proposed is applied.
//!
//! Invariant: a record stands for a znode from its proposal to its commit, and the newest one
//! wins; where none stands, the committed tree tells. Source: `ChangeRecord` and
//! `ZooKeeperServer.outstandingChanges`; client-protocol.md 4.3, storage.md 9.

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ox_proto::{Acl, SessionId, StatPersisted, Zxid};
use ox_tree::DataTree;
use ox_tree::digest::DigestPrefix;

/// A znode as proposals will leave it.
#[derive(Clone, Debug)]
pub(crate) struct PendingNode {
    pub(crate) stat: StatPersisted,
    pub(crate) children: usize,
    pub(crate) acl: Arc<[Acl]>,
    pub(crate) data: PendingData,
}

/// What there is to know of a znode's data as proposals will leave it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PendingData {
    /// It is as in the committed tree.
    Committed,
    /// It is replaced.
    New {
        /// Its length in bytes.
        length: usize,
        /// What it adds, with the path, to the digest of the znode.
        prefix: DigestPrefix,
    },
}

#[derive(Clone, Debug)]
struct Record {
    zxid: Zxid,
    /// `None` for a znode that will be gone.
    node: Option<PendingNode>,
    /// What the znode adds to the digest of the tree.
    digest: u32,
}

/// What has been proposed and not applied.
#[derive(Debug)]
pub(crate) struct PendingView {
    records: HashMap<Arc<str>, Record, FixedState>,
    /// Every record set, oldest first, so that a commit finds what it ends.
    order: VecDeque<Set>,
    /// Ephemerals that are to be made, by session, oldest first; some may have gone again.
    born: HashMap<SessionId, VecDeque<Arc<str>>, FixedState>,
    /// The digest of the tree with all of it applied.
    digest: i64,
    /// What the proposal that is being prepared has replaced.
    undo: Undo,
}

/// One call of [`PendingView::set`].
#[derive(Debug)]
struct Set {
    zxid: Zxid,
    path: Arc<str>,
    /// The session for which it makes an ephemeral.
    born: Option<SessionId>,
}

#[derive(Debug, Default)]
struct Undo {
    digest: i64,
    replaced: Vec<(Arc<str>, Option<Record>)>,
}

impl PendingView {
    /// Nothing is pending on `tree`.
    pub(crate) fn new(tree: &DataTree, hash_seed: u64) -> Self {
        Self {
            records: HashMap::with_hasher(FixedState::with_seed(hash_seed)),
            order: VecDeque::new(),
            born: HashMap::with_hasher(FixedState::with_seed(hash_seed)),
            digest: tree.digest(),
            undo: Undo::default(),
        }
    }

    /// The digest of the tree once all that is pending is applied.
    pub(crate) fn digest(&self) -> i64 {
        self.digest
    }

    /// The znode as it will be.
    pub(crate) fn node(&self, tree: &DataTree, path: &str) -> Option<PendingNode> {
        match self.records.get(path) {
            Some(record) => record.node.clone(),
            None => tree.node(path).map(|node| PendingNode {
                stat: node.stat_persisted(),
                children: node.child_count(),
                acl: Arc::clone(node.acl()),
                data: PendingData::Committed,
            }),
        }
    }

    /// The length of the data of `node`, which stands at `path`.
    pub(crate) fn data_length(tree: &DataTree, path: &str, node: &PendingNode) -> usize {
        match node.data {
            PendingData::New { length, .. } => length,
            PendingData::Committed => tree
                .node(path)
                .and_then(|committed| committed.data())
                .map_or(0, <[u8]>::len),
        }
    }

    /// Says what the proposal `zxid` makes of the znode at `path`; `None` deletes it.
    pub(crate) fn set(
        &mut self,
        tree: &DataTree,
        zxid: Zxid,
        path: &str,
        node: Option<PendingNode>,
    ) {
        let committed = || tree.node(path);
        let digest = node.as_ref().map_or(0, |node| match node.data {
            PendingData::New { prefix, .. } => prefix.digest(&node.stat),
            PendingData::Committed => {
                committed().map_or(0, |old| old.digest_prefix().digest(&node.stat))
            }
        });
        let (key, before) = match self.records.get_key_value(path) {
            Some((key, record)) => (Arc::clone(key), record.digest),
            None => (Arc::from(path), committed().map_or(0, |old| old.digest())),
        };
        self.digest = self
            .digest
            .wrapping_sub(before.into())
            .wrapping_add(digest.into());
        let record = Record { zxid, node, digest };
        let owner = record.owner();
        let replaced = self.records.insert(Arc::clone(&key), record);
        let owner_before = match &replaced {
            Some(record) => record.owner(),
            None => owner.and_then(|_| committed_owner(tree, path)),
        };
        let born = owner.filter(|_| owner != owner_before);
        if let Some(session) = born {
            let paths = self.born.entry(session).or_default();
            paths.push_back(Arc::clone(&key));
        }
        self.order.push_back(Set {
            zxid,
            path: Arc::clone(&key),
            born,
        });
        self.undo.replaced.push((key, replaced));
    }

    /// Begins a proposal: [`roll_back`](Self::roll_back) returns to here.
    pub(crate) fn begin(&mut self) {
        self.undo.digest = self.digest;
        self.undo.replaced.clear();
    }

    /// The proposal comes to nothing: everything is as before it.
    pub(crate) fn roll_back(&mut self) {
        self.digest = self.undo.digest;
        while let Some((key, replaced)) = self.undo.replaced.pop() {
            let set = self.order.pop_back().expect("what was replaced was set");
            self.forget_born(set.born, VecDeque::pop_back);
            match replaced {
                Some(record) => self.records.insert(key, record),
                None => self.records.remove(&key),
            };
        }
    }

    fn forget_born(
        &mut self,
        session: Option<SessionId>,
        pop: fn(&mut VecDeque<Arc<str>>) -> Option<Arc<str>>,
    ) {
        if let Some(session) = session
            && let Some(paths) = self.born.get_mut(&session)
        {
            pop(paths);
            if paths.is_empty() {
                self.born.remove(&session);
            }
        }
    }

    /// The proposal `zxid` has been applied: the tree tells by itself what it did.
    pub(crate) fn applied(&mut self, zxid: Zxid) {
        while let Some(set) = self.order.pop_front_if(|set| set.zxid <= zxid) {
            self.forget_born(set.born, VecDeque::pop_front);
            if self
                .records
                .get(&set.path)
                .is_some_and(|record| record.zxid <= zxid)
            {
                self.records.remove(&set.path);
            }
        }
    }

    /// The ephemerals that `session` will own, in order.
    pub(crate) fn ephemerals(&self, tree: &DataTree, session: SessionId) -> Vec<String> {
        let born = self.born.get(&session).into_iter().flatten();
        let mut paths: Vec<_> = tree
            .ephemerals(session)
            .chain(born.map(|path| path.to_string()))
            .filter(|path| {
                let record = self.records.get(path.as_str());
                record.is_none_or(|record| record.owner() == Some(session))
            })
            .collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }
}

impl Record {
    fn owner(&self) -> Option<SessionId> {
        owner(&self.node.as_ref()?.stat)
    }
}

fn committed_owner(tree: &DataTree, path: &str) -> Option<SessionId> {
    owner(&tree.node(path)?.stat_persisted())
}

/// Whoever owns the znode, taken for a session: containers, which are owned too, never close.
fn owner(stat: &StatPersisted) -> Option<SessionId> {
    let owner = SessionId(stat.ephemeral_owner);
    (owner != SessionId::NONE).then_some(owner)
}
