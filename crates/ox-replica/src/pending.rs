//! The tree as it will be once everything proposed is applied.
//!
//! Invariant: a record stands for a znode from its proposal to its commit, and the newest one
//! wins; where none stands, the committed tree tells. Source: `ChangeRecord` and
//! `ZooKeeperServer.outstandingChanges`; client-protocol.md 4.3, storage.md 9.

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::{Entry, EntryRef};
use ox_mutant::{Mutant, is_on};
use ox_proto::{Acl, SessionId, StatPersisted, Zxid};
use ox_tree::DataTree;
use ox_tree::digest::DigestPrefix;

/// A znode as proposals will leave it.
#[derive(Clone, Debug)]
pub(crate) struct PendingNode {
    pub(crate) stat: StatPersisted,
    pub(crate) children: usize,
    pub(crate) acl: Arc<[Acl]>,
    /// Bytes of its data.
    pub(crate) length: usize,
    /// What path and data add to its digest; `None` while that stands in the committed tree and
    /// has not been needed.
    prefix: Option<DigestPrefix>,
    /// Its digest, as of the last change that was set.
    digest: u32,
}

impl PendingNode {
    /// One that is to be made, without data yet.
    pub(crate) fn new(stat: StatPersisted, acl: Arc<[Acl]>) -> Self {
        Self {
            stat,
            children: 0,
            acl,
            length: 0,
            prefix: None,
            digest: 0,
        }
    }

    /// Gives the znode at `path` other data.
    pub(crate) fn set_data(&mut self, tree: &DataTree, path: &str, data: Option<&[u8]>) {
        self.length = data.map_or(0, <[u8]>::len);
        self.prefix = Some(tree.digest_prefix_of(path, data));
    }
}

#[derive(Clone, Debug)]
struct Record {
    zxid: Zxid,
    /// `None` for a znode that will be gone.
    node: Option<PendingNode>,
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

/// One record that was set.
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
    /// For each of the last in `order`.
    replaced: Vec<Option<Record>>,
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
                length: node.data().map_or(0, <[u8]>::len),
                prefix: node.kept_digest_prefix(),
                digest: node.digest(),
            }),
        }
    }

    /// Whether there will be a znode.
    pub(crate) fn contains(&self, tree: &DataTree, path: &str) -> bool {
        match self.records.get(path) {
            Some(record) => record.node.is_some(),
            None => tree.node(path).is_some(),
        }
    }

    /// The proposal `zxid` makes this znode, of which there is none yet.
    pub(crate) fn create(&mut self, zxid: Zxid, path: &str, mut node: PendingNode) {
        node.digest = node.prefix.map_or(0, |prefix| prefix.digest(&node.stat));
        let (digest, born) = (node.digest, owner(&node.stat));
        self.set(zxid, path, Some(node), 0, digest);
        self.note_born(born);
    }

    /// The proposal `zxid` leaves a znode like this, which [`node`](Self::node) has told.
    pub(crate) fn change(
        &mut self,
        tree: &DataTree,
        zxid: Zxid,
        path: &str,
        mut node: PendingNode,
    ) {
        let before = node.digest;
        if node.prefix.is_none() {
            node.prefix = tree.node(path).map(|committed| committed.digest_prefix());
        }
        node.digest = node.prefix.map_or(0, |prefix| prefix.digest(&node.stat));
        let digest = node.digest;
        self.set(zxid, path, Some(node), before, digest);
    }

    /// The proposal `zxid` deletes a znode, which [`node`](Self::node) has told.
    pub(crate) fn delete(&mut self, zxid: Zxid, path: &str, node: &PendingNode) {
        self.set(zxid, path, None, node.digest, 0);
    }

    fn set(
        &mut self,
        zxid: Zxid,
        path: &str,
        node: Option<PendingNode>,
        digest_before: u32,
        digest: u32,
    ) {
        self.digest = self
            .digest
            .wrapping_sub(digest_before.into())
            .wrapping_add(digest.into());
        let record = Record { zxid, node };
        let (path, replaced) = match self.records.entry_ref(path) {
            EntryRef::Occupied(mut entry) => {
                let replaced = entry.insert(record);
                (Arc::clone(entry.key()), Some(replaced))
            }
            EntryRef::Vacant(entry) => {
                let path: Arc<str> = path.into();
                entry.insert_with_key(Arc::clone(&path), record);
                (path, None)
            }
        };
        self.order.push_back(Set {
            zxid,
            path,
            born: None,
        });
        self.undo.replaced.push(replaced);
    }

    /// What was set last makes an ephemeral of this session.
    fn note_born(&mut self, session: Option<SessionId>) {
        if let Some(session) = session
            && let Some(set) = self.order.back_mut()
        {
            set.born = Some(session);
            let paths = self.born.entry(session).or_default();
            paths.push_back(Arc::clone(&set.path));
        }
    }

    /// Begins a proposal: [`roll_back`](Self::roll_back) returns to here.
    pub(crate) fn begin(&mut self) {
        self.undo.digest = self.digest;
        self.undo.replaced.clear();
    }

    /// The proposal comes to nothing: everything is as before it.
    pub(crate) fn roll_back(&mut self) {
        self.digest = self.undo.digest;
        while let Some(replaced) = self.undo.replaced.pop() {
            let set = self.order.pop_back().expect("what was replaced was set");
            self.forget_born(set.born, VecDeque::pop_back);
            match replaced {
                Some(record) => self.records.insert(set.path, record),
                None => self.records.remove(&set.path),
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
            if let Entry::Occupied(entry) = self.records.entry(set.path)
                && entry.get().zxid <= zxid
            {
                entry.remove();
            }
        }
    }

    /// The ephemerals that `session` will own, in order.
    pub(crate) fn ephemerals(&self, tree: &DataTree, session: SessionId) -> Vec<String> {
        let born = self.born.get(&session).filter(|_| !is_on(Mutant::M22));
        let born = born.into_iter().flatten();
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

/// Whoever owns the znode, taken for a session: containers, which are owned too, never close.
fn owner(stat: &StatPersisted) -> Option<SessionId> {
    let owner = SessionId(stat.ephemeral_owner);
    (owner != SessionId::NONE).then_some(owner)
}
