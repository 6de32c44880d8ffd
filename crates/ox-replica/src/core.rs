//! One whole server without sockets or disk: requests in, transactions, answers and events out.
//!
//! Invariants: a write is answered after its transaction is committed, and it commits only after
//! the log has said that it is on stable storage; transactions are applied in zxid order; one
//! client's answers leave in the order of its requests. Source: `ZooKeeperServer.java`,
//! `FinalRequestProcessor.java`, `SessionTrackerImpl.java`; client-protocol.md chapters 2 and 11.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ox_jute::{Jute, end_frame, start_frame};
use ox_proto::{
    Acl, ConnectRequest, ConnectResponse, CreateSessionTxn, ErrorCode, ErrorTxn, Id, Request,
    SessionId, Txn, TxnHeader, TxnRecord, Zxid,
};
use ox_session::{AclOf, ClientId, SessionTracker, Trigger, first_session_id, password};
use ox_tree::{ChangeKind, Outcome};
use ox_zab::Broadcast;

use crate::database::Database;
use crate::events::Effects;
pub use crate::events::{Answers, Output};
use crate::lane::Lane;
use crate::prep::{Context, Prep};
use crate::read::{Reader, ends_connection};
use crate::reaper::Reaper;
use crate::reply;
use crate::request::{ClientRequest, Refusal, Work};
use crate::settings::Settings;

/// The two clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Never goes back, in milliseconds; sessions expire by it.
    pub monotonic_ms: i64,
    /// Milliseconds since 1970; goes into transactions.
    pub wall_ms: i64,
}

/// What can happen to a server.
#[derive(Debug)]
pub enum Input {
    /// A connection has sent its first packet.
    Connect {
        /// A name for the connection that no other has before its `Release`.
        client: ClientId,
        /// The identities it starts with.
        ids: Arc<[Id]>,
        /// The packet.
        request: ConnectRequest,
    },
    /// A connection with a session has sent requests.
    Requests {
        /// The connection.
        client: ClientId,
        /// In the order they came.
        requests: Vec<ClientRequest>,
    },
    /// A connection has ended. Its session goes on.
    Disconnected {
        /// The connection.
        client: ClientId,
    },
    /// A session was heard from by way of a read that did not come here.
    Touched(SessionId),
    /// Every transaction up to and including this zxid is on stable storage.
    Flushed(Zxid),
    /// The time that `poll_timeout` asked for has come.
    Timeout,
}

/// A connection, as the core knows it.
#[derive(Debug)]
struct Client {
    /// `None` until the session is there.
    session: Option<SessionId>,
    lane: Lane,
    /// Whether its createSession is on its way.
    connecting: bool,
    /// It has ended, but its writes are on their way.
    gone: bool,
}

/// A proposal that is not committed yet.
#[derive(Debug)]
struct Outstanding {
    record: TxnRecord,
    origin: Option<Origin>,
}

/// Where a proposal came from, and so where its outcome goes.
#[derive(Clone, Copy, Debug)]
enum Origin {
    Connect {
        client: ClientId,
        read_only: Option<bool>,
    },
    Request {
        client: ClientId,
        answers: Answers,
    },
}

/// The server's one writer.
#[derive(Debug)]
pub struct Core {
    settings: Settings,
    broadcast: Broadcast,
    prep: Prep,
    outstanding: VecDeque<Outstanding>,
    tracker: SessionTracker,
    next_session: SessionId,
    clients: HashMap<ClientId, Client, FixedState>,
    /// The connection that each session has at the moment.
    attached: BTreeMap<SessionId, ClientId>,
    reaper: Reaper,
    effects: Effects,
    /// The record that was encoded last.
    payload: Vec<u8>,
}

impl Core {
    /// How much memory is kept for encoding records.
    const KEPT_CAPACITY: usize = 1 << 20;

    /// Begins to serve `database`, which holds all that is on disk. Every session starts with its
    /// full timeout; ephemerals whose session is unknown are deleted by a transaction.
    pub fn new(settings: Settings, database: &Database, hash_seed: u64, now: Now) -> Self {
        let mut tracker = SessionTracker::new(settings.tick_ms);
        for (&session, &timeout_ms) in &database.sessions {
            tracker.open(session, timeout_ms, now.monotonic_ms);
        }
        let mut core = Self {
            broadcast: Broadcast::new(database.tree.last_zxid()),
            prep: Prep::new(&database.tree, hash_seed, &settings),
            outstanding: VecDeque::new(),
            tracker,
            next_session: first_session(&settings, database, now),
            clients: HashMap::with_hasher(FixedState::with_seed(hash_seed)),
            attached: BTreeMap::new(),
            reaper: Reaper::new(settings.reaper, now.monotonic_ms),
            effects: Effects::default(),
            payload: Vec::new(),
            settings,
        };
        let owners: BTreeSet<_> = database.tree.sessions_with_ephemerals().collect();
        for orphan in owners
            .into_iter()
            .filter(|owner| !database.sessions.contains_key(owner))
        {
            tracing::info!(session = %orphan, "deleting the ephemerals of a session that is gone");
            core.close_session(now, database, orphan, 0, None);
        }
        core
    }

    /// Takes one event in.
    pub fn handle(&mut self, now: Now, input: Input, database: &mut Database) {
        match input {
            Input::Connect {
                client,
                ids,
                request,
            } => {
                self.connect(now, database, client, ids, &request);
            }
            Input::Requests { client, requests } => {
                self.requests(now, database, client, requests);
            }
            Input::Disconnected { client } => self.disconnected(database, client),
            Input::Touched(session) => {
                self.tracker.touch(session, None, now.monotonic_ms);
            }
            Input::Flushed(zxid) => self.flushed(database, zxid),
            Input::Timeout => self.timeout(now, database),
        }
    }

    /// The next effect, in order. Each may be performed the moment it is seen.
    pub fn poll_output(&mut self) -> Option<Output<'_>> {
        self.effects.poll()
    }

    /// When [`Input::Timeout`] is due, in monotonic milliseconds.
    pub fn poll_timeout(&self) -> i64 {
        let reaper = self.reaper.poll_timeout();
        self.tracker
            .next_expiry()
            .map_or(reaper, |expiry| expiry.min(reaper))
    }

    /// How many transactions wait for the log.
    pub fn outstanding(&self) -> usize {
        self.broadcast.outstanding()
    }

    /// The sessions by the time at which they would expire, in monotonic milliseconds.
    pub fn sessions_by_expiry(&self) -> BTreeMap<i64, Vec<SessionId>> {
        self.tracker.dump()
    }

    fn connect(
        &mut self,
        now: Now,
        database: &mut Database,
        client: ClientId,
        ids: Arc<[Id]>,
        request: &ConnectRequest,
    ) {
        database.identify(client, ids);
        let state = Client {
            session: None,
            lane: Lane::default(),
            connecting: false,
            gone: false,
        };
        self.clients.insert(client, state);
        let last = database.tree.last_zxid();
        if request.last_zxid_seen > last {
            tracing::warn!(
                session = %request.session_id,
                "Refusing session request for client as it has seen zxid {} our last zxid is \
                 {last} client must try another server",
                request.last_zxid_seen,
            );
            self.effects.close(client);
            return;
        }
        let timeout_ms = request.timeout_ms.clamp(
            self.settings.min_session_timeout_ms,
            self.settings.max_session_timeout_ms,
        );
        match request.session_id {
            SessionId::NONE => self.create_session(now, database, client, timeout_ms, request),
            session => self.reattach(now, client, session, timeout_ms, request),
        }
    }

    fn create_session(
        &mut self,
        now: Now,
        database: &Database,
        client: ClientId,
        timeout_ms: i32,
        request: &ConnectRequest,
    ) {
        let session = self.next_session;
        self.next_session = following(session);
        self.tracker.open(session, timeout_ms, now.monotonic_ms);
        self.client(client).connecting = true;
        let origin = Some(Origin::Connect {
            client,
            read_only: request.read_only,
        });
        self.propose(now, database, session, 0, &[], origin, |_, _| {
            Ok(Txn::CreateSession(CreateSessionTxn { timeout_ms }))
        });
    }

    /// Any other connection of the session goes first, whatever the password turns out to be.
    fn reattach(
        &mut self,
        now: Now,
        client: ClientId,
        session: SessionId,
        timeout_ms: i32,
        request: &ConnectRequest,
    ) {
        self.detach(session);
        let is_owner = request.password.as_deref() == Some(&password(session));
        if is_owner
            && self
                .tracker
                .touch(session, Some(timeout_ms), now.monotonic_ms)
        {
            self.establish(client, session, timeout_ms, request.read_only);
        } else {
            tracing::info!(session = %session, "refusing a session that has expired");
            let response = ConnectResponse::refused(request.read_only.map(|_| false));
            self.effects.send(client, |out| write_frame(out, &response));
            self.effects.close(client);
        }
    }

    fn detach(&mut self, session: SessionId) {
        if let Some(other) = self.attached.remove(&session) {
            tracing::info!(session = %session, "session is taken over by a new connection");
            self.effects.close(other);
        }
    }

    fn establish(
        &mut self,
        client: ClientId,
        session: SessionId,
        timeout_ms: i32,
        read_only: Option<bool>,
    ) {
        // Whoever guesses the id of a session that is only being made has taken it already.
        self.detach(session);
        self.client(client).session = Some(session);
        self.attached.insert(session, client);
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms,
            session_id: session,
            password: password(session),
            read_only: read_only.map(|_| false),
        };
        self.effects.establish(client, session, timeout_ms, |out| {
            write_frame(out, &response)
        });
    }

    fn requests(
        &mut self,
        now: Now,
        database: &mut Database,
        client: ClientId,
        requests: Vec<ClientRequest>,
    ) {
        let Some(session) = self.clients.get(&client).and_then(|client| client.session) else {
            return;
        };
        let paths = requests.iter().filter_map(|request| request.work.path());
        database.tree.warm(paths);
        for request in requests {
            // A session that is closing gets no more answers; its end closes the connection.
            if !self.tracker.touch(session, None, now.monotonic_ms) {
                return;
            }
            if request.work.is_write() {
                self.write(now, database, client, session, request);
            } else if self.client(client).lane.is_empty() {
                self.answer(database, client, session, &request);
            } else {
                self.client(client).lane.push_read(request);
            }
        }
    }

    fn write(
        &mut self,
        now: Now,
        database: &Database,
        client: ClientId,
        session: SessionId,
        request: ClientRequest,
    ) {
        let ClientRequest {
            xid,
            op,
            work,
            ids,
            received,
            size: _,
        } = request;
        let answers = Answers {
            op,
            xid,
            received,
            write: true,
        };
        let origin = Some(Origin::Request { client, answers });
        let zxid = match work {
            Work::Request(Request::CloseSession) => {
                self.tracker.begin_close(session);
                self.close_session(now, database, session, xid.0, origin)
            }
            Work::Request(request) => {
                self.propose(now, database, session, xid.0, &ids, origin, |prep, cx| {
                    prepare(prep, cx, request)
                })
            }
            Work::Undecodable(error) | Work::Refused(Refusal { error, .. }) => {
                self.propose(now, database, session, xid.0, &ids, origin, |_, _| {
                    Err(error)
                })
            }
        };
        self.client(client).lane.push_write(zxid);
    }

    fn close_session(
        &mut self,
        now: Now,
        database: &Database,
        session: SessionId,
        cxid: i32,
        origin: Option<Origin>,
    ) -> Zxid {
        self.propose(now, database, session, cxid, &[], origin, |prep, cx| {
            Ok(prep.close_session(cx))
        })
    }

    /// Makes the next transaction and hands it to the quorum. A request that fails is a
    /// transaction too, so that its answer keeps its place.
    #[expect(
        clippy::too_many_arguments,
        reason = "these are the parts of a transaction"
    )]
    fn propose(
        &mut self,
        now: Now,
        database: &Database,
        session: SessionId,
        cxid: i32,
        ids: &[Id],
        origin: Option<Origin>,
        make: impl FnOnce(&mut Prep, Context<'_>) -> Result<Txn, ErrorCode>,
    ) -> Zxid {
        let zxid = self.next_zxid();
        let time = now.wall_ms;
        let cx = Context {
            tree: &database.tree,
            zxid,
            time,
            session,
            ids,
        };
        self.prep.begin();
        let txn = make(&mut self.prep, cx)
            .unwrap_or_else(|error| Txn::Error(ErrorTxn { err: error.code() }));
        let header = TxnHeader {
            client_id: session,
            cxid,
            zxid,
            time,
            op: txn.op(),
        };
        self.hand_over(header, txn, origin);
        zxid
    }

    fn hand_over(&mut self, header: TxnHeader, txn: Txn, origin: Option<Origin>) {
        let mut record = self.record(header, txn);
        // A Java server writes such a record, and fails to read it back at its next start.
        if self.payload.len() > self.settings.max_record {
            tracing::warn!(
                session = %header.client_id,
                zxid = %header.zxid,
                "refusing a request whose transaction would take {} bytes",
                self.payload.len(),
            );
            self.prep.roll_back();
            let err = ErrorCode::MarshallingError.code();
            record = self.record(header, Txn::Error(ErrorTxn { err }));
        }
        self.broadcast.handle(ox_zab::Input::Propose(header.zxid));
        while let Some(output) = self.broadcast.poll_output() {
            match output {
                ox_zab::Output::Append(zxid) => {
                    self.effects.append(zxid, &self.payload);
                }
                ox_zab::Output::Commit(zxid) => panic!("{zxid} commits before it is flushed"),
            }
        }
        self.payload.shrink_to(Self::KEPT_CAPACITY);
        self.outstanding.push_back(Outstanding { record, origin });
    }

    /// The record of a transaction, encoded into `payload`.
    fn record(&mut self, header: TxnHeader, txn: Txn) -> TxnRecord {
        let digest = match txn {
            Txn::Error(_) => None,
            _ => self.prep.digest(),
        };
        let op = txn.op();
        let header = TxnHeader { op, ..header };
        let record = TxnRecord {
            header,
            txn,
            digest,
        };
        self.payload.clear();
        record.encode(&mut self.payload);
        record
    }

    fn next_zxid(&self) -> Zxid {
        self.broadcast
            .next_zxid()
            .expect("there are epochs for ages")
    }

    fn flushed(&mut self, database: &mut Database, zxid: Zxid) {
        let flushed = self
            .outstanding
            .iter()
            .take_while(|proposal| proposal.record.header.zxid <= zxid);
        database
            .tree
            .warm(flushed.filter_map(|proposal| proposal.record.txn.path()));
        self.broadcast.handle(ox_zab::Input::Flushed(zxid));
        while let Some(output) = self.broadcast.poll_output() {
            match output {
                ox_zab::Output::Commit(zxid) => self.commit(database, zxid),
                ox_zab::Output::Append(zxid) => panic!("{zxid} was not proposed"),
            }
        }
    }

    /// Applies a transaction: events first, then the answer, then the reads that waited for it.
    fn commit(&mut self, database: &mut Database, zxid: Zxid) {
        let Outstanding { record, origin } = self.outstanding.pop_front().expect("it was proposed");
        assert_eq!(record.header.zxid, zxid, "commit order");
        let outcome = self.apply(database, &record);
        let session = record.header.client_id;
        match &record.txn {
            Txn::CreateSession(txn) => {
                database.sessions.insert(session, txn.timeout_ms);
            }
            Txn::CloseSession(_) => {
                database.sessions.remove(&session);
                self.tracker.remove(session);
            }
            _ => {}
        }
        match origin {
            Some(Origin::Connect { client, read_only }) => {
                self.connected(client, &record, read_only);
            }
            Some(Origin::Request { client, answers }) => {
                self.client(client).lane.committed(zxid);
                self.effects.answer(client, answers, |out| {
                    reply::outcome(out, answers.xid, zxid, &record.txn, &outcome);
                });
                self.answer_waiting(database, client);
            }
            None => {}
        }
        if matches!(record.txn, Txn::CloseSession(_))
            && let Some(client) = self.attached.remove(&session)
        {
            self.effects.close(client);
        }
    }

    fn apply(&mut self, database: &mut Database, record: &TxnRecord) -> Outcome {
        let zxid = record.header.zxid;
        let Database {
            tree,
            watches,
            digests,
            identities,
            ..
        } = database;
        let Self {
            effects, settings, ..
        } = self;
        let outcome = tree.apply(&record.header, &record.txn, &mut |change| {
            let trigger = match change.kind {
                ChangeKind::Created => Trigger::Created,
                ChangeKind::Deleted => Trigger::Deleted,
                ChangeKind::DataChanged => Trigger::DataChanged,
            };
            watches.fire(trigger, change.path, &mut |client, event, path, acl_of| {
                let acl = match acl_of {
                    AclOf::Node => change.acl,
                    AclOf::Parent => change.parent_acl,
                };
                let may_hear = identities
                    .get(&client)
                    .is_some_and(|ids| settings.auth.permits(acl, Acl::READ, ids));
                if may_hear {
                    effects.event(client, zxid, event, path);
                }
            });
        });
        self.prep.applied(zxid);
        digests.note(zxid, tree.digest());
        if let Some(digest) = &record.digest
            && digest.tree_digest != tree.digest()
        {
            tracing::error!(
                zxid = %zxid,
                "Digests are not matching. Value is Zxid. Expected {:#x}, the tree has {:#x}",
                digest.tree_digest,
                tree.digest(),
            );
            debug_assert!(
                false,
                "the digest prepared is the digest applied: {record:?}"
            );
        }
        outcome
    }

    /// A session has been created for a connection, which may have ended meanwhile.
    fn connected(&mut self, client: ClientId, record: &TxnRecord, read_only: Option<bool>) {
        let session = record.header.client_id;
        self.client(client).connecting = false;
        if self.client(client).gone {
            self.release_if_done(client);
        } else if let Txn::CreateSession(txn) = &record.txn {
            self.establish(client, session, txn.timeout_ms, read_only);
        }
    }

    /// Answers the reads that stood behind a write, up to the next one.
    fn answer_waiting(&mut self, database: &mut Database, client: ClientId) {
        while let Some(request) = self.client(client).lane.pop_read() {
            let state = self.client(client);
            if let (false, Some(session)) = (state.gone, state.session) {
                self.answer(database, client, session, &request);
            }
        }
        self.release_if_done(client);
    }

    fn answer(
        &mut self,
        database: &mut Database,
        client: ClientId,
        session: SessionId,
        request: &ClientRequest,
    ) {
        let reader = Reader {
            client,
            session,
            auth: &self.settings.auth,
        };
        let ClientRequest {
            op, xid, received, ..
        } = *request;
        let answers = Answers {
            op,
            xid,
            received,
            write: false,
        };
        self.effects.answer(client, answers, |out| {
            database.answer_and_watch(reader, request, out);
        });
        if ends_connection(request) {
            self.effects.close(client);
        }
    }

    fn disconnected(&mut self, database: &mut Database, client: ClientId) {
        let Some(state) = self.clients.get_mut(&client) else {
            self.effects.release(client);
            return;
        };
        state.gone = true;
        if let Some(session) = state.session
            && self.attached.get(&session) == Some(&client)
        {
            self.attached.remove(&session);
        }
        database.watches.remove_client(client);
        database.identities.remove(&client);
        self.release_if_done(client);
    }

    fn release_if_done(&mut self, client: ClientId) {
        let state = self.client(client);
        if state.gone && !state.connecting && state.lane.is_empty() {
            self.clients.remove(&client);
            self.effects.release(client);
        }
    }

    fn timeout(&mut self, now: Now, database: &Database) {
        for session in self.tracker.expire(now.monotonic_ms) {
            let timeout_ms = self.tracker.timeout(session).unwrap_or_default();
            tracing::info!("Expiring session {session}, timeout of {timeout_ms}ms exceeded");
            self.close_session(now, database, session, 0, None);
        }
        while let Some(path) = self
            .reaper
            .poll(now.monotonic_ms, now.wall_ms, &database.tree)
        {
            self.collect(now, database, &path);
        }
    }

    /// Deletes what the reaper found, if it is still to go.
    fn collect(&mut self, now: Now, database: &Database, path: &str) {
        let zxid = self.next_zxid();
        let (session, time) = (SessionId::NONE, now.wall_ms);
        let cx = Context {
            tree: &database.tree,
            zxid,
            time,
            session,
            ids: &[],
        };
        self.prep.begin();
        if let Some(txn) = self.prep.delete_container(cx, path) {
            tracing::info!("Attempting to delete candidate container: {path}");
            let header = TxnHeader {
                client_id: session,
                cxid: 0,
                zxid,
                time,
                op: txn.op(),
            };
            self.hand_over(header, txn, None);
        }
    }

    fn client(&mut self, client: ClientId) -> &mut Client {
        self.clients
            .get_mut(&client)
            .expect("a connection is known until its release")
    }
}

fn prepare(prep: &mut Prep, cx: Context<'_>, request: Request) -> Result<Txn, ErrorCode> {
    match request {
        Request::Create(create) => prep.create(cx, create),
        Request::Delete(request) => prep.delete(cx, request),
        Request::SetData(request) => prep.set_data(cx, request),
        Request::SetAcl(request) => prep.set_acl(cx, request),
        Request::Multi(ops) => Ok(prep.multi(cx, ops)),
        Request::Reconfig(_) => Err(prep.reconfig()),
        Request::CloseSession => Ok(prep.close_session(cx)),
        Request::Exists(_)
        | Request::GetData(_)
        | Request::GetAcl(_)
        | Request::GetChildren(_)
        | Request::GetChildren2(_)
        | Request::GetAllChildrenNumber(_)
        | Request::GetEphemerals(_)
        | Request::MultiRead(_)
        | Request::Sync(_)
        | Request::Ping
        | Request::CheckWatches(_)
        | Request::RemoveWatches(_)
        | Request::SetWatches(_)
        | Request::AddWatch(_)
        | Request::WhoAmI => unreachable!("not a write: {request:?}"),
    }
}

fn write_frame(out: &mut Vec<u8>, response: &ConnectResponse) {
    let start = start_frame(out);
    response.encode(out);
    end_frame(out, start);
}

/// Ids go on from the clock, and never back into those that are in use.
fn first_session(settings: &Settings, database: &Database, now: Now) -> SessionId {
    let start = first_session_id(settings.server, now.wall_ms);
    let same_server = |id: &SessionId| id.0 >> 56 == start.0 >> 56;
    let newest = database.sessions.keys().copied().filter(same_server).max();
    newest.map_or(start, |newest| start.max(following(newest)))
}

/// The next session id; the owner of all containers is no session.
fn following(session: SessionId) -> SessionId {
    match session.0.wrapping_add(1) {
        i64::MIN => SessionId(i64::MIN + 1),
        next => SessionId(next),
    }
}
