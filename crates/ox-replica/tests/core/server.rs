//! A server without disk: the core, the database and a log that syncs when it is told to.
//!
//! All that the core does is written down as lines, a client's session by its letter's number, so
//! that a test reads as what was done and what came of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use ox_jute::{Decoder, Frames, Jute};
use ox_proto::{
    Acl, ConnectRequest, ConnectResponse, Create, DeleteRequest, ErrorCode, EventType, Id,
    MultiHeader, MultiOp, OpCode, ReadRequest, ReconfigRules, ReplyHeader, Request, ServerId,
    SessionId, SetDataRequest, Stat, SyncRequest, Txn, TxnRecord, WatcherEvent, Xid, Zxid,
};
use ox_replica::{
    Answers, AuthSettings, ClientRequest, Core, Database, DigestAlgorithm, DigestLog, Input,
    LocalSessions, Mode, Now, Output, ReaperSettings, Settings, State, Work,
};
use ox_session::{ClientId, password};
use ox_tree::{DataTree, TreeOptions};
use ox_zab::{History, LeaderSettings, Membership, ObserverSettings, Peer, ZabSettings};

pub(crate) const TREE: TreeOptions = TreeOptions {
    extended_types: true,
    emulate_353_ttl: false,
    digest: true,
};

const SEED: u64 = 1;

pub(crate) fn settings() -> Settings {
    Settings {
        server: ServerId(1),
        tick_ms: 1000,
        min_session_timeout_ms: 2000,
        max_session_timeout_ms: 20_000,
        tree: TREE,
        enforce_quota: true,
        reconfig_enabled: false,
        local_sessions: LocalSessions::Off,
        read_only: false,
        leader_serves: true,
        close_session_lists: true,
        max_record: 1 << 20,
        auth: AuthSettings {
            digest: Some(DigestAlgorithm::Sha1),
            ..AuthSettings::default()
        },
        reaper: ReaperSettings {
            check_interval_ms: 60_000,
            pause_ms: 6,
            max_never_used_ms: 0,
        },
    }
}

/// A server, what it has logged, and what it has said since it was last asked.
pub(crate) struct Server {
    pub(crate) core: Core,
    pub(crate) database: Database,
    /// The payloads of the log, synced or not.
    pub(crate) log: Vec<(Zxid, Vec<u8>)>,
    /// Session ids by client.
    pub(crate) sessions: Vec<SessionId>,
    /// What it is to its clients.
    pub(crate) mode: Option<Mode>,
    /// What a member wants of the others and of the disk, in order.
    pub(crate) wanted: VecDeque<Wanted>,
    /// A learner was to be sent the whole state, which these members cannot do: it waits for ever.
    pub(crate) owes_state: bool,
    /// Stands before each line of a member.
    name: String,
    /// The names of connections that are taken.
    taken: BTreeSet<ClientId>,
    now: Now,
    said: Vec<String>,
    xid: i32,
}

/// What a member wants of the others and of the disk.
pub(crate) enum Wanted {
    Append(Zxid),
    Peer(ox_zab::Output),
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::with(settings())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        Self::on(DataTree::new(SEED, TREE), settings, &[])
    }

    /// Begins on a tree that is there, with sessions of this timeout.
    pub(crate) fn on(tree: DataTree, settings: Settings, sessions: &[(SessionId, i32)]) -> Self {
        let peer = Peer::alone(zab_settings(&settings), tree.last_zxid());
        Self::begin(tree, settings, sessions, peer, String::new())
    }

    /// A member of an ensemble that has just been set up. Its lines begin with its number.
    pub(crate) fn member(settings: Settings, membership: Membership) -> Self {
        let history = History::new(Zxid::ZERO, 500);
        let name = format!("{}/", settings.server.0);
        let peer = Peer::member(zab_settings(&settings), membership, history);
        Self::begin(DataTree::new(SEED, TREE), settings, &[], peer, name)
    }

    fn begin(
        tree: DataTree,
        settings: Settings,
        sessions: &[(SessionId, i32)],
        peer: Peer,
        name: String,
    ) -> Self {
        let sessions = sessions.iter().copied().collect();
        let state = State {
            tree,
            sessions,
            digests: DigestLog::default(),
        };
        let mut database = Database::new(state, SEED);
        let now = Now {
            monotonic_ms: 0,
            wall_ms: 1_700_000_000_000,
        };
        let core = Core::new(settings, peer, &mut database, SEED, now);
        let mut server = Self {
            core,
            database,
            log: Vec::new(),
            sessions: vec![SessionId::NONE; 10],
            mode: None,
            wanted: VecDeque::new(),
            owes_state: false,
            name,
            taken: BTreeSet::new(),
            now,
            said: Vec::new(),
            xid: 0,
        };
        server.perform();
        server
    }

    pub(crate) fn handle(&mut self, input: Input) {
        self.core.handle(self.now, input, &mut self.database);
        self.perform();
    }

    /// Sends a connect request; the session is there after [`flush`](Self::flush).
    pub(crate) fn ask_to_connect(&mut self, client: u32, session: SessionId, password: &[u8]) {
        self.ask(client, connect_request(session, password));
    }

    /// The same with any request.
    pub(crate) fn ask(&mut self, client: u32, request: ConnectRequest) {
        self.taken.insert(ClientId(client));
        self.handle(Input::Connect {
            client: ClientId(client),
            ids: [Id::new("ip", "127.0.0.1")].into(),
            request,
        });
    }

    /// Whether a connection may have this name.
    pub(crate) fn is_free(&self, client: u32) -> bool {
        !self.taken.contains(&ClientId(client))
    }

    /// Connects with a new session, and says nothing of it.
    pub(crate) fn connect(&mut self, client: u32) -> SessionId {
        self.ask_to_connect(client, SessionId::NONE, &[0; 16]);
        self.flush();
        self.said.clear();
        self.sessions[slot(client)]
    }

    /// Goes on with a session.
    pub(crate) fn reattach(&mut self, client: u32, session: SessionId) {
        self.ask_to_connect(client, session, &password(session));
    }

    /// Sends requests, numbered through, in one packet.
    pub(crate) fn send(&mut self, client: u32, requests: &[Request]) {
        let works = requests.iter().cloned().map(Work::Request);
        let works = works.collect::<Vec<_>>();
        self.send_work(client, works);
    }

    pub(crate) fn send_work(&mut self, client: u32, works: Vec<Work>) {
        let ids: Arc<[Id]> = self.ids(client);
        let requests = works
            .into_iter()
            .map(|work| {
                self.xid += 1;
                ClientRequest {
                    xid: Xid(self.xid),
                    op: op_of(&work),
                    ids: Arc::clone(&ids),
                    received: 0,
                    size: 0,
                    body: body_of(&work),
                    work,
                }
            })
            .collect();
        self.handle(Input::Requests {
            client: ClientId(client),
            requests,
        });
    }

    fn ids(&self, client: u32) -> Arc<[Id]> {
        match client {
            // One who may do everything.
            9 => [Id::new("super", "")].into(),
            _ => [Id::new("ip", "127.0.0.1")].into(),
        }
    }

    /// Sends requests and syncs the log, and says nothing of it.
    pub(crate) fn done(&mut self, client: u32, requests: &[Request]) {
        self.send(client, requests);
        self.flush();
        let failed = |line: &&String| line.contains('!') && !line.contains("!NoNode");
        assert_eq!(self.said.iter().find(failed), None, "{:?}", self.said);
        self.said.clear();
    }

    /// The session was heard from by a read that the core did not see.
    pub(crate) fn touch(&mut self, client: u32) {
        self.touched_before(client, 0);
    }

    /// It was, so long before.
    pub(crate) fn touched_before(&mut self, client: u32, ms: i64) {
        let session = self.sessions[slot(client)];
        let at_ms = self.now.monotonic_ms - ms;
        self.handle(Input::Touched { session, at_ms });
    }

    pub(crate) fn disconnect(&mut self, client: u32) {
        self.handle(Input::Disconnected {
            client: ClientId(client),
        });
    }

    /// The log has synced all that it was given.
    pub(crate) fn flush(&mut self) {
        if let Some((zxid, _)) = self.log.last() {
            self.flush_to(*zxid);
        }
    }

    pub(crate) fn flush_to(&mut self, zxid: Zxid) {
        self.handle(Input::Flushed(zxid));
    }

    /// Lets time go by, as far as the core has asked to be woken for it.
    pub(crate) fn wait(&mut self, ms: i64) {
        let end = self.now.monotonic_ms + ms;
        while self.core.poll_timeout() <= end {
            let by = self.core.poll_timeout().max(self.now.monotonic_ms) - self.now.monotonic_ms;
            self.go_on(by);
            self.handle(Input::Timeout { delivered: true });
        }
        self.go_on(end - self.now.monotonic_ms);
    }

    /// The time, in monotonic milliseconds.
    pub(crate) fn now(&self) -> i64 {
        self.now.monotonic_ms
    }

    /// Requests are numbered from here on.
    pub(crate) fn number_after(&mut self, xid: i32) {
        self.xid = xid;
    }

    /// The session that a client had last.
    pub(crate) fn session(&self, client: u32) -> SessionId {
        self.sessions[slot(client)]
    }

    /// What the log holds up to a zxid, as a start would find it; what is behind that is gone.
    pub(crate) fn cut_log(&mut self, to: Zxid) -> State {
        self.log.retain(|(zxid, _)| *zxid <= to);
        let mut state = State {
            tree: DataTree::new(SEED, TREE),
            sessions: BTreeMap::new(),
            digests: DigestLog::default(),
        };
        for (_, payload) in &self.log {
            let TxnRecord { header, txn, .. } =
                TxnRecord::decode(payload, 1 << 20).expect("a record");
            state.tree.apply(&header, &txn, &mut |_| {});
            match txn {
                Txn::CreateSession(txn) => {
                    state.sessions.insert(header.client_id, txn.timeout_ms);
                }
                Txn::CloseSession(_) => {
                    state.sessions.remove(&header.client_id);
                }
                _ => {}
            }
        }
        state
    }

    /// Takes what was said since the last time.
    pub(crate) fn take_said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.said)
    }

    /// Whether the core knows nothing of any connection.
    pub(crate) fn has_released_all(&self) -> bool {
        self.taken.is_empty()
    }

    pub(crate) fn go_on(&mut self, ms: i64) {
        self.now.monotonic_ms += ms;
        self.now.wall_ms += ms;
    }

    /// What was said since the last time, and nothing else.
    #[track_caller]
    pub(crate) fn expect(&mut self, lines: &[&str]) {
        assert_eq!(std::mem::take(&mut self.said), lines);
    }

    /// The same for one kind of line.
    #[track_caller]
    pub(crate) fn expect_to(&mut self, client: u32, lines: &[&str]) {
        let prefix = format!("{client}: ");
        let said = std::mem::take(&mut self.said);
        let to_it: Vec<_> = said
            .iter()
            .filter_map(|line| line.strip_prefix(&prefix))
            .collect();
        assert_eq!(to_it, lines, "{said:?}");
    }

    fn perform(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Append { zxid, payload } => {
                    if self.name.is_empty() {
                        self.said.push(format!("log {}", short(zxid)));
                    }
                    self.log.push((zxid, payload.to_vec()));
                    self.wanted.push_back(Wanted::Append(zxid));
                }
                Output::Send {
                    client,
                    frames,
                    answers,
                } => {
                    let mut frames = Frames::new(frames, usize::MAX);
                    while let Some(frame) = frames.next_frame().expect("whole frames") {
                        let name = &self.name;
                        self.said
                            .push(format!("{name}{}: {}", client.0, told(frame, answers)));
                    }
                }
                Output::Established {
                    client,
                    session,
                    frame,
                    ..
                } => {
                    let name = &self.name;
                    let kind = match frame.last() {
                        Some(1) => "session, read-only",
                        _ => "session",
                    };
                    self.said.push(format!("{name}{}: {kind}", client.0));
                    self.sessions[slot(client.0)] = session;
                }
                Output::Close { client } => {
                    self.said.push(format!("{}{}: close", self.name, client.0));
                }
                Output::Release { client } => {
                    self.taken.remove(&client);
                    self.said
                        .push(format!("{}{}: release", self.name, client.0));
                }
                Output::State { .. } => self.owes_state = true,
                Output::Mode { mode, .. } => self.mode = mode,
                Output::Peer(output) if self.name.is_empty() => {
                    panic!("a server alone has no peers: {output:?}")
                }
                Output::Peer(output) => self.wanted.push_back(Wanted::Peer(output)),
            }
        }
    }
}

fn zab_settings(settings: &Settings) -> ZabSettings {
    ZabSettings {
        reconfig: settings.reconfig_enabled.then_some(ReconfigRules {
            standalone_enabled: false,
            several_addresses: false,
        }),
        own: settings.server,
        tick_ms: settings.tick_ms,
        init_limit: 10,
        sync_limit: 5,
        force_snapshot_sync: false,
        leader: LeaderSettings::default(),
        observers: ObserverSettings::default(),
        max_record: settings.max_record,
    }
}

/// A connect request of a client that wants more than reads.
pub(crate) fn connect_request(session: SessionId, password: &[u8]) -> ConnectRequest {
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms: 4000,
        session_id: session,
        password: Some(Bytes::copy_from_slice(password)),
        read_only: Some(false),
    }
}

/// What stands behind the header of a request that may be forwarded.
pub(crate) fn body_of(work: &Work) -> Option<Bytes> {
    let mut body = Vec::new();
    match work {
        Work::Request(Request::Create(create)) => {
            create.path.encode(&mut body);
            create.data.encode(&mut body);
            create.acl.encode(&mut body);
            create.flags.encode(&mut body);
            if create.op == OpCode::CreateTtl {
                create.ttl.encode(&mut body);
            }
        }
        Work::Request(Request::Delete(delete)) => delete.encode(&mut body),
        Work::Request(Request::SetData(set)) => set.encode(&mut body),
        Work::Request(Request::Multi(ops)) => MultiOp::encode_all(ops, &mut body),
        Work::Request(Request::Reconfig(request)) => request.encode(&mut body),
        Work::Request(Request::Sync(sync)) => sync.encode(&mut body),
        Work::Request(_) | Work::Undecodable(_) | Work::Refused(_) => return None,
    }
    Some(body.into())
}

fn slot(client: u32) -> usize {
    usize::try_from(client).expect("small")
}

fn op_of(work: &Work) -> OpCode {
    match work {
        Work::Request(Request::Create(create)) => create.op,
        Work::Request(Request::GetData(_)) => OpCode::GetData,
        Work::Request(Request::GetChildren(_)) => OpCode::GetChildren,
        Work::Request(Request::GetAllChildrenNumber(_)) => OpCode::GetAllChildrenNumber,
        Work::Request(Request::Multi(_)) => OpCode::Multi,
        Work::Request(Request::SetData(_)) => OpCode::SetData,
        Work::Request(Request::Delete(_)) => OpCode::Delete,
        Work::Request(Request::Sync(_)) => OpCode::Sync,
        Work::Request(Request::Reconfig(_)) => OpCode::Reconfig,
        Work::Request(Request::CloseSession) => OpCode::CloseSession,
        Work::Request(_) | Work::Undecodable(_) | Work::Refused(_) => OpCode::Ping,
    }
}

/// The counter, with the epoch before it if that is not the first.
fn short(zxid: Zxid) -> String {
    match zxid.epoch() {
        0 => zxid.counter().to_string(),
        epoch => format!("{epoch}/{}", zxid.counter()),
    }
}

/// A frame in words: an event, an answer with its error, or a refused session.
fn told(frame: &[u8], answers: Option<Answers>) -> String {
    let mut input = Decoder::new(frame);
    if answers.is_none() && frame.len() > 30 && frame[..4] == [0; 4] {
        let response = ConnectResponse::decode(&mut input).expect("a connect response");
        assert_eq!(response.session_id, SessionId::NONE);
        return "refused".into();
    }
    let header = ReplyHeader::decode(&mut input).expect("a header");
    let zxid = short(header.zxid);
    if header.xid == Xid::NOTIFICATION {
        let event = WatcherEvent::decode(&mut input).expect("an event");
        let kind = EventType::from_code(event.r#type).expect("a type");
        return match header.zxid.0 {
            -1 => format!("{kind:?} {} missed", event.path),
            _ => format!("{kind:?} {} @{zxid}", event.path),
        };
    }
    let answers = answers.expect("an answer answers something");
    let what = match (header.err, answers.op) {
        (0, OpCode::Create) => String::decode(&mut input).expect("a path"),
        (0, OpCode::GetData | OpCode::Reconfig) => {
            let data = input.buffer().expect("data").unwrap_or_default();
            String::from_utf8(data.to_vec()).expect("text")
        }
        (0, OpCode::GetChildren) => {
            let mut names: Vec<String> = Jute::decode(&mut input).expect("names");
            names.sort_unstable();
            names.join(",")
        }
        (0, OpCode::GetAllChildrenNumber) => input.int().expect("a number").to_string(),
        (0, OpCode::Multi) => results(&mut input),
        (0, _) => "ok".into(),
        (error, _) => failed(error),
    };
    format!("{} @{zxid} {what}", header.xid.0)
}

fn failed(error: i32) -> String {
    format!("!{:?}", ErrorCode::from_code(error).expect("a known error"))
}

fn results(input: &mut Decoder<'_>) -> String {
    let mut results = Vec::new();
    loop {
        let header = MultiHeader::decode(input).expect("a header");
        if header.done {
            return results.join(" ");
        }
        results.push(match OpCode::from_code(header.r#type) {
            Some(OpCode::Create) => String::decode(input).expect("a path"),
            Some(OpCode::SetData) => {
                Stat::decode(input).expect("a stat");
                "ok".into()
            }
            Some(OpCode::Error) => failed(input.int().expect("an error")),
            _ => "ok".into(),
        });
    }
}

pub(crate) fn create_as(path: &str, flags: i32, acl: &[Acl]) -> Create {
    Create {
        op: OpCode::Create,
        path: path.into(),
        data: Some(Bytes::from_static(b"0")),
        acl: Some(acl.iter().cloned().map(Into::into).collect()),
        flags,
        ttl: -1,
    }
}

pub(crate) fn plain(path: &str) -> Create {
    create_as(path, 0, &[Acl::world(Acl::ALL)])
}

pub(crate) fn create(path: &str) -> Request {
    Request::Create(plain(path))
}

pub(crate) fn ephemeral(path: &str) -> Request {
    Request::Create(create_as(path, 1, &[Acl::world(Acl::ALL)]))
}

pub(crate) fn sequential(path: &str) -> Request {
    Request::Create(create_as(path, 2, &[Acl::world(Acl::ALL)]))
}

pub(crate) fn container(path: &str) -> Request {
    let op = OpCode::CreateContainer;
    Request::Create(Create {
        op,
        ..create_as(path, 4, &[Acl::world(Acl::ALL)])
    })
}

pub(crate) fn with_ttl(path: &str, ttl: i64) -> Request {
    let op = OpCode::CreateTtl;
    Request::Create(Create {
        op,
        ttl,
        ..create_as(path, 5, &[Acl::world(Acl::ALL)])
    })
}

pub(crate) fn delete_op(path: &str) -> DeleteRequest {
    DeleteRequest {
        path: path.into(),
        version: -1,
    }
}

pub(crate) fn delete(path: &str) -> Request {
    Request::Delete(delete_op(path))
}

pub(crate) fn set_op(path: &str, data: &str, version: i32) -> SetDataRequest {
    SetDataRequest {
        path: path.into(),
        data: Some(Bytes::copy_from_slice(data.as_bytes())),
        version,
    }
}

pub(crate) fn set(path: &str, data: &str) -> Request {
    Request::SetData(set_op(path, data, -1))
}

fn read(path: &str, watch: bool) -> ReadRequest {
    ReadRequest {
        path: path.into(),
        watch,
    }
}

pub(crate) fn exists(path: &str, watch: bool) -> Request {
    Request::Exists(read(path, watch))
}

pub(crate) fn data(path: &str, watch: bool) -> Request {
    Request::GetData(read(path, watch))
}

pub(crate) fn children(path: &str, watch: bool) -> Request {
    Request::GetChildren(read(path, watch))
}

pub(crate) fn sync() -> Request {
    Request::Sync(SyncRequest {
        path: Some("/".into()),
    })
}

pub(crate) fn multi(ops: &[MultiOp]) -> Request {
    Request::Multi(ops.to_vec())
}
