//! A tree as plain as can be: a map from path to node, with the rules of storage.md 6.1 written
//! out, and the part of a leader that makes transactions out of wishes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ox_proto::{
    Acl, CheckVersionTxn, CloseSessionTxn, CreateContainerTxn, CreateTtlTxn, CreateTxn, DeleteTxn,
    ErrorCode, ErrorTxn, MultiTxn, SessionId, SetAclTxn, SetDataTxn, StatPersisted, Txn, TxnHeader,
    Zxid, path,
};
use proptest::prelude::*;

use crate::digest::node_digest;
use crate::{DataTree, TreeOptions};

pub(super) const OPTIONS: TreeOptions = TreeOptions {
    extended_types: true,
    emulate_353_ttl: false,
    digest: true,
};

pub(super) const SESSIONS: std::ops::Range<i64> = 1..4;

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Plain,
    Plain2,
    Ephemeral(i64),
    Container,
    Ttl,
}

#[derive(Clone, Debug)]
pub(super) enum Wish {
    Create(String, Kind, Option<Vec<u8>>, i32),
    Delete(String),
    SetData(String, Option<Vec<u8>>),
    SetAcl(String, i32),
    Check(String),
    Close(i64),
    Multi(Vec<Self>),
}

fn any_path() -> impl Strategy<Value = String> {
    prop_oneof![
        9 => "(/[a-d]){1,3}",
        1 => "/zookeeper/[a-b]",
    ]
}

fn any_data() -> impl Strategy<Value = Option<Vec<u8>>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..5))
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => Just(Kind::Plain),
        2 => Just(Kind::Plain2),
        2 => SESSIONS.prop_map(Kind::Ephemeral),
        1 => Just(Kind::Container),
        1 => Just(Kind::Ttl),
    ]
}

fn any_part() -> impl Strategy<Value = Wish> {
    let perms = prop_oneof![Just(Acl::ALL), 0..4];
    prop_oneof![
        8 => (any_path(), any_kind(), any_data(), perms)
            .prop_map(|(path, kind, data, perms)| Wish::Create(path, kind, data, perms)),
        4 => any_path().prop_map(Wish::Delete),
        2 => (any_path(), any_data()).prop_map(|(path, data)| Wish::SetData(path, data)),
        1 => any_path().prop_map(Wish::Check),
    ]
}

pub(super) fn any_wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        8 => any_part(),
        1 => (any_path(), 0..4).prop_map(|(path, perms)| Wish::SetAcl(path, perms)),
        1 => SESSIONS.prop_map(Wish::Close),
        2 => proptest::collection::vec(any_part(), 0..6).prop_map(Wish::Multi),
    ]
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct ModelNode {
    pub(super) data: Option<Vec<u8>>,
    pub(super) acl: Vec<Acl>,
    pub(super) stat: StatPersisted,
}

/// Paths as in an image: the root is the empty one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Model {
    pub(super) nodes: BTreeMap<String, ModelNode>,
    pub(super) zxid: i64,
}

impl Model {
    pub(super) fn new() -> Self {
        let node = |perms, aversion| ModelNode {
            data: Some(Vec::new()),
            acl: vec![Acl::world(perms)],
            stat: StatPersisted {
                aversion,
                ..StatPersisted::default()
            },
        };
        let nodes = [
            ("", node(31, 0)),
            (path::ZOOKEEPER, node(31, 0)),
            (path::QUOTA, node(31, 0)),
            (path::CONFIG, node(1, -1)),
        ];
        Self {
            nodes: nodes.map(|(path, node)| (path.to_owned(), node)).into(),
            zxid: 0,
        }
    }

    /// Makes the next transaction, and lets it take effect here.
    pub(super) fn execute(&mut self, wish: &Wish) -> (TxnHeader, Txn) {
        self.zxid += 1;
        let client_id = match wish {
            Wish::Close(session) | Wish::Create(_, Kind::Ephemeral(session), ..) => *session,
            _ => 1,
        };
        let txn = match wish {
            Wish::Multi(parts) => self.multi(parts),
            _ => self.part(wish).unwrap_or_else(error),
        };
        let time = 1_000 + self.zxid;
        let zxid = Zxid(self.zxid);
        (
            TxnHeader {
                client_id: SessionId(client_id),
                cxid: 0,
                zxid,
                time,
                op: txn.op(),
            },
            txn,
        )
    }

    fn multi(&mut self, parts: &[Wish]) -> Txn {
        let before = self.clone();
        let mut txns: Vec<Txn> = Vec::new();
        let mut failed = false;
        for part in parts {
            // All parts share the client of the whole.
            let part = match part {
                Wish::Create(path, Kind::Ephemeral(_), data, perms) => {
                    &Wish::Create(path.clone(), Kind::Ephemeral(1), data.clone(), *perms)
                }
                part => part,
            };
            if failed {
                txns.push(error(ErrorCode::RuntimeInconsistency));
            } else {
                let txn = self.part(part);
                failed = txn.is_err();
                txns.push(txn.unwrap_or_else(error));
            }
        }
        if failed {
            *self = before;
        }
        Txn::Multi(MultiTxn { txns })
    }

    fn part(&mut self, wish: &Wish) -> Result<Txn, ErrorCode> {
        match wish {
            Wish::Create(path, kind, data, perms) => self.create(path, *kind, data, *perms),
            Wish::Delete(path) => {
                if self.children(path).next().is_some() {
                    return Err(ErrorCode::NotEmpty);
                }
                self.delete(path)?;
                let txn = DeleteTxn { path: path.clone() };
                Ok(if self.zxid % 2 == 0 {
                    Txn::Delete(txn)
                } else {
                    Txn::DeleteContainer(txn)
                })
            }
            Wish::SetData(path, data) => {
                let zxid = self.zxid;
                let node = self.nodes.get_mut(path).ok_or(ErrorCode::NoNode)?;
                node.data = data.clone();
                node.stat.version += 1;
                node.stat.mzxid = zxid;
                node.stat.mtime = 1_000 + zxid;
                let (data, version) = (data.clone().map(Bytes::from), node.stat.version);
                Ok(Txn::SetData(SetDataTxn {
                    path: path.clone(),
                    data,
                    version,
                }))
            }
            Wish::SetAcl(path, perms) => {
                let node = self.nodes.get_mut(path).ok_or(ErrorCode::NoNode)?;
                node.acl = vec![Acl::world(*perms)];
                node.stat.aversion += 1;
                let (acl, version) = (node.acl.clone(), node.stat.aversion);
                Ok(Txn::SetAcl(SetAclTxn {
                    path: path.clone(),
                    acl,
                    version,
                }))
            }
            Wish::Check(path) => {
                let node = self.nodes.get(path).ok_or(ErrorCode::NoNode)?;
                let version = node.stat.version + 1;
                Ok(Txn::Check(CheckVersionTxn {
                    path: path.clone(),
                    version,
                }))
            }
            Wish::Close(session) => {
                let paths = self.ephemerals(*session);
                for path in &paths {
                    self.delete(path)?;
                }
                Ok(Txn::CloseSession(CloseSessionTxn {
                    paths_to_delete: Some(paths),
                }))
            }
            Wish::Multi(_) => Err(ErrorCode::MarshallingError),
        }
    }

    fn create(
        &mut self,
        path: &str,
        kind: Kind,
        data: &Option<Vec<u8>>,
        perms: i32,
    ) -> Result<Txn, ErrorCode> {
        let zxid = self.zxid;
        let parent = self.nodes.get(parent_of(path)).ok_or(ErrorCode::NoNode)?;
        if self.nodes.contains_key(path) {
            return Err(ErrorCode::NodeExists);
        }
        if SESSIONS.contains(&parent.stat.ephemeral_owner) {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let parent_cversion = parent.stat.cversion + 1;
        let ephemeral_owner = match kind {
            Kind::Plain | Kind::Plain2 => 0,
            Kind::Ephemeral(session) => session,
            Kind::Container => i64::MIN,
            Kind::Ttl => 0xff00_0000_0000_0064_u64.cast_signed(),
        };
        let stat = StatPersisted {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: 1_000 + zxid,
            mtime: 1_000 + zxid,
            ephemeral_owner,
            ..StatPersisted::default()
        };
        let acl = vec![Acl::world(perms)];
        let node = ModelNode {
            data: data.clone(),
            acl: acl.clone(),
            stat,
        };
        self.nodes.insert(path.to_owned(), node);
        let stat = &mut self.nodes.get_mut(parent_of(path)).unwrap().stat;
        stat.cversion = parent_cversion;
        stat.pzxid = zxid;
        let (path, data) = (path.to_owned(), data.clone().map(Bytes::from));
        let ephemeral = matches!(kind, Kind::Ephemeral(_));
        Ok(match kind {
            Kind::Plain | Kind::Ephemeral(_) => Txn::Create(CreateTxn {
                path,
                data,
                acl,
                ephemeral,
                parent_cversion,
            }),
            Kind::Plain2 => Txn::Create2(CreateTxn {
                path,
                data,
                acl,
                ephemeral,
                parent_cversion,
            }),
            Kind::Container => Txn::CreateContainer(CreateContainerTxn {
                path,
                data,
                acl,
                parent_cversion,
            }),
            Kind::Ttl => Txn::CreateTtl(CreateTtlTxn {
                path,
                data,
                acl,
                parent_cversion,
                ttl: 100,
            }),
        })
    }

    fn delete(&mut self, path: &str) -> Result<(), ErrorCode> {
        self.nodes.remove(path).ok_or(ErrorCode::NoNode)?;
        self.nodes.get_mut(parent_of(path)).unwrap().stat.pzxid = self.zxid;
        Ok(())
    }

    pub(super) fn children(&self, path: &str) -> impl Iterator<Item = &str> {
        let prefix = format!("{path}/");
        self.nodes.keys().filter_map(move |key| {
            key.strip_prefix(&prefix)
                .filter(|name| !name.contains('/') && !name.is_empty())
        })
    }

    fn owned(&self, matches: impl Fn(i64) -> bool) -> Vec<String> {
        let nodes = self.nodes.iter();
        let owned = nodes.filter(|(_, node)| matches(node.stat.ephemeral_owner));
        owned.map(|(path, _)| path.clone()).collect()
    }

    fn ephemerals(&self, session: i64) -> Vec<String> {
        self.owned(|owner| owner == session)
    }

    /// Compares everything a tree can tell.
    #[track_caller]
    pub(super) fn assert_equals(&self, tree: &DataTree) {
        for (path, expected) in &self.nodes {
            let node = tree
                .node(path)
                .unwrap_or_else(|| panic!("{path} is missing"));
            let names: BTreeSet<&str> = node.children().collect();
            assert_eq!(node.stat_persisted(), expected.stat, "{path}");
            assert_eq!(node.data(), expected.data.as_deref(), "{path}");
            assert_eq!(**node.acl(), *expected.acl, "{path}");
            assert_eq!(names, self.children(path).collect(), "{path}");
            assert_eq!(node.child_count(), names.len(), "{path}");
            let children = i32::try_from(names.len()).unwrap();
            let below = self
                .nodes
                .keys()
                .filter(|key| key.starts_with(&format!("{path}/")));
            let below = i32::try_from(below.count()).unwrap();
            let stat = node.stat();
            assert_eq!(
                stat.cversion,
                2 * expected.stat.cversion - children,
                "{path}"
            );
            assert_eq!(stat.num_children, children, "{path}");
            assert_eq!(
                tree.descendants(if path.is_empty() { "/" } else { path }),
                Some(below)
            );
        }
        assert_eq!(tree.node_count(), self.nodes.len());
        let digests = self.nodes.iter();
        let digests = digests.map(|(path, n)| node_digest(path, n.data.as_deref(), &n.stat));
        assert_eq!(tree.digest(), digests.fold(0, i64::wrapping_add));
        let sizes = self.nodes.iter();
        let sizes = sizes.map(|(path, node)| path.len() + node.data.as_ref().map_or(0, Vec::len));
        assert_eq!(
            tree.approximate_data_size(),
            i64::try_from(1 + sizes.sum::<usize>()).unwrap()
        );
        for session in SESSIONS {
            let paths: Vec<String> = tree.ephemerals(SessionId(session)).collect();
            assert_eq!(paths, self.ephemerals(session));
        }
        let count = SESSIONS
            .map(|session| self.ephemerals(session).len())
            .sum::<usize>();
        assert_eq!(tree.ephemeral_count(), count);
        let sorted = |paths: Vec<String>| paths.into_iter().collect::<BTreeSet<_>>();
        let containers = sorted(tree.containers().collect());
        assert_eq!(containers, sorted(self.owned(|owner| owner == i64::MIN)));
        let ttl_nodes = sorted(tree.ttl_nodes().collect());
        assert_eq!(
            ttl_nodes,
            sorted(self.owned(|owner| owner < 0 && owner != i64::MIN))
        );
        assert_eq!(tree.last_zxid(), Zxid(self.zxid));
    }
}

fn parent_of(path: &str) -> &str {
    path.rsplit_once('/').unwrap().0
}

fn error(code: ErrorCode) -> Txn {
    Txn::Error(ErrorTxn { err: code.code() })
}
