//! Clients: they ask for something at random, many things at once, come back elsewhere, fall
//! silent, and write down what they were told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ox_check::{AclEntry, ConnectionId, CreateMode, EventKind, OpId, Outcome, Request, SetWatches};
use ox_jute::{Decoder, Frames, Jute};
use ox_proto::{
    ConnectRequest, ConnectResponse, ErrorCode, EventType, Id, OpCode, PeerState, ReplyHeader,
    SessionId, WatcherEvent, Xid, Zxid,
};
use ox_replica::{ClientRequest, Input, Work};
use ox_session::{ClientId, password};

use super::{Event, HEALS, Place, QUIET, World, words};
use crate::random::Random;

const LIMITS: &str = "/zookeeper/quota/q/zookeeper_limits";
const STATS: &str = "/zookeeper/quota/q/zookeeper_stats";

/// What a server is sent.
pub(super) enum Asked {
    Connect(ConnectRequest),
    Requests(Vec<ClientRequest>),
    Gone,
}

/// What a client is sent.
pub(super) enum Told {
    Established(Vec<u8>),
    Frames(Vec<u8>),
    Closed,
}

#[derive(Default)]
struct Watches {
    data: BTreeSet<Arc<str>>,
    exist: BTreeSet<Arc<str>>,
    child: BTreeSet<Arc<str>>,
    persistent: BTreeSet<Arc<str>>,
    recursive: BTreeSet<Arc<str>>,
}

struct Waiting {
    xid: i32,
    op: OpId,
    request: Request,
    since: i64,
}

struct Route {
    place: Place,
    life: u64,
    /// Whose requests the server takes from it; 0 before it has said so, and when it has closed it.
    session: i64,
    /// When its wish for a session reached the server.
    asked: i64,
    to_server: i64,
    to_client: i64,
}

enum State {
    Away,
    Connecting { since: i64 },
    Connected,
}

pub(super) struct Client {
    session: i64,
    timeout_ms: i32,
    last_zxid: i64,
    state: State,
    conn: u64,
    routes: BTreeMap<u64, Route>,
    connection: Option<ConnectionId>,
    waiting: VecDeque<Waiting>,
    xid: i32,
    watches: Watches,
    silent_until: i64,
    has_begun: bool,
}

impl Client {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            session: 0,
            timeout_ms: i32::try_from(random.between(4, 20)).unwrap_or(4) * 100,
            last_zxid: 0,
            state: State::Away,
            conn: 0,
            routes: BTreeMap::new(),
            connection: None,
            waiting: VecDeque::new(),
            xid: 0,
            watches: Watches::default(),
            silent_until: 0,
            has_begun: false,
        }
    }

    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }
}

impl World {
    fn ask(&mut self, client: usize, conn: u64, asked: Asked) {
        let at = self.now + self.latency();
        let Some(route) = self.clients[client].routes.get_mut(&conn) else {
            return;
        };
        route.to_server = route.to_server.max(at);
        let delay = route.to_server - self.now;
        self.schedule(delay, Event::ToServer(client, conn, asked));
    }

    pub(super) fn tell(&mut self, client: usize, conn: u64, told: Told) {
        let at = self.now + self.latency();
        let Some(route) = self.clients[client].routes.get_mut(&conn) else {
            return;
        };
        route.to_client = route.to_client.max(at);
        let delay = route.to_client - self.now;
        self.schedule(delay, Event::ToClient(client, conn, told));
    }

    /// A server gives a connection its session. A leader has counted from the wish for it on.
    pub(super) fn grant(&mut self, place: Place, client: usize, conn: u64, session: i64) {
        let leads = self.state(place) == Some(PeerState::Leading);
        let Some(route) = self.clients[client].routes.get_mut(&conn) else {
            return;
        };
        route.session = session;
        let asked = route.asked;
        self.tell_story(|| {
            format!("{place} gives client {client} session {session:#x}, asked for at {asked}")
        });
        if leads {
            self.history.heard(session, asked);
        }
    }

    /// A server takes no more from a connection.
    pub(super) fn cease(&mut self, client: usize, conn: u64) {
        if let Some(route) = self.clients[client].routes.get_mut(&conn) {
            route.session = 0;
        }
    }

    pub(super) fn reach_server(&mut self, client: usize, conn: u64, asked: Asked) {
        let Some(route) = self.clients[client].routes.get(&conn) else {
            return;
        };
        let (place, life, session) = (route.place, route.life, route.session);
        let (now, leads) = (self.now, self.state(place) == Some(PeerState::Leading));
        let server = &mut self.servers[place];
        let Some(process) = server.process.as_mut().filter(|_| server.life == life) else {
            return self.tell(client, conn, Told::Closed);
        };
        let door = process
            .doors
            .iter()
            .find(|(_, whose)| **whose == (client, conn));
        let door = door.map(|(door, _)| *door);
        let ids: Arc<[Id]> = [Id::new("ip", "127.0.0.1")].into();
        let input = match (asked, door) {
            (Asked::Connect(request), None) => {
                if let Some(route) = self.clients[client].routes.get_mut(&conn) {
                    route.asked = now;
                }
                let free = (0..).find(|door| !process.doors.contains_key(door));
                let door = free.unwrap_or(0);
                process.doors.insert(door, (client, conn));
                let client = ClientId(door);
                Input::Connect {
                    client,
                    ids,
                    request,
                }
            }
            (Asked::Requests(requests), Some(door)) => {
                let tracked = process.core.tracked_sessions().global;
                let is_open = tracked.is_some_and(|tracked| {
                    tracked.values().flatten().any(|open| open.0 == session)
                });
                if leads && is_open {
                    self.history.heard(session, now);
                }
                let client = ClientId(door);
                Input::Requests { client, requests }
            }
            (Asked::Gone, Some(door)) => Input::Disconnected {
                client: ClientId(door),
            },
            _ => return,
        };
        self.input_in(place, life, input);
    }

    pub(super) fn reach_client(&mut self, client: usize, conn: u64, told: Told) {
        let is_current = self.clients[client].conn == conn;
        match told {
            Told::Closed => {
                self.ask(client, conn, Asked::Gone);
                if is_current {
                    self.away(client);
                }
            }
            _ if !is_current => {}
            Told::Established(frame) => self.established(client, &frame),
            Told::Frames(bytes) => {
                let mut frames = Frames::new(&bytes, 1 << 24);
                while let Ok(Some(frame)) = frames.next_frame() {
                    self.frame(client, frame);
                }
            }
        }
    }

    /// The connection is over, at the client.
    fn away(&mut self, client: usize) {
        let now = self.now;
        let it = &mut self.clients[client];
        it.state = State::Away;
        it.waiting.clear();
        it.conn = 0;
        if let Some(connection) = it.connection.take() {
            self.history.disconnected(connection, now);
        }
    }

    fn connect(&mut self, client: usize) {
        let place = self.random.below(self.servers.len());
        self.sequence += 1;
        let (conn, now, life) = (self.sequence, self.now, self.servers[place].life);
        let it = &mut self.clients[client];
        it.conn = conn;
        it.state = State::Connecting { since: now };
        let route = Route {
            place,
            life,
            session: 0,
            asked: now,
            to_server: now,
            to_client: now,
        };
        it.routes.insert(conn, route);
        let session = SessionId(it.session);
        let secret = match it.session {
            0 => vec![0; 16],
            _ => password(session).to_vec(),
        };
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(it.last_zxid),
            timeout_ms: it.timeout_ms,
            session_id: session,
            password: Some(secret.into()),
            read_only: Some(false),
        };
        self.ask(client, conn, Asked::Connect(request));
    }

    fn established(&mut self, client: usize, frame: &[u8]) {
        let response = ConnectResponse::decode(&mut Decoder::new(&frame[4..]));
        let now = self.now;
        let it = &mut self.clients[client];
        let Some(response) = response.ok().filter(|response| 0 < response.timeout_ms) else {
            return;
        };
        let place = it.routes.get(&it.conn).map_or(0, |route| route.place);
        let (session, timeout) = (response.session_id.0, i64::from(response.timeout_ms));
        it.session = session;
        it.state = State::Connected;
        let server = u64::try_from(place).unwrap_or(0);
        let connection = self.history.connected(session, server, timeout, now);
        let it = &mut self.clients[client];
        it.connection = Some(connection);
        let list = |paths: &BTreeSet<Arc<str>>| paths.iter().cloned().collect::<Vec<_>>();
        let sets = SetWatches {
            relative_zxid: it.last_zxid,
            data: list(&it.watches.data),
            exist: list(&it.watches.exist),
            child: list(&it.watches.child),
            persistent: list(&it.watches.persistent),
            recursive: list(&it.watches.recursive),
        };
        let none = SetWatches {
            relative_zxid: sets.relative_zxid,
            ..SetWatches::default()
        };
        if sets != none {
            self.send_requests(client, vec![Request::SetWatches(Box::new(sets))]);
        }
    }

    /// A frame of a connection; a refusal to connect is one, too.
    fn frame(&mut self, client: usize, frame: &[u8]) {
        let now = self.now;
        let it = &mut self.clients[client];
        let Some(connection) = it.connection else {
            let refused = ConnectResponse::decode(&mut Decoder::new(frame));
            if refused.is_ok_and(|response| response.timeout_ms == 0) {
                it.session = 0;
                it.watches = Watches::default();
            }
            return;
        };
        let mut input = Decoder::new(frame);
        let Ok(header) = ReplyHeader::decode(&mut input) else {
            return self.ensure(Err("an answer without a header".to_owned()));
        };
        if header.xid == Xid::NOTIFICATION {
            let Ok(event) = WatcherEvent::decode(&mut input) else {
                return self.ensure(Err("an event that cannot be read".to_owned()));
            };
            let path: Arc<str> = event.path.as_str().into();
            let kind = match EventType::from_code(event.r#type) {
                Some(EventType::NodeCreated) => EventKind::Created,
                Some(EventType::NodeDeleted) => EventKind::Deleted,
                Some(EventType::NodeDataChanged) => EventKind::DataChanged,
                _ => EventKind::ChildrenChanged,
            };
            if kind != EventKind::ChildrenChanged {
                it.watches.data.remove(&path);
                it.watches.exist.remove(&path);
            }
            if matches!(kind, EventKind::ChildrenChanged | EventKind::Deleted) {
                it.watches.child.remove(&path);
            }
            let zxid = (header.zxid.0 != -1).then_some(header.zxid.0);
            self.tell_story(|| format!("client {client} hears of {kind:?} {path} at {zxid:x?}"));
            self.history.event(connection, kind, path, zxid, now);
            return;
        }
        if 0 < header.zxid.0 {
            it.last_zxid = it.last_zxid.max(header.zxid.0);
        }
        if header.xid == Xid::PING {
            return;
        }
        let Some(waiting) = it.waiting.pop_front().filter(|w| w.xid == header.xid.0) else {
            return self.ensure(Err(format!(
                "P4: an answer to {} out of turn",
                header.xid.0
            )));
        };
        let outcome = match header.err {
            0 => match words::answer(&waiting.request, &mut input) {
                Some(answer) => Outcome::Ok(answer),
                None => Outcome::Error(i32::MIN),
            },
            err => Outcome::Error(err),
        };
        note_watches(&mut it.watches, &waiting.request, &outcome);
        self.story.tell(now * 1000, || {
            let (xid, zxid) = (header.xid.0, header.zxid);
            format!("client {client} is answered {xid} at {zxid}: {outcome:?}")
        });
        if waiting.request == Request::CloseSession {
            it.session = 0;
            it.watches = Watches::default();
        }
        self.history
            .returned(waiting.op, now, header.zxid.0, outcome);
    }

    fn send_requests(&mut self, client: usize, asked: Vec<Request>) {
        let mut asked = asked;
        let it = &self.clients[client];
        let place = it.routes.get(&it.conn).map(|route| route.place);
        // A learner answers what cannot be decoded by itself, and it becomes no transaction.
        let leads = place.and_then(|place| self.state(place)) == Some(PeerState::Leading);
        asked.retain(|request| leads || *request != Request::OtherWrite);
        let (now, conn) = (self.now, self.clients[client].conn);
        let mut requests = Vec::new();
        for request in asked {
            let it = &mut self.clients[client];
            it.xid += 1;
            let (xid, connection) = (it.xid, it.connection.expect("it is connected"));
            self.story.tell(now * 1000, || {
                format!("client {client} asks {xid}: {request:?}")
            });
            let op = self.history.invoke(connection, xid, request.clone(), now);
            requests.push(wire(xid, &request));
            self.clients[client].waiting.push_back(Waiting {
                xid,
                op,
                request,
                since: now,
            });
        }
        self.ask(client, conn, Asked::Requests(requests));
    }

    /// A client does the next thing.
    pub(super) fn client_acts(&mut self, client: usize) {
        let now = self.now;
        let delay = match now < QUIET {
            true => self.random.between(4, 70),
            false => 90,
        };
        self.schedule(delay, Event::Client(client));
        let it = &self.clients[client];
        if now < it.silent_until {
            return;
        }
        let oldest = it.waiting.front().map_or(now, |waiting| waiting.since);
        match it.state {
            State::Away => return self.connect(client),
            State::Connecting { since } if since + 400 < now => return self.leave(client),
            State::Connecting { .. } => return,
            State::Connected if oldest + 1500 < now => {
                if HEALS + 2500 < oldest {
                    self.ensure(Err(format!("liveness: client {client} is not answered")));
                }
                return self.leave(client);
            }
            State::Connected => {}
        }
        if QUIET <= now {
            return self.ping(client);
        }
        if client == 0 && !self.clients[0].has_begun {
            self.clients[0].has_begun = true;
            return self.send_requests(client, beginning());
        }
        match self.random.below(100) {
            0..=5 => self.leave(client),
            6..=8 => {
                let silence = self.random.between(100, 2500);
                self.clients[client].silent_until = now + silence;
            }
            9 | 10 => {
                let mut last = self.burst();
                last.push(Request::CloseSession);
                self.send_requests(client, last);
            }
            11..=30 => self.ping(client),
            _ => {
                let burst = self.burst();
                self.send_requests(client, burst);
            }
        }
    }

    fn leave(&mut self, client: usize) {
        let conn = self.clients[client].conn;
        self.ask(client, conn, Asked::Gone);
        self.away(client);
    }

    fn ping(&mut self, client: usize) {
        let conn = self.clients[client].conn;
        let ping = ClientRequest {
            xid: Xid::PING,
            op: OpCode::Ping,
            work: Work::Request(ox_proto::Request::Ping),
            ids: [Id::new("ip", "127.0.0.1")].into(),
            received: 0,
            size: 0,
            body: None,
        };
        self.ask(client, conn, Asked::Requests(vec![ping]));
    }

    fn burst(&mut self) -> Vec<Request> {
        let count = *self.random.pick(&[1, 1, 1, 2, 3, 5]);
        (0..count).map(|_| draw(&mut self.random)).collect()
    }
}

/// What makes a subtree that may hold four znodes.
fn beginning() -> Vec<Request> {
    let make = |path: &str, data: &str| create(path, CreateMode::Persistent, data);
    vec![
        make("/q", ""),
        make("/zookeeper/quota/q", ""),
        make(LIMITS, "count=-1,bytes=-1=;countHardLimit=4"),
        make(STATS, "count=1,bytes=0"),
        make("/d0", "x"),
        make("/d1", ""),
    ]
}

fn wire(xid: i32, request: &Request) -> ClientRequest {
    let (op, work, body) = match request {
        Request::OtherWrite => {
            let undecodable = Work::Undecodable(ErrorCode::MarshallingError);
            (OpCode::Multi, undecodable, None)
        }
        request => {
            let request = words::request(request);
            let body = words::body(&request).map(Into::into);
            (words::op(&request), Work::Request(request), body)
        }
    };
    ClientRequest {
        xid: Xid(xid),
        op,
        work,
        ids: [Id::new("ip", "127.0.0.1")].into(),
        received: 0,
        size: 0,
        body,
    }
}

fn note_watches(watches: &mut Watches, request: &Request, outcome: &Outcome) {
    let is_ok = matches!(outcome, Outcome::Ok(_));
    match request {
        Request::GetData { path, watch: true } if is_ok => {
            watches.data.insert(path.clone());
        }
        Request::Exists { path, watch: true } => match outcome {
            Outcome::Ok(_) => {
                watches.data.insert(path.clone());
            }
            Outcome::Error(-101) => {
                watches.exist.insert(path.clone());
            }
            _ => {}
        },
        Request::GetChildren { path, watch: true } if is_ok => {
            watches.child.insert(path.clone());
        }
        Request::AddWatch { path, recursive } if is_ok => {
            let set = match recursive {
                true => &mut watches.recursive,
                false => &mut watches.persistent,
            };
            set.insert(path.clone());
        }
        _ => {}
    }
}

fn create(path: &str, mode: CreateMode, data: &str) -> Request {
    Request::Create {
        path: path.into(),
        data: Some(data.as_bytes().into()),
        acl: ox_check::open_acl(),
        mode,
    }
}

fn path(random: &mut Random) -> Arc<str> {
    let directory = format!("/d{}", random.below(2));
    match random.below(10) {
        0..=2 => directory.into(),
        3 => format!("/q/x{}", random.below(6)).into(),
        _ => format!("{directory}/n{}", random.below(3)).into(),
    }
}

fn acl(random: &mut Random) -> Arc<[AclEntry]> {
    let perms = *random.pick(&[31, 31, 31, 30, 15]);
    [AclEntry::new(perms, "world", "anyone")].into()
}

fn write(random: &mut Random) -> Request {
    let path = path(random);
    let version = *random.pick(&[-1, -1, -1, 0, 1]);
    let data: Option<Arc<[u8]>> = Some(random.next().to_string().as_bytes().into());
    match random.below(20) {
        0..=5 => Request::Create {
            path,
            data,
            acl: acl(random),
            mode: *random.pick(&[
                CreateMode::Persistent,
                CreateMode::Ephemeral,
                CreateMode::Ephemeral,
            ]),
        },
        6 | 7 => Request::Create {
            path: format!("/d{}/s", random.below(2)).into(),
            data,
            acl: ox_check::open_acl(),
            mode: *random.pick(&[
                CreateMode::PersistentSequential,
                CreateMode::EphemeralSequential,
            ]),
        },
        8..=12 => Request::Delete { path, version },
        _ => Request::SetData {
            path,
            data,
            version,
        },
    }
}

fn draw(random: &mut Random) -> Request {
    match random.below(100) {
        0..=44 => write(random),
        45..=52 => {
            let mut parts: Vec<Request> = (0..random.below(3) + 1).map(|_| write(random)).collect();
            if random.percent(30) {
                parts.push(Request::Check {
                    path: path(random),
                    version: -1,
                });
            }
            Request::Multi(parts)
        }
        53 => Request::SetAcl {
            path: path(random),
            acl: acl(random),
            version: -1,
        },
        54 => Request::OtherWrite,
        55..=57 => Request::GetAcl { path: path(random) },
        58..=60 => Request::GetData {
            path: STATS.into(),
            watch: false,
        },
        61..=72 => Request::GetData {
            path: path(random),
            watch: random.percent(50),
        },
        73..=80 => Request::Exists {
            path: path(random),
            watch: random.percent(60),
        },
        81..=88 => Request::GetChildren {
            path: format!("/d{}", random.below(2)).into(),
            watch: random.percent(60),
        },
        89..=91 => Request::AddWatch {
            path: format!("/d{}", random.below(2)).into(),
            recursive: random.percent(60),
        },
        _ => Request::Sync { path: path(random) },
    }
}
