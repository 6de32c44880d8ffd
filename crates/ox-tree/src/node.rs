//! A znode as it is kept, and as callers see it.
//!
//! Invariant: 72 bytes a znode. What few znodes have stands elsewhere: children, `pzxid` and
//! `cversion` in a [`Directory`], owners and aversions in tables of the tree. A znode without a
//! directory has never had a child, so its `pzxid` is its `czxid` and its `cversion` 0.

use std::sync::Arc;

use ox_proto::{Acl, Stat, StatPersisted};

use crate::blob::Blob;
use crate::digest::DigestPrefix;
use crate::owner::{OwnerKind, owner_kind};
use crate::slab::NONE;
use crate::tree::DataTree;

/// One znode. What a lookup needs stands together at the front, to share a cache line.
#[repr(C)]
pub(crate) struct Znode {
    pub(crate) blob: Blob,
    /// The directory it is listed in; none for the root.
    pub(crate) parent: u32,
    /// Its own directory, if any.
    pub(crate) directory: u32,
    pub(crate) acl: AclAndFlags,
    /// What it adds to the digest of the tree, so that a change need not read what it replaces.
    pub(crate) digest: u32,
    pub(crate) czxid: i64,
    pub(crate) mzxid: i64,
    pub(crate) ctime: i64,
    pub(crate) mtime: i64,
    pub(crate) version: i32,
    /// Its place in the list of its parent.
    pub(crate) place: u32,
}

const _: () = assert!(
    size_of::<Znode>() == 72,
    "a million znodes are to fit the memory they have"
);

/// A slot without a znode.
impl Default for Znode {
    fn default() -> Self {
        Self {
            czxid: 0,
            mzxid: 0,
            ctime: 0,
            mtime: 0,
            blob: Blob::default(),
            version: 0,
            parent: NONE,
            place: 0,
            directory: NONE,
            acl: AclAndFlags::default(),
            digest: 0,
        }
    }
}

/// The number of an acl list, and what to look for in the side tables.
#[derive(Clone, Copy, Default)]
pub(crate) struct AclAndFlags(u32);

impl AclAndFlags {
    const OWNED: u32 = 1 << 31;
    const AVERSION: u32 = 1 << 30;

    pub(crate) fn new(number: u32) -> Self {
        Self(number)
    }

    pub(crate) fn number(self) -> u32 {
        self.0 & !(Self::OWNED | Self::AVERSION)
    }

    pub(crate) fn set_number(&mut self, number: u32) {
        self.0 = self.0 & (Self::OWNED | Self::AVERSION) | number;
    }

    /// The owner is not 0.
    pub(crate) fn is_owned(self) -> bool {
        self.0 & Self::OWNED != 0
    }

    pub(crate) fn set_owned(&mut self, owned: bool) {
        self.set(Self::OWNED, owned);
    }

    /// The aversion is not 0.
    pub(crate) fn has_aversion(self) -> bool {
        self.0 & Self::AVERSION != 0
    }

    pub(crate) fn set_has_aversion(&mut self, has: bool) {
        self.set(Self::AVERSION, has);
    }

    fn set(&mut self, flag: u32, on: bool) {
        self.0 = if on { self.0 | flag } else { self.0 & !flag };
    }
}

/// What a znode has that ever had a child.
pub(crate) struct Directory {
    /// Full path; empty for the root.
    pub(crate) path: Box<str>,
    /// In no order: a removed one is replaced by the last.
    pub(crate) children: Vec<u32>,
    pub(crate) pzxid: i64,
    /// Children ever made; the stored value, not the client's.
    pub(crate) cversion: i32,
    /// Whose it is.
    pub(crate) node: u32,
    /// Of path and data, so that a new child costs no walk over the parent's data.
    pub(crate) prefix: DigestPrefix,
}

/// A slot without a directory.
impl Default for Directory {
    fn default() -> Self {
        Self {
            path: Box::default(),
            children: Vec::new(),
            pzxid: 0,
            cversion: 0,
            node: 0,
            prefix: DigestPrefix::NONE,
        }
    }
}

/// A znode of a tree, to look at.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    pub(crate) tree: &'a DataTree,
    pub(crate) id: u32,
    pub(crate) znode: &'a Znode,
}

impl<'a> Node<'a> {
    /// The data; `None` is null, which differs from empty.
    pub fn data(&self) -> Option<&'a [u8]> {
        self.znode.blob.data()
    }

    /// The stat as clients see it: `cversion` counts deletions too, and only ephemerals have an
    /// owner.
    pub fn stat(&self) -> Stat {
        let stored = self.stat_persisted();
        // Neither can pass what a log record or a client's request can hold.
        let num_children = i32::try_from(self.child_count()).unwrap_or(i32::MAX);
        let data_length = self.data().map_or(0, <[u8]>::len);
        let ephemeral_owner = match owner_kind(stored.ephemeral_owner, &self.tree.options()) {
            OwnerKind::Ephemeral(session) => session.0,
            OwnerKind::Persistent | OwnerKind::Container | OwnerKind::Ttl(_) => 0,
        };
        Stat {
            czxid: stored.czxid,
            mzxid: stored.mzxid,
            ctime: stored.ctime,
            mtime: stored.mtime,
            version: stored.version,
            cversion: stored.cversion.wrapping_mul(2).wrapping_sub(num_children),
            aversion: stored.aversion,
            ephemeral_owner,
            data_length: i32::try_from(data_length).unwrap_or(i32::MAX),
            num_children,
            pzxid: stored.pzxid,
        }
    }

    /// The stat as it is stored and digested.
    pub fn stat_persisted(&self) -> StatPersisted {
        self.tree.stat_persisted(self.id)
    }

    /// What it adds to the digest of the tree.
    pub fn digest(&self) -> u32 {
        self.znode.digest
    }

    /// What path and data add to that.
    pub fn digest_prefix(&self) -> DigestPrefix {
        self.tree.digest_prefix(self.id)
    }

    /// The same, if it is kept and not to be hashed: of a znode that has, or had, children.
    pub fn kept_digest_prefix(&self) -> Option<DigestPrefix> {
        self.tree
            .directory(self.id)
            .map(|directory| directory.prefix)
    }

    /// The acl.
    pub fn acl(&self) -> &'a Arc<[Acl]> {
        self.tree.acl_of(self.id)
    }

    /// How many children there are.
    pub fn child_count(&self) -> usize {
        self.child_ids().len()
    }

    /// The names of the children, in no particular order.
    pub fn children(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let tree = self.tree;
        self.child_ids().iter().map(move |id| tree.name(*id))
    }

    fn child_ids(&self) -> &'a [u32] {
        self.tree.child_ids(self.id)
    }
}
