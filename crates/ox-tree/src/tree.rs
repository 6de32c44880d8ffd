//! The znodes by path: lookups, and the few ways in which the tree changes.
//!
//! Invariants: every znode but the root is in the index under the hash of its path, and in the
//! directory of its parent at the place it knows; the digest and the data size are what a walk
//! over all znodes would give. A lookup compares the name and the parent's path and never walks
//! up. Source: `org.apache.zookeeper.server.DataTree`; design-measurements.md 2.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ox_proto::{Acl, SessionId, StatPersisted, Zxid, path};

use crate::acl_table::{AclTable, OPEN};
use crate::blob::Blob;
use crate::digest::{self, DigestPrefix};
use crate::index::PathIndex;
use crate::node::{AclAndFlags, Directory, Node, Znode};
use crate::owned::Owned;
use crate::owner::{TreeOptions, is_ttl_owner};
use crate::quota::GovernedPaths;
use crate::slab::{NONE, Slab};

/// The root's number, in the slab of znodes and in that of directories.
pub(crate) const ROOT: u32 = 0;

/// A path counts its bytes, and an entry of Java's for the root's second name one more.
const ROOT_SIZE: usize = path::ROOT.len();

/// A list of children keeps room for so many.
const FEW_CHILDREN: usize = 16;

/// Every znode of a server, as of the last transaction applied.
pub struct DataTree {
    pub(crate) nodes: Slab<Znode>,
    directories: Slab<Directory>,
    index: PathIndex,
    pub(crate) acls: AclTable,
    aversions: HashMap<u32, i32, FixedState>,
    owned: Owned,
    pub(crate) governed: GovernedPaths,
    options: TreeOptions,
    last_zxid: Zxid,
    /// The greatest czxid there has been.
    newest_czxid: i64,
    digest: i64,
    /// Bytes of paths and data.
    data_size: usize,
}

/// What a znode is made of besides name and data.
pub(crate) struct NewNode<'a> {
    pub(crate) stat: StatPersisted,
    /// One use of this list goes over to the znode.
    pub(crate) acl: u32,
    pub(crate) data: Option<&'a [u8]>,
}

impl DataTree {
    /// The tree of a new server: the root, `/zookeeper`, and `quota` and `config` below it.
    pub fn new(hash_seed: u64, options: TreeOptions) -> Self {
        let mut tree = Self::bare(hash_seed, options);
        for path in [path::ZOOKEEPER, path::QUOTA, path::CONFIG] {
            let is_config = path == path::CONFIG;
            let acl = if is_config {
                tree.acls.acquire(&[Acl::world(Acl::READ)])
            } else {
                OPEN
            };
            let aversion = if is_config { -1 } else { 0 };
            let stat = StatPersisted {
                aversion,
                ..StatPersisted::default()
            };
            let parent = tree.resolve(path::parent(path)).expect("made just before");
            tree.insert(
                parent,
                path,
                NewNode {
                    stat,
                    acl,
                    data: Some(b""),
                },
            );
        }
        tree
    }

    /// Just the root.
    pub(crate) fn bare(hash_seed: u64, options: TreeOptions) -> Self {
        let mut tree = Self {
            nodes: Slab::new(),
            directories: Slab::new(),
            index: PathIndex::new(hash_seed),
            acls: AclTable::new(hash_seed),
            aversions: HashMap::default(),
            owned: Owned::default(),
            governed: GovernedPaths::default(),
            options,
            last_zxid: Zxid::ZERO,
            newest_czxid: 0,
            digest: 0,
            data_size: ROOT_SIZE,
        };
        let root = Znode {
            blob: Blob::new(b"", Some(b"")),
            directory: ROOT,
            ..Znode::default()
        };
        tree.nodes.insert(root);
        tree.directories.insert(Directory {
            node: ROOT,
            ..Directory::default()
        });
        tree.directories[ROOT].prefix = tree.hash_prefix(ROOT);
        tree.renew_digest(ROOT);
        tree
    }

    /// The znode at a path. The root has two: `/` and the empty one.
    pub fn node(&self, path: &str) -> Option<Node<'_>> {
        let id = self.resolve(path)?;
        Some(Node {
            tree: self,
            id,
            znode: &self.nodes[id],
        })
    }

    /// The options it was made with.
    pub fn options(&self) -> TreeOptions {
        self.options
    }

    /// The last transaction applied.
    pub fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// Says which transaction an image that was loaded stands for.
    pub fn set_last_zxid(&mut self, zxid: Zxid) {
        self.last_zxid = zxid;
    }

    /// The digest of all znodes, version 2; 0 if none is kept.
    pub fn digest(&self) -> i64 {
        self.digest
    }

    /// How many znodes there are, the root counted once.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Characters of all paths and bytes of all data, as Java counts them.
    pub fn approximate_data_size(&self) -> i64 {
        i64::try_from(self.data_size).expect("less than 2^63 bytes")
    }

    /// How many znodes go with their session.
    pub fn ephemeral_count(&self) -> usize {
        self.owned.ephemeral_count()
    }

    /// The paths that go with a session, sorted.
    pub fn ephemerals(&self, session: SessionId) -> impl Iterator<Item = String> + use<> {
        let ids = self.owned.ephemerals(session);
        let mut paths: Vec<String> = ids.map(|id| self.path_of(id)).collect();
        paths.sort_unstable();
        paths.into_iter()
    }

    /// The sessions that have ephemerals, sorted.
    pub fn sessions_with_ephemerals(&self) -> impl Iterator<Item = SessionId> {
        self.owned.sessions()
    }

    /// The paths of all containers.
    pub fn containers(&self) -> impl Iterator<Item = String> {
        self.owned.containers().map(|id| self.path_of(id))
    }

    /// The paths of all znodes with a time to live.
    pub fn ttl_nodes(&self) -> impl Iterator<Item = String> {
        self.owned.ttl_nodes().map(|id| self.path_of(id))
    }

    /// One znode that passes for an ephemeral of a session nobody knows, and is one with a time to
    /// live for a server with extended types. A server without them must not start on such a
    /// tree: it would take the session for dead and delete the znode (storage.md 10.2).
    pub fn mistaken_ttl_node(&self, is_session: impl Fn(SessionId) -> bool) -> Option<String> {
        let mut sessions = self.owned.sessions();
        let session = sessions.find(|session| is_ttl_owner(session.0) && !is_session(*session))?;
        self.ephemerals(session).next()
    }

    /// How many znodes lie below a path. For the root's name `/` that is all but the root itself,
    /// for its other name, the empty one, Java counts one more.
    pub fn descendants(&self, path: &str) -> Option<i32> {
        let top = self.resolve(path)?;
        let count = match top {
            ROOT => self.node_count() - usize::from(!path.is_empty()),
            _ => self.subtree(top).count() - 1,
        };
        Some(i32::try_from(count).unwrap_or(i32::MAX))
    }
}

/// Lookups by number.
impl DataTree {
    pub(crate) fn resolve(&self, path: &str) -> Option<u32> {
        if path.is_empty() || path == path::ROOT {
            return Some(ROOT);
        }
        self.resolve_hashed(path, self.index.hash(path))
    }

    /// As [`resolve`](Self::resolve), of a path that is not the root's and whose hash is known.
    pub(crate) fn resolve_hashed(&self, path: &str, hash: u32) -> Option<u32> {
        self.index.find(hash, |id| self.is_at(id, path.as_bytes()))
    }

    /// The znode at this path, or one whose path has the same hash.
    pub(crate) fn candidate(&self, path: &str) -> Option<u32> {
        self.index.find(self.index.hash(path), |_| true)
    }

    /// Makes room for so many znodes.
    pub(crate) fn reserve(&mut self, znodes: usize) {
        self.index.reserve(znodes);
    }

    pub(crate) fn hash(&self, path: &str) -> u32 {
        self.index.hash(path)
    }

    /// True if this znode has children, or had, and stands at `path`; the root's is empty.
    pub(crate) fn is_directory_at(&self, id: u32, path: &str) -> bool {
        self.directory(id)
            .is_some_and(|directory| *directory.path == *path)
    }

    /// True if this is the path of a znode that is not the root.
    fn is_at(&self, id: u32, path: &[u8]) -> bool {
        let node = &self.nodes[id];
        path.strip_suffix(node.blob.name())
            .and_then(|rest| rest.strip_suffix(b"/"))
            .is_some_and(|parent| self.directories[node.parent].path.as_bytes() == parent)
    }

    pub(crate) fn name(&self, id: u32) -> &str {
        std::str::from_utf8(self.nodes[id].blob.name()).expect("names are parts of strings")
    }

    /// The path, which for the root is `/`.
    pub(crate) fn path_of(&self, id: u32) -> String {
        match id {
            ROOT => path::ROOT.to_owned(),
            _ => format!("{}/{}", self.parent_path(id), self.name(id)),
        }
    }

    /// The path of the parent of a znode that is not the root; empty if that is the root.
    pub(crate) fn parent_path(&self, id: u32) -> &str {
        &self.directories[self.nodes[id].parent].path
    }

    /// The directory that a znode is listed in; none for the root.
    pub(crate) fn parent_directory(&self, id: u32) -> Option<&Directory> {
        let parent = self.nodes[id].parent;
        (parent != NONE).then(|| &self.directories[parent])
    }

    pub(crate) fn directory(&self, id: u32) -> Option<&Directory> {
        let directory = self.nodes[id].directory;
        (directory != NONE).then(|| &self.directories[directory])
    }

    pub(crate) fn child_ids(&self, id: u32) -> &[u32] {
        self.directory(id)
            .map_or(&[], |directory| &directory.children)
    }

    pub(crate) fn data_len(&self, id: u32) -> usize {
        self.nodes[id].blob.data().map_or(0, <[u8]>::len)
    }

    pub(crate) fn acl_of(&self, id: u32) -> &Arc<[Acl]> {
        self.acls.list(self.nodes[id].acl.number())
    }

    pub(crate) fn pzxid(&self, id: u32) -> i64 {
        self.directory(id)
            .map_or(self.nodes[id].czxid, |directory| directory.pzxid)
    }

    pub(crate) fn cversion(&self, id: u32) -> i32 {
        self.directory(id).map_or(0, |directory| directory.cversion)
    }

    pub(crate) fn stat_persisted(&self, id: u32) -> StatPersisted {
        let node = &self.nodes[id];
        let aversion = match node.acl.has_aversion() {
            true => self.aversions.get(&id).copied().unwrap_or_default(),
            false => 0,
        };
        StatPersisted {
            czxid: node.czxid,
            mzxid: node.mzxid,
            ctime: node.ctime,
            mtime: node.mtime,
            version: node.version,
            cversion: self.cversion(id),
            aversion,
            ephemeral_owner: if node.acl.is_owned() {
                self.owned.owner(id)
            } else {
                0
            },
            pzxid: self.pzxid(id),
        }
    }

    /// Every znode there is has this czxid or a lower one.
    pub(crate) fn newest_czxid(&self) -> i64 {
        self.newest_czxid
    }

    /// A znode and all below it, parents first.
    pub(crate) fn subtree(&self, top: u32) -> impl Iterator<Item = u32> {
        let mut pending = vec![top];
        std::iter::from_fn(move || {
            let id = pending.pop()?;
            pending.extend_from_slice(self.child_ids(id));
            Some(id)
        })
    }
}

/// Changes. Each keeps index, directories, digest and data size true; quotas and the order of
/// things within a transaction are the callers' (`apply`, `image`).
impl DataTree {
    /// Adds a child of `parent` at a path that is free.
    pub(crate) fn insert(&mut self, parent: u32, path: &str, new: NewNode<'_>) -> u32 {
        self.insert_hashed(parent, path, self.index.hash(path), new)
    }

    /// As [`insert`](Self::insert), of a path whose hash is known.
    pub(crate) fn insert_hashed(
        &mut self,
        parent: u32,
        path: &str,
        hash: u32,
        new: NewNode<'_>,
    ) -> u32 {
        let name = path::name(path);
        let parent = self.require_directory(parent);
        let place = self.directories[parent].children.len();
        let id = self.nodes.insert(Znode {
            blob: Blob::new(name.as_bytes(), new.data),
            parent,
            place: u32::try_from(place).expect("no more children than znodes"),
            ..Znode::default()
        });
        self.directories[parent].children.push(id);
        self.index.insert(hash, id);
        self.data_size += path_size(path) + self.data_len(id);
        self.set_stat(id, &new.stat, new.acl);
        self.renew_digest(id);
        id
    }

    /// Replaces all but the path and the children of a znode.
    pub(crate) fn overwrite(&mut self, id: u32, new: NewNode<'_>) {
        self.forget_side_tables(id);
        self.set_blob(id, new.data);
        self.set_stat(id, &new.stat, new.acl);
        self.renew_digest(id);
    }

    /// Removes a znode that has no children. `path` is its own.
    pub(crate) fn remove(&mut self, id: u32, path: &str) {
        debug_assert!(
            id != ROOT && self.child_ids(id).is_empty(),
            "only leaves can go"
        );
        self.digest = self.digest.wrapping_sub(self.nodes[id].digest.into());
        self.data_size -= path_size(path) + self.data_len(id);
        self.forget_side_tables(id);
        let node = self.nodes.remove(id);
        if node.directory != NONE {
            self.directories.remove(node.directory);
        }
        self.index.remove(self.index.hash(path), id);
        let siblings = &mut self.directories[node.parent].children;
        siblings.swap_remove(node.place as usize);
        if let Some(moved) = siblings.get(node.place as usize) {
            self.nodes[*moved].place = node.place;
        }
        if siblings.len() * 4 < siblings.capacity() && siblings.capacity() > FEW_CHILDREN {
            siblings.shrink_to(siblings.len() * 2);
        }
    }

    /// Replaces the data and nothing else, not even the stat.
    pub(crate) fn replace_data(&mut self, id: u32, data: Option<&[u8]>) {
        self.set_blob(id, data);
        self.renew_digest(id);
    }

    /// Replaces the data in a transaction.
    pub(crate) fn set_data(
        &mut self,
        id: u32,
        data: Option<&[u8]>,
        version: i32,
        zxid: Zxid,
        time: i64,
    ) {
        self.set_blob(id, data);
        let node = &mut self.nodes[id];
        node.version = version;
        node.mzxid = zxid.0;
        node.mtime = time;
        self.renew_digest(id);
    }

    /// Replaces the acl.
    pub(crate) fn set_acl(&mut self, id: u32, acl: &[Acl]) {
        let number = self.acls.acquire(acl);
        let acl = &mut self.nodes[id].acl;
        let old = acl.number();
        acl.set_number(number);
        self.acls.release(old);
    }

    pub(crate) fn set_aversion(&mut self, id: u32, aversion: i32) {
        self.note_aversion(id, aversion);
        self.renew_digest(id);
    }

    /// Sets what a change among the children does to the parent's stat.
    pub(crate) fn set_child_change(&mut self, id: u32, cversion: i32, pzxid: i64) {
        let directory = self.require_directory(id);
        let directory = &mut self.directories[directory];
        directory.cversion = cversion;
        directory.pzxid = pzxid;
        self.renew_digest(id);
    }

    /// Says at `/zookeeper/config` who belongs to the ensemble. This is no transaction: each
    /// server does it for itself, at a time of its own (storage.md 10.1).
    pub fn set_config(&mut self, text: &str, version: Zxid, time: i64) {
        // Only an image that some other server has made can lack it.
        if let Some(id) = self.resolve(path::CONFIG) {
            self.set_data(id, Some(text.as_bytes()), -1, version, time);
        }
    }

    /// Notes that everything up to `zxid` is applied.
    pub(crate) fn advance(&mut self, zxid: Zxid) {
        self.last_zxid = self.last_zxid.max(zxid);
    }

    fn set_blob(&mut self, id: u32, data: Option<&[u8]>) {
        self.data_size -= self.data_len(id);
        let blob = &mut self.nodes[id].blob;
        *blob = Blob::new(blob.name(), data);
        self.data_size += self.data_len(id);
        let directory = self.nodes[id].directory;
        if directory != NONE {
            self.directories[directory].prefix = self.hash_prefix(id);
        }
    }

    /// Sets stat and acl of a znode that stands in no side table.
    fn set_stat(&mut self, id: u32, stat: &StatPersisted, acl: u32) {
        let node = &mut self.nodes[id];
        self.newest_czxid = self.newest_czxid.max(stat.czxid);
        node.czxid = stat.czxid;
        node.mzxid = stat.mzxid;
        node.ctime = stat.ctime;
        node.mtime = stat.mtime;
        node.version = stat.version;
        node.acl = AclAndFlags::new(acl);
        if stat.ephemeral_owner != 0 {
            node.acl.set_owned(true);
            self.owned.insert(id, stat.ephemeral_owner, &self.options);
        }
        self.note_aversion(id, stat.aversion);
        let is_plain = stat.cversion == 0 && stat.pzxid == stat.czxid;
        if !is_plain || self.nodes[id].directory != NONE {
            let directory = self.require_directory(id);
            let directory = &mut self.directories[directory];
            directory.cversion = stat.cversion;
            directory.pzxid = stat.pzxid;
        }
    }

    fn note_aversion(&mut self, id: u32, aversion: i32) {
        let flags = &mut self.nodes[id].acl;
        if aversion != 0 {
            self.aversions.insert(id, aversion);
        } else if flags.has_aversion() {
            self.aversions.remove(&id);
        }
        flags.set_has_aversion(aversion != 0);
    }

    /// Lets go of acl, owner and aversion.
    fn forget_side_tables(&mut self, id: u32) {
        let acl = self.nodes[id].acl;
        self.acls.release(acl.number());
        if acl.is_owned() {
            self.owned.remove(id, &self.options);
        }
        self.note_aversion(id, 0);
        self.nodes[id].acl = AclAndFlags::new(OPEN);
    }

    fn require_directory(&mut self, id: u32) -> u32 {
        let directory = self.nodes[id].directory;
        if directory != NONE {
            return directory;
        }
        let directory = self.directories.insert(Directory {
            path: self.path_of(id).into(),
            children: Vec::new(),
            pzxid: self.nodes[id].czxid,
            cversion: 0,
            node: id,
            prefix: self.hash_prefix(id),
        });
        self.nodes[id].directory = directory;
        directory
    }
}

/// The digest.
impl DataTree {
    /// Makes the digest follow a znode that has changed.
    fn renew_digest(&mut self, id: u32) {
        let digest = self.digest_prefix(id).digest(&self.stat_persisted(id));
        let before = std::mem::replace(&mut self.nodes[id].digest, digest);
        self.digest = self
            .digest
            .wrapping_sub(before.into())
            .wrapping_add(digest.into());
    }

    /// What path and data add to a digest.
    pub(crate) fn digest_prefix(&self, id: u32) -> DigestPrefix {
        self.directory(id)
            .map_or_else(|| self.hash_prefix(id), |directory| directory.prefix)
    }

    /// The same, hashed.
    fn hash_prefix(&self, id: u32) -> DigestPrefix {
        if !self.options.digest || self.is_excluded(id) {
            return DigestPrefix::NONE;
        }
        let data = self.nodes[id].blob.data().unwrap_or_default();
        match id {
            ROOT => DigestPrefix::of_parts(&[data]),
            _ => {
                let (parent, name) = (self.parent_path(id), self.nodes[id].blob.name());
                DigestPrefix::of_parts(&[parent.as_bytes(), b"/", name, data])
            }
        }
    }

    /// What path and data will add to the digest of a znode that is to be; nothing in a tree
    /// without digests.
    pub fn digest_prefix_of(&self, path: &str, data: Option<&[u8]>) -> DigestPrefix {
        match self.options.digest {
            true => DigestPrefix::new(path, data),
            false => DigestPrefix::NONE,
        }
    }

    fn is_excluded(&self, id: u32) -> bool {
        id != ROOT && {
            let parent = self.parent_path(id);
            parent == path::ZOOKEEPER || digest::is_excluded(parent)
        }
    }
}

/// What a path adds to the size of the data: Java counts its characters. No path has one that takes two
/// units of UTF-16.
fn path_size(path: &str) -> usize {
    path.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: TreeOptions = TreeOptions {
        extended_types: false,
        emulate_353_ttl: false,
        digest: true,
    };

    /// How much each table holds.
    fn sizes(tree: &DataTree) -> [usize; 6] {
        [
            tree.nodes.len(),
            tree.directories.len(),
            tree.aversions.len(),
            tree.acls.lists().len(),
            tree.owned.ephemeral_count(),
            tree.data_size,
        ]
    }

    #[test]
    fn nothing_stays_behind_of_a_znode_that_has_gone() {
        let mut tree = DataTree::new(1, OPTIONS);
        let (before, digest) = (sizes(&tree), tree.digest());
        let mut add = |parent, path, owner| {
            let acl = tree.acls.acquire(&[Acl::world(owner)]);
            let ephemeral_owner = i64::from(owner);
            let stat = StatPersisted {
                aversion: 3,
                ephemeral_owner,
                ..StatPersisted::default()
            };
            tree.insert(
                parent,
                path,
                NewNode {
                    stat,
                    acl,
                    data: Some(b"data"),
                },
            )
        };
        let a = add(ROOT, "/a", 0);
        let b = add(a, "/a/b", 7);
        assert_eq!(sizes(&tree), [6, 3, 3, 3, 1, 44 + 2 + 4 + 4 + 4]);
        tree.remove(b, "/a/b");
        tree.remove(a, "/a");
        assert_eq!((sizes(&tree), tree.digest()), (before, digest));
    }

    #[test]
    fn a_list_of_children_gives_room_back() {
        let mut tree = DataTree::new(1, OPTIONS);
        let path = |n| format!("/{n}");
        let ids: Vec<u32> = (0..1_000)
            .map(|n| {
                let (stat, data) = (StatPersisted::default(), None);
                tree.insert(
                    ROOT,
                    &path(n),
                    NewNode {
                        stat,
                        acl: OPEN,
                        data,
                    },
                )
            })
            .collect();
        for (n, id) in ids.into_iter().enumerate() {
            tree.remove(id, &path(n));
        }
        assert!(tree.directories[ROOT].children.capacity() <= FEW_CHILDREN);
    }
}
