//! A model client: it pipelines, reconnects to other servers with its session, leaves watches and
//! sets them again, and writes down all that it sees.

pub(crate) mod codec;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use ox_check::{ConnectionId, EventKind, History, OpId, Outcome, Request};
use ox_jute::{Decoder, Frames, Jute, decode, end_frame, start_frame};
use ox_proto::{
    ConnectRequest, ConnectResponse, EventType, OpCode, ReplyHeader, SessionId, SetWatches2,
    WatcherEvent, Xid, Zxid,
};

use crate::env::Env;
use crate::net::{ConnId, DialResult, Dialer, Piece, Port};
use crate::node::MAX_FRAME;
use crate::plan::Op;
use crate::queue::Event;
use crate::random::Random;

/// Requests on their way at once.
const PIPELINE: usize = 8;

/// Operations that wait for a connection; older ones are given up.
const WAITING: usize = 12;

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// It tries again when its time comes.
    Idle,
    Dialing,
    /// Waits for the answer to its first packet.
    Asking(ConnId),
    Connected(ConnId, ConnectionId),
}

struct Sent {
    xid: i32,
    op: Op,
    id: OpId,
}

#[derive(Default)]
struct Watches {
    data: BTreeSet<String>,
    exist: BTreeSet<String>,
    child: BTreeSet<String>,
    persistent: BTreeSet<String>,
    recursive: BTreeSet<String>,
}

pub(crate) struct Client {
    index: usize,
    machine: usize,
    servers: usize,
    timeout_ms: i32,
    random: Random,
    state: State,
    server: usize,
    session: SessionId,
    password: Bytes,
    granted_ms: i64,
    last_zxid: Zxid,
    xid: i32,
    sent: VecDeque<Sent>,
    waiting: VecDeque<Op>,
    arrived: Vec<u8>,
    watches: Watches,
    heard: i64,
    turn: u64,
    /// It goes to this server only.
    pub(crate) only: Option<usize>,
    /// Answered without an error.
    pub(crate) acknowledged: u64,
    pub(crate) writes: u64,
    pub(crate) expired: u64,
}

impl Client {
    pub(crate) fn new(index: usize, servers: usize, timeout_ms: i32, random: Random) -> Self {
        Self {
            index,
            machine: servers + index,
            servers,
            timeout_ms,
            random,
            state: State::Idle,
            server: 0,
            session: SessionId::NONE,
            password: Bytes::from_static(&[0; 16]),
            granted_ms: i64::from(timeout_ms),
            last_zxid: Zxid::ZERO,
            xid: 0,
            sent: VecDeque::new(),
            waiting: VecDeque::new(),
            arrived: Vec::new(),
            watches: Watches::default(),
            heard: 0,
            turn: 0,
            only: None,
            acknowledged: 0,
            writes: 0,
            expired: 0,
        }
    }

    /// Nothing that it has asked for is open.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.sent.is_empty() && self.waiting.is_empty()
    }

    fn later(&mut self, env: &mut Env, micros: i64) {
        self.turn += 1;
        let (client, turn) = (self.index, self.turn);
        env.queue
            .push(env.now + micros, Event::Client { client, turn });
    }

    /// Its time has come.
    pub(crate) fn timer(&mut self, env: &mut Env, history: &mut History, turn: u64) {
        if turn != self.turn {
            return;
        }
        match self.state {
            State::Idle => self.dial(env),
            State::Dialing | State::Asking(_) => self.drop_connection(env, history),
            State::Connected(conn, _) => {
                if self.granted_ms * 1000 * 2 / 3 < env.now - self.heard {
                    return self.drop_connection(env, history);
                }
                env.send(conn, 0, codec::frame(-2, OpCode::Ping, |_| {}));
                self.later(env, self.granted_ms * 1000 / 3);
            }
        }
    }

    fn dial(&mut self, env: &mut Env) {
        self.server = self.only.unwrap_or_else(|| self.random.below(self.servers));
        self.state = State::Dialing;
        let patience = i64::from(self.timeout_ms) * 1000 / 2;
        self.later(env, patience + 1);
        let dialer = Dialer::Client {
            client: self.index,
            turn: self.turn,
        };
        let deadline = env.now + patience;
        env.dial(dialer, self.machine, self.server, Port::Client, deadline);
    }

    pub(crate) fn dialed(
        &mut self,
        env: &mut Env,
        history: &mut History,
        turn: u64,
        result: DialResult,
    ) {
        if turn != self.turn || self.state != State::Dialing {
            if let DialResult::Connected(conn) = result {
                env.close(conn, 0);
            }
            return;
        }
        let DialResult::Connected(conn) = result else {
            return self.drop_connection(env, history);
        };
        self.state = State::Asking(conn);
        self.arrived.clear();
        let mut out = Vec::new();
        let start = start_frame(&mut out);
        ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last_zxid,
            timeout_ms: self.timeout_ms,
            session_id: self.session,
            password: Some(self.password.clone()),
            read_only: Some(false),
        }
        .encode(&mut out);
        end_frame(&mut out, start);
        env.send(conn, 0, out);
        self.later(env, self.granted_ms * 1000 * 2 / 3);
    }

    /// Lets go of its connection, and tries another server soon.
    pub(crate) fn drop_connection(&mut self, env: &mut Env, history: &mut History) {
        match self.state {
            State::Connected(conn, connection) => {
                env.close(conn, 0);
                history.disconnected(connection, env.now);
                self.sent.clear();
            }
            State::Asking(conn) => env.close(conn, 0),
            State::Idle | State::Dialing => {}
        }
        self.state = State::Idle;
        let pause = self.random.between(10_000, 500_000);
        self.later(env, pause);
    }

    pub(crate) fn arrived(
        &mut self,
        env: &mut Env,
        history: &mut History,
        conn: ConnId,
        piece: Piece,
    ) {
        let is_ours = match self.state {
            State::Asking(its) | State::Connected(its, _) => its == conn,
            State::Idle | State::Dialing => false,
        };
        if !is_ours {
            return;
        }
        let Piece::Bytes(bytes) = piece else {
            return self.drop_connection(env, history);
        };
        self.heard = env.now;
        self.arrived.extend_from_slice(&bytes);
        let all = std::mem::take(&mut self.arrived);
        let mut frames = Frames::new(&all, 2 * MAX_FRAME);
        loop {
            match frames.next_frame() {
                Ok(Some(frame)) => {
                    self.packet(env, history, frame);
                    let is_over = !matches!(self.state, State::Connected(its, _) if its == conn);
                    if is_over {
                        return;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    env.invariants.fail(format!("a client got {error}"));
                    return;
                }
            }
        }
        self.arrived = frames.rest().to_vec();
        self.go_on(env, history);
    }

    fn packet(&mut self, env: &mut Env, history: &mut History, frame: &[u8]) {
        match self.state {
            State::Asking(conn) => {
                let Ok(response) = decode::<ConnectResponse>(frame) else {
                    env.invariants
                        .fail("an undecodable connect response".to_owned());
                    return;
                };
                self.connected(env, history, conn, &response);
            }
            State::Connected(conn, connection) => {
                if let Err(error) = self.reply(env, history, conn, connection, frame) {
                    env.invariants
                        .fail(format!("client {}: {error}", self.index));
                }
            }
            State::Idle | State::Dialing => {}
        }
    }

    fn connected(
        &mut self,
        env: &mut Env,
        history: &mut History,
        conn: ConnId,
        response: &ConnectResponse,
    ) {
        if response.timeout_ms <= 0 {
            env.story
                .tell(env.now, || format!("client {} has expired", self.index));
            self.expired += 1;
            self.forget_session();
            return self.drop_connection(env, history);
        }
        self.session = response.session_id;
        self.password = Bytes::copy_from_slice(&response.password);
        self.granted_ms = i64::from(response.timeout_ms);
        let server = u64::try_from(self.server).expect("few servers");
        let connection = history.connected(self.session.0, server, self.granted_ms * 1000, env.now);
        env.story.tell(env.now, || {
            let (index, session) = (self.index, self.session);
            format!("client {index} has {session} at {}", self.server)
        });
        self.state = State::Connected(conn, connection);
        self.later(env, self.granted_ms * 1000 / 3);
        self.set_watches(env, history, conn, connection);
    }

    fn forget_session(&mut self) {
        self.session = SessionId::NONE;
        self.password = Bytes::from_static(&[0; 16]);
        self.last_zxid = Zxid::ZERO;
        self.watches = Watches::default();
    }

    fn set_watches(
        &mut self,
        env: &mut Env,
        history: &mut History,
        conn: ConnId,
        connection: ConnectionId,
    ) {
        let list = |paths: &BTreeSet<String>| paths.iter().cloned().collect::<Vec<_>>();
        let record = SetWatches2 {
            relative_zxid: self.last_zxid.0,
            data_watches: list(&self.watches.data),
            exist_watches: list(&self.watches.exist),
            child_watches: list(&self.watches.child),
            persistent_watches: list(&self.watches.persistent),
            persistent_recursive_watches: list(&self.watches.recursive),
        };
        let shared = |paths: &[String]| paths.iter().map(|path| Arc::from(path.as_str())).collect();
        let watches = ox_check::SetWatches {
            relative_zxid: record.relative_zxid,
            data: shared(&record.data_watches),
            exist: shared(&record.exist_watches),
            child: shared(&record.child_watches),
            persistent: shared(&record.persistent_watches),
            recursive: shared(&record.persistent_recursive_watches),
        };
        let is_empty = watches
            == ox_check::SetWatches {
                relative_zxid: watches.relative_zxid,
                ..ox_check::SetWatches::default()
            };
        if is_empty {
            return;
        }
        let id = history.invoke(
            connection,
            -8,
            Request::SetWatches(Box::new(watches)),
            env.now,
        );
        env.send(
            conn,
            0,
            codec::frame(-8, OpCode::SetWatches2, |out| record.encode(out)),
        );
        let op = Op::Check {
            path: String::new(),
            version: 0,
        };
        self.sent.push_back(Sent { xid: -8, op, id });
    }

    fn reply(
        &mut self,
        env: &mut Env,
        history: &mut History,
        conn: ConnId,
        connection: ConnectionId,
        frame: &[u8],
    ) -> Result<(), String> {
        let mut input = Decoder::new(frame);
        let text = |error: ox_jute::DecodeError| error.to_string();
        let header = ReplyHeader::decode(&mut input).map_err(text)?;
        if header.zxid.0 > 0 {
            self.last_zxid = header.zxid;
        }
        match header.xid {
            Xid::PING => return Ok(()),
            Xid::NOTIFICATION => {
                let event = WatcherEvent::decode(&mut input).map_err(text)?;
                self.event(env, history, connection, header.zxid, event);
                return Ok(());
            }
            _ => {}
        }
        let Some(sent) = self.sent.pop_front_if(|sent| sent.xid == header.xid.0) else {
            let expected = self.sent.front().map(|sent| sent.xid);
            return Err(format!("an answer to {}, not {expected:?}", header.xid.0));
        };
        let outcome = match header.err {
            0 => Outcome::Ok(codec::answer(&sent.op, &mut input).map_err(text)?),
            error => Outcome::Error(error),
        };
        if header.err == 0 {
            self.acknowledged += 1;
            self.writes += u64::from(codec::request(&sent.op).is_write());
        }
        self.note_watch(&sent.op, header.err);
        history.returned(sent.id, env.now, header.zxid.0, outcome);
        if sent.op == Op::Close && header.err == 0 {
            self.forget_session();
            env.close(conn, 0);
            history.disconnected(connection, env.now);
            self.sent.clear();
            self.state = State::Idle;
            let pause = self.random.between(10_000, 500_000);
            self.later(env, pause);
        }
        Ok(())
    }

    fn note_watch(&mut self, op: &Op, error: i32) {
        let path = |path: &String| path.clone();
        let watches = &mut self.watches;
        let _ = match (op, error) {
            (
                Op::Get {
                    path: at,
                    watch: true,
                },
                0,
            ) => watches.data.insert(path(at)),
            (
                Op::Exists {
                    path: at,
                    watch: true,
                },
                0,
            ) => watches.data.insert(path(at)),
            (
                Op::Exists {
                    path: at,
                    watch: true,
                },
                -101,
            ) => watches.exist.insert(path(at)),
            (
                Op::Children {
                    path: at,
                    watch: true,
                },
                0,
            ) => watches.child.insert(path(at)),
            (
                Op::AddWatch {
                    path: at,
                    recursive: true,
                },
                0,
            ) => watches.recursive.insert(path(at)),
            (
                Op::AddWatch {
                    path: at,
                    recursive: false,
                },
                0,
            ) => watches.persistent.insert(path(at)),
            _ => false,
        };
    }

    fn event(
        &mut self,
        env: &mut Env,
        history: &mut History,
        connection: ConnectionId,
        zxid: Zxid,
        event: WatcherEvent,
    ) {
        let (watches, path) = (&mut self.watches, &event.path);
        let kind = match EventType::from_code(event.r#type) {
            Some(EventType::NodeCreated) => {
                watches.data.remove(path);
                watches.exist.remove(path);
                EventKind::Created
            }
            Some(EventType::NodeDataChanged) => {
                watches.data.remove(path);
                watches.exist.remove(path);
                EventKind::DataChanged
            }
            Some(EventType::NodeChildrenChanged) => {
                watches.child.remove(path);
                EventKind::ChildrenChanged
            }
            Some(EventType::NodeDeleted) => {
                watches.data.remove(path);
                watches.exist.remove(path);
                watches.child.remove(path);
                EventKind::Deleted
            }
            Some(EventType::None) | None => return,
        };
        let zxid = (zxid.0 > 0).then_some(zxid.0);
        history.event(connection, kind, event.path, zxid, env.now);
    }

    /// An operation is due.
    pub(crate) fn ask(&mut self, env: &mut Env, history: &mut History, op: Op) {
        if op == Op::Reconnect {
            return self.drop_connection(env, history);
        }
        self.waiting.push_back(op);
        if WAITING < self.waiting.len() {
            self.waiting.pop_front();
        }
        self.go_on(env, history);
    }

    /// Gives up what it has not asked for yet.
    pub(crate) fn stop(&mut self) {
        self.waiting.clear();
    }

    /// Sends what waits.
    fn go_on(&mut self, env: &mut Env, history: &mut History) {
        let State::Connected(conn, connection) = self.state else {
            return;
        };
        while self.sent.len() < PIPELINE
            && !self.sent.iter().any(|sent| sent.op == Op::Close)
            && let Some(op) = self.waiting.pop_front()
        {
            self.xid += 1;
            env.send(conn, 0, codec::encode(self.xid, &op));
            let id = history.invoke(connection, self.xid, codec::request(&op), env.now);
            self.sent.push_back(Sent {
                xid: self.xid,
                op,
                id,
            });
        }
    }
}
