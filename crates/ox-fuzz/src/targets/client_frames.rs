//! Frames of a client whose session stands, up to the answers of a server that is alone.
//!
//! The server must go on: a client after it still gets a session and an answer.

use std::sync::Arc;

use bytes::Bytes;
use ox_jute::{Decoder, Frames, Jute};
use ox_proto::{
    AuthPacket, ConnectRequest, Id, OpCode, PathRequest, Request, RequestHeader, ServerId,
    SessionId, Xid, Zxid,
};
use ox_replica::{
    AuthSettings, ClientRequest, Core, Database, DigestAlgorithm, DigestLog, Input, LocalSessions,
    Now, Output, ReaperSettings, Settings, State, Work,
};
use ox_session::ClientId;
use ox_tree::DataTree;
use ox_zab::{LeaderSettings, ObserverSettings, Peer, ZabSettings};

use super::{HASH_SEED, MAX_RECORD, TREE};
use crate::engine::Target;

pub(super) const TARGET: Target = Target {
    name: "client-frames",
    run,
    memory: (1 << 20, 512),
    longest: 8192,
    words: &[
        b"\0\0\0\x01/",
        b"\0\0\0\x05world",
        b"\0\0\0\x06anyone",
        b"/zookeeper/quota",
        b"zookeeper_limits",
        b"zookeeper_stats",
        b"count=1,bytes=1",
        b"\xff\xff\xff\xff\x01\xff\xff\xff\xff",
        b"\0\0\0\x0e",
        b"\0\0\0\x15",
    ],
    short: 1500,
};

/// Requests that are handed over at once.
const TURN: usize = 4;

const CLIENT: ClientId = ClientId(1);

fn run(bytes: &[u8]) {
    let mut server = Server::begin();
    server.connect(CLIENT);
    let mut frames = Frames::new(bytes, MAX_RECORD);
    let mut requests = Vec::new();
    // Whatever is wrong with a length or a header ends the connection.
    while let Ok(Some(frame)) = frames.next_frame() {
        let Some(request) = decode(frame) else {
            break;
        };
        requests.push(request);
        if requests.len() == TURN {
            server.ask(CLIENT, std::mem::take(&mut requests));
        }
    }
    server.ask(CLIENT, requests);
    server.handle(Input::Disconnected { client: CLIENT });
    server.wait(60_000);
    let next = ClientId(2);
    server.connect(next);
    let path = "/".to_owned();
    let read = Work::Request(Request::GetAllChildrenNumber(PathRequest { path }));
    let before = server.answers;
    server.ask(
        next,
        vec![request(Xid(1), OpCode::GetAllChildrenNumber, read, &[])],
    );
    assert_eq!(server.answers, before + 1, "the next client has no answer");
}

/// As a connection does it.
fn decode(frame: &[u8]) -> Option<ClientRequest> {
    let mut input = Decoder::new(frame).with_limit(MAX_RECORD);
    let header = RequestHeader::decode(&mut input).ok()?;
    let op = OpCode::from_code(header.r#type);
    if op == Some(OpCode::Auth) {
        // Answered by the connection itself.
        let packet = AuthPacket::decode(&mut input).ok()?;
        let (scheme, auth) = (packet.scheme.as_deref(), packet.auth.as_deref());
        let _ = auth_settings().authenticate(scheme, auth, "127.0.0.1");
    }
    let work = Work::decode(op, &mut input);
    let body = frame.get(8..).unwrap_or_default();
    Some(request(header.xid, op.unwrap_or(OpCode::Error), work, body))
}

fn request(xid: Xid, op: OpCode, work: Work, body: &[u8]) -> ClientRequest {
    ClientRequest {
        xid,
        op,
        work,
        ids: ids(),
        received: 0,
        size: body.len() + 8,
        body: Some(Bytes::copy_from_slice(body)),
    }
}

pub(super) fn ids() -> Arc<[Id]> {
    [Id::new("ip", "127.0.0.1"), Id::new("digest", "user:hash")].into()
}

/// A server that is alone, whose disk is done when it is told to be.
pub(super) struct Server {
    core: Core,
    database: Database,
    now: Now,
    appended: Option<Zxid>,
    answers: usize,
}

impl Server {
    pub(super) fn begin() -> Self {
        let settings = settings();
        let zab = ZabSettings {
            reconfig: None,
            own: settings.server,
            tick_ms: settings.tick_ms,
            init_limit: 10,
            sync_limit: 5,
            force_snapshot_sync: false,
            leader: LeaderSettings::default(),
            observers: ObserverSettings::default(),
            max_record: settings.max_record,
        };
        let state = State {
            tree: DataTree::new(HASH_SEED, TREE),
            sessions: [].into(),
            digests: DigestLog::default(),
        };
        let mut database = Database::new(state, HASH_SEED);
        let now = Now {
            monotonic_ms: 0,
            wall_ms: 1_700_000_000_000,
        };
        let peer = Peer::alone(zab, Zxid::ZERO);
        let core = Core::new(settings, peer, &mut database, HASH_SEED, now);
        let mut server = Self {
            core,
            database,
            now,
            appended: None,
            answers: 0,
        };
        server.perform();
        server
    }

    pub(super) fn connect(&mut self, client: ClientId) {
        let ids = ids();
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 4000,
            session_id: SessionId::NONE,
            password: Some(Bytes::from_static(&[0; 16])),
            read_only: Some(false),
        };
        let before = self.answers;
        self.handle(Input::Connect {
            client,
            ids,
            request,
        });
        self.flush();
        assert_eq!(self.answers, before + 1, "no session");
    }

    fn ask(&mut self, client: ClientId, requests: Vec<ClientRequest>) {
        self.handle(Input::Requests { client, requests });
        self.flush();
    }

    pub(super) fn flush(&mut self) {
        while let Some(zxid) = self.appended.take() {
            self.handle(Input::Flushed(zxid));
        }
    }

    pub(super) fn wait(&mut self, ms: i64) {
        let end = self.now.monotonic_ms + ms;
        while self.core.poll_timeout() <= end {
            let next = self.core.poll_timeout().max(self.now.monotonic_ms);
            self.now.wall_ms += next - self.now.monotonic_ms;
            self.now.monotonic_ms = next;
            self.handle(Input::Timeout { delivered: true });
            self.flush();
        }
    }

    pub(super) fn handle(&mut self, input: Input) {
        self.core.handle(self.now, input, &mut self.database);
        self.perform();
    }

    fn perform(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Append { zxid, .. } => self.appended = Some(zxid),
                Output::Send { .. } | Output::Established { .. } => self.answers += 1,
                _ => {}
            }
        }
    }
}

fn auth_settings() -> AuthSettings {
    AuthSettings {
        digest: Some(DigestAlgorithm::Sha1),
        ..AuthSettings::default()
    }
}

fn settings() -> Settings {
    Settings {
        server: ServerId(1),
        tick_ms: 1000,
        min_session_timeout_ms: 2000,
        max_session_timeout_ms: 20_000,
        tree: TREE,
        enforce_quota: true,
        reconfig_enabled: true,
        local_sessions: LocalSessions::Off,
        read_only: false,
        leader_serves: true,
        close_session_lists: true,
        max_record: MAX_RECORD,
        auth: auth_settings(),
        reaper: ReaperSettings {
            check_interval_ms: 10_000,
            pause_ms: 6,
            max_never_used_ms: 1,
        },
    }
}
