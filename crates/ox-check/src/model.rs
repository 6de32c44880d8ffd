//! The tree that the merged log makes, with every state that each znode has had.
//!
//! Invariant: the state behind the first `n` transactions can be asked for any `n`. Written from
//! the rules alone, without a line of the product. Source: storage.md 6 and 9, client-protocol.md 6.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::digest;
use crate::request::{AclEntry, Stat, error, open_acl};
use crate::txn::{Change, NodeKind, Txn};

/// The owner of a container.
const CONTAINER: i64 = i64::MIN;

/// The bits of an owner that mean a time to live.
const TTL: i64 = 0xff << 56;

/// A znode; `cversion` as it is stored, which counts creations only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) data: Option<Arc<[u8]>>,
    pub(crate) acl: Arc<[AclEntry]>,
    pub(crate) czxid: i64,
    pub(crate) mzxid: i64,
    pub(crate) pzxid: i64,
    pub(crate) ctime: i64,
    pub(crate) mtime: i64,
    pub(crate) version: i32,
    pub(crate) cversion: i32,
    pub(crate) aversion: i32,
    pub(crate) owner: i64,
    pub(crate) children: i32,
}

impl Node {
    /// The session that it goes with, or 0.
    pub(crate) fn session(&self) -> i64 {
        let special = self.owner == CONTAINER || self.owner & TTL == TTL;
        if special { 0 } else { self.owner }
    }

    /// As a client is told.
    pub(crate) fn stat(&self) -> Stat {
        let length = self.data.as_ref().map_or(0, |data| data.len());
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.cversion.wrapping_mul(2).wrapping_sub(self.children),
            aversion: self.aversion,
            ephemeral_owner: self.session(),
            data_length: i32::try_from(length).unwrap_or(i32::MAX),
            num_children: self.children,
            pzxid: self.pzxid,
        }
    }
}

/// A tree that can be read and changed.
pub(crate) trait State {
    fn node(&self, path: &str) -> Option<&Node>;
    fn put(&mut self, path: &str, node: Option<Node>);
}

/// Who, when: what a change takes from its transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) zxid: i64,
    pub(crate) session: i64,
    pub(crate) time: i64,
}

impl From<&Txn> for Header {
    fn from(txn: &Txn) -> Self {
        Self {
            zxid: txn.zxid,
            session: txn.session,
            time: txn.time,
        }
    }
}

/// The parent's path; `None` for what has none.
pub(crate) fn parent(path: &str) -> Option<&str> {
    let (parent, _) = path.rsplit_once('/').filter(|_| path != "/")?;
    Some(if parent.is_empty() { "/" } else { parent })
}

/// The effect of one change, other than multi and closeSession.
pub(crate) fn apply<S: State>(
    state: &mut S,
    header: Header,
    change: &Change,
) -> Result<Option<Stat>, i32> {
    match change {
        Change::Create {
            path,
            data,
            acl,
            kind,
            parent_cversion,
        } => {
            let above = parent(path).ok_or(error::NO_NODE)?;
            let mut up = state.node(above).ok_or(error::NO_NODE)?.clone();
            if state.node(path).is_some() {
                return Err(error::NODE_EXISTS);
            }
            let next = match parent_cversion {
                -1 => up.cversion.wrapping_add(1),
                given => *given,
            };
            up.cversion = next;
            up.pzxid = header.zxid;
            up.children += 1;
            state.put(above, Some(up));
            let node = Node {
                data: data.clone(),
                acl: Arc::clone(acl),
                czxid: header.zxid,
                mzxid: header.zxid,
                pzxid: header.zxid,
                ctime: header.time,
                mtime: header.time,
                owner: match kind {
                    NodeKind::Persistent => 0,
                    NodeKind::Ephemeral => header.session,
                    NodeKind::Container => CONTAINER,
                    NodeKind::Ttl(ttl) => TTL | ttl,
                },
                ..Node::default()
            };
            let stat = node.stat();
            state.put(path, Some(node));
            Ok(Some(stat))
        }
        Change::Delete { path } => {
            let above = parent(path).ok_or(error::NO_NODE)?;
            let mut up = state.node(above).ok_or(error::NO_NODE)?.clone();
            let node = state.node(path).ok_or(error::NO_NODE)?;
            if node.children != 0 {
                return Err(error::NOT_EMPTY);
            }
            up.pzxid = header.zxid;
            up.children -= 1;
            state.put(above, Some(up));
            state.put(path, None);
            Ok(None)
        }
        Change::SetData {
            path,
            data,
            version,
        } => {
            let mut node = state.node(path).ok_or(error::NO_NODE)?.clone();
            node.data.clone_from(data);
            node.version = *version;
            node.mzxid = header.zxid;
            node.mtime = header.time;
            let stat = node.stat();
            state.put(path, Some(node));
            Ok(Some(stat))
        }
        Change::SetAcl { path, acl, version } => {
            let mut node = state.node(path).ok_or(error::NO_NODE)?.clone();
            node.acl = Arc::clone(acl);
            node.aversion = *version;
            let stat = node.stat();
            state.put(path, Some(node));
            Ok(Some(stat))
        }
        Change::Check { .. }
        | Change::CreateSession { .. }
        | Change::CloseSession { .. }
        | Change::Multi(_)
        | Change::Error(_) => Ok(None),
    }
}

/// A znode from one transaction on.
#[derive(Clone, Debug)]
struct Version {
    /// How many transactions it takes to get here.
    at: usize,
    node: Option<Node>,
}

/// The life of a session in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Life {
    /// The number of transactions behind which it exists, if one created it.
    pub(crate) from: Option<usize>,
    /// The number behind which it is closed.
    pub(crate) until: Option<usize>,
}

/// All states of the tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    nodes: BTreeMap<Arc<str>, Vec<Version>>,
    sessions: BTreeMap<i64, Life>,
    ephemerals: BTreeMap<i64, BTreeSet<Arc<str>>>,
    /// Behind each number of transactions.
    digests: Vec<i64>,
    /// The stats that each transaction's parts end with.
    stats: Vec<Vec<Option<Stat>>>,
    /// What could not be applied: number of the transaction, and why.
    pub(crate) impossible: Vec<(usize, String)>,
    digest: i64,
    now: usize,
}

impl Model {
    /// What this log makes of a fresh tree.
    pub(crate) fn replay(txns: &[&Txn]) -> Self {
        let mut model = Self::fresh();
        for txn in txns {
            model.push(txn);
        }
        model
    }

    /// The next transaction.
    pub(crate) fn push(&mut self, txn: &Txn) {
        self.now += 1;
        let stats = self.step(txn);
        self.stats.push(stats);
        self.digests.push(self.digest);
    }

    /// The tree of a server that has just been set up.
    pub(crate) fn fresh() -> Self {
        let mut model = Self::default();
        let anyone =
            |perms| -> Arc<[AclEntry]> { Arc::new([AclEntry::new(perms, "world", "anyone")]) };
        let nodes = [
            ("/", 31, 1, 0),
            ("/zookeeper", 31, 2, 0),
            ("/zookeeper/quota", 31, 0, 0),
            ("/zookeeper/config", 1, 0, -1),
        ];
        for (path, perms, children, aversion) in nodes {
            let node = Node {
                data: Some([].into()),
                acl: if perms == 31 {
                    open_acl()
                } else {
                    anyone(perms)
                },
                children,
                aversion,
                ..Node::default()
            };
            model.put(path, Some(node));
        }
        model.digests.push(model.digest);
        model
    }

    /// The znode behind the first so many transactions.
    pub(crate) fn node_at(&self, path: &str, count: usize) -> Option<&Node> {
        let versions = self.nodes.get(path)?;
        let later = versions.partition_point(|version| version.at <= count);
        versions[..later].last()?.node.as_ref()
    }

    /// The digest of the tree there.
    pub(crate) fn digest_at(&self, count: usize) -> i64 {
        self.digests[count]
    }

    /// The stats with which the parts of a transaction have left their znodes.
    pub(crate) fn stats_of(&self, number: usize) -> &[Option<Stat>] {
        &self.stats[number]
    }

    /// What the log says of a session.
    pub(crate) fn life(&self, session: i64) -> Life {
        self.sessions.get(&session).copied().unwrap_or_default()
    }

    /// The znodes below a path there, at any depth; of those below `/` all but itself.
    pub(crate) fn below(&self, path: &str, count: usize) -> impl Iterator<Item = (&str, &Node)> {
        let prefix = if path == "/" { "" } else { path };
        let first = format!("{prefix}/");
        let from = (Bound::Included(first.as_str()), Bound::Unbounded);
        let range = self.nodes.range::<str, _>(from);
        range
            .map(|(path, _)| &**path)
            .take_while(move |path| path.starts_with(&first))
            .filter(|path| *path != "/")
            .filter_map(move |path| Some((path, self.node_at(path, count)?)))
    }

    /// The paths of a session's ephemerals there.
    pub(crate) fn ephemerals_at(&self, session: i64, count: usize) -> BTreeSet<&str> {
        let all = self.ephemerals.get(&session).into_iter().flatten();
        all.map(|path| &**path)
            .filter(|path| {
                let node = self.node_at(path, count);
                node.is_some_and(|node| node.session() == session)
            })
            .collect()
    }

    fn step(&mut self, txn: &Txn) -> Vec<Option<Stat>> {
        let header = Header::from(txn);
        match &txn.change {
            Change::Multi(parts) if txn.change.failed() => vec![None; parts.len()],
            Change::Multi(parts) => parts.iter().map(|part| self.one(header, part)).collect(),
            Change::CreateSession { .. } => {
                let life = self.sessions.entry(txn.session).or_default();
                life.from.get_or_insert(self.now);
                vec![None]
            }
            Change::CloseSession { paths } => {
                let listed = paths.iter().flatten().map(|path| path.to_string());
                let mut all: Vec<String> = listed.collect();
                let owned = self.ephemerals_at(txn.session, self.now);
                all.extend(owned.into_iter().map(str::to_owned));
                for path in all {
                    if self.node(&path).is_some() {
                        let path = path.into();
                        self.one(header, &Change::Delete { path });
                    }
                }
                let life = self.sessions.entry(txn.session).or_default();
                life.until.get_or_insert(self.now);
                vec![None]
            }
            change => vec![self.one(header, change)],
        }
    }

    fn one(&mut self, header: Header, change: &Change) -> Option<Stat> {
        apply(self, header, change).unwrap_or_else(|code| {
            let text = format!("{:#x}: error {code} applying {change:?}", header.zxid);
            self.impossible.push((self.now - 1, text));
            None
        })
    }
}

impl State for Model {
    fn node(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)?.last()?.node.as_ref()
    }

    fn put(&mut self, path: &str, node: Option<Node>) {
        let (key, mut versions) = match self.nodes.remove_entry(path) {
            Some(entry) => entry,
            None => (path.into(), Vec::new()),
        };
        let of = |node: Option<&Node>| node.map_or(0, |node| digest::of_node(path, node));
        let old = versions.last().and_then(|last| last.node.as_ref());
        let change = of(node.as_ref()).wrapping_sub(of(old));
        self.digest = self.digest.wrapping_add(change);
        if let Some(session) = node.as_ref().map(Node::session).filter(|owner| *owner != 0) {
            let paths = self.ephemerals.entry(session).or_default();
            paths.insert(Arc::clone(&key));
        }
        let at = self.now;
        match versions.last_mut() {
            Some(last) if last.at == at => last.node = node,
            _ => versions.push(Version { at, node }),
        }
        self.nodes.insert(key, versions);
    }
}

/// The tree behind some transactions, and changes to it that are only tried.
pub(crate) struct View<'a> {
    model: &'a Model,
    count: usize,
    tried: BTreeMap<String, Option<Node>>,
}

impl<'a> View<'a> {
    pub(crate) fn new(model: &'a Model, count: usize) -> Self {
        let tried = BTreeMap::new();
        Self {
            model,
            count,
            tried,
        }
    }
}

impl State for View<'_> {
    fn node(&self, path: &str) -> Option<&Node> {
        match self.tried.get(path) {
            Some(node) => node.as_ref(),
            None => self.model.node_at(path, self.count),
        }
    }

    fn put(&mut self, path: &str, node: Option<Node>) {
        self.tried.insert(path.to_owned(), node);
    }
}
