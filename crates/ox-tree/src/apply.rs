//! Transactions, applied.
//!
//! Invariant: the outcome depends on the tree and the transaction alone. Nothing is checked that
//! was checked before the transaction was made: permissions, versions, quotas. What can fail here
//! fails when a transaction meets a tree that holds later ones already, as after a fuzzy snapshot;
//! then the rules of storage.md 6.2 lead to the same tree all the same. Source:
//! `org.apache.zookeeper.server.DataTree.processTxn`; storage.md 6.

use std::sync::Arc;

use ox_mutant::{Mutant, is_on};
use ox_proto::{Acl, ErrorCode, SessionId, Stat, StatPersisted, Txn, TxnHeader, Zxid, path};

use crate::node::Node;
use crate::owner::{CONTAINER_OWNER, is_unknown_feature, ttl_owner};
use crate::tree::{DataTree, NewNode, ROOT};

/// What happened to a znode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new; its parent has one child more.
    Created,
    /// It has gone; its parent has one child less.
    Deleted,
    /// It has been given data.
    DataChanged,
}

/// One change, told as soon as it is made.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// What happened.
    pub kind: ChangeKind,
    /// To which znode.
    pub path: &'a str,
    /// The znode's acl; that of a deleted one is the one it had.
    pub acl: &'a Arc<[Acl]>,
    /// The acl of its parent.
    pub parent_acl: &'a Arc<[Acl]>,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// `Ok` if it was applied; for an error transaction the code it carries.
    pub error: ErrorCode,
    /// After creating, setData and setACL: the znode's.
    pub stat: Option<Stat>,
    /// Of a multi: those of its parts.
    pub subs: Vec<Self>,
}

impl Outcome {
    fn error(error: ErrorCode) -> Self {
        Self {
            error,
            stat: None,
            subs: Vec::new(),
        }
    }
}

impl From<Result<Option<Stat>, ErrorCode>> for Outcome {
    fn from(result: Result<Option<Stat>, ErrorCode>) -> Self {
        match result {
            Ok(stat) => Self {
                stat,
                ..Self::error(ErrorCode::Ok)
            },
            Err(error) => Self::error(error),
        }
    }
}

type OnChange<'a> = dyn FnMut(&Change<'_>) + 'a;

/// The arguments of the four ways to create.
struct Creation<'a> {
    path: &'a str,
    data: Option<&'a [u8]>,
    acl: &'a [Acl],
    owner: i64,
    parent_cversion: i32,
}

impl DataTree {
    /// Applies one transaction. `on_change` hears of each change in the order in which watches
    /// fire.
    pub fn apply(
        &mut self,
        header: &TxnHeader,
        txn: &Txn,
        on_change: &mut OnChange<'_>,
    ) -> Outcome {
        let outcome = match txn {
            Txn::Multi(multi) => self.apply_multi(header, &multi.txns, on_change),
            _ => self.apply_one(header, txn, on_change).into(),
        };
        self.advance(header.zxid);
        outcome
    }

    /// If one part is an error none is applied, and those before it are errors with the code 0.
    fn apply_multi(
        &mut self,
        header: &TxnHeader,
        txns: &[Txn],
        on_change: &mut OnChange<'_>,
    ) -> Outcome {
        let failed = txns.iter().any(|txn| matches!(txn, Txn::Error(_)));
        let mut past_error = false;
        let subs: Vec<Outcome> = txns
            .iter()
            .map(|txn| match txn {
                Txn::Error(error) => {
                    past_error = true;
                    Outcome::error(code(error.err))
                }
                _ if past_error => Outcome::error(ErrorCode::RuntimeInconsistency),
                _ if failed && !is_on(Mutant::T01) => Outcome::error(ErrorCode::Ok),
                _ => self.apply_one(header, txn, on_change).into(),
            })
            .collect();
        let errors = subs.iter().map(|sub| sub.error);
        let first = errors.into_iter().find(|error| *error != ErrorCode::Ok);
        Outcome {
            subs,
            ..Outcome::error(first.unwrap_or(ErrorCode::Ok))
        }
    }

    fn apply_one(
        &mut self,
        header: &TxnHeader,
        txn: &Txn,
        on_change: &mut OnChange<'_>,
    ) -> Result<Option<Stat>, ErrorCode> {
        match txn {
            Txn::Create(create) | Txn::Create2(create) => {
                let owner = match create.ephemeral {
                    true => header.client_id.0,
                    false => 0,
                };
                // No server gives out such a session. Java stops here; an image that held the
                // znode could not be read.
                if is_unknown_feature(owner, &self.options()) {
                    return Err(ErrorCode::BadArguments);
                }
                let creation = Creation {
                    path: &create.path,
                    data: create.data.as_deref(),
                    acl: &create.acl,
                    owner,
                    parent_cversion: create.parent_cversion,
                };
                let created = self.create(header, &creation, on_change);
                // The others lack this step in Java, and digests would differ if we had it.
                if created == Err(ErrorCode::NodeExists)
                    && matches!(txn, Txn::Create(_))
                    && let Some(parent) = self.resolve(path::parent(&create.path))
                {
                    self.raise_parent(parent, header.zxid, create.parent_cversion);
                }
                created
            }
            Txn::CreateContainer(txn) => {
                let creation = Creation {
                    path: &txn.path,
                    data: txn.data.as_deref(),
                    acl: &txn.acl,
                    owner: CONTAINER_OWNER,
                    parent_cversion: txn.parent_cversion,
                };
                self.create(header, &creation, on_change)
            }
            Txn::CreateTtl(txn) => {
                let creation = Creation {
                    path: &txn.path,
                    data: txn.data.as_deref(),
                    acl: &txn.acl,
                    // Java lets a request through that names no time, and stops here.
                    owner: ttl_owner(txn.ttl).ok_or(ErrorCode::BadArguments)?,
                    parent_cversion: txn.parent_cversion,
                };
                self.create(header, &creation, on_change)
            }
            Txn::Delete(txn) | Txn::DeleteContainer(txn) => self
                .delete(header.zxid, &txn.path, on_change)
                .map(|()| None),
            Txn::SetData(txn) | Txn::Reconfig(txn) => {
                let data = txn.data.as_deref();
                self.apply_set_data(header, &txn.path, data, txn.version, on_change)
                    .map(Some)
            }
            Txn::SetAcl(txn) => {
                let id = self.resolve(&txn.path).ok_or(ErrorCode::NoNode)?;
                self.set_acl(id, &txn.acl);
                self.set_aversion(id, txn.version);
                Ok(Some(self.stat(id)))
            }
            Txn::CloseSession(txn) => {
                let paths = txn.paths_to_delete.as_deref().unwrap_or_default();
                if header.cxid == 0 && is_on(Mutant::S01) {
                    return Ok(None);
                }
                self.close_session(header.client_id, header.zxid, paths, on_change);
                Ok(None)
            }
            Txn::Error(txn) => Err(code(txn.err)),
            Txn::Check(_) | Txn::CreateSession(_) => Ok(None),
            // No record can hold one: the codec refuses it.
            Txn::Multi(_) => Err(ErrorCode::MarshallingError),
        }
    }

    fn create(
        &mut self,
        header: &TxnHeader,
        new: &Creation<'_>,
        on_change: &mut OnChange<'_>,
    ) -> Result<Option<Stat>, ErrorCode> {
        let (parent_path, name) = split(new.path).ok_or(ErrorCode::NoNode)?;
        let parent = self.resolve(parent_path).ok_or(ErrorCode::NoNode)?;
        if let Some(existing) = self.resolve(new.path) {
            // The image that this one came from may have lacked its acl (ZOOKEEPER-4846).
            self.set_acl(existing, new.acl);
            return Err(ErrorCode::NodeExists);
        }
        self.raise_parent(parent, header.zxid, new.parent_cversion);
        let zxid = header.zxid.0;
        let stat = StatPersisted {
            czxid: zxid,
            mzxid: zxid,
            ctime: header.time,
            mtime: header.time,
            ephemeral_owner: new.owner,
            pzxid: zxid,
            ..StatPersisted::default()
        };
        let acl = self.acls.acquire(new.acl);
        let id = self.insert(
            parent,
            new.path,
            NewNode {
                stat,
                acl,
                data: new.data,
            },
        );
        // A quota's own count is changed below, and its answer shows it as it was sent, as Java's does.
        let answered = self.stat(id);
        let bytes = new.data.map_or(0, <[u8]>::len);
        self.quota_created(parent_path, name, new.path, bytes);
        on_change(&Change {
            kind: ChangeKind::Created,
            path: new.path,
            acl: self.acl_of(id),
            parent_acl: self.acl_of(parent),
        });
        Ok(Some(answered))
    }

    /// Counts a new child in the parent's stat, unless it holds that already.
    fn raise_parent(&mut self, parent: u32, zxid: Zxid, parent_cversion: i32) {
        let old = self.cversion(parent);
        let cversion = match parent_cversion {
            -1 => old.wrapping_add(1),
            given => given,
        };
        if cversion > old {
            self.set_child_change(parent, cversion, zxid.0);
        }
    }

    fn delete(
        &mut self,
        zxid: Zxid,
        path: &str,
        on_change: &mut OnChange<'_>,
    ) -> Result<(), ErrorCode> {
        let (parent_path, _) = split(path).ok_or(ErrorCode::NoNode)?;
        let parent = self.resolve(parent_path).ok_or(ErrorCode::NoNode)?;
        // Even if the znode has gone already: then the image held this deletion, but perhaps not
        // what it does to the parent.
        let forgets = is_on(Mutant::T05) || is_on(Mutant::I01) && self.resolve(path).is_none();
        if zxid.0 > self.pzxid(parent) && !forgets {
            self.set_child_change(parent, self.cversion(parent), zxid.0);
        }
        let id = self.resolve(path).ok_or(ErrorCode::NoNode)?;
        // Children mean that it was made again later: their own records come after this one.
        let mut below: Vec<u32> = self.subtree(id).skip(1).collect();
        while let Some(id) = below.pop() {
            let path = self.path_of(id);
            self.remove_counted(id, &path);
        }
        let acl = Arc::clone(self.acl_of(id));
        self.remove_counted(id, path);
        on_change(&Change {
            kind: ChangeKind::Deleted,
            path,
            acl: &acl,
            parent_acl: self.acl_of(parent),
        });
        Ok(())
    }

    fn remove_counted(&mut self, id: u32, path: &str) {
        let bytes = self.data_len(id);
        self.remove(id, path);
        self.quota_deleted(path, bytes);
    }

    fn apply_set_data(
        &mut self,
        header: &TxnHeader,
        path: &str,
        data: Option<&[u8]>,
        version: i32,
        on_change: &mut OnChange<'_>,
    ) -> Result<Stat, ErrorCode> {
        let id = self.resolve(path).ok_or(ErrorCode::NoNode)?;
        let old_bytes = self.data_len(id);
        self.set_data(id, data, version, header.zxid, header.time);
        self.quota_changed(path, old_bytes, self.data_len(id));
        on_change(&Change {
            kind: ChangeKind::DataChanged,
            path,
            acl: self.acl_of(id),
            parent_acl: self.acl_of(self.parent_of(id)),
        });
        Ok(self.stat(id))
    }

    /// First what the record lists, then what else the tree knows: a record of old lists nothing.
    fn close_session(
        &mut self,
        session: SessionId,
        zxid: Zxid,
        paths: &[String],
        on_change: &mut OnChange<'_>,
    ) {
        for path in paths {
            // Gone already, by a request between the making of the record and now.
            let _ = self.delete(zxid, path, on_change);
        }
        let listed = is_on(Mutant::M22) && !paths.is_empty();
        for path in self.ephemerals(session).filter(|_| !listed) {
            let _ = self.delete(zxid, &path, on_change);
        }
    }

    fn stat(&self, id: u32) -> Stat {
        Node {
            tree: self,
            id,
            znode: &self.nodes[id],
        }
        .stat()
    }

    fn parent_of(&self, id: u32) -> u32 {
        self.parent_directory(id)
            .map_or(ROOT, |directory| directory.node)
    }
}

/// The path of the parent, where the root is the empty string, and the name. The root itself has
/// neither.
fn split(path: &str) -> Option<(&str, &str)> {
    path.rsplit_once('/')
        .filter(|(parent, _)| path != path::ROOT && *parent != path::ROOT)
}

/// Codes that no version of the server writes mean as little to us as to a client.
fn code(err: i32) -> ErrorCode {
    ErrorCode::from_code(err).unwrap_or(ErrorCode::SystemError)
}

#[cfg(test)]
mod tests;
