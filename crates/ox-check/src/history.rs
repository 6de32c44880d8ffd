//! The record of a run: requests, answers, events, and what the servers hold in the end.
//!
//! A recorder calls the methods in the order in which things happen at the clients; that order is
//! kept as a stamp, and is the position of answers and events in the stream of a connection.
//! Invariant: stamps are unique and rise. Source: reliability.md 3.1.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::request::{Outcome, Request};
use crate::txn::Txn;

/// A time, in whatever unit the recorder chose; [`Options`](crate::Options) use the same.
pub type Time = i64;

/// The number of an operation: its index in [`History::operations`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u32);

/// The number of a connection: its index in [`History::connections`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

impl OpId {
    pub(crate) fn index(self) -> usize {
        usize::try_from(self.0).expect("an index")
    }
}

impl ConnectionId {
    pub(crate) fn index(self) -> usize {
        usize::try_from(self.0).expect("an index")
    }
}

/// A connection on which a session was granted.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Whose it is.
    pub session: i64,
    /// To which server.
    pub server: u64,
    /// The session's timeout as granted, in the recorder's unit.
    pub timeout: Time,
    /// When the session was granted.
    pub opened: Time,
    /// When it broke or was closed, at the client; `None` if it has lasted to the end.
    pub closed: Option<Time>,
    /// Its place among all that was recorded.
    pub stamp: u32,
    /// Its identities, scheme and id, each with the stamp from which on requests have it.
    pub identities: Vec<(u32, Arc<str>, Arc<str>)>,
}

/// A request and what became of it.
#[derive(Clone, Debug)]
pub struct Operation {
    /// On which connection.
    pub connection: ConnectionId,
    /// Whose; that of the connection.
    pub session: i64,
    /// The client's number for it. Unique among the writes of a session.
    pub xid: i32,
    /// What was asked.
    pub request: Request,
    /// When it was sent.
    pub invoked: Time,
    /// Its place among all that was recorded.
    pub sent: u32,
    /// When the answer came, and the place of the answer.
    pub returned: Option<(Time, u32)>,
    /// The zxid of the answer's header; 0 or -1 in answers that have none.
    pub zxid: i64,
    /// What was answered.
    pub outcome: Outcome,
}

/// What a watch can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "named after ZooKeeper's")]
pub enum EventKind {
    Created,
    Deleted,
    DataChanged,
    ChildrenChanged,
}

/// A watch event that a client got.
#[derive(Clone, Debug)]
pub struct Event {
    /// On which connection.
    pub connection: ConnectionId,
    /// What happened.
    pub kind: EventKind,
    /// To which znode.
    pub path: Arc<str>,
    /// By which txn; `None` where the header says -1, as for what setWatches catches up with.
    pub zxid: Option<i64>,
    /// When it came.
    pub at: Time,
    /// Its place among all that was recorded.
    pub stamp: u32,
}

/// What a live server has on its disk in the end.
#[derive(Clone, Debug, Default)]
pub struct ServerLog {
    /// Which server.
    pub server: u64,
    /// What came up to this zxid may be in a snapshot alone.
    pub covered: i64,
    /// The records in their order, each with the [`fingerprint`](crate::fingerprint) of its bytes,
    /// or 0.
    pub entries: Vec<(i64, u64)>,
    /// All up to this zxid has been applied by the server.
    pub applied: i64,
}

/// The digest of a server's tree behind a txn, as ZooKeeper counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Digest {
    pub server: u64,
    pub zxid: i64,
    pub digest: i64,
}

/// Bytes that stand in data or names of protected znodes only.
#[derive(Clone, Debug)]
pub struct Secret {
    /// The bytes.
    pub tag: Arc<[u8]>,
    /// Sessions that may see them.
    pub readers: Vec<i64>,
}

/// The record of a run, from a fresh tree to its end.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub(crate) operations: Vec<Operation>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) events: Vec<Event>,
    pub(crate) txns: Vec<Txn>,
    pub(crate) logs: Vec<ServerLog>,
    pub(crate) digests: Vec<Digest>,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) unstable: Vec<(Time, Time)>,
    pub(crate) heard: BTreeMap<i64, Time>,
    pub(crate) ended: Option<Time>,
    stamps: u32,
}

impl History {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// A server has granted a session on a new connection: a new one, or one that is moved.
    pub fn connected(
        &mut self,
        session: i64,
        server: u64,
        timeout: Time,
        at: Time,
    ) -> ConnectionId {
        let stamp = self.stamp();
        self.connections.push(Connection {
            session,
            server,
            timeout,
            opened: at,
            closed: None,
            stamp,
            identities: Vec::new(),
        });
        ConnectionId(index(self.connections.len()))
    }

    /// Requests sent from now on have this identity too.
    pub fn authenticated(&mut self, connection: ConnectionId, scheme: &str, id: &str) {
        let stamp = self.stamp();
        let identity = (stamp, scheme.into(), id.into());
        self.connections[connection.index()]
            .identities
            .push(identity);
    }

    /// A connection is over: nothing comes from it any more.
    pub fn disconnected(&mut self, connection: ConnectionId, at: Time) {
        self.connections[connection.index()].closed = Some(at);
    }

    /// A request is sent. Without [`returned`](Self::returned) its outcome stays unknown.
    pub fn invoke(
        &mut self,
        connection: ConnectionId,
        xid: i32,
        request: Request,
        at: Time,
    ) -> OpId {
        let sent = self.stamp();
        self.operations.push(Operation {
            connection,
            session: self.connections[connection.index()].session,
            xid,
            request,
            invoked: at,
            sent,
            returned: None,
            zxid: 0,
            outcome: Outcome::Unknown,
        });
        OpId(index(self.operations.len()))
    }

    /// Its answer has come, with the zxid of its header.
    pub fn returned(&mut self, operation: OpId, at: Time, zxid: i64, outcome: Outcome) {
        let stamp = self.stamp();
        let operation = &mut self.operations[operation.index()];
        operation.returned = Some((at, stamp));
        operation.zxid = zxid;
        operation.outcome = outcome;
    }

    /// An event has come.
    pub fn event(
        &mut self,
        connection: ConnectionId,
        kind: EventKind,
        path: impl Into<Arc<str>>,
        zxid: Option<i64>,
        at: Time,
    ) {
        let stamp = self.stamp();
        self.events.push(Event {
            connection,
            kind,
            path: path.into(),
            zxid,
            at,
            stamp,
        });
    }

    /// The leader has heard of this session; only the last time is kept.
    pub fn heard(&mut self, session: i64, at: Time) {
        let last = self.heard.entry(session).or_insert(at);
        *last = at.max(*last);
    }

    /// From the first of these times, when a leader may have lost its quorum, to the second, when
    /// nobody but its successor took itself for the leader.
    pub fn unstable(&mut self, from: Time, until: Time) {
        self.unstable.push((from, until));
    }

    /// A transaction of the merged log: every committed one, in the order of zxids.
    pub fn txn(&mut self, txn: Txn) {
        self.txns.push(txn);
    }

    /// The disk of a server that is live in the end.
    pub fn server_log(&mut self, log: ServerLog) {
        self.logs.push(log);
    }

    /// The digest of a server's tree behind a txn.
    pub fn digest(&mut self, server: u64, zxid: i64, digest: i64) {
        self.digests.push(Digest {
            server,
            zxid,
            digest,
        });
    }

    /// Bytes that nobody but these sessions may see.
    pub fn secret(&mut self, tag: impl Into<Arc<[u8]>>, readers: Vec<i64>) {
        let tag = tag.into();
        self.secrets.push(Secret { tag, readers });
    }

    /// The run is over; what is still missing does not come.
    pub fn ended(&mut self, at: Time) {
        self.ended = Some(at);
    }

    /// What was asked, in the order of sending.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The connections.
    pub fn connections(&self) -> &[Connection] {
        &self.connections
    }

    /// The events, in the order of their coming.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The merged log.
    pub fn txns(&self) -> &[Txn] {
        &self.txns
    }

    fn stamp(&mut self) -> u32 {
        self.stamps += 1;
        self.stamps
    }
}

/// The index of the last of so many.
fn index(count: usize) -> u32 {
    u32::try_from(count - 1).expect("fewer than 2^32 records")
}
