//! A world that is as it should be: one server without faults, recorded, for tests to damage.

use std::sync::Arc;

use crate::access::Identities;
use crate::check_all;
use crate::history::{ConnectionId, EventKind, History, OpId, Operation, ServerLog};
use crate::judge::{self, Expected};
use crate::model::{Header, Model, View};
use crate::report::{Options, Property, Report};
use crate::request::{Answer, CreateMode, Outcome, Request, Stat, open_acl};
use crate::txn::{Change, Txn, fingerprint};

pub(crate) struct World {
    pub(crate) history: History,
    pub(crate) options: Options,
    model: Model,
    now: i64,
    xid: i32,
    zxid: i64,
}

pub(crate) fn create(path: &str) -> Request {
    create_as(path, CreateMode::Persistent)
}

pub(crate) fn create_as(path: &str, mode: CreateMode) -> Request {
    Request::Create {
        path: path.into(),
        data: None,
        acl: open_acl(),
        mode,
    }
}

pub(crate) fn set(path: &str, data: &str) -> Request {
    Request::SetData {
        path: path.into(),
        data: Some(data.as_bytes().into()),
        version: -1,
    }
}

pub(crate) fn delete(path: &str) -> Request {
    Request::Delete {
        path: path.into(),
        version: -1,
    }
}

pub(crate) fn get(path: &str) -> Request {
    let path = path.into();
    Request::GetData { path, watch: false }
}

pub(crate) fn exists(path: &str) -> Request {
    let path = path.into();
    Request::Exists { path, watch: false }
}

pub(crate) fn children(path: &str) -> Request {
    let path = path.into();
    Request::GetChildren { path, watch: false }
}

/// The same with a watch.
pub(crate) fn watching(mut request: Request) -> Request {
    match &mut request {
        Request::GetData { watch, .. }
        | Request::Exists { watch, .. }
        | Request::GetChildren { watch, .. } => *watch = true,
        _ => panic!("{request:?} leaves no watch"),
    }
    request
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            history: History::new(),
            options: Options::default(),
            model: Model::fresh(),
            now: 0,
            xid: 0,
            zxid: 0,
        }
    }

    pub(crate) fn operation(&mut self, id: OpId) -> &mut Operation {
        &mut self.history.operations[id.index()]
    }

    pub(crate) fn pass(&mut self, time: i64) -> i64 {
        self.now += time;
        self.now
    }

    /// Connects; the session is created if it is new.
    pub(crate) fn connect(&mut self, session: i64) -> ConnectionId {
        if self.model.life(session).from.is_none() {
            let timeout_ms = 10_000;
            self.commit(session, 0, Change::CreateSession { timeout_ms });
        }
        let at = self.pass(1);
        self.history.connected(session, 1, 10_000, at)
    }

    /// Sends a write, and gets its answer.
    pub(crate) fn write(&mut self, connection: ConnectionId, request: Request) -> OpId {
        let id = self.send(connection, request);
        self.execute(id);
        self.answer(id);
        id
    }

    /// Sends a request.
    pub(crate) fn send(&mut self, connection: ConnectionId, request: Request) -> OpId {
        self.xid += 1;
        let at = self.pass(1);
        self.history.invoke(connection, self.xid, request, at)
    }

    /// Makes a transaction of a write that was sent.
    pub(crate) fn execute(&mut self, id: OpId) {
        let write = self.history.operations[id.index()].clone();
        let header = Header {
            zxid: self.zxid + 1,
            session: write.session,
            time: self.now,
        };
        let expected = {
            let mut view = View::new(&self.model, self.history.txns.len());
            let identities = Identities {
                connection: &self.history.connections[write.connection.index()],
                stamp: write.sent,
            };
            judge::expect(&mut view, header, &identities, &write.request)
        };
        let change = match (expected, &write.request) {
            (Expected::Change(change), _) => change,
            (Expected::Error(code), _) => Change::Error(code),
            (Expected::FailedPart(failed, code), Request::Multi(parts)) => {
                let code = |index| match index {
                    index if index < failed => 0,
                    index if index == failed => code,
                    _ => -2,
                };
                Change::Multi((0..parts.len()).map(|i| Change::Error(code(i))).collect())
            }
            (_, Request::CloseSession) => {
                let paths = self
                    .model
                    .ephemerals_at(write.session, self.history.txns.len());
                let paths = Some(paths.into_iter().map(Arc::from).collect());
                Change::CloseSession { paths }
            }
            (expected, request) => panic!("{request:?} becomes {expected:?}"),
        };
        self.commit(write.session, write.xid, change);
    }

    /// Answers a write whose transaction is the last one.
    pub(crate) fn answer(&mut self, id: OpId) {
        let txn = self.history.txns.last().expect("a transaction").clone();
        let stats = self.model.stats_of(self.history.txns.len() - 1).to_vec();
        let outcome = match &txn.change {
            Change::Multi(parts) => {
                let failed = txn.change.failed();
                let pairs = parts.iter().zip(stats);
                let outcomes = pairs.map(|(part, stat)| match part {
                    Change::Error(code) => Outcome::Error(*code),
                    _ if failed => Outcome::Error(0),
                    _ => outcome_of(part, stat),
                });
                Outcome::Ok(Answer::Multi(outcomes.collect()))
            }
            Change::Error(code) => Outcome::Error(*code),
            change => outcome_of(change, stats[0]),
        };
        let at = self.pass(1);
        self.history.returned(id, at, txn.zxid, outcome);
    }

    /// Sends a read or what is answered like one, and gets its answer.
    pub(crate) fn read(&mut self, connection: ConnectionId, request: Request) -> OpId {
        let id = self.send(connection, request);
        self.answer_read(id);
        id
    }

    /// Answers a read from the state there is.
    pub(crate) fn answer_read(&mut self, id: OpId) {
        let request = self.history.operations[id.index()].request.clone();
        let outcome = self.shown(&request);
        let (at, zxid) = (self.pass(1), self.zxid);
        self.history.returned(id, at, zxid, outcome);
    }

    fn shown(&self, request: &Request) -> Outcome {
        let count = self.history.txns.len();
        if let Request::MultiRead(parts) = request {
            return Outcome::Ok(Answer::Multi(parts.iter().map(|p| self.shown(p)).collect()));
        }
        let path = request.path().map_or("", |path| path);
        let node = self.model.node_at(path, count);
        let answer = match request {
            Request::GetData { .. } => node.map(|n| Answer::Data(n.data.clone(), n.stat())),
            Request::Exists { .. } => node.map(|n| Answer::Stat(n.stat())),
            Request::GetAcl { .. } => node.map(|n| Answer::Acl(Arc::clone(&n.acl), n.stat())),
            Request::GetChildren { .. } => node.map(|n| {
                let prefix = if path == "/" { "" } else { path };
                let below = self.model.below(path, count);
                let names = below.filter_map(|(below, _)| {
                    let name = below.strip_prefix(prefix)?.strip_prefix('/')?;
                    (!name.contains('/')).then(|| name.into())
                });
                Answer::Children(names.collect(), Some(n.stat()))
            }),
            _ => Some(Answer::Done),
        };
        answer.map_or(Outcome::Error(-101), Outcome::Ok)
    }

    /// An event of the last transaction.
    pub(crate) fn event(&mut self, connection: ConnectionId, kind: EventKind, path: &str) {
        let (at, zxid) = (self.pass(1), self.zxid);
        self.history.event(connection, kind, path, Some(zxid), at);
    }

    /// Takes an answer back.
    pub(crate) fn forget(&mut self, id: OpId) {
        let operation = self.operation(id);
        operation.returned = None;
        operation.zxid = 0;
        operation.outcome = Outcome::Unknown;
    }

    /// Commits a transaction.
    pub(crate) fn commit(&mut self, session: i64, cxid: i32, change: Change) {
        self.zxid += 1;
        let now = self.now;
        let txn = Txn {
            zxid: self.zxid,
            session,
            cxid,
            time: now,
            at: Some(now),
            fingerprint: fingerprint(format!("{}{change:?}", self.zxid).as_bytes()),
            change,
        };
        self.model.push(&txn);
        self.history.txn(txn);
    }

    /// A new leader: zxids go on in the next epoch.
    pub(crate) fn elect(&mut self) {
        self.zxid = ((self.zxid >> 32) + 1) << 32;
    }

    /// So many servers hold the log, and the digests of all their states.
    pub(crate) fn keep_logs(&mut self, servers: u64) {
        let txns = self.history.txns.iter();
        let entries: Vec<(i64, u64)> = txns.map(|txn| (txn.zxid, txn.fingerprint)).collect();
        for server in 1..=servers {
            for (count, (zxid, _)) in entries.iter().enumerate() {
                let digest = self.model.digest_at(count + 1);
                self.history.digest(server, *zxid, digest);
            }
            self.history.server_log(ServerLog {
                server,
                covered: 0,
                entries: entries.clone(),
                applied: self.zxid,
            });
        }
    }

    pub(crate) fn report(&self) -> Report {
        check_all(&self.history, &self.options)
    }

    #[track_caller]
    pub(crate) fn check_good(&self) {
        let report = self.report();
        assert!(report.is_ok(), "{report}");
    }

    #[track_caller]
    pub(crate) fn check_breaks(&self, property: Property) {
        let report = self.report();
        assert!(0 < report.count(property), "not {property}: {report}");
    }
}

fn outcome_of(change: &Change, stat: Option<Stat>) -> Outcome {
    Outcome::Ok(match (change, stat) {
        (Change::Create { path, .. }, Some(stat)) => Answer::Created(Arc::clone(path), stat),
        (Change::SetData { .. } | Change::SetAcl { .. }, Some(stat)) => Answer::Stat(stat),
        _ => Answer::Done,
    })
}
